// Everything that core/ needs from outside comes in through these interfaces: time, ids, hashing,
// signing, storage. An implementation never decides anything about access.
import type { Result } from './result.ts'
import type { HandleClaims, HandleFault } from './token.ts'

/** Seconds since the epoch, UTC. */
export type Seconds = number

/** How far two clocks may be apart (RFC 9068 §4: no more than a few minutes); one figure for everything. */
export const CLOCK_SKEW_SECONDS = 60

export interface Clock {
  /** Whole seconds since the epoch. */
  nowSeconds(): Seconds
  /** Milliseconds since the epoch, for event times. */
  nowMs(): number
}

export interface Timers {
  /** Runs `work` once after `ms`; what comes back calls it off. */
  after(ms: number, work: () => void): () => void
}

export interface Ids {
  /** A fresh, unguessable id such as `ses_…`: prefix, underscore, 22 or more base64url characters. */
  fresh(prefix: 'ses' | 'dec' | 'evt' | 'apr' | 'jti' | 'act'): string
}

export interface Hashing {
  /** Lower-case hex SHA-256 of the UTF-8 text. */
  sha256Hex(text: string): string
}

/** Signs handles. The key never leaves the implementation. */
export interface HandleSigner {
  /** A compact JWS of `claims` with `typ: at+jwt`, ES256 and the current `kid`. */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>
}

/** The longest life of anything signed with the federation keys. */
export const MAX_FEDERATION_SECONDS = 300

/** `typ` of what federation keys sign; never that of a handle. `JWT` is for clouds that know no other. */
export type FederationTyp = 'JWT' | 'oauth-id-jag+jwt' | 'txntoken+jwt'

/**
 * Signs what other systems verify under `ISSUER/federation`, with keys that sign nothing else. Such a token
 * is never accepted by this broker.
 */
export interface FederationSigner {
  /** `ISSUER/federation`, which is the `iss` of every token whatever the claims say. */
  readonly issuer: string
  /**
   * A compact JWS, ES256, with the current `kid`. `exp` is required; rejects with a RangeError if it is
   * not within MAX_FEDERATION_SECONDS from now, or if `aud` is not one string.
   */
  sign(claims: Readonly<Record<string, unknown>>, typ: FederationTyp): Promise<string>
}

/** Verifies handles of this broker, and nothing else. */
export interface HandleVerifier {
  /** The claims of a handle whose signature, type, issuer key and expiry hold at `now`. */
  verify(token: string, now: Seconds): Promise<Result<HandleClaims, HandleFault>>
}
