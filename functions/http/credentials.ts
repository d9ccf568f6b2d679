// GET /t/{target}/credentials as the AWS SDKs ask for it: an attestation or a handle alone in `Authorization`,
// whatever stands in the file that they were pointed at. Nothing but who asks, for what purpose and how
// little comes from the caller.
import { exchange, type ExchangeDeps, type ExchangeRequest } from '../core/exchange.ts'
import { type Failure, storeDown } from '../core/failure.ts'
import type { PresentedHandle } from '../core/presented-handle.ts'
import { StoreUnavailable } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { HANDLE_TYPE, TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'
import { parseCompactJws } from '../crypto/jws.ts'
import type { RequestFacts } from '../platform.ts'
import { credentialAnswer } from '../targets/credential-target.ts'
import type { HttpAnswer } from '../targets/http.ts'
import { readProof, singleHeader, TOKEN68 } from './authorization.ts'
import { type Form, parseForm } from './form.ts'
import { sourceOf } from './source.ts'
import { parseTokenRequest } from './token-request.ts'

/** Members of the query, by the parameters of the exchange that they are. */
const QUERY: Readonly<Record<string, string>> = {
  purpose: 'intent',
  scope: 'scope',
  auth_method: 'auth_method',
}

export type CredentialsRequest = {
  readonly request: Pick<Request, 'method'>
  readonly facts: RequestFacts
  readonly target: string
  readonly query: string
  readonly decisionId: string
  /** What a handle is used for: an action in its session. */
  readonly act: (handle: PresentedHandle) => Promise<Result<HttpAnswer, Failure>>
}

export async function readCredentials(
  { request, facts, target, query, decisionId, act }: CredentialsRequest,
  deps: ExchangeDeps,
): Promise<Result<HttpAnswer, Failure>> {
  const proof = readProof(request, facts, deps.issuer)
  if (!proof.ok) return proof
  const presented = readPresented(facts)
  if (!presented.ok) return presented
  const { token, isProven } = presented.value
  if (isHandle(token, deps.issuer)) {
    const scheme = (isProven ?? proof.value.dpop !== null) ? 'DPoP' : 'Bearer'
    return act({ token, scheme, proof: proof.value })
  }
  const asked = await exchangeRequest(token, target, query, deps)
  if (!asked.ok) return fail(asMalformed(asked.failure))
  const certificate = facts.clientCertificate ?? null
  const subject = { ...asked.value.subject, certificate }
  const source = sourceOf(facts.clientAddress)
  const whole = { ...asked.value, subject, source, proof: proof.value }
  const granted = await exchange(whole, decisionId, deps)
  if (!granted.ok) return fail(asGatewayFailure(granted.failure))
  return ok(credentialAnswer(granted.value.credential?.document ?? null))
}

/** The file's content with or without a scheme; `isProven`: which of the two, where it says. */
function readPresented(
  facts: RequestFacts,
): Result<{ readonly token: string; readonly isProven: boolean | null }, Failure> {
  const header = singleHeader(facts, 'authorization')
  if (!header.ok) return header
  if (header.value === null) return fail({ kind: 'invalid_handle', reason: 'missing' })
  const [, scheme, token = ''] = /^(?:(bearer|dpop) +)?(.+)$/i.exec(header.value) ?? []
  if (!TOKEN68.test(token)) return fail({ kind: 'invalid_handle', reason: 'malformed' })
  return ok({ token, isProven: scheme === undefined ? null : scheme.toLowerCase() === 'dpop' })
}

/** By what it says of itself; it is verified as a handle then, and as nothing else. */
function isHandle(token: string, issuer: string): boolean {
  const jws = parseCompactJws(token)
  if (!jws.ok) return false
  const { header, payload } = jws.value
  return header['typ'] === HANDLE_TYPE && payload['iss'] === issuer
}

async function exchangeRequest(
  token: string,
  target: string,
  query: string,
  deps: ExchangeDeps,
): Promise<Result<Omit<ExchangeRequest, 'source' | 'proof'>, Failure>> {
  const read = parseForm(query)
  if (!read.ok) return read
  const form = new Map<string, readonly string[]>()
  for (const [name, values] of read.value) {
    const parameter = Object.hasOwn(QUERY, name) ? QUERY[name] : undefined
    if (parameter === undefined || values.length > 1) {
      const reason = parameter === undefined ? 'unexpected_parameter' : 'repeated_parameter'
      return fail({ kind: 'malformed_request', reason, parameter: name.slice(0, 64) })
    }
    form.set(parameter, values)
  }
  const [authMethod = ''] = form.get('auth_method') ?? []
  const tokenTypes = await tokenTypesOf(authMethod, deps)
  if (!tokenTypes.ok) return tokenTypes
  const tokenType = tokenTypeOf(token, tokenTypes.value)
  return parseTokenRequest(withOwn(form, { token, tokenType, target }), deps.issuer)
}

/** Of a method that is named. Once the broker is stopped nothing is read: the exchange says so. */
async function tokenTypesOf(
  name: string,
  { policy, isKilled }: ExchangeDeps,
): Promise<Result<readonly string[], Failure>> {
  if (name === '' || isKilled()) return ok([])
  try {
    return ok((await policy.current()).methods.get(name)?.tokenTypes ?? [])
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause
    return fail(storeDown())
  }
}

/** base64url of `{` and something. */
const ENCODED_OBJECT = /^e[w-z0-9_-]/

function tokenTypeOf(token: string, ofMethod: readonly string[]): string {
  // A method that asks about tokens is shown whatever it is told to look at.
  if (ofMethod.includes(TOKEN_TYPES.opaque)) return TOKEN_TYPES.opaque
  if (token === 'tls') return TOKEN_TYPES.mtls
  if (token.includes('.')) return TOKEN_TYPES.jwt
  return ENCODED_OBJECT.test(token) ? TOKEN_TYPES.awsSigV4 : TOKEN_TYPES.opaque
}

function withOwn(
  form: Form,
  own: { readonly token: string; readonly tokenType: string; readonly target: string },
): Form {
  return new Map([
    ...form,
    ['grant_type', [TOKEN_EXCHANGE_GRANT]],
    ['requested_token_type', [TOKEN_TYPES.awsCredentials]],
    ['subject_token', [own.token]],
    ['subject_token_type', [own.tokenType]],
    ['audience', [own.target]],
  ])
}

/** What the exchange calls by the names of its own parameters. */
function asMalformed(failure: Failure): Failure {
  const parameter =
    failure.kind === 'invalid_scope'
      ? 'scope'
      : failure.kind === 'invalid_authorization_details'
        ? 'purpose'
        : null
  if (parameter === null) return failure
  return { kind: 'malformed_request', reason: 'not_acceptable', parameter }
}

/** What an exchange answers in words of OAuth, in those of the gateway. */
function asGatewayFailure(failure: Failure): Failure {
  switch (failure.kind) {
    // As for a handle that is none: whoever is not let in learns nothing of why.
    case 'attestation_rejected':
    case 'invalid_client':
      return { kind: 'invalid_handle', reason: 'malformed' }
    case 'invalid_target':
    case 'invalid_scope':
      return { kind: 'action_denied', code: 'not_granted', reason: failure.reason }
    case 'invalid_authorization_details':
      return {
        kind: 'action_denied',
        code: 'intent_denied',
        reason: failure.reason,
        hint: 'declare what it is for: ?purpose=',
      }
    case 'access_denied':
      return { ...failure, kind: 'action_denied', code: 'intent_denied' }
    case 'authorization_pending':
      return { kind: 'approval_required', approval: failure.approval, reason: failure.kind }
    default:
      return failure
  }
}
