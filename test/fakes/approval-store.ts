// ApprovalStore in memory: a pending, unexpired approval is decided once.
import type { EventDraft } from '../../functions/core/audit.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { StoredApproval } from '../../functions/core/records.ts'
import type { ApprovalStore } from '../../functions/store/contract.ts'

type Shown = StoredApproval & { readonly subject: JsonObject }

export type FakeApprovalStore = ApprovalStore & { readonly events: EventDraft[] }

export function fakeApprovalStore(approvals: readonly Shown[] = []): FakeApprovalStore {
  const byId = new Map(approvals.map((approval) => [approval.id, approval]))
  const events: EventDraft[] = []
  return {
    events,
    get: async (id) => byId.get(id) ?? null,
    list: async ({ limit }) => ({ items: [...byId.values()].slice(0, limit), nextCursor: null }),
    async decide(id, to, now, event) {
      const approval = byId.get(id)
      if (approval === undefined) return null
      if (approval.state !== 'pending' || approval.expiresAt <= now) return approval.state
      byId.set(id, { ...approval, state: to })
      events.push(event)
      return to
    },
  }
}
