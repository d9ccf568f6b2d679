// Parses POST /token-exchange (RFC 8693 §2.1) into a request that cannot be wrong. It decides nothing
// but form: which parameters exist, that none but `audience` and `resource` repeats, what they mean.
import type { UntrustedAttestation } from '../core/auth-method.ts'
import type { ExchangeRequest } from '../core/exchange.ts'
import type { Failure } from '../core/failure.ts'
import { intentFromPurpose, parseAuthorizationDetails } from '../core/intent-parse.ts'
import type { AgentIntent } from '../core/intent.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { parseScope, type ScopeItem } from '../core/scope.ts'
import { targetOfUrl } from '../core/target-url.ts'
import {
  ATTESTATION_TOKEN_TYPES,
  isIdJagType,
  JWT_BEARER_GRANT,
  REQUESTED_TOKEN_TYPES,
  TOKEN_EXCHANGE_GRANT,
  TOKEN_TYPES,
} from '../core/token.ts'
import { parseCompactJws } from '../crypto/jws.ts'
import { parseDownstreamScope } from './downstream-scope.ts'
import type { Form } from './form.ts'

/** Parameters that may repeat (RFC 8693 §2.1, RFC 8707 §2; conflict C4). */
const REPEATABLE = new Set(['audience', 'resource'])
/** More targets than this in one exchange are refused (TX-12). */
const MAX_TARGETS = 16
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/
const FOREIGN = /^[\x21-\x7e]{1,255}$/

const ASSERTION_TYPES: ReadonlySet<string> = new Set([
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
])

export type GrantType = typeof TOKEN_EXCHANGE_GRANT | typeof JWT_BEARER_GRANT
/** What was presented, in the roles that it has. */
type Presented = Pick<ExchangeRequest, 'subject' | 'actor' | 'client'>
/** A parameter's value; an empty one is an absent one (TX-08). */
type Parameter = (name: string) => string | null

export function parseTokenRequest(
  form: Form,
  issuer: string,
): Result<Omit<ExchangeRequest, 'source' | 'proof'> & { readonly grantType: GrantType }, Failure> {
  for (const [name, values] of form) {
    if (values.length > 1 && !REPEATABLE.has(name)) return malformed('repeated_parameter', name)
  }
  const one: Parameter = (name) => form.get(name)?.find((value) => value !== '') ?? null

  if (one('client_secret') !== null)
    return fail({ kind: 'invalid_client', viaAuthorizationHeader: false })
  const grantType = one('grant_type')
  if (grantType === null) return malformed('missing_parameter', 'grant_type')
  if (grantType !== TOKEN_EXCHANGE_GRANT && grantType !== JWT_BEARER_GRANT) {
    return fail({ kind: 'unsupported_grant_type' })
  }
  const presented = grantType === JWT_BEARER_GRANT ? presentedAssertion(one) : presentedTokens(one)
  if (!presented.ok) return presented
  const requestedType = one('requested_token_type') ?? TOKEN_TYPES.accessToken
  // RFC 7523 knows access tokens only: an assertion is no sign-in that buys a further hop.
  const known = grantType === JWT_BEARER_GRANT ? [TOKEN_TYPES.accessToken] : REQUESTED_TOKEN_TYPES
  if (!known.some((type) => type === requestedType)) {
    return malformed('unsupported_requested_token_type', 'requested_token_type')
  }
  // What an ID-JAG is for stands in it.
  const namesTargets = presented.value.subject.tokenType === TOKEN_TYPES.idJag
  const isIssued = requestedType === TOKEN_TYPES.idJag || requestedType === TOKEN_TYPES.txnToken
  const targets = targetsOf(form, issuer, { atLeast: namesTargets ? 0 : 1, isIssued })
  if (!targets.ok) return targets
  const scope = scopeOf(one('scope'), isIssued ? parseDownstreamScope : parseScope)
  if (!scope.ok) return scope
  const intent = intentOf(one('authorization_details'), one('intent'))
  if (!intent.ok) return intent
  const revision = revisionOf(one('min_policy_revision'))
  if (!revision.ok) return revision
  const authMethod = one('auth_method')
  if (authMethod !== null && !NAME.test(authMethod)) return malformed('not_a_name', 'auth_method')
  return ok({
    ...presented.value,
    grantType,
    targets: targets.value,
    scope: scope.value,
    intent: intent.value,
    requestedType,
    authMethod,
    minPolicyRevision: revision.value,
    declaredClientId: one('client_id'),
  })
}

function malformed(reason: string, parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason, parameter })
}

/** RFC 8693 §2.1. */
function presentedTokens(one: Parameter): Result<Presented, Failure> {
  // A request that is of both grants is of neither: which token speaks would be a guess.
  if (one('assertion') !== null) return malformed('unexpected_parameter', 'assertion')
  const subject = subjectOf(one('subject_token'), one('subject_token_type'), one('actor_token'))
  if (!subject.ok) return subject
  const client = clientAssertionOf(one('client_assertion'), one('client_assertion_type'))
  if (!client.ok) return client
  const actor = actorOf(one('actor_token'), one('actor_token_type'))
  return actor.ok ? ok({ subject: subject.value, actor: actor.value, client: client.value }) : actor
}

const TOKEN_EXCHANGE_ONLY = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
]

/**
 * RFC 7523 §2.1: one JWT. A workload's own is the subject of a self exchange. An ID-JAG is redeemed by the
 * agent that it was issued to, which authenticates as a client and acts for the user whom it names.
 */
function presentedAssertion(one: Parameter): Result<Presented, Failure> {
  const foreign = TOKEN_EXCHANGE_ONLY.find((name) => one(name) !== null)
  if (foreign !== undefined) return malformed('unexpected_parameter', foreign)
  const token = one('assertion')
  if (token === null) return malformed('missing_parameter', 'assertion')
  const client = clientAssertionOf(one('client_assertion'), one('client_assertion_type'))
  if (!client.ok) return client
  if (!saysIdJag(token)) {
    const subject = { token, tokenType: TOKEN_TYPES.jwt }
    return ok({ subject, actor: null, client: client.value })
  }
  if (client.value === null) return fail({ kind: 'invalid_client', viaAuthorizationHeader: false })
  const subject = { token, tokenType: TOKEN_TYPES.idJag }
  return ok({ subject, actor: client.value, client: null })
}

/** Its type selects the rules that it is then held to, and grants nothing. */
function saysIdJag(assertion: string): boolean {
  const jws = parseCompactJws(assertion)
  return jws.ok && isIdJagType(jws.value.header['typ'])
}

function subjectOf(
  token: string | null,
  type: string | null,
  actor: string | null,
): Result<UntrustedAttestation, Failure> {
  if (token === null) return malformed('missing_parameter', 'subject_token')
  if (type === null) return malformed('missing_parameter', 'subject_token_type')
  // A handle is a subject only together with an actor's own attestation.
  const isHandle = type === TOKEN_TYPES.accessToken && actor !== null
  // Each type's methods do the rest; any other type is unknown (TX-05, TX-07).
  if (isHandle || ATTESTATION_TOKEN_TYPES.includes(type)) return ok({ token, tokenType: type })
  return malformed('unsupported_token_type', 'subject_token_type')
}

function clientAssertionOf(
  assertion: string | null,
  type: string | null,
): Result<UntrustedAttestation | null, Failure> {
  if (assertion === null && type === null) return ok(null)
  if (assertion === null) return malformed('missing_parameter', 'client_assertion')
  if (type === null) return malformed('missing_parameter', 'client_assertion_type')
  if (!ASSERTION_TYPES.has(type))
    return fail({ kind: 'invalid_client', viaAuthorizationHeader: false })
  return ok({ token: assertion, tokenType: TOKEN_TYPES.jwt })
}

/** `actor_token_type` is required with `actor_token` and forbidden without it (TX-04). */
function actorOf(
  token: string | null,
  type: string | null,
): Result<UntrustedAttestation | null, Failure> {
  if (token === null && type === null) return ok(null)
  if (token === null) return malformed('unexpected_parameter', 'actor_token_type')
  if (type === null) return malformed('missing_parameter', 'actor_token_type')
  // Who acts shows what its runtime vouches for: a handle is no attestation.
  if (ATTESTATION_TOKEN_TYPES.includes(type)) return ok({ token, tokenType: type })
  return malformed('unsupported_token_type', 'actor_token_type')
}

/** `isIssued`: what is asked for may name its target by what it is called downstream. */
function targetsOf(
  form: Form,
  issuer: string,
  { atLeast, isIssued }: { readonly atLeast: 0 | 1; readonly isIssued: boolean },
): Result<readonly string[], Failure> {
  const names = new Set<string>()
  const foreign = (text: string) => (isIssued && FOREIGN.test(text) ? text : '')
  for (const audience of form.get('audience') ?? []) {
    if (audience !== '') names.add(NAME.test(audience) ? audience : foreign(audience))
  }
  for (const resource of form.get('resource') ?? []) {
    if (resource !== '') names.add(targetOfUrl(issuer, resource) ?? foreign(resource))
  }
  if (names.size < atLeast || names.size > MAX_TARGETS) {
    return fail({ kind: 'invalid_target', reason: 'malformed' })
  }
  // '' stands for what cannot be a target: the same answer as for one that does not exist (TG-03).
  if (names.has('')) return fail({ kind: 'invalid_target', reason: 'malformed' })
  return ok([...names])
}

function scopeOf(
  scope: string | null,
  parse: typeof parseScope,
): Result<readonly ScopeItem[] | null, Failure> {
  return scope === null ? ok(null) : parse(scope)
}

function intentOf(
  details: string | null,
  purpose: string | null,
): Result<AgentIntent | null, Failure> {
  if (details !== null && purpose !== null) return malformed('conflicting_parameters', 'intent')
  if (details !== null) return parseAuthorizationDetails(details)
  return purpose === null ? ok(null) : intentFromPurpose(purpose)
}

function revisionOf(text: string | null): Result<number | null, Failure> {
  if (text === null) return ok(null)
  return /^\d{1,15}$/.test(text)
    ? ok(Number(text))
    : malformed('not_a_number', 'min_policy_revision')
}
