// The audit event of an administrative change: who, what, on which revision. Objects appear by the
// SHA-256 of their canonical JSON; a secret's value never appears, not even by its hash.
import type { EventDraft } from '../../core/audit.ts'
import { draftEvent } from '../../core/events.ts'
import type { JsonObject } from '../../core/identity.ts'
import { canonicalObject } from '../../policy/canonical.ts'
import type { PolicyChange } from '../../store/contract.ts'
import type { AdminCall } from './contract.ts'

/** Beyond these only their number and their common hash are kept. */
const MAX_LISTED_CHANGES = 500

export function adminEvent(
  call: AdminCall,
  facts: {
    readonly type?: 'admin' | 'revocation' | 'state'
    readonly action: JsonObject
    /** The session that it is about, and in whose chain it stands. */
    readonly sessionId?: string
    readonly reason?: string
    readonly policyRevision: number
  },
): EventDraft {
  const { name, role, sessionId } = call.admin
  return draftEvent(
    {
      type: facts.type ?? 'admin',
      decisionId: call.decisionId,
      ...(facts.sessionId === undefined ? {} : { sessionId: facts.sessionId }),
      identity: `admin:${name}`,
      agent: { declared: null, attested: { role, session_id: sessionId } },
      action: facts.action,
      outcome: { result: 'applied' },
      ...(facts.reason === undefined ? {} : { reason: facts.reason }),
      policyRevision: facts.policyRevision,
    },
    call.deps,
  )
}

/** What the log says of changes to the policy. */
export function describeChanges(
  operation: string,
  changes: readonly PolicyChange[],
  call: AdminCall,
): JsonObject {
  const described = changes.map((change) => describeChange(change, call))
  const listed = described.slice(0, MAX_LISTED_CHANGES)
  if (listed.length === described.length) return { operation, changes: listed }
  return {
    operation,
    changes: listed,
    changes_total: described.length,
    changes_sha256: call.deps.hashing.sha256Hex(JSON.stringify(described)),
  }
}

function describeChange(change: PolicyChange, call: AdminCall): JsonObject {
  if (change.op === 'delete') return { op: 'delete', kind: change.kind, name: change.name }
  const { kind, object } = change
  const sha256 = call.deps.hashing.sha256Hex(canonicalObject(object))
  return { op: 'put', kind, name: object.name, object_sha256: sha256 }
}
