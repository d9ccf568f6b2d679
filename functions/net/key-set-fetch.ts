// Fetches the documents that keys come from: discovery document, JWKS, SPIFFE bundle. Whoever answers
// is hostile until parsed: no redirect, a byte cap while streaming, one deadline over headers and body.
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { hostRefusal } from './addresses.ts'
import { OutboundError, type Outbound, type OutboundResponse, type Reach } from './outbound.ts'
import { readCapped } from './read-body.ts'

/** Where a document is, and what the call for it may reach. */
export type Location = { readonly url: URL; readonly reach: Reach }

/** Why a document was not taken; for the audit log and `doctor`, never for the wire. */
export type FetchFault =
  | OutboundError['reason']
  | 'redirect'
  | 'status'
  | 'encoded'
  | 'too_large'
  | 'not_json'
  | 'not_a_url'
  | 'issuer_mismatch'
  | 'jwks_uri'
  | `jwks_uri_${string}`

/** Of one refresh: discovery document and keys together. */
export const FETCH_TIMEOUT_MS = 5_000
const MAX_DOCUMENT_BYTES = 65_536
/** No exception of the issuer's holds for another origin (JW-02). */
const PUBLIC_ONLY: Reach = { privateNetwork: false, loopback: false }
const DISCOVERY_PATH = '/.well-known/openid-configuration'

/** `signal` is the deadline of the whole refresh. */
export async function fetchDocument(
  outbound: Outbound,
  { url, reach }: Location,
  signal: AbortSignal,
): Promise<Result<JsonObject, FetchFault>> {
  try {
    const response = await outbound({
      method: 'GET',
      url,
      // Never a credential: the origin may be one that only a discovery document named (JW-03).
      headers: [
        ['accept', 'application/json'],
        ['accept-encoding', 'identity'],
        ['user-agent', 'sallyport'],
      ],
      body: null,
      timeoutMs: FETCH_TIMEOUT_MS,
      signal,
      reach,
    })
    return await readDocument(response)
  } catch (error) {
    if (signal.aborted) return fail('timeout')
    // A body that breaks off is the runtime's own error where the transport cannot wrap it.
    return fail(error instanceof OutboundError ? error.reason : 'protocol_error')
  }
}

/** The `jwks_uri` of an issuer's discovery document, and what that URL may reach. */
export async function discoverJwksUri(
  outbound: Outbound,
  issuer: string,
  reach: Reach,
  signal: AbortSignal,
): Promise<Result<Location, FetchFault>> {
  // OpenID Connect Discovery §4: a terminating slash is removed.
  const discoveryUrl = `${issuer.replace(/\/$/, '')}${DISCOVERY_PATH}`
  if (!URL.canParse(discoveryUrl)) return fail('not_a_url')
  const document = await fetchDocument(outbound, { url: new URL(discoveryUrl), reach }, signal)
  if (!document.ok) return document
  // RFC 8414 §3.3: identical, by the same simple comparison as `iss`.
  if (document.value.issuer !== issuer) return fail('issuer_mismatch')
  const { jwks_uri: jwksUri } = document.value
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri)) return fail('jwks_uri')
  const location = jwksLocation(new URL(jwksUri), issuer, reach)
  const refusal = hostRefusal(location.url, location.reach)
  return refusal === null ? ok(location) : fail(`jwks_uri_${refusal}` as const)
}

/** Large issuers keep their keys on another host: allowed where it is public and https. */
function jwksLocation(url: URL, issuer: string, reach: Reach): Location {
  return { url, reach: url.origin === new URL(issuer).origin ? reach : PUBLIC_ONLY }
}

async function readDocument(response: OutboundResponse): Promise<Result<JsonObject, FetchFault>> {
  const fault = headFault(response)
  if (fault !== null) {
    await response.body?.cancel()
    return fail(fault)
  }
  const bytes = await readCapped(response.body, MAX_DOCUMENT_BYTES)
  if (bytes === null) return fail('too_large')
  const document = parseDocument(bytes)
  return document === null ? fail('not_json') : ok(document)
}

function headFault({ status, headers }: OutboundResponse): FetchFault | null {
  if (status >= 300 && status < 400) return 'redirect'
  if (status !== 200) return 'status'
  // Nothing was asked for but identity; what the sender compressed all the same is not unpacked here.
  const coding = headers.find(([name]) => name === 'content-encoding')?.[1] ?? 'identity'
  return coding.toLowerCase() === 'identity' ? null : 'encoded'
}

function parseDocument(bytes: Uint8Array): JsonObject | null {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)
  } catch {
    return null
  }
  // Sequence numbers of bundles are 64 bits wide (SPIFFE Bundle §4.1.1).
  const parsed = parseStrictJson(text, { unsafeIntegersAsText: true })
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : null
}
