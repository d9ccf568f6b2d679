// One refresh of one source: where its keys are, what is there now, and whether that may replace what
// is held. Nothing here remembers anything; the cache does.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { VerificationKey } from '../crypto/jwk.ts'
import type { Certificate } from '../crypto/x509/certificate.ts'
import { bundleServerVerifier, type BundleEndpoint } from './bundle-endpoint.ts'
import { readBundleRoots } from './bundle-roots.ts'
import { readKeySet, type KeySetFault } from './key-set-document.ts'
import { discoverJwksUri, fetchDocument, type FetchFault, type Location } from './key-set-fetch.ts'
import type { Outbound, Reach } from './outbound.ts'

/** Sources that are fetched. `issuer` and `trustDomain` are configured, never read from a document. */
export type RemoteKeySource =
  | { readonly kind: 'discovery'; readonly issuer: string }
  | { readonly kind: 'jwks_uri'; readonly issuer: string; readonly jwksUri: string }
  | {
      readonly kind: 'spiffe_bundle'
      readonly trustDomain: string
      readonly url: string
      /** `https_spiffe`; absent: `https_web`. */
      readonly endpoint?: BundleEndpoint
    }

export type LoadFault = FetchFault | KeySetFault | 'sequence_invalid' | 'sequence_rollback'

export type LoadedKeys = {
  readonly keys: readonly VerificationKey[]
  /** Of a SPIFFE bundle: what its X509-SVIDs lead to (use `x509-svid`). */
  readonly roots: readonly Certificate[]
  /** After how long to ask again. */
  readonly refreshSeconds: number
  /** Of a SPIFFE bundle that has one. */
  readonly sequence: bigint | null
}

/** A key that an issuer takes out of its set is refused after this long at the latest. */
const CACHE_MAX_AGE_SECONDS = 600
/** SPIFFE Federation §4.2: what to poll at without a hint. */
const DEFAULT_REFRESH_HINT_SECONDS = 300
/** No hint makes the broker ask more often than this. */
const MIN_REFRESH_SECONDS = 30

type Asking = {
  readonly outbound: Outbound
  readonly reach: Reach
  readonly signal: AbortSignal
  readonly now: Seconds
}

export async function locateKeys(
  source: RemoteKeySource,
  { outbound, reach, signal }: Asking,
): Promise<Result<Location, FetchFault>> {
  if (source.kind === 'discovery') return discoverJwksUri(outbound, source.issuer, reach, signal)
  const url = source.kind === 'jwks_uri' ? source.jwksUri : source.url
  return URL.canParse(url) ? ok({ url: new URL(url), reach }) : fail('not_a_url')
}

/** `held`: what the document would replace; never by an older bundle (SP-07). */
export async function loadKeys(
  source: RemoteKeySource,
  location: Location,
  held: LoadedKeys | null,
  { outbound, signal, now }: Asking,
): Promise<Result<LoadedKeys, LoadFault>> {
  const isBundle = source.kind === 'spiffe_bundle'
  const endpoint = isBundle ? source.endpoint : undefined
  const server =
    endpoint === undefined
      ? {}
      : { verifyPeer: bundleServerVerifier(endpoint, held?.roots ?? null, now) }
  const document = await fetchDocument(outbound, { ...location, ...server }, signal)
  if (!document.ok) return document
  const sequence = isBundle ? readSequence(document.value.spiffe_sequence) : ok(null)
  if (!sequence.ok) return sequence
  const last = held?.sequence ?? null
  if (last !== null && (sequence.value === null || sequence.value < last)) {
    return fail('sequence_rollback')
  }
  const keys = await readKeySet(document.value, isBundle ? 'bundle' : 'jwks')
  if (!keys.ok) return keys
  const refreshSeconds = isBundle ? refreshHint(document.value) : CACHE_MAX_AGE_SECONDS
  const roots = isBundle ? readBundleRoots(document.value) : []
  return ok({ keys: keys.value, roots, refreshSeconds, sequence: sequence.value })
}

/** 64 bits wide or more: integers that a double cannot hold arrive as their digits. */
function readSequence(value: JsonValue | undefined): Result<bigint | null, 'sequence_invalid'> {
  if (value === undefined) return ok(null)
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
    return ok(BigInt(value))
  }
  if (typeof value === 'string' && /^[0-9]{1,40}$/.test(value)) return ok(BigInt(value))
  return fail('sequence_invalid')
}

function refreshHint({ spiffe_refresh_hint: hint }: JsonObject): number {
  const seconds = typeof hint === 'number' ? hint : DEFAULT_REFRESH_HINT_SECONDS
  return Math.min(Math.max(seconds, MIN_REFRESH_SECONDS), CACHE_MAX_AGE_SECONDS)
}
