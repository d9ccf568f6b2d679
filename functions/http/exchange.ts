// POST /token-exchange: parses, calls the exchange path, answers in the form of RFC 8693 §2.2, or of RFC
// 6749 §5 where the grant is an assertion (RFC 7523).
import { exchange, type ExchangeDeps, type ExchangeGrant } from '../core/exchange.ts'
import type { Failure } from '../core/failure.ts'
import { targetUrl } from '../core/target-url.ts'
import { JWT_BEARER_GRANT, TOKEN_TYPES } from '../core/token.ts'
import type { RequestFacts } from '../platform.ts'
import { readAuthorization, readProof } from './authorization.ts'
import { NO_STORE, oauthAnswer, toResponse } from './error.ts'
import { readForm } from './form.ts'
import { sourceOf } from './source.ts'
import { type GrantType, parseTokenRequest } from './token-request.ts'

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
  const proof = readProof(request, facts, deps.issuer)
  if (!proof.ok) return refuse(REPEATED_PROOF)
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
  const { actor: acting } = parsed.value
  const subject = { ...parsed.value.subject, certificate }
  const actor = acting === null ? null : { ...acting, certificate }
  const source = sourceOf(facts.clientAddress)
  const asked = { ...parsed.value, subject, actor, source, proof: proof.value }
  const granted = await exchange(asked, decisionId, deps)
  const { grantType } = parsed.value
  return granted.ok
    ? answer(granted.value, { decisionId, issuer: deps.issuer, grantType })
    : toResponse(oauthAnswer(granted.failure, decisionId, grantType))
}

/** RFC 9449 §4.3 check 1: there is one code for it at a token endpoint. */
const REPEATED_PROOF: Failure = { kind: 'invalid_proof', reason: 'repeated', at: 'token_endpoint' }

/** There are no registered clients, so nothing belongs in Authorization. */
function refuseClientHeaders(facts: RequestFacts): Failure | null {
  const authorization = readAuthorization(facts)
  if (!authorization.ok) return authorization.failure
  return authorization.value === null
    ? null
    : { kind: 'invalid_client', viaAuthorizationHeader: true }
}

function answer(
  grant: ExchangeGrant,
  of: { readonly decisionId: string; readonly issuer: string; readonly grantType: GrantType },
): Response {
  const { session, credential } = grant
  const { decisionId, issuer, grantType } = of
  const targets = session.grants.map(({ target }) => [target, targetUrl(issuer, target)])
  const body = {
    access_token: grant.token,
    ...credential?.members,
    // RFC 8693 §2.2.1; RFC 6749 §5.1 knows no such member.
    ...(grantType === JWT_BEARER_GRANT
      ? {}
      : { issued_token_type: credential?.tokenType ?? TOKEN_TYPES.accessToken }),
    token_type: tokenType(grant),
    expires_in: grant.expiresInSeconds,
    scope: session.scope,
    ...(session.intent === null ? {} : { authorization_details: [session.intent] }),
    session: {
      id: session.id,
      targets: Object.fromEntries(targets) as Record<string, string>,
      decision_id: decisionId,
      policy_revision: session.policyRevision,
      ...(credential === undefined
        ? {}
        : { delivery: 'credential', credential: credential.record }),
    },
  }
  return new Response(JSON.stringify(body), {
    headers: { 'content-type': 'application/json', ...NO_STORE },
  })
}

/** RFC 8693 §2.2.1: what is handed over is no access token of this broker. */
function tokenType({ credential, session }: ExchangeGrant): 'N_A' | 'DPoP' | 'Bearer' {
  if (credential !== undefined) return 'N_A'
  return session.confirmation?.jkt === undefined ? 'Bearer' : 'DPoP'
}
