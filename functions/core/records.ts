// The store as core/ sees it. Each method is one round trip; each write is atomic. An implementation
// that cannot answer throws StoreUnavailable, and nothing is minted or forwarded.
import type { Approval, ApprovalState } from './approval.ts'
import type { EventDraft } from './audit.ts'
import type { LimitName } from './failure.ts'
import type { HistoryEntry } from './intent.ts'
import type { BindingPolicy, LimitsPolicy } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Session, SessionUsage, Spend } from './session.ts'

/** The store did not answer, or refused. `cause` is for the log, never for the wire. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

export type PolicyState = {
  readonly revision: number
  /** The kill switch: everything is refused. */
  readonly killed: boolean
}

export type ExchangeRead = PolicyState & {
  /** Enabled bindings of exactly these (auth method, target) pairs, allow and deny. */
  readonly bindings: readonly BindingPolicy[]
  /** The newest approval of this exchange, when `approvalHash` was asked for and one exists. */
  readonly approval: StoredApproval | null
}

export type StoredApproval = Approval & {
  readonly state: ApprovalState
  readonly actionHash: string
  readonly sessionId: string | null
}

export type DecisionWrite = {
  readonly event: EventDraft
  /** Session the events belong to: the chain. */
  readonly sessionId: string
  /** Consumed together, or none of them. */
  readonly singleUse: readonly { readonly key: string; readonly expiresAt: Seconds }[]
  /** Consumed with the decision. */
  readonly approvalId: string | null
  /** The decision stands only on this policy (RACE-5). */
  readonly expectedRevision: number
}

export type DecisionResult = 'recorded' | 'replayed' | 'policy_changed' | 'approval_used'

export type GrantWrite = { readonly event: EventDraft; readonly session: Session }

export type ActionRead = PolicyState & {
  readonly session: Session | null
  /** Bindings of (session's method, target), read only when the policy changed since the session opened. */
  readonly bindings: readonly BindingPolicy[] | null
  /** Approvals of this session, oldest first. */
  readonly approvals: readonly StoredApproval[]
  /** The session's latest actions and refusals, oldest first, for evaluators; empty when not asked for. */
  readonly history: readonly HistoryEntry[]
}

export type ActionWrite = {
  readonly event: EventDraft
  readonly sessionId: string
  /** What holds now: the session's limits, or smaller ones of a policy that changed since. */
  readonly limits: LimitsPolicy
  readonly spend: Spend
  readonly nowSeconds: Seconds
  readonly approvalId: string | null
  readonly expectedRevision: number
}

export type ActionResult =
  | { readonly kind: 'recorded'; readonly reservedBytes: number; readonly usage: SessionUsage }
  | { readonly kind: 'exhausted'; readonly limit: LimitName }
  | { readonly kind: 'session_ended' }
  | { readonly kind: 'policy_changed' }
  | { readonly kind: 'approval_used' }

export type OutcomeWrite = {
  readonly event: EventDraft
  readonly sessionId: string
  readonly reservedBytes: number
  readonly usedBytes: number
  readonly usedRows: number
}

export type ApprovalWrite = {
  readonly event: EventDraft
  readonly sessionId: string | null
  readonly approval: Approval
  readonly actionHash: string
  /** What an approver is shown: normalised action and intent. */
  readonly subject: string
}

export interface Records {
  readExchange(query: {
    readonly method: string
    readonly targets: readonly string[]
    /** Null when nothing can ask for an approval. */
    readonly approvalHash: string | null
  }): Promise<ExchangeRead>
  /** Writes the decision event, consuming single-use keys and approval in the same atomic write. */
  recordDecision(write: DecisionWrite): Promise<DecisionResult>
  recordGrant(write: GrantWrite): Promise<void>
  readAction(query: {
    readonly sessionId: string
    readonly target: string
    /** What evaluators are shown, and what `on_review` looks for; read only where a policy can ask for it. */
    readonly withHistory: boolean
    readonly withApprovals: boolean
  }): Promise<ActionRead>
  /** Spends the budget and writes the action event, or does neither. */
  recordAction(write: ActionWrite): Promise<ActionResult>
  recordOutcome(write: OutcomeWrite): Promise<void>
  /** A refusal, in the session's chain when there is one. */
  recordRefusal(event: EventDraft): Promise<void>
  /** Opens an approval and writes its review event. */
  recordReview(write: ApprovalWrite): Promise<void>
  /** Ends the session; false when there is no such live session. */
  endSession(sessionId: string, event: EventDraft): Promise<boolean>
  readPolicyState(): Promise<PolicyState>
  readSession(sessionId: string): Promise<Session | null>
}
