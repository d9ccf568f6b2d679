// The store as core/ sees it. Each method is one round trip; each write is atomic. An implementation
// that cannot answer throws StoreUnavailable, and nothing is minted or forwarded.
import type { Approval, ApprovalState } from './approval.ts'
import type { EventDraft } from './audit.ts'
import type { LimitName } from './failure.ts'
import type { HistoryEntry } from './intent.ts'
import type { HandedOver, HandingOver } from './minting.ts'
import type { BindingPolicy, Effect, LimitsPolicy } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { SingleUse } from './proof.ts'
import type { EndedHolders } from './withdrawal.ts'
import type { Revocable } from './security-event.ts'
import type { Restorable, Tightening } from './session-state.ts'
import type { DescribedSession, Session, SessionUsage, Spend } from './session.ts'

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
  /** Enabled bindings of exactly these (auth method, target) pairs, allow and deny; with a parent, of all its methods. */
  readonly bindings: readonly BindingPolicy[]
  /** The session that was asked for as the parent; null when none was, or there is none. */
  readonly parent: ParentRead | null
  /** The newest approval of this exchange, when `approvalHash` was asked for and one exists. */
  readonly approval: OpeningApproval | null
}

export type HandedOverRead = PolicyState & {
  /** No more than an answer names. */
  readonly credentials: readonly HandedOver[]
  /** Who holds something, the session and those below it, and of which targets: all of them. */
  readonly holding: readonly { readonly sessionId: string; readonly target: string }[]
}

export type ParentRead = {
  readonly session: Session
  /** What each session that the parent descends from may spend, and has. */
  readonly above: readonly { readonly limits: LimitsPolicy; readonly usage: SessionUsage }[]
}

export type StoredApproval = Approval & {
  readonly state: ApprovalState
  readonly actionHash: string
  readonly sessionId: string | null
}

/** `subject`: that of its ApprovalWrite. */
export type OpeningApproval = StoredApproval & { readonly subject: string }

export type DecisionWrite = {
  readonly event: EventDraft
  /** Session the events belong to: the chain. */
  readonly sessionId: string
  /** Consumed together, or none of them. */
  readonly singleUse: readonly SingleUse[]
  /** It does not stand when a security event about one of these came after its issue. */
  readonly revocable?: readonly Revocable[]
  /** Consumed with the decision. */
  readonly approvalId: string | null
  /** What is handed over below a session spends from it and from all above it, as an action would. */
  readonly spendAbove?: {
    readonly ancestors: readonly string[]
    readonly writes: 0 | 1
    readonly shared: SharedSpend
  }
  /** The decision stands only on this policy (RACE-5). */
  readonly expectedRevision: number
  /** The grant of a handle, which is signed by then: recorded with the decision, or neither is. */
  readonly opens?: HandleGrant
}

/** `replayed` is of an attestation, `proof_replayed` of a proof. */
export type DecisionResult =
  | 'recorded'
  | 'replayed'
  | 'revoked'
  | 'proof_replayed'
  | 'policy_changed'
  | 'approval_used'
  | 'exhausted'
  | 'parent_changed'

export type HandleGrant = { readonly event: EventDraft; readonly session: Session }

/** Of a credential, which was minted since the decision. */
export type GrantWrite = HandleGrant & {
  /** As for the decision: an event may have come in between. */
  readonly revocable?: readonly Revocable[]
  readonly credential: HandingOver
}

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
  /** Of a sub-agent's session: what it spends, every session spends that it descends from. */
  readonly shared: SharedSpend | null
  /** As read: what was taken away meanwhile is not got by having been faster. */
  readonly removedEffects: readonly Effect[]
  readonly nowSeconds: Seconds
  readonly approvalId: string | null
  /** The proof that came with it: consumed with the action. */
  readonly singleUse: readonly SingleUse[]
  readonly expectedRevision: number
}

export type SharedSpend = {
  /** What the policy now allows the tree as a whole. */
  readonly limits: LimitsPolicy
  /** Of each ancestor as read, root first. */
  readonly removedEffects: readonly (readonly Effect[])[]
}

export type ActionResult =
  | { readonly kind: 'recorded'; readonly reservedBytes: number; readonly usage: SessionUsage }
  | { readonly kind: 'exhausted'; readonly limit: LimitName }
  | { readonly kind: 'session_ended' }
  | { readonly kind: 'session_suspended' }
  | { readonly kind: 'session_narrowed' }
  | { readonly kind: 'policy_changed' }
  | { readonly kind: 'approval_used' }
  | { readonly kind: 'replayed' }

export type TighteningWrite = {
  readonly event: EventDraft
  readonly sessionId: string
  readonly tightening: Restorable
  readonly atLeastDenials: number
}

export type SecurityEventWrite = {
  readonly event: EventDraft
  readonly singleUse: readonly SingleUse[]
  readonly expectedRevision: number
  /** `{auth_method}:{subject}`: their sessions, and those that act for them. */
  readonly identities: readonly string[]
  /** What was issued to them until then opens no session any more. */
  readonly revoked: readonly Revocable[]
  /** Null: nothing follows from the event. */
  readonly tightening: Tightening | null
}

export type SecurityEventResult = 'recorded' | 'replayed' | 'policy_changed'

export type OutcomeWrite = {
  readonly event: EventDraft
  readonly sessionId: string
  readonly reservedBytes: number
  /** Whether its ancestors gave the same. */
  readonly isShared: boolean
  readonly usedBytes: number
  readonly usedRows: number
  /** What was handed over by the action. */
  readonly credential?: HandingOver
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
    /** The session to descend from. */
    readonly parent?: string | null
  }): Promise<ExchangeRead>
  /** Writes the decision event, consuming single-use keys and approval in the same atomic write. */
  recordDecision(write: DecisionWrite): Promise<DecisionResult>
  /** Throws StoreUnavailable where what was minted must not be given out any more. */
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
  /** A refusal that counts against its session; how many there are now. */
  recordDenial(sessionId: string, event: EventDraft): Promise<number>
  /**
   * Tightens a session that has at least so many denials; false when it is as tight already. State and
   * event are one atomic write.
   */
  tightenAfterDenials(write: TighteningWrite): Promise<boolean>
  /** Opens an approval and writes its review event. */
  recordReview(write: ApprovalWrite): Promise<void>
  /** Ends the session; false when there is no such live session. */
  endSession(sessionId: string, event: EventDraft): Promise<boolean>
  /** Records a security event and tightens every live session that it is about, at once. */
  recordSecurityEvent(write: SecurityEventWrite): Promise<SecurityEventResult>
  /** Where nothing else is written: false when one of them was used before, and then none is consumed. */
  consume(singleUse: readonly SingleUse[]): Promise<boolean>
  readPolicyState(): Promise<PolicyState>
  /** What a session and those below it handed over, and has not expired: no more than a page of it. */
  readHandedOver(sessionId: string): Promise<HandedOverRead>
  /** At that target; while the kill switch is engaged, everybody who holds anything. */
  readEndedHolders(target: string): Promise<EndedHolders>
  /** The session that handed over the credential of that hash. */
  findCredential(sha256: string): Promise<string | null>
  readSession(sessionId: string): Promise<DescribedSession | null>
}
