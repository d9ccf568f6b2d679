// Claims that every JWT must get right, whoever issued it: what kind of token it is, when it holds, who
// it is for, whom it names (JW-05, JW-06, JW-12, JB-11, RB-01, RB-07).
import type { AttestationFault } from '../core/auth-method.ts'
import { isPlainText } from '../core/claim-match.ts'
import type { JsonObject } from '../core/identity.ts'
import { CLOCK_SKEW_SECONDS, type Seconds } from '../core/ports.ts'
import { TOKEN_TYPES } from '../core/token.ts'

const MAX_SUBJECT_LENGTH = 2048

/**
 * Servers that sign every kind of token with the same keys name the kind in the payload or in what they
 * answer: Keycloak in `typ`, Hydra in `token_use`, others in `token_type`.
 */
const KIND_CLAIMS = ['typ', 'token_use', 'token_type']
const REFUSED_KIND = /^(?:refresh|offline|logout)(?:[^a-z]|$)/i

/** Refuses tokens of another kind by their shape, where the header does not tell (JW-12, AUTH-5). */
export function kindFault(claims: JsonObject, tokenType: string): AttestationFault | null {
  // Security event and logout tokens (RFC 8417 §2.2).
  if (Object.hasOwn(claims, 'events')) return { reason: 'type_not_allowed', claim: 'events' }
  // Bound to a key: no bearer token (AUTH-7, WI-01). Of a grant, the exchange demands the proof.
  if (Object.hasOwn(claims, 'cnf') && tokenType !== TOKEN_TYPES.idJag)
    return { reason: 'type_not_allowed', claim: 'cnf' }
  const { typ, token_use: tokenUse } = claims
  const refused = KIND_CLAIMS.find((claim) => REFUSED_KIND.test(textOf(claims[claim])))
  if (refused !== undefined) return { reason: 'type_not_allowed', claim: refused }
  return tokenType === TOKEN_TYPES.idToken ? idTokenFault(claims, typ, tokenUse) : null
}

function textOf(value: JsonObject[string] | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** What was announced as an ID token is held to it (TX-07; OpenID Connect Core §2). */
function idTokenFault(
  claims: JsonObject,
  typ: JsonObject[string] | undefined,
  tokenUse: JsonObject[string] | undefined,
): AttestationFault | null {
  if (claims['iss'] === undefined) return { reason: 'missing_claim', claim: 'iss' }
  if (claims['iat'] === undefined) return { reason: 'missing_claim', claim: 'iat' }
  if (tokenUse !== undefined && tokenUse !== 'id') {
    return { reason: 'type_not_allowed', claim: 'token_use' }
  }
  return typ === 'Bearer' ? { reason: 'type_not_allowed', claim: 'typ' } : null
}

/**
 * `exp` is required; `nbf` and `iat` are judged when present. A token lives from `iat`, or from now when
 * it does not say, to `exp`, and for no longer than is configured.
 */
export function timeFault(
  claims: JsonObject,
  limits: { readonly now: Seconds; readonly maxLifetimeSeconds: number },
): AttestationFault | null {
  const { exp, nbf, iat } = claims
  if (exp === undefined) return { reason: 'missing_claim', claim: 'exp' }
  if (!isInstant(exp)) return { reason: 'claim_type', claim: 'exp' }
  if (nbf !== undefined && !isInstant(nbf)) return { reason: 'claim_type', claim: 'nbf' }
  if (iat !== undefined && !isInstant(iat)) return { reason: 'claim_type', claim: 'iat' }
  const { now, maxLifetimeSeconds } = limits
  if (exp <= now - CLOCK_SKEW_SECONDS) return { reason: 'expired', claim: 'exp' }
  const span = { now, end: exp }
  const early = startFault('nbf', nbf, span) ?? startFault('iat', iat, span)
  if (early !== null) return early
  return exp - (iat ?? now) > maxLifetimeSeconds
    ? { reason: 'lifetime_too_long', claim: 'exp', expected: String(maxLifetimeSeconds) }
    : null
}

function startFault(
  claim: string,
  start: number | undefined,
  { now, end }: { readonly now: Seconds; readonly end: number },
): AttestationFault | null {
  if (start === undefined) return null
  if (start > now + CLOCK_SKEW_SECONDS) return { reason: 'not_yet_valid', claim }
  return start > end ? { reason: 'claim_mismatch', claim } : null
}

function isInstant(value: JsonObject[string]): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

/**
 * Every audience of the token is one that is configured, compared byte for byte, and there is at least
 * one. A token that is also meant for somebody else could have been sent here by them (AUTH-4, SP-05);
 * who trusts the other audience lists it.
 */
export function audienceFault(
  claims: JsonObject,
  rules: { readonly configured: readonly string[]; readonly sole: boolean },
): AttestationFault | null {
  const { aud } = claims
  if (aud === undefined) return { reason: 'missing_claim', claim: 'aud' }
  const audiences = typeof aud === 'string' ? [aud] : aud
  if (!Array.isArray(audiences) || !audiences.every((one) => typeof one === 'string')) {
    return { reason: 'claim_type', claim: 'aud' }
  }
  const isForUs =
    audiences.length > 0 &&
    (!rules.sole || audiences.length === 1) &&
    audiences.every((audience) => rules.configured.includes(audience))
  return isForUs ? null : { reason: 'wrong_audience', claim: 'aud' }
}

/** A name that can be recorded and compared: not empty, not endless, no control characters. */
export function subjectFault(claims: JsonObject, claim = 'sub'): AttestationFault | null {
  const name = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  if (name === undefined) return { reason: 'missing_claim', claim }
  const isName =
    typeof name === 'string' &&
    name !== '' &&
    name.length <= MAX_SUBJECT_LENGTH &&
    isPlainText(name)
  return isName ? null : { reason: 'claim_type', claim }
}
