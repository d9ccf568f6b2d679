// The audit log, oldest first, by session, decision or type. Everything that is hashed is shown, so that
// a chain can be checked from what this answers.
import type { EventType } from '../../core/audit.ts'
import type { Failure } from '../../core/failure.ts'
import type { Result } from '../../core/result.ts'
import { ok } from '../../core/result.ts'
import type { StoredEvent } from '../../store/contract.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { invalidParameter, readPage } from './request.ts'

const TYPES: readonly EventType[] = [
  'decision',
  'grant',
  'action',
  'outcome',
  'refusal',
  'revocation',
  'admin',
]

/** Exactly these, in this order (design/api.md, Administration); the chain's two follow. */
const MEMBERS = [
  'id',
  'seq',
  'time',
  'type',
  'decision_id',
  'session_id',
  'identity',
  'agent',
  'intent',
  'origin',
  'action',
  'scope',
  'outcome',
  'reason',
  'policy_revision',
  'prev_hash',
  'hash',
  'chain',
  'chain_seq',
] as const satisfies readonly (keyof StoredEvent)[]

export const auditRoutes: readonly AdminRoute[] = [
  {
    operation: 'list-audit',
    method: 'GET',
    path: '/audit',
    role: 'viewer',
    query: ['session', 'decision', 'type', 'cursor', 'limit'],
    handle: listAudit,
  },
]

async function listAudit(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const given = call.query.get('type')
  const type = TYPES.find((known) => known === given)
  if (given !== undefined && type === undefined) return invalidParameter('type')
  const session = call.query.get('session')
  const decision = call.query.get('decision')
  const { items, nextCursor } = await call.deps.audit.list({
    ...page.value,
    ...(session === undefined ? {} : { session }),
    ...(decision === undefined ? {} : { decision }),
    ...(type === undefined ? {} : { type }),
  })
  return ok({ status: 200, body: { items: items.map(describe), next_cursor: nextCursor } })
}

function describe(event: StoredEvent): Record<string, unknown> {
  return Object.fromEntries(MEMBERS.map((member) => [member, event[member]]))
}
