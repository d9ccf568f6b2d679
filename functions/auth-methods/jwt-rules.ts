// The rules of the JWT family as a list, so that what refuses a token and what explains a refusal are the
// same functions.
import type { AttestationFault } from '../core/auth-method.ts'
import { claimMatches } from '../core/claim-match.ts'
import type { Identity, JsonObject, JsonValue } from '../core/identity.ts'
import { CLOCK_SKEW_SECONDS, type Hashing } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AuthMethodDeps, JwtMember } from './jwt.ts'
import { audienceFault, kindFault, subjectFault, timeFault } from './jwt-claims.ts'
import type { JwtConfig } from './jwt-config.ts'

/** What a rule looks at. */
export type Site = {
  readonly claims: JsonObject
  readonly tokenType: string
  readonly member: JwtMember
  readonly deps: AuthMethodDeps
}

export type Rule = {
  readonly check: string
  readonly fault: (site: Site) => AttestationFault | null
  readonly expected?: (member: JwtMember) => JsonValue
  readonly claim?: string
}

export const ISSUER_RULE: Rule = {
  check: 'issuer',
  claim: 'iss',
  fault: issuerFault,
  expected: ({ selector }) => (selector.by === 'issuer' ? selector.issuer : null),
}

/** What costs no key, in the order in which it refuses. */
export const FORM_RULES: readonly Rule[] = [
  ISSUER_RULE,
  { check: 'kind of token', fault: ({ claims, tokenType }) => kindFault(claims, tokenType) },
  {
    check: 'time',
    claim: 'exp',
    fault: ({ claims, member, deps }) =>
      timeFault(claims, {
        now: deps.clock.nowSeconds(),
        maxLifetimeSeconds: member.config.maxLifetimeSeconds,
      }),
  },
]

/** What does not depend on time. */
export const CLAIM_RULES: readonly Rule[] = [
  ISSUER_RULE,
  {
    check: 'audience',
    claim: 'aud',
    fault: ({ claims, member }) =>
      audienceFault(claims, { configured: member.config.audiences, sole: member.soleAudience }),
    expected: ({ config }) => config.audiences,
  },
  {
    check: 'subject',
    claim: 'sub',
    fault: ({ claims, member }) => subjectFault(claims, subjectClaim(claims, member)),
  },
  { check: 'rules of the method', fault: ({ claims, member }) => member.claimsFault(claims) },
]

export function firstFault(rules: readonly Rule[], site: Site): AttestationFault | null {
  for (const { fault } of rules) {
    const found = fault(site)
    if (found !== null) return found
  }
  return null
}

/** Every rule of the method that does not depend on time: also what an open session is held to. */
export function ruleFault(site: Site): AttestationFault | null {
  const fault = firstFault(CLAIM_RULES, site)
  if (fault !== null) return fault
  const unmatched = site.member.config.match.find((rule) => matchFault(site.claims, rule) !== null)
  return unmatched === undefined ? null : matchFault(site.claims, unmatched)
}

export function matchFault(
  claims: JsonObject,
  [name, matcher]: JwtConfig['match'][number],
): AttestationFault | null {
  return claimMatches(claims, name, matcher) ? null : { reason: 'claim_mismatch', claim: name }
}

/** A token of this broker is never an attestation, whatever the lookup said (AUTH-5). */
function issuerFault({ claims, member, deps }: Site): AttestationFault | null {
  const { iss } = claims
  if (typeof iss === 'string' && deps.ownIssuers.includes(iss)) return { reason: 'own_token' }
  if (member.selector.by === 'trust_domain') {
    // JWT-SVID §3: `iss` is optional and selects nothing.
    return iss === undefined || typeof iss === 'string'
      ? null
      : { reason: 'claim_type', claim: 'iss' }
  }
  if (iss === undefined) return { reason: 'missing_claim', claim: 'iss' }
  return iss === member.selector.issuer ? null : { reason: 'unknown_issuer', claim: 'iss' }
}

export function subjectClaim(claims: JsonObject, { subjectWhenEmpty }: JwtMember): string {
  return claims['sub'] === '' ? (subjectWhenEmpty ?? 'sub') : 'sub'
}

const MAX_JTI_LENGTH = 1024

/** RB-06: hashed, and with method and issuer in it, so that nobody burns somebody else's ids. */
export function singleUseOf(
  claims: JsonObject,
  member: JwtMember,
  hashing: Hashing,
): Result<NonNullable<Identity['singleUse']> | null, AttestationFault> {
  if (!member.config.singleUse) return ok(null)
  const { jti } = claims
  if (jti === undefined) return fail({ reason: 'missing_claim', claim: 'jti' })
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH) {
    return fail({ reason: 'claim_type', claim: 'jti' })
  }
  const issuer =
    member.selector.by === 'issuer'
      ? member.selector.issuer
      : `spiffe://${member.selector.trustDomain}`
  const key = hashing.sha256Hex(JSON.stringify([member.method.name, issuer, jti]))
  // timeFault() has seen a finite number. The id is kept for as long as the token could pass.
  return ok({ key, expiresAt: Math.ceil(claims['exp'] as number) + CLOCK_SKEW_SECONDS })
}
