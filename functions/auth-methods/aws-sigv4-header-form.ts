// A signed request as `{ "method", "url", "headers": { name: [values] }, "body" }`: each header once and with
// one value, none that is not listed, none that matters left unsigned (AW-04, AW-06, AW-07, RB-09).
import type { AttestationFault } from '../core/auth-method.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { fail, ok } from '../core/result.ts'
import {
  BODIES,
  NONCE_HEADER,
  originOf,
  type Parsed,
  refuse,
  SERVER_ID_HEADER,
  signedRequest,
  type UntrustedSignedRequest,
} from './aws-sigv4-fields.ts'

const MAX_HEADERS = 16
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^\s,]{1,256}), ?SignedHeaders=([a-z0-9;-]{1,256}), ?Signature=([0-9a-f]{64})$/
const CONTENT_TYPES: readonly string[] = [
  'application/x-www-form-urlencoded',
  'application/x-www-form-urlencoded; charset=utf-8',
]

export function parseHeaderForm(request: JsonObject): Parsed<UntrustedSignedRequest> {
  const { method, url, headers, body, ...rest } = request
  if (Object.keys(rest).length > 0) return refuse('malformed')
  if (method !== 'POST') return refuse('claim_mismatch', 'method')
  if (typeof url !== 'string') return refuse('malformed', 'url')
  if (typeof body !== 'string' || !Object.hasOwn(BODIES, body)) {
    return refuse('claim_mismatch', 'body')
  }
  const values = readHeaders(headers)
  if (!values.ok) return values
  const authorization = AUTHORIZATION.exec(values.value.get('authorization') ?? '')
  if (authorization === null) return refuse('malformed', 'authorization')
  const [, credential = '', signedList = '', signature = ''] = authorization
  const signedHeaders = signedList.split(';')
  const fault = signedHeadersFault(signedHeaders, values.value)
  if (fault !== null) return fail(fault)
  const origin = originOf(url)
  const host = values.value.get('host')
  if (host !== undefined && origin !== `https://${host}` && origin !== `http://${host}`) {
    return refuse('claim_mismatch', 'host')
  }
  const length = values.value.get('content-length')
  if (length !== undefined && length !== String(body.length)) {
    return refuse('claim_mismatch', 'content-length')
  }
  const contentType = values.value.get('content-type') ?? CONTENT_TYPES[0] ?? ''
  if (!CONTENT_TYPES.includes(contentType)) return refuse('claim_mismatch', 'content-type')
  const hash = values.value.get('x-amz-content-sha256')
  if (hash !== undefined && hash !== BODIES[body]?.sha256) {
    return refuse('claim_mismatch', 'x-amz-content-sha256')
  }
  return signedRequest({
    form: 'headers',
    origin,
    credential,
    date: values.value.get('x-amz-date'),
    expiresSeconds: null,
    securityToken: values.value.get('x-amz-security-token') ?? null,
    signedHeaders,
    serverId: values.value.get(SERVER_ID_HEADER) ?? null,
    nonce: values.value.get(NONCE_HEADER) ?? null,
    body,
    contentType,
    signature,
  })
}

/** May be there without being signed, because nothing of them is used. */
const UNSIGNED_HEADERS = ['authorization', 'content-length', 'content-type', 'host', 'user-agent']
/** May be signed, because they can be built anew, value and all (AW-06). */
const REQUIRED_HEADERS = ['host', 'x-amz-date', SERVER_ID_HEADER]
const REBUILT_HEADERS = [
  ...REQUIRED_HEADERS,
  'content-length',
  'content-type',
  'x-amz-content-sha256',
  'x-amz-security-token',
  NONCE_HEADER,
]

/** Each header once, whatever its case, with one value (RB-09, RB-10). */
function readHeaders(headers: JsonValue | undefined): Parsed<ReadonlyMap<string, string>> {
  if (!isJsonObject(headers)) return refuse('malformed', 'headers')
  const entries = Object.entries(headers)
  if (entries.length > MAX_HEADERS) return refuse('malformed', 'headers')
  const values = new Map<string, string>()
  for (const [written, list] of entries) {
    const name = written.toLowerCase()
    if (!UNSIGNED_HEADERS.includes(name) && !REBUILT_HEADERS.includes(name)) {
      return refuse('header_not_allowed', name.slice(0, 64))
    }
    const [value, ...more] = Array.isArray(list) ? (list as readonly JsonValue[]) : []
    if (typeof value !== 'string' || more.length > 0 || values.has(name)) {
      return refuse('malformed', name)
    }
    if (!/^[\x20-\x7e]*$/.test(value)) return refuse('malformed', name)
    values.set(name, value)
  }
  return ok(values)
}

/** Sorted, lower-case by the pattern, none twice, all present, none that matters left out (AW-07). */
function signedHeadersFault(
  signed: readonly string[],
  values: ReadonlyMap<string, string>,
): AttestationFault | null {
  const claim = 'SignedHeaders'
  if (signed.some((name, i) => i > 0 && name <= (signed[i - 1] ?? ''))) {
    return { reason: 'malformed', claim }
  }
  const strange = signed.find((name) => !REBUILT_HEADERS.includes(name))
  if (strange !== undefined) return { reason: 'header_not_allowed', claim: strange }
  const missing =
    REQUIRED_HEADERS.find((name) => !signed.includes(name)) ??
    // `host` may be left to the URL, as HTTP libraries do; `content-length` to the body.
    signed.find((name) => name !== 'host' && name !== 'content-length' && !values.has(name))
  if (missing !== undefined) return { reason: 'missing_claim', claim: missing }
  const unsigned = [...values.keys()].find(
    (name) => !signed.includes(name) && !UNSIGNED_HEADERS.includes(name),
  )
  return unsigned === undefined ? null : { reason: 'header_not_allowed', claim: unsigned }
}
