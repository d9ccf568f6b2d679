// POST /token-exchange: parses, calls the exchange path, answers in the form of RFC 8693 §2.2.
import { exchange, type ExchangeDeps, type ExchangeGrant } from '../core/exchange.ts'
import type { Failure } from '../core/failure.ts'
import { targetUrl } from '../core/target-url.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { RequestFacts } from '../platform.ts'
import { readAuthorization, singleHeader } from './authorization.ts'
import { NO_STORE, oauthAnswer, toResponse } from './error.ts'
import { readForm } from './form.ts'
import { sourceOf } from './source.ts'
import { parseTokenRequest } from './token-request.ts'

/** An intent with its prompt, percent-encoded, and two tokens fit well below this. */
const MAX_FORM_BYTES = 256 * 1024

export async function handleExchange(
  request: Request,
  facts: RequestFacts,
  deps: ExchangeDeps,
): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  const refuse = (failure: Failure) => toResponse(oauthAnswer(failure, decisionId))
  if (request.method !== 'POST') return refuse({ kind: 'method_not_allowed', allow: ['POST'] })
  const client = refuseClientHeaders(facts)
  if (client !== null) return refuse(client)
  // Parameters in the query would end up in logs on the way here (TX-02, CA-02).
  if (facts.rawTarget.includes('?')) {
    return refuse({ kind: 'malformed_request', reason: 'parameters_belong_in_the_body' })
  }
  const form = await readForm(request, MAX_FORM_BYTES)
  if (!form.ok) return refuse(form.failure)
  const parsed = parseTokenRequest(form.value, deps.issuer)
  if (!parsed.ok) return refuse(parsed.failure)
  // From the connection and never from the request (CA-09).
  const certificate = facts.clientCertificate ?? null
  const subject = { ...parsed.value.subject, certificate }
  const asked = { ...parsed.value, subject, source: sourceOf(facts.clientAddress) }
  const granted = await exchange(asked, decisionId, deps)
  return granted.ok ? answer(granted.value, decisionId, deps.issuer) : refuse(granted.failure)
}

/** There are no registered clients, so nothing belongs in Authorization; proofs are not offered yet. */
function refuseClientHeaders(facts: RequestFacts): Failure | null {
  const authorization = readAuthorization(facts)
  if (!authorization.ok) return authorization.failure
  if (authorization.value !== null) return { kind: 'invalid_client', viaAuthorizationHeader: true }
  const proof = singleHeader(facts, 'dpop')
  if (!proof.ok) return proof.failure
  // An unbound handle in answer to a proof would be less than was asked for.
  return proof.value === null
    ? null
    : { kind: 'malformed_request', reason: 'proof_not_supported', parameter: 'DPoP' }
}

function answer(grant: ExchangeGrant, decisionId: string, issuer: string): Response {
  const { session } = grant
  const targets = session.grants.map(({ target }) => [target, targetUrl(issuer, target)])
  const body = {
    access_token: grant.handle,
    issued_token_type: TOKEN_TYPES.accessToken,
    token_type: 'Bearer',
    expires_in: grant.expiresInSeconds,
    scope: session.scope,
    ...(session.intent === null ? {} : { authorization_details: [session.intent] }),
    session: {
      id: session.id,
      targets: Object.fromEntries(targets) as Record<string, string>,
      decision_id: decisionId,
      policy_revision: session.policyRevision,
    },
  }
  return new Response(JSON.stringify(body), {
    headers: { 'content-type': 'application/json', ...NO_STORE },
  })
}
