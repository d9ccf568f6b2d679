// What people do to a session's state: an editor may narrow and suspend it, as they may end it; only an
// admin gives back what was taken, and nobody revives what has ended.
import * as z from 'zod/mini'
import type { Failure } from '../../core/failure.ts'
import { EFFECTS } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import { describeTightening } from '../../core/self-tightening.ts'
import type { Restorable } from '../../core/session-state.ts'
import type { DescribedSession } from '../../core/session.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { adminEvent } from './event.ts'
import { readMembers } from './request.ts'
import { describeSession, findSession } from './sessions.ts'

const reason = z.string().check(z.minLength(1), z.maxLength(500))

/** The effects that are taken away; at least one. */
export const narrowBody = z.strictObject({
  effects: z.array(z.enum(EFFECTS)).check(z.minLength(1), z.maxLength(EFFECTS.length)),
  reason: z.exactOptional(reason),
})

export const suspendBody = z.strictObject({ reason })

/** `state_event`: the last change that was looked at, so that a later one is not undone unseen. */
export const restoreBody = z.strictObject({
  reason: z.exactOptional(reason),
  state_event: z.exactOptional(z.string().check(z.regex(/^evt_[\w-]{1,128}$/))),
})

export const sessionStateRoutes: readonly AdminRoute[] = [
  {
    operation: 'narrow-session',
    method: 'POST',
    path: '/sessions/:id/narrow',
    role: 'editor',
    handle: narrowSession,
  },
  {
    operation: 'suspend-session',
    method: 'POST',
    path: '/sessions/:id/suspend',
    role: 'editor',
    handle: suspendSession,
  },
  {
    operation: 'restore-session',
    method: 'POST',
    path: '/sessions/:id/restore',
    role: 'admin',
    handle: restoreSession,
  },
]

async function narrowSession(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, narrowBody)
  if (!body.ok) return body
  const removes = [...new Set(body.value.effects)]
  return tighten(call, { to: 'narrowed', removes }, body.value.reason)
}

async function suspendSession(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, suspendBody)
  return body.ok ? tighten(call, { to: 'suspended' }, body.value.reason) : body
}

async function tighten(
  call: AdminCall,
  tightening: Restorable,
  why: string | undefined,
): Promise<Result<Answer, Failure>> {
  const session = await findSession(call)
  if (session === null) return fail({ kind: 'not_found' })
  const operation = tightening.to === 'narrowed' ? 'session.narrow' : 'session.suspend'
  const event = adminEvent(call, {
    type: 'state',
    sessionId: session.id,
    action: {
      operation,
      ...describeTightening(tightening),
      ...(why === undefined ? {} : { reason: why }),
    },
    reason: 'by_admin',
    policyRevision: await call.deps.policies.readRevision(),
  })
  if (!(await call.deps.sessions.tighten(session.id, tightening, event))) return sessionOver()
  if (tightening.to === 'suspended') await withdraw(call, session.id)
  return answer(call)
}

async function restoreSession(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, restoreBody, { optional: true })
  if (!body.ok) return body
  const session = await findSession(call)
  if (session === null) return fail({ kind: 'not_found' })
  const { reason: why, state_event: looked } = body.value
  const event = adminEvent(call, {
    type: 'state',
    sessionId: session.id,
    action: {
      operation: 'session.restore',
      state: 'active',
      from: fromState(session),
      ...(why === undefined ? {} : { reason: why }),
    },
    reason: 'by_admin',
    policyRevision: await call.deps.policies.readRevision(),
  })
  const seen = looked ?? session.change?.id ?? null
  const restored = await call.deps.sessions.restore(session.id, seen, event)
  if (restored === 'ended') return sessionOver()
  if (restored === 'changed') return fail({ kind: 'conflict', reason: 'session_state_changed' })
  await withdraw(call, session.id)
  return answer(call)
}

/** What it has handed over is refused where it is used, or no longer. */
async function withdraw({ deps, decisionId }: AdminCall, sessionId: string): Promise<void> {
  await deps.withdraw({ decisionId, sessionId })
}

function fromState({ state, removedEffects, denials }: DescribedSession) {
  return { state, removed_effects: [...removedEffects], denials }
}

function sessionOver(): Result<never, Failure> {
  return fail({ kind: 'conflict', reason: 'session_ended' })
}

/** As it is now: somebody else may have changed it again. */
async function answer(call: AdminCall): Promise<Result<Answer, Failure>> {
  const session = await findSession(call)
  if (session === null) return fail({ kind: 'not_found' })
  return ok({ status: 200, body: describeSession(session, call.deps.clock.nowSeconds()) })
}
