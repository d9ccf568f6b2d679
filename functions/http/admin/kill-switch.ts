// The kill switch: while it is engaged the broker grants nothing and forwards nothing.
import * as z from 'zod/mini'
import type { Failure } from '../../core/failure.ts'
import type { Result } from '../../core/result.ts'
import { ok } from '../../core/result.ts'
import { describeWithdrawn } from '../../core/withdrawn.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { adminEvent } from './event.ts'
import { readMembers } from './request.ts'

export const killSwitchBody = z.strictObject({
  engaged: z.boolean(),
  reason: z.string().check(z.minLength(1), z.maxLength(500)),
})

export const killSwitchRoutes: readonly AdminRoute[] = [
  {
    operation: 'get-kill-switch',
    method: 'GET',
    path: '/kill-switch',
    role: 'viewer',
    handle: getKillSwitch,
  },
  {
    operation: 'put-kill-switch',
    method: 'PUT',
    path: '/kill-switch',
    role: 'admin',
    handle: putKillSwitch,
  },
]

async function getKillSwitch(call: AdminCall): Promise<Result<Answer, Failure>> {
  const { killed, revision } = await call.deps.records.readPolicyState()
  return ok({ status: 200, body: { engaged: killed, policy_revision: revision } })
}

async function putKillSwitch(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, killSwitchBody)
  if (!body.ok) return body
  const { engaged, reason } = body.value
  const { revision } = await call.deps.records.readPolicyState()
  const event = adminEvent(call, {
    action: { operation: 'kill-switch.put', engaged, reason },
    policyRevision: revision + 1,
  })
  const next = await call.deps.policies.setKilled(engaged, event)
  call.deps.onPolicyChanged()
  const cause = { decisionId: call.decisionId, sessionId: null, isLift: !engaged }
  const withdrawn = describeWithdrawn(await call.deps.withdraw(cause))
  return ok({ status: 200, body: { engaged, policy_revision: next, ...withdrawn } })
}
