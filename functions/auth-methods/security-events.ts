// `security_events` of an Auth Method: whose security event tokens (SETs, RFC 8417) it believes about its own
// identities. What makes a token a SET is what no attestation has, and the other way round (JB-07).
import type { Selector } from '../core/auth-method.ts'
import { isPlainText } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { CLOCK_SKEW_SECONDS } from '../core/ports.ts'
import { MAX_SET_AGE_SECONDS } from '../core/receive-event.ts'
import { fail, ok, type Result } from '../core/result.ts'
import {
  SET_TYPE,
  type SetFault,
  type Transmitter,
  type VerifiedSet,
} from '../core/security-event.ts'
import { parseCompactJws } from '../crypto/jws.ts'
import { isSameSecret } from '../crypto/same-secret.ts'
import type { KeySource } from '../net/key-sets.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import type { JwtFamily } from './jwt.ts'
import { type IssuerRules, type JwtConfig, urlMistake } from './jwt-config.ts'
import { headerFault } from './jwt-header.ts'
import { questionOf } from './jwt-signature.ts'
import { secretReferenceMistake, secretValueFor } from './method-secret.ts'

export type SecurityEvents = {
  readonly issuer: string
  readonly audience: string
  readonly keys: KeySource
  /** Reference to what the transmitter has to present as a bearer token besides; null: nothing. */
  readonly secret: string | null
}

const MEMBERS = ['issuer', 'audience', 'jwks_uri', 'authorization']
const MAX_TEXT = 2048

/** `own`: the issuer of the method and its keys, where it has them; else both have to be named. */
export function readSecurityEvents(
  reader: ConfigReader,
  rules: IssuerRules,
  own: { readonly issuer: string; readonly keys: KeySource } | null,
): SecurityEvents | null {
  const value = reader.get('security_events')
  if (value === undefined) return null
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'security_events')
    return null
  }
  const inner = new ConfigReader(value)
  inner.allowOnly(MEMBERS)
  const mistakeOf = (url: string): Mistake | null => urlMistake(url, rules)
  const issuer =
    own === null ? inner.requiredText('issuer', mistakeOf) : inner.text('issuer', mistakeOf)
  const audience = inner.requiredText('audience', audienceMistake)
  const jwksUri = inner.text('jwks_uri', mistakeOf)
  const isOther = own === null || (issuer !== undefined && issuer !== own.issuer)
  if (isOther && jwksUri === undefined) {
    // Only an issuer of tokens has the discovery document that its keys could be found by.
    inner.note({ code: 'required', message: 'is required for another issuer' }, 'jwks_uri')
  }
  const secret = readAuthorization(inner)
  reader.adopt(inner, 'security_events')
  const name = issuer ?? own?.issuer ?? ''
  const about = { issuer: name, audience, secret }
  if (jwksUri === undefined) return own === null ? null : { ...about, keys: own.keys }
  return { ...about, keys: { kind: 'jwks_uri', issuer: name, jwksUri } }
}

function readAuthorization(reader: ConfigReader): string | null {
  const value = reader.get('authorization')
  if (value === undefined) return null
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'authorization')
    return null
  }
  const inner = new ConfigReader(value)
  inner.allowOnly(['secret'])
  const secret = inner.requiredText('secret', secretReferenceMistake)
  reader.adopt(inner, 'authorization')
  return secret
}

function audienceMistake(audience: string): Mistake | null {
  if (audience !== '' && audience.length <= MAX_TEXT && isPlainText(audience)) return null
  return { code: 'format', message: `must have 1 to ${MAX_TEXT} characters, no control characters` }
}

/** The `iss` of what has the form of a SET; it selects transmitters, and nothing may be concluded from it. */
export function untrustedSetIssuer(token: string): Result<string, SetFault> {
  const malformed = (reason: string) => fail({ err: 'invalid_request', reason } as const)
  const jws = parseCompactJws(token)
  if (!jws.ok) return malformed('malformed')
  if (jws.value.header['typ'] !== SET_TYPE) return malformed('type_not_allowed')
  const { iss } = jws.value.payload
  return isName(iss) ? ok(iss) : malformed('claim_iss')
}

export function transmitterOf(
  events: SecurityEvents,
  member: { readonly selector: Selector; readonly config: JwtConfig },
  family: JwtFamily,
): Transmitter {
  const rules = { keys: events.keys, config: member.config }
  const question = questionOf(rules)
  return {
    issuer: events.issuer,
    async verify(token, authorization) {
      // Before anything is made of the token: of it only the issuer was read, to know whose secret counts.
      const unproven = await authorizationFault(events, authorization, family)
      if (unproven !== null) return fail(unproven)
      const jws = parseCompactJws(token)
      if (!jws.ok) return stranger('malformed')
      const { header, payload } = jws.value
      const refused = headerFault(header, {
        algorithms: member.config.algorithms,
        isAllowedType: (typ) => typ === SET_TYPE,
      })
      // `typ` may be absent in other tokens, never in this one.
      if (refused !== null || header['typ'] !== SET_TYPE) return stranger('header')
      if (payload['iss'] !== events.issuer) return stranger('unknown_issuer')
      const check = await family.prove(jws.value, rules, { question, checks: new Map() })
      const proof = await check.proof
      if (!proof.ok) {
        const { reason } = proof.failure
        const isOut = reason === 'keys_unreachable' || reason === 'keys_stale'
        return isOut
          ? fail({ err: 'authentication_failed', reason, retry: true })
          : stranger(reason)
      }
      return readSet(payload, events, member.selector, family.clock.nowSeconds())
    },
  }
}

/** RFC 8935 §2: the recipient may authenticate the transmitter itself, besides what it signs. */
async function authorizationFault(
  { secret }: SecurityEvents,
  presented: string | null,
  family: JwtFamily,
): Promise<SetFault | null> {
  if (secret === null) return null
  const reason = 'authorization'
  if (presented === null) return { err: 'authentication_failed', reason }
  const wanted = await secretValueFor(secret, family.issuer, family)
  // The mistake is on this side: the transmitter has to try again, or a revocation would be lost.
  if (wanted === null) return { err: 'authentication_failed', reason: 'secret', retry: true }
  return isSameSecret(presented, wanted, family.hashing)
    ? null
    : { err: 'authentication_failed', reason }
}

function stranger(reason: string): Result<never, SetFault> {
  return fail({ err: 'authentication_failed', reason })
}

function wrong(err: SetFault['err'], reason: string): Result<never, SetFault> {
  return fail({ err, reason, authenticated: true })
}

/** The claims of a SET whose signature holds. */
function readSet(
  claims: JsonObject,
  { audience }: SecurityEvents,
  selector: Selector,
  now: number,
): Result<VerifiedSet, SetFault> {
  // SSF 1.0 §4.1: neither is in a SET, so that it can be taken for no other token, nor one for it.
  for (const claim of ['exp', 'sub']) {
    if (Object.hasOwn(claims, claim)) return wrong('invalid_request', `claim_${claim}`)
  }
  const { jti, iat, aud, events, sub_id: subjectId } = claims
  const audiences = typeof aud === 'string' ? [aud] : aud
  if (!Array.isArray(audiences) || !audiences.includes(audience)) {
    return wrong('invalid_audience', 'wrong_audience')
  }
  if (!isName(jti)) return wrong('invalid_request', 'claim_jti')
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return wrong('invalid_request', 'claim_iat')
  if (iat > now + CLOCK_SKEW_SECONDS) return wrong('invalid_request', 'not_yet_valid')
  if (iat < now - MAX_SET_AGE_SECONDS) return wrong('invalid_request', 'too_old')
  const event = readEvent(events)
  if (event === null) return wrong('invalid_request', 'claim_events')
  if (!isJsonObject(subjectId)) return wrong('invalid_request', 'claim_sub_id')
  const subject = subjectOf(subjectId, selector)
  if (!subject.ok) return wrong('invalid_request', subject.failure)
  return ok({ jti, issuedAt: Math.floor(iat), event, subjectId, subject: subject.value })
}

/** Exactly one (CAEP Interoperability Profile §2.4). */
function readEvent(events: JsonValue | undefined): VerifiedSet['event'] | null {
  if (!isJsonObject(events)) return null
  const [entry, ...more] = Object.entries(events)
  if (entry === undefined || more.length > 0) return null
  const [type, payload] = entry
  return isName(type) && isJsonObject(payload) ? { type, payload } : null
}

/**
 * The subject as the method names it (RFC 9493), null when it is somebody else's. `email` and the like name
 * nobody here: an address is a claim that changes hands, and no session is looked up by it.
 */
function subjectOf(id: JsonObject, selector: Selector): Result<string | null, string> {
  const { format } = id
  // SSF 1.0 §3.2: several principals; the user is the one that a session acts for. That it is only about
  // one device of theirs is not known here, so all of their sessions are meant.
  if (format === 'complex') {
    return isJsonObject(id['user']) && id['user']['format'] !== 'complex'
      ? subjectOf(id['user'], selector)
      : fail('subject_complex')
  }
  if (format === 'iss_sub') return issuedSubject(id, selector)
  const name = format === 'opaque' ? id['id'] : format === 'uri' ? id['uri'] : undefined
  if (name === undefined) return fail('subject_format')
  return isName(name) ? ok(name) : fail('subject_malformed')
}

/** The same `sub` of another issuer is somebody else. */
function issuedSubject(
  { iss, sub }: JsonObject,
  selector: Selector,
): Result<string | null, string> {
  if (!isName(iss) || !isName(sub)) return fail('subject_malformed')
  const own =
    selector.by === 'issuer'
      ? selector.issuer
      : selector.by === 'trust_domain'
        ? `spiffe://${selector.trustDomain}`
        : null
  return ok(iss === own ? sub : null)
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT && isPlainText(value)
}
