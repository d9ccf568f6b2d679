// The audit log, oldest first, by session, decision, type or origin. Everything that is hashed is shown, so that
// a chain can be checked from what this answers.
import type { EventType } from '../../core/audit.ts'
import type { Failure } from '../../core/failure.ts'
import { ORIGIN_KINDS, type OriginKind } from '../../core/intent.ts'
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
  'state',
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
    query: ['session', 'decision', 'type', 'origin', 'origin_attested', 'cursor', 'limit'],
    handle: listAudit,
  },
]

async function listAudit(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const given = call.query.get('type')
  const type = TYPES.find((known) => known === given)
  if (given !== undefined && type === undefined) return invalidParameter('type')
  const origins = readOrigins(call)
  if (!origins.ok) return origins
  const session = call.query.get('session')
  const decision = call.query.get('decision')
  const { items, nextCursor } = await call.deps.audit.list({
    ...page.value,
    ...(session === undefined ? {} : { session }),
    ...(decision === undefined ? {} : { decision }),
    ...(type === undefined ? {} : { type }),
    ...origins.value,
  })
  return ok({ status: 200, body: { items: items.map(describe), next_cursor: nextCursor } })
}

/** Declared and attested are asked for apart: what was said proves nothing of what was shown. */
function readOrigins(
  call: AdminCall,
): Result<{ origin?: OriginKind; originAttested?: OriginKind }, Failure> {
  const found: { origin?: OriginKind; originAttested?: OriginKind } = {}
  for (const [parameter, member] of [
    ['origin', 'origin'],
    ['origin_attested', 'originAttested'],
  ] as const) {
    const given = call.query.get(parameter)
    if (given === undefined) continue
    const kind = ORIGIN_KINDS.find((known) => known === given)
    if (kind === undefined) return invalidParameter(parameter)
    found[member] = kind
  }
  return ok(found)
}

function describe(event: StoredEvent): Record<string, unknown> {
  return Object.fromEntries(MEMBERS.map((member) => [member, event[member]]))
}
