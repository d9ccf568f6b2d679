// A session: one declared intent, one or more granted targets, one identity, a short life.
import type { OnBehalfOf } from './delegation.ts'
import type { EventDraft } from './audit.ts'
import type { JsonObject } from './identity.ts'
import type { AgentIntent } from './intent.ts'
import type { Lineage } from './lineage.ts'
import type { Effect, Grant, LimitsPolicy, OnReview } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Confirmation } from './proof.ts'
import type { Standing } from './session-state.ts'

export type SessionState = 'active' | 'narrowed' | 'suspended' | 'ended'

/** What one target's bindings grant to this session, after union and narrowing. */
export type TargetGrant = {
  readonly target: string
  /** Names of the bindings that matched. */
  readonly bindings: readonly string[]
  readonly grants: readonly Grant[]
  /** Names of the intent policies that apply: all of them. */
  readonly intentPolicies: readonly string[]
  readonly onReview: OnReview
  /** `log_only` only when every matching binding says so; covers envelope, rules and judge (design/api.md). */
  readonly mode: 'enforce' | 'log_only'
}

/** The smallest of every limit of the bindings and the envelope; absent means unlimited. */
export type SessionLimits = LimitsPolicy

export type SessionUsage = {
  readonly actions: number
  readonly writes: number
  readonly rows: number
  readonly bytes: number
}

export type Session = {
  readonly id: string
  readonly state: SessionState
  /** `{auth_method}:{subject}` */
  readonly identity: string
  readonly authMethod: string
  readonly subject: string
  /** Verified claims, kept so that a changed binding can be judged again. */
  readonly claims: JsonObject
  /** The user whom it acts for; null: nobody but itself. */
  readonly onBehalfOf: OnBehalfOf | null
  /** Of a sub-agent's session; null: it descends from none. */
  readonly lineage: Lineage | null
  readonly intent: AgentIntent | null
  readonly grants: readonly TargetGrant[]
  /** `credential`: what it opened with was handed over, and it has no handle. */
  readonly delivery: 'session' | 'credential'
  /** Scope as granted, space-delimited. */
  readonly scope: string
  readonly limits: SessionLimits
  readonly usage: SessionUsage
  readonly createdAt: Seconds
  readonly expiresAt: Seconds
  readonly policyRevision: number
  readonly decisionId: string
  /** SHA-256 of the attestation. */
  readonly attestationHash: string
  /** What its handle is bound to: its `cnf`. */
  readonly confirmation: Confirmation | null
  /** What was taken away since it opened; with any, and no worse, the state is `narrowed`. */
  readonly removedEffects: readonly Effect[]
  /** Refused actions that counted against it (core/session-state.ts). */
  readonly denials: number
  /** The sessions it descends from, as they stand now; `state` is the worst of theirs and its own. */
  readonly above: readonly Standing[]
  /** Where it comes from, as far as a token proved it; what was declared is in the intent. */
  readonly attestedOrigin: JsonObject | null
}

/** A session for those who look at it. */
export type DescribedSession = Session & {
  /** The event that last changed its state; null while it is as it was opened. */
  readonly change: EventDraft | null
  /** Without those it descends from. */
  readonly ownState: SessionState
}

/** What one action takes from the session's budgets, all in one atomic write. */
export type Spend = {
  readonly actions: 1
  readonly writes: 0 | 1
  /** Bytes reserved before the call; what is unused comes back with the outcome. */
  readonly maxBytes: number
}
