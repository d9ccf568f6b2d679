// A signed request as the presigned URL that EKS tooling makes: every parameter once, in AWS's own
// spelling, and nothing else (AW-05, RB-10). The text is never given to a URL parser.
import { ok } from '../core/result.ts'
import {
  EKS_SERVER_ID_HEADER,
  FIXED_QUERY,
  originOf,
  type Parsed,
  refuse,
  signedRequest,
  type UntrustedSignedRequest,
} from './aws-sigv4-fields.ts'

const MAX_PRESIGNED_CHARACTERS = 4_096
/** AWS caps it at a week for other services; here the request is a proof of the moment (AW-05). */
const MAX_EXPIRES_SECONDS = 900

const QUERY_NAMES = [
  'Action',
  'Version',
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-Security-Token',
  'X-Amz-Signature',
  'X-Amz-SignedHeaders',
]

export function parsePresignedForm(url: string): Parsed<UntrustedSignedRequest> {
  if (url.length > MAX_PRESIGNED_CHARACTERS) return refuse('malformed', 'presigned_url')
  const mark = url.indexOf('?')
  const query = mark === -1 ? null : readQuery(url.slice(mark + 1))
  if (query === null) return refuse('malformed', 'presigned_url')
  if (!query.ok) return query
  const values = query.value
  const wrong = FIXED_QUERY.find(([name, value]) => values.get(name) !== value)
  if (wrong !== undefined) return refuse('claim_mismatch', wrong[0])
  const expires = values.get('X-Amz-Expires') ?? ''
  if (!/^\d{1,3}$/.test(expires) || Number(expires) > MAX_EXPIRES_SECONDS) {
    return refuse('lifetime_too_long', 'X-Amz-Expires')
  }
  return signedRequest({
    form: 'presigned',
    origin: originOf(url.slice(0, mark)),
    credential: values.get('X-Amz-Credential') ?? '',
    date: values.get('X-Amz-Date'),
    expiresSeconds: Number(expires),
    securityToken: values.get('X-Amz-Security-Token') ?? null,
    signedHeaders: ['host', EKS_SERVER_ID_HEADER],
    serverId: null,
    nonce: null,
    body: '',
    contentType: '',
    signature: values.get('X-Amz-Signature') ?? '',
  })
}

/** Names as AWS spells them, once each: a second spelling is a second parameter (CVE-2022-2385). */
function readQuery(query: string): Parsed<ReadonlyMap<string, string>> {
  const values = new Map<string, string>()
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const name = pair.slice(0, equals)
    if (equals === -1 || !QUERY_NAMES.includes(name)) return refuse('malformed', 'presigned_url')
    const value = decoded(pair.slice(equals + 1))
    if (value === null || values.has(name)) return refuse('malformed', name)
    values.set(name, value)
  }
  return ok(values)
}

/** Unreserved characters and %XX only: `+` is a space to some readers. */
function decoded(text: string): string | null {
  if (!/^(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*$/.test(text)) return null
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
