// Parses POST /token-exchange (RFC 8693 §2.1) into a request that cannot be wrong. It decides nothing
// but form: which parameters exist, that none but `audience` and `resource` repeats, what they mean.
import type { UntrustedAttestation } from '../core/auth-method.ts'
import type { ExchangeRequest } from '../core/exchange.ts'
import type { Failure } from '../core/failure.ts'
import { intentFromPurpose, parseAuthorizationDetails } from '../core/intent-parse.ts'
import type { AgentIntent } from '../core/intent.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { parseScope, type ScopeItem } from '../core/scope.ts'
import { targetUrl } from '../core/target-url.ts'
import { ATTESTATION_TOKEN_TYPES, TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'
import type { Form } from './form.ts'

/** Parameters that may repeat (RFC 8693 §2.1, RFC 8707 §2; conflict C4). */
const REPEATABLE = new Set(['audience', 'resource'])
/** More targets than this in one exchange are refused (TX-12). */
const MAX_TARGETS = 16
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

const ASSERTION_TYPES: ReadonlySet<string> = new Set([
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
])

export function parseTokenRequest(
  form: Form,
  issuer: string,
): Result<Omit<ExchangeRequest, 'source'>, Failure> {
  for (const [name, values] of form) {
    if (values.length > 1 && !REPEATABLE.has(name)) return malformed('repeated_parameter', name)
  }
  const one = (name: string): string | null => form.get(name)?.find((value) => value !== '') ?? null

  if (one('client_secret') !== null)
    return fail({ kind: 'invalid_client', viaAuthorizationHeader: false })
  const grantType = one('grant_type')
  if (grantType === null) return malformed('missing_parameter', 'grant_type')
  if (grantType !== TOKEN_EXCHANGE_GRANT) return fail({ kind: 'unsupported_grant_type' })

  const subject = attestationOf(one('subject_token'), one('subject_token_type'))
  if (!subject.ok) return subject
  const client = clientAssertionOf(one('client_assertion'), one('client_assertion_type'))
  if (!client.ok) return client
  const actor = actorOf(one('actor_token'), one('actor_token_type'))
  if (!actor.ok) return actor
  const requestedType = one('requested_token_type')
  if (requestedType !== null && requestedType !== TOKEN_TYPES.accessToken) {
    return malformed('unsupported_requested_token_type', 'requested_token_type')
  }
  const targets = targetsOf(form, issuer)
  if (!targets.ok) return targets
  const scope = scopeOf(one('scope'))
  if (!scope.ok) return scope
  const intent = intentOf(one('authorization_details'), one('intent'))
  if (!intent.ok) return intent
  const revision = revisionOf(one('min_policy_revision'))
  if (!revision.ok) return revision
  const authMethod = one('auth_method')
  if (authMethod !== null && !NAME.test(authMethod)) return malformed('not_a_name', 'auth_method')
  return ok({
    subject: subject.value,
    client: client.value,
    targets: targets.value,
    scope: scope.value,
    intent: intent.value,
    authMethod,
    minPolicyRevision: revision.value,
    declaredClientId: one('client_id'),
  })
}

function malformed(reason: string, parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason, parameter })
}

function attestationOf(
  token: string | null,
  type: string | null,
): Result<UntrustedAttestation, Failure> {
  if (token === null) return malformed('missing_parameter', 'subject_token')
  if (type === null) return malformed('missing_parameter', 'subject_token_type')
  // Each type's methods do the rest (TX-05, TX-07).
  if (ATTESTATION_TOKEN_TYPES.includes(type)) return ok({ token, tokenType: type })
  // A handle is a subject only together with an actor (delegation); any other type is unknown (TX-05).
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
function actorOf(token: string | null, type: string | null): Result<null, Failure> {
  if (token === null && type === null) return ok(null)
  if (token === null) return malformed('unexpected_parameter', 'actor_token_type')
  if (type === null) return malformed('missing_parameter', 'actor_token_type')
  // Acting for somebody else is not offered yet: refused, never ignored.
  return malformed('delegation_not_supported', 'actor_token')
}

function targetsOf(form: Form, issuer: string): Result<readonly string[], Failure> {
  const names = new Set<string>()
  for (const audience of form.get('audience') ?? []) {
    if (audience !== '') names.add(NAME.test(audience) ? audience : '')
  }
  for (const resource of form.get('resource') ?? []) {
    if (resource !== '') names.add(targetOfResource(resource, issuer) ?? '')
  }
  if (names.size === 0 || names.size > MAX_TARGETS) {
    return fail({ kind: 'invalid_target', reason: 'malformed' })
  }
  // '' stands for what cannot be a target: the same answer as for one that does not exist (TG-03).
  if (names.has('')) return fail({ kind: 'invalid_target', reason: 'malformed' })
  return ok([...names])
}

/** `ISSUER/t/{target}`, exactly; a query is accepted and means nothing (C3), a fragment is refused. */
function targetOfResource(resource: string, issuer: string): string | null {
  if (resource.includes('#')) return null
  const withoutQuery = resource.split('?')[0] ?? ''
  const name = withoutQuery.slice(withoutQuery.lastIndexOf('/') + 1)
  return NAME.test(name) && withoutQuery === targetUrl(issuer, name) ? name : null
}

function scopeOf(scope: string | null): Result<readonly ScopeItem[] | null, Failure> {
  return scope === null ? ok(null) : parseScope(scope)
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
