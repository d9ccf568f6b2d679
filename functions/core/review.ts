// Approvals: what a person has to decide before one action, or one opening, goes on. An approval fits
// what it was asked for by hash, and is consumed by the write that lets it pass.
import type { Approval } from './approval.ts'
import { canonicalJson } from './audit.ts'
import { draftEvent, type EventFacts } from './events.ts'
import type { JsonObject } from './identity.ts'
import type { Clock, Ids, Seconds } from './ports.ts'
import type { Records, StoredApproval } from './records.ts'

/** How long an approval waits for a person, and how long it then stands. */
export const APPROVAL_SECONDS = 3600

export type Standing =
  | { readonly state: 'approved'; readonly id: string }
  | { readonly state: 'denied' }
  | { readonly state: 'pending'; readonly approval: Approval }
  | { readonly state: 'none' }

/** What the newest approval for this hash amounts to. A used or expired one is none. */
export function usableApproval(approval: StoredApproval | null, now: Seconds): Standing {
  if (approval === null || approval.expiresAt <= now) return { state: 'none' }
  switch (approval.state) {
    case 'approved':
      return { state: 'approved', id: approval.id }
    case 'denied':
      return { state: 'denied' }
    case 'pending':
      return { state: 'pending', approval }
    case 'used':
      return { state: 'none' }
  }
}

export type ReviewFacts = Pick<EventFacts, 'identity' | 'agent' | 'intent' | 'origin'> & {
  readonly actionHash: string
  readonly sessionId: string | null
  readonly decisionId: string
  readonly action: JsonObject
  readonly reason: string
  readonly revision: number
  readonly now: Seconds
}

/** Records the review and opens an approval for it. */
export async function openReview(
  facts: ReviewFacts,
  deps: { records: Records; clock: Clock; ids: Ids; issuer: string },
): Promise<Approval> {
  const id = deps.ids.fresh('apr')
  const approval: Approval = {
    id,
    url: `${deps.issuer}/admin/v1/approvals/${id}`,
    expiresAt: facts.now + APPROVAL_SECONDS,
  }
  const { actionHash, sessionId, decisionId, revision, now: _now, ...described } = facts
  await deps.records.recordReview({
    approval,
    actionHash,
    sessionId,
    subject: canonicalJson({
      action: facts.action,
      identity: facts.identity ?? null,
      intent: facts.intent ?? null,
      reason: facts.reason,
    }),
    event: draftEvent(
      {
        ...described,
        type: 'decision',
        decisionId,
        ...(sessionId === null ? {} : { sessionId }),
        outcome: { verdict: 'review', approval: id },
        policyRevision: revision,
      },
      deps,
    ),
  })
  return approval
}
