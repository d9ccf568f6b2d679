// What the JWT family shares: from a compact JWS to an identity. A member adds where its keys are, which
// header members it takes and what its claims must say. Only the bytes that were signed are read
// (RB-13), nothing is accepted before the signature is, and every refusal is a value.
import type {
  AttestationFault,
  CompiledAuthMethod,
  Selector,
  UntrustedAttestation,
} from '../core/auth-method.ts'
import { actorChain } from '../core/actor-chain.ts'
import type { AssertionGrant } from '../core/assertion-grant.ts'
import type { UntrustedSelector } from '../core/attestation.ts'
import type { Identity, JsonObject } from '../core/identity.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import type { Clock, Hashing } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { Secrets } from '../core/secret-source.ts'
import { type Revocable, revocationKey } from '../core/security-event.ts'
import { claimsToBeSpiffeId, parseSpiffeId } from '../core/spiffe-id.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { parseCompactJws, type UntrustedJws } from '../crypto/jws.ts'
import type { KeySets, KeySource } from '../net/key-sets.ts'
import type { Outbound, Reach } from '../net/outbound.ts'
import type { JwtConfig } from './jwt-config.ts'
import { explainJwt } from './jwt-explain.ts'
import { headerFault, type HeaderRules } from './jwt-header.ts'
import { originOf, type OriginRules } from './origin-config.ts'
import { FORM_RULES, firstFault, ruleFault, singleUseOf, subjectClaim } from './jwt-rules.ts'
import {
  type ProveSignature,
  questionOf,
  type SignatureCheck,
  type SignatureChecks,
  signatureProver,
} from './jwt-signature.ts'
import { type SecurityEvents, transmitterOf } from './security-events.ts'

export type AuthMethodDeps = {
  readonly keySets: KeySets
  readonly clock: Clock
  readonly hashing: Hashing
  readonly reach: Reach
  /** ISSUER and ISSUER/federation: never an Auth Method, at save and at use. */
  readonly ownIssuers: readonly string[]
  /** ISSUER: what a signed request must name (AW-08). */
  readonly issuer: string
  readonly outbound: Outbound
  readonly secrets: Secrets['resolve']
  /** Whether a call can be held to certificate authorities of its own (OutboundRequest.ca). */
  readonly canTrustOwnCa: boolean
}

/** What the members are made with: the ports, and the prover that they share. */
export type JwtFamily = AuthMethodDeps & { readonly prove: ProveSignature }

export function jwtFamily(deps: AuthMethodDeps): JwtFamily {
  return { ...deps, prove: signatureProver(deps.keySets) }
}

export const JWT_TOKEN_TYPES: readonly string[] = [TOKEN_TYPES.jwt, TOKEN_TYPES.idToken]

/** What is a JWT, whatever it is for. */
export function isJwtType(tokenType: string): boolean {
  return JWT_TOKEN_TYPES.includes(tokenType) || tokenType === TOKEN_TYPES.idJag
}

function tokenTypesOf({ tokenTypes }: Pick<JwtMember, 'tokenTypes'>): readonly string[] {
  return tokenTypes ?? JWT_TOKEN_TYPES
}

/**
 * Asks whoever issued the token, once every local rule holds. It is given the very token that was read;
 * what it answers goes into the evidence.
 */
export type ConfirmToken = (
  token: string,
  claims: JsonObject,
) => Promise<Result<JsonObject, AttestationFault>>

/** Says that the authority was asked, which strangers get to cause only so often. */
export function refusedByAuthority(fault: AttestationFault): Result<never, AttestationFault> {
  return fail({ ...fault, asked: true })
}

/** What vouches for the token: keys, or its issuer itself, or both. Never nothing. */
export type Authority =
  | { readonly keys: KeySource; readonly confirm?: ConfirmToken }
  | { readonly keys: null; readonly confirm: ConfirmToken }

/** What a member of the family adds. */
export type JwtMember = Authority & {
  readonly method: AuthMethodPolicy
  readonly selector: Exclude<Selector, { by: 'token_type' }>
  readonly config: JwtConfig
  readonly header: HeaderRules
  /** `use` a key must have; a bundle holds keys for other purposes too (SP-06). */
  readonly keyUse?: 'jwt-svid'
  /** A single audience whatever is configured (SP-05). */
  readonly soleAudience: boolean
  /** The claim that names the caller where `sub` is empty. */
  readonly subjectWhenEmpty?: string | undefined
  /** Which of its tokens prove what of their origin; absent: none. */
  readonly origin?: OriginRules | null
  /** Whose security events it believes; absent: nobody's. */
  readonly securityEvents?: SecurityEvents | null
  /** The member's own rules on verified claims; `sub` is a plain text by then. */
  readonly claimsFault: (claims: JsonObject) => AttestationFault | null
  /** Of a grant: what it was issued for and to whom. Claims that claimsFault() has passed. */
  readonly grantOf?: (claims: JsonObject) => AssertionGrant | null
  /** Absent: JWT and ID token. */
  readonly tokenTypes?: readonly string[]
  /** Leaves out what the issuer signed and the caller chose, so that no rule anywhere can rest on it. */
  readonly withoutCallersOwn?: (claims: JsonObject) => JsonObject
}

/**
 * Where to look the method up, from the unverified payload and without any I/O (JW-01). It selects rules
 * that then verify, and nothing else may be concluded from it.
 */
export function untrustedSelector(
  tokenType: string,
  token: string,
): Result<UntrustedSelector, AttestationFault> {
  return selectByClaims({ tokenType, token })
}

/** The same for an attestation, which is then parsed once for all of its candidates. */
export function selectByClaims(
  attestation: UntrustedAttestation,
): Result<UntrustedSelector, AttestationFault> {
  if (!isJwtType(attestation.tokenType)) return fail({ reason: 'unsupported_type' })
  const { jws } = parsed(attestation)
  if (!jws.ok) return jws
  const { sub, iss } = jws.value.payload
  if (typeof sub === 'string' && claimsToBeSpiffeId(sub)) {
    const id = parseSpiffeId(sub)
    if (!id.ok) return fail({ reason: 'invalid_spiffe_id', claim: 'sub', got: id.failure })
    return ok({ by: 'trust_domain', trustDomain: id.value.trustDomain })
  }
  if (iss === undefined) return fail({ reason: 'missing_claim', claim: 'iss' })
  if (typeof iss !== 'string') return fail({ reason: 'claim_type', claim: 'iss' })
  return ok({ by: 'issuer', issuer: iss })
}

type Parsed = {
  readonly jws: Result<UntrustedJws, AttestationFault>
  readonly checks: SignatureChecks
}

// Keyed by the attestation object, which one request holds and then drops.
const parses = new WeakMap<UntrustedAttestation, Parsed>()

function parsed(attestation: UntrustedAttestation): Parsed {
  const known = parses.get(attestation)
  if (known !== undefined) return known
  const fresh = { jws: parseCompactJws(attestation.token), checks: new Map() }
  parses.set(attestation, fresh)
  return fresh
}

export function compileJwtMethod(member: JwtMember, deps: JwtFamily): CompiledAuthMethod {
  const prove = proverOf(member, deps)
  return {
    name: member.method.name,
    type: member.method.type,
    selector: member.selector,
    tokenTypes: tokenTypesOf(member),
    asks: member.confirm !== undefined,
    ...(member.securityEvents
      ? { transmitter: transmitterOf(member.securityEvents, member, deps) }
      : {}),
    accepts: (claims) => ruleFault({ claims, tokenType: '', member, deps }) === null,
    explain: (attestation) =>
      explainJwt({ tokenType: attestation.tokenType, jws: parsed(attestation).jws }, member, deps),
    verify: (attestation) => verify(attestation, { member, deps, prove }),
  }
}

type Prove = (jws: UntrustedJws, checks: SignatureChecks) => Promise<SignatureCheck>

/** The prover of the family for the keys of one member; without keys the issuer itself vouches. */
function proverOf(member: JwtMember, deps: JwtFamily): Prove {
  if (member.keys === null) return async () => ({ proof: Promise.resolve(ok({})) })
  const question = questionOf(member)
  return (jws, checks) => deps.prove(jws, member, { question, checks })
}

async function verify(
  attestation: UntrustedAttestation,
  site: { readonly member: JwtMember; readonly deps: JwtFamily; readonly prove: Prove },
): Promise<Result<Identity, AttestationFault>> {
  const { member, deps, prove } = site
  const { tokenType, token } = attestation
  if (!tokenTypesOf(member).includes(tokenType)) return fail({ reason: 'unsupported_type' })
  const { jws, checks } = parsed(attestation)
  if (!jws.ok) return jws
  const chain = actorChain(jws.value.payload)
  if (!chain.ok) return fail({ reason: 'malformed', claim: 'act' })
  const { claims, act } = chain.value

  // What is refused on its form costs no key and no I/O; nothing is accepted before the signature is.
  const unusable =
    headerFault(jws.value.header, member.header) ??
    firstFault(FORM_RULES, { claims, tokenType, member, deps })
  if (unusable !== null) return fail(unusable)
  const check = await prove(jws.value, checks)
  // Meanwhile the signature is being checked; what is found out here counts for nothing unless it holds.
  const refused = ruleFault({ claims, tokenType, member, deps })
  const attestationHash = deps.hashing.sha256Hex(token)
  const proof = await check.proof
  if (!proof.ok) return proof
  if (refused !== null) return fail(refused)
  const confirmed = member.confirm === undefined ? ok({}) : await member.confirm(token, claims)
  if (!confirmed.ok) return refusedByAuthority(confirmed.failure)
  const singleUse = singleUseOf(claims, member, deps.hashing)
  if (!singleUse.ok) return singleUse
  const believed = member.withoutCallersOwn?.(claims) ?? claims
  const origin = originOf(member.origin ?? null, believed)
  const grant = member.grantOf?.(claims) ?? null
  return ok({
    method: member.method.name,
    methodType: member.method.type,
    kind: member.method.subject,
    // subjectFault() and timeFault() have seen a text and a finite number.
    subject: claims[subjectClaim(claims, member)] as string,
    claims: believed,
    act,
    expiresAt: Math.floor(claims['exp'] as number),
    attestationHash,
    ...(singleUse.value === null ? {} : { singleUse: singleUse.value }),
    ...(origin === undefined ? {} : { origin }),
    ...(member.securityEvents ? { revocable: revocableOf(claims, member, deps) } : {}),
    ...(grant === null ? {} : { grant }),
    evidence: { ...proof.value, ...confirmed.value },
  })
}

/** Without `iat` it may have been issued at any time before. */
function revocableOf(claims: JsonObject, member: JwtMember, { hashing }: JwtFamily): Revocable {
  const subject = String(claims[subjectClaim(claims, member)])
  const { iat } = claims
  return {
    key: revocationKey(member.method.name, subject, hashing),
    issuedAt: typeof iat === 'number' ? Math.floor(iat) : 0,
  }
}
