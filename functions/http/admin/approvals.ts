// Approvals: what waits for a person, and that person's decision. Nobody decides about what they
// themselves asked for.
import type { Failure } from '../../core/failure.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import type { ApprovalStore } from '../../store/contract.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { adminEvent } from './event.ts'
import { readMembers, readPage } from './request.ts'
import { reasonBody } from './sessions.ts'
import { timeOf } from './time.ts'

const APPROVAL_ID = /^apr_[\w-]{1,128}$/

export const approvalRoutes: readonly AdminRoute[] = [
  {
    operation: 'list-approvals',
    method: 'GET',
    path: '/approvals',
    role: 'approver',
    query: ['cursor', 'limit'],
    handle: listApprovals,
  },
  {
    operation: 'get-approval',
    method: 'GET',
    path: '/approvals/:id',
    role: 'approver',
    handle: getApproval,
  },
  {
    operation: 'approve',
    method: 'POST',
    path: '/approvals/:id/approve',
    role: 'approver',
    handle: (call) => decide('approved', call),
  },
  {
    operation: 'deny',
    method: 'POST',
    path: '/approvals/:id/deny',
    role: 'approver',
    handle: (call) => decide('denied', call),
  },
]

type Stored = NonNullable<Awaited<ReturnType<ApprovalStore['get']>>>

async function listApprovals(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const { items, nextCursor } = await call.deps.approvals.list(page.value)
  const now = call.deps.clock.nowSeconds()
  return ok({
    status: 200,
    body: { items: items.map((item) => describe(item, now)), next_cursor: nextCursor },
  })
}

async function getApproval(call: AdminCall): Promise<Result<Answer, Failure>> {
  const approval = await find(call)
  if (approval === null) return fail({ kind: 'not_found' })
  return ok({ status: 200, body: describe(approval, call.deps.clock.nowSeconds()) })
}

async function decide(
  to: 'approved' | 'denied',
  call: AdminCall,
): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, reasonBody, { optional: true })
  if (!body.ok) return body
  const approval = await find(call)
  if (approval === null) return fail({ kind: 'not_found' })
  // Denying what one asked for harms nobody.
  if (to === 'approved' && (await isOwn(approval, call)))
    return fail({ kind: 'forbidden', needs: 'approver, held by somebody else' })
  const event = adminEvent(call, {
    ...(approval.sessionId === null ? {} : { sessionId: approval.sessionId }),
    action: {
      operation: `approval.${to}`,
      approval: approval.id,
      action_sha256: approval.actionHash,
      ...body.value,
    },
    policyRevision: await call.deps.policies.readRevision(),
  })
  const now = call.deps.clock.nowSeconds()
  const state = await call.deps.approvals.decide(approval.id, to, now, event)
  if (state === null) return fail({ kind: 'not_found' })
  if (state !== to)
    return fail({ kind: 'conflict', reason: state === 'pending' ? 'expired' : `already_${state}` })
  return ok({ status: 200, body: describe({ ...approval, state }, now) })
}

async function isOwn(approval: Stored, call: AdminCall): Promise<boolean> {
  if (approval.subject['identity'] === call.admin.name) return true
  if (approval.sessionId === null) return false
  const session = await call.deps.sessions.get(approval.sessionId)
  return session?.identity === call.admin.name
}

async function find(call: AdminCall): Promise<Stored | null> {
  const id = call.parameter('id')
  return APPROVAL_ID.test(id) ? call.deps.approvals.get(id) : null
}

function describe(approval: Stored, now: number): Record<string, unknown> {
  const isExpired = approval.state === 'pending' && approval.expiresAt <= now
  return {
    id: approval.id,
    state: isExpired ? 'expired' : approval.state,
    url: approval.url,
    expires_at: timeOf(approval.expiresAt),
    session_id: approval.sessionId,
    action_sha256: approval.actionHash,
    subject: approval.subject,
  }
}
