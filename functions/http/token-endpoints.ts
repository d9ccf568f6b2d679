// POST /introspect (RFC 7662) and POST /revoke (RFC 7009) for handles. An introspector sees its own
// handle, or anything with the role `viewer`; holding a handle, or a credential that was handed over, suffices
// to revoke it.
import { actingIdentity } from '../core/delegation.ts'
import { draftEvent, type EventFacts } from '../core/events.ts'
import type { ExchangeLimits } from '../core/exchange-limits.ts'
import type { Failure } from '../core/failure.ts'
import { describeHandedOver } from '../core/minting.ts'
import type { Hashing, Ids } from '../core/ports.ts'
import {
  type PresentedDeps,
  type PresentedHandle,
  verifyPresented,
} from '../core/presented-handle.ts'
import type { SingleUse } from '../core/proof.ts'
import { type Records, StoreUnavailable } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { effectsLost } from '../core/session-state.ts'
import type { DescribedSession } from '../core/session.ts'
import type { HandleClaims } from '../core/token.ts'
import { describeWithdrawn, type Withdraw } from '../core/withdrawn.ts'
import type { RequestFacts } from '../platform.ts'
import { readHandle, singleHeader } from './authorization.ts'
import { NO_STORE, oauthAnswer, toResponse } from './error.ts'
import { readForm } from './form.ts'
import { sourceOf } from './source.ts'

export type TokenEndpointDeps = PresentedDeps & {
  readonly records: Records
  readonly ids: Ids
  readonly hashing: Hashing
  readonly limits: ExchangeLimits
  readonly withdraw: Withdraw
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
    const caller = readHandle(request, facts, deps.issuer)
    if (!caller.ok) return caller
    if (caller.value === null) return fail({ kind: 'unauthenticated' })
    if (caller.value.token === token.value) return introspectOwn(caller.value, deps)
    if (await deps.isViewer(request, facts)) return ok(await describeToken(token.value, deps))
    const known = await holderOf(caller.value, deps)
    // Somebody else's handle is as unknown as a random string (IN-02, IN-04).
    return known.ok ? ok({ active: false }) : known
  })
}

/** A holder may look at its own handle, once with each proof where it is bound to a key. */
async function introspectOwn(
  presented: PresentedHandle,
  deps: TokenEndpointDeps,
): Promise<Result<Record<string, unknown>, Failure>> {
  const holder = await holderOf(presented, deps)
  if (!holder.ok) return holder
  const { live, singleUse } = holder.value
  if (!(await deps.records.consume(singleUse))) {
    return fail({ kind: 'invalid_proof', reason: 'replayed', at: 'resource' })
  }
  return ok(describeHandle(live.claims, live.session))
}

/** The live handle that a caller presented, with whatever it is bound to proven. */
async function holderOf(
  presented: PresentedHandle,
  deps: TokenEndpointDeps,
): Promise<Result<{ live: LiveHandle; singleUse: readonly SingleUse[] }, Failure>> {
  const verified = await verifyPresented(presented, deps)
  if (!verified.ok) return verified
  const live = await liveHandle(presented.token, deps)
  if (live === null) return fail({ kind: 'unauthenticated' })
  return ok({ live, singleUse: verified.value.singleUse })
}

async function describeToken(
  token: string,
  deps: TokenEndpointDeps,
): Promise<Record<string, unknown>> {
  const live = await liveHandle(token, deps)
  return live === null ? { active: false } : describeHandle(live.claims, live.session)
}

export async function handleRevoke(
  request: Request,
  facts: RequestFacts,
  deps: TokenEndpointDeps,
): Promise<Response> {
  return answering(deps, async (decisionId) => {
    const token = await readToken(request)
    if (!token.ok) return token
    // No proof is asked for: whoever finds a handle may end it, and can do nothing else with it.
    for (const header of ['authorization', 'dpop']) {
      const sent = singleHeader(facts, header)
      if (!sent.ok) return sent
    }
    const verified = await deps.handles.verify(token.value, deps.clock.nowSeconds())
    if (verified.ok) {
      const { iss, sid, scope } = verified.value
      if (iss !== deps.issuer) return ok(null)
      return endByHolder({ sid, scope, identity: actingIdentity(verified.value), decisionId }, deps)
    }
    const slow = deps.limits.enter(sourceOf(facts.clientAddress))
    if (slow !== null) return fail(slow)
    const sid = await deps.records.findCredential(deps.hashing.sha256Hex(token.value))
    // An invalid token is already as revoked as can be (RFC 7009 §2.2).
    return sid === null ? ok(null) : endByHolder({ sid, decisionId }, deps)
  })
}

/** The session ends at once. What was handed over in it works on wherever its `record` says so. */
async function endByHolder(
  ending: Pick<EventFacts, 'decisionId' | 'scope' | 'identity'> & { readonly sid: string },
  deps: TokenEndpointDeps,
): Promise<Result<Record<string, unknown> | null, Failure>> {
  const { sid, ...whose } = ending
  const { revision, credentials } = await deps.records.readHandedOver(sid)
  const left = credentials.length === 0 ? {} : { credentials: credentials.map(describeHandedOver) }
  const isNew = await deps.records.endSession(
    sid,
    draftEvent(
      {
        type: 'revocation',
        ...whose,
        sessionId: sid,
        outcome: { verdict: 'revoked', by: 'holder', ...left },
        reason: 'revoked_by_holder',
        policyRevision: revision,
      },
      deps,
    ),
  )
  if (credentials.length === 0) return ok(null)
  // It may have failed the first time; but a holder must not have AWS throttle the broker at will.
  const slow = isNew ? null : deps.limits.endAgain(sid)
  if (slow !== null) return fail(slow)
  const withdrawn = await deps.withdraw({ decisionId: ending.decisionId, sessionId: sid })
  return ok({ session: { id: sid, state: 'ended' }, ...left, ...describeWithdrawn(withdrawn) })
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

type LiveHandle = { readonly claims: HandleClaims; readonly session: DescribedSession }

async function liveHandle(token: string, deps: TokenEndpointDeps): Promise<LiveHandle | null> {
  const now = deps.clock.nowSeconds()
  const verified = await deps.handles.verify(token, now)
  if (!verified.ok || verified.value.iss !== deps.issuer) return null
  const session = await deps.records.readSession(verified.value.sid)
  if (session === null || session.state === 'ended' || session.expiresAt <= now) return null
  return { claims: verified.value, session }
}

function describeHandle(claims: HandleClaims, session: DescribedSession): Record<string, unknown> {
  return {
    active: true,
    ...claims,
    token_type: claims.cnf?.jkt === undefined ? 'Bearer' : 'DPoP',
    ...(session.intent === null ? {} : { authorization_details: [session.intent] }),
    session: {
      id: session.id,
      state: session.state,
      ...(session.lineage === null
        ? {}
        : { root: session.lineage.ancestors[0], parent: session.lineage.ancestors.at(-1) }),
      // The word, not what people wrote: the holder may be the very agent that it is about.
      ...(session.change === null ? {} : { state_reason: session.change.reason }),
      removed_effects: effectsLost(session),
      origin: { declared: session.intent?.origin ?? null, attested: session.attestedOrigin },
      usage: session.usage,
      limits: session.limits,
    },
  }
}
