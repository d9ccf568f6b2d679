// POST /introspect (RFC 7662) and POST /revoke (RFC 7009) for handles. An introspector sees its own
// handle, or anything with the role `viewer`; holding a handle suffices to revoke it.
import { draftEvent } from '../core/events.ts'
import type { Failure } from '../core/failure.ts'
import type { Clock, HandleVerifier, Ids } from '../core/ports.ts'
import { type Records, StoreUnavailable } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { Session } from '../core/session.ts'
import type { HandleClaims } from '../core/token.ts'
import type { RequestFacts } from '../platform.ts'
import { readBearer } from './authorization.ts'
import { NO_STORE, oauthAnswer, toResponse } from './error.ts'
import { readForm } from './form.ts'

export type TokenEndpointDeps = {
  readonly records: Records
  readonly handles: HandleVerifier
  readonly clock: Clock
  readonly ids: Ids
  readonly issuer: string
  /** Whether the request carries an admin credential with the role `viewer` or more. */
  readonly isViewer: (request: Request, facts: RequestFacts) => Promise<boolean>
}

const MAX_FORM_BYTES = 64 * 1024

export async function handleIntrospect(
  request: Request,
  facts: RequestFacts,
  deps: TokenEndpointDeps,
): Promise<Response> {
  return answering(deps, async () => {
    const token = await readToken(request)
    if (!token.ok) return token
    const caller = readBearer(facts)
    if (!caller.ok) return caller
    if (caller.value === null) return fail({ kind: 'unauthenticated' })
    const isOwn = caller.value === token.value && (await liveHandle(token.value, deps)) !== null
    if (!isOwn && !(await isKnownCaller(request, facts, caller.value, deps))) {
      return fail({ kind: 'unauthenticated' })
    }
    // Somebody else's handle is as unknown as a random string (IN-02, IN-04).
    if (!isOwn && !(await deps.isViewer(request, facts))) return ok({ active: false })
    const live = await liveHandle(token.value, deps)
    return ok(live === null ? { active: false } : describeHandle(live.claims, live.session))
  })
}

async function isKnownCaller(
  request: Request,
  facts: RequestFacts,
  token: string,
  deps: TokenEndpointDeps,
): Promise<boolean> {
  return (await deps.isViewer(request, facts)) || (await liveHandle(token, deps)) !== null
}

export async function handleRevoke(
  request: Request,
  _facts: RequestFacts,
  deps: TokenEndpointDeps,
): Promise<Response> {
  return answering(deps, async (decisionId) => {
    const token = await readToken(request)
    if (!token.ok) return token
    const verified = await deps.handles.verify(token.value, deps.clock.nowSeconds())
    // An invalid token is already as revoked as can be (RFC 7009 §2.2).
    if (!verified.ok || verified.value.iss !== deps.issuer) return ok(null)
    const { sid, sub, scope } = verified.value
    const state = await deps.records.readPolicyState()
    await deps.records.endSession(
      sid,
      draftEvent(
        {
          type: 'revocation',
          decisionId,
          sessionId: sid,
          identity: sub,
          scope,
          outcome: { verdict: 'revoked', by: 'holder' },
          reason: 'revoked_by_holder',
          policyRevision: state.revision,
        },
        deps,
      ),
    )
    return ok(null)
  })
}

async function answering(
  deps: TokenEndpointDeps,
  handle: (decisionId: string) => Promise<Result<Record<string, unknown> | null, Failure>>,
): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  try {
    const result = await handle(decisionId)
    if (!result.ok) return toResponse(oauthAnswer(result.failure, decisionId))
    return new Response(result.value === null ? null : JSON.stringify(result.value), {
      headers: {
        ...NO_STORE,
        ...(result.value === null ? {} : { 'content-type': 'application/json' }),
      },
    })
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause
    // 503: the token is still valid as far as the caller knows (RFC 7009 §2.2.1).
    const failure: Failure = { kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 }
    return toResponse(oauthAnswer(failure, decisionId))
  }
}

async function readToken(request: Request): Promise<Result<string, Failure>> {
  if (request.method !== 'POST') return fail({ kind: 'method_not_allowed', allow: ['POST'] })
  const form = await readForm(request, MAX_FORM_BYTES)
  if (!form.ok) return form
  for (const [name, values] of form.value) {
    if (values.length > 1) return malformed('repeated_parameter', name)
  }
  const token = form.value.get('token')?.[0]
  return token === undefined || token === '' ? malformed('missing_parameter', 'token') : ok(token)
}

function malformed(reason: string, parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason, parameter })
}

type LiveHandle = { readonly claims: HandleClaims; readonly session: Session }

async function liveHandle(token: string, deps: TokenEndpointDeps): Promise<LiveHandle | null> {
  const now = deps.clock.nowSeconds()
  const verified = await deps.handles.verify(token, now)
  if (!verified.ok || verified.value.iss !== deps.issuer) return null
  const session = await deps.records.readSession(verified.value.sid)
  if (session === null || session.state === 'ended' || session.expiresAt <= now) return null
  return { claims: verified.value, session }
}

function describeHandle(claims: HandleClaims, session: Session): Record<string, unknown> {
  return {
    active: true,
    ...claims,
    token_type: 'Bearer',
    ...(session.intent === null ? {} : { authorization_details: [session.intent] }),
    session: { id: session.id, state: session.state, usage: session.usage, limits: session.limits },
  }
}
