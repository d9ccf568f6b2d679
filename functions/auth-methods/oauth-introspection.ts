// Opaque tokens of a SaaS: the authorization server says what the token is (RFC 7662), or the API of the
// service says whose it is (userinfo). That it is somebody's valid token proves nothing: any other
// application could have been given it by its user and send it here (the confused deputy). So `match`
// must pin the application or the tenant that it was issued to.
import { actorChain } from '../core/actor-chain.ts'
import type {
  AttestationFault,
  AuthMethodType,
  CompiledAuthMethod,
  UntrustedAttestation,
} from '../core/auth-method.ts'
import { claimMatches } from '../core/claim-match.ts'
import type { Identity, JsonObject } from '../core/identity.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { claimsToBeSpiffeId } from '../core/spiffe-id.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { parseCompactJws } from '../crypto/jws.ts'
import { askAuthority, type Authority } from './introspection-call.ts'
import { readIntrospectionConfig, type IntrospectionConfig } from './introspection-config.ts'
import { type AuthMethodDeps, refusedByAuthority } from './jwt.ts'
import { audienceFault, kindFault, subjectFault, timeFault } from './jwt-claims.ts'

const OPAQUE_TOKEN_TYPES: readonly string[] = [TOKEN_TYPES.opaque]
/** RFC 6750 §2.1: what a bearer token may be made of. */
const BEARER_TOKEN = /^[A-Za-z0-9._~+/-]{1,8192}=*$/
const MAX_CACHED = 1024

export function oauthIntrospection(deps: AuthMethodDeps): AuthMethodType {
  return {
    type: 'oauth-introspection',
    tokenTypes: OPAQUE_TOKEN_TYPES,
    validate: (method) => readIntrospectionConfig(method, deps).errors,
    compile(method) {
      const { errors, config } = readIntrospectionConfig(method, deps)
      if (errors.length > 0 || config === null) {
        throw new Error(`auth method ${method.name} does not validate`)
      }
      return compile(method, config, deps)
    },
  }
}

function compile(
  method: AuthMethodPolicy,
  config: IntrospectionConfig,
  deps: AuthMethodDeps,
): CompiledAuthMethod {
  const authority = remembering(config, deps)
  return {
    name: method.name,
    type: method.type,
    selector: { by: 'token_type', tokenType: TOKEN_TYPES.opaque },
    tokenTypes: OPAQUE_TOKEN_TYPES,
    asks: true,
    accepts: (claims) => ruleFault(claims, config, deps) === null,
    verify: (attestation) => verify(attestation, { method, config, authority, deps }),
  }
}

async function verify(
  { tokenType, token }: UntrustedAttestation,
  site: {
    readonly method: AuthMethodPolicy
    readonly config: IntrospectionConfig
    readonly authority: Authority
    readonly deps: AuthMethodDeps
  },
): Promise<Result<Identity, AttestationFault>> {
  const { method, config, deps } = site
  if (!OPAQUE_TOKEN_TYPES.includes(tokenType)) return fail({ reason: 'unsupported_type' })
  if (!BEARER_TOKEN.test(token)) return fail({ reason: 'malformed' })
  // A handle of this broker is not shown to anybody else (AUTH-5).
  if (isOwn(token, deps)) return fail({ reason: 'own_token' })
  const answer = await site.authority(token)
  if (!answer.ok) return refusedByAuthority(answer.failure)
  const chain = actorChain(answer.value)
  if (!chain.ok) return refusedByAuthority({ reason: 'malformed', claim: 'act' })
  const { claims, act } = chain.value
  const fault =
    kindFault(claims, tokenType) ??
    lifeFault(claims, config, deps) ??
    ruleFault(claims, config, deps)
  if (fault !== null) return refusedByAuthority(fault)
  return ok({
    method: method.name,
    methodType: method.type,
    kind: method.subject,
    subject: subjectOf(claims, config),
    claims,
    act,
    // timeFault() has seen a finite number, where there is one.
    expiresAt: claims['exp'] === undefined ? null : Math.floor(claims['exp'] as number),
    attestationHash: deps.hashing.sha256Hex(token),
    evidence: { asked: config.endpoint.host },
  })
}

function isOwn(token: string, { ownIssuers }: AuthMethodDeps): boolean {
  const jws = parseCompactJws(token)
  return jws.ok && ownIssuers.includes(String(jws.value.payload['iss']))
}

/** Introspection says when a token ends; userinfo need not, and answers for what holds now. */
function lifeFault(
  claims: JsonObject,
  config: IntrospectionConfig,
  deps: AuthMethodDeps,
): AttestationFault | null {
  if (config.kind === 'userinfo' && claims['exp'] === undefined) return null
  return timeFault(claims, {
    now: deps.clock.nowSeconds(),
    maxLifetimeSeconds: config.maxLifetimeSeconds,
  })
}

/** A client that acts for itself has no `sub` at some servers (RFC 7662 §2.2): it is its `client_id`. */
function subjectClaim(claims: JsonObject, { kind }: IntrospectionConfig): string {
  return kind === 'introspection' && claims['sub'] === undefined ? 'client_id' : 'sub'
}

/** Users and clients have names of their own: a client that is called like a user is not the user. */
const CLIENT_SUBJECT = 'client_id='

function subjectOf(claims: JsonObject, config: IntrospectionConfig): string {
  const claim = subjectClaim(claims, config)
  // subjectFault() has seen a text.
  const subject = claims[claim] as string
  return claim === 'client_id' ? `${CLIENT_SUBJECT}${subject}` : subject
}

/** Every rule of the method that does not depend on time: also what an open session is held to. */
function ruleFault(
  claims: JsonObject,
  config: IntrospectionConfig,
  deps: AuthMethodDeps,
): AttestationFault | null {
  const { iss, token_type: type } = claims
  if (deps.ownIssuers.includes(String(iss))) return { reason: 'own_token' }
  // RFC 7662 §2.2: `token_type` is that of RFC 6749; anything but a bearer token needs a proof (AUTH-7).
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer')) {
    return { reason: 'type_not_allowed', claim: 'token_type' }
  }
  const claim = subjectClaim(claims, config)
  const fault =
    (config.audiences === null
      ? null
      : audienceFault(claims, { configured: config.audiences, sole: false })) ??
    subjectFault(claims, claim)
  if (fault !== null) return fault
  if (claim === 'sub' && String(claims['sub']).startsWith(CLIENT_SUBJECT)) {
    return { reason: 'claim_mismatch', claim }
  }
  if (claimsToBeSpiffeId(String(claims[claim]))) return { reason: 'invalid_spiffe_id', claim }
  const unmatched = config.match.find(([name, matcher]) => !claimMatches(claims, name, matcher))
  return unmatched === undefined ? null : { reason: 'claim_mismatch', claim: unmatched[0] }
}

/**
 * Remembers what was vouched for, for `cache_seconds` at most: a token that is revoked meanwhile passes
 * that much longer. Refusals are never remembered. The memory is this compiled method's, so that a
 * changed method starts without one.
 */
function remembering(config: IntrospectionConfig, deps: AuthMethodDeps): Authority {
  const ask = askAuthority(config, deps)
  if (config.cacheSeconds === 0) return ask
  const known = new Map<string, { readonly claims: JsonObject; readonly at: number }>()
  return async (token) => {
    const key = deps.hashing.sha256Hex(token)
    const now = deps.clock.nowSeconds()
    const entry = known.get(key)
    if (entry !== undefined && Math.abs(now - entry.at) < config.cacheSeconds) {
      return ok(entry.claims)
    }
    known.delete(key)
    const answer = await ask(token)
    if (!answer.ok) return answer
    const [oldest] = known.keys()
    if (known.size >= MAX_CACHED && oldest !== undefined) known.delete(oldest)
    known.set(key, { claims: answer.value, at: now })
    return answer
  }
}
