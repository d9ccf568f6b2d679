// Fetches the documents that keys come from: discovery document, JWKS, SPIFFE bundle. Whoever answers
// is hostile until parsed (json-document.ts); one deadline over headers and body.
import type { JsonObject } from '../core/identity.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { hostRefusal } from './addresses.ts'
import { readJsonDocument, type DocumentFault } from './json-document.ts'
import { OutboundError, type Outbound, type Reach } from './outbound.ts'

/** Where a document is, and what the call for it may reach. */
export type Location = {
  readonly url: URL
  readonly reach: Reach
  /** Who may serve it, where that is not for public authorities to say. */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => Promise<boolean>
}

/** Why a document was not taken; for the audit log and `doctor`, never for the wire. */
export type FetchFault =
  | DocumentFault
  | 'not_a_url'
  | 'issuer_mismatch'
  | 'jwks_uri'
  | `jwks_uri_${string}`

/** Of one refresh: discovery document and keys together. */
export const FETCH_TIMEOUT_MS = 5_000
/** No exception of the issuer's holds for another origin (JW-02). */
const PUBLIC_ONLY: Reach = { privateNetwork: false, loopback: false }
const DISCOVERY_PATH = '/.well-known/openid-configuration'

/** `signal` is the deadline of the whole refresh. */
export async function fetchDocument(
  outbound: Outbound,
  { url, ...limits }: Location,
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
      ...limits,
    })
    // Sequence numbers of bundles are 64 bits wide (SPIFFE Bundle §4.1.1).
    return await readJsonDocument(response, {
      statuses: [200],
      json: { unsafeIntegersAsText: true },
    })
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
