// A session: one declared intent, one or more granted targets, one identity, a short life.
import type { JsonObject } from './identity.ts'
import type { AgentIntent } from './intent.ts'
import type { Grant, LimitsPolicy, OnReview } from './policy.ts'
import type { Seconds } from './ports.ts'

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
  readonly intent: AgentIntent | null
  readonly grants: readonly TargetGrant[]
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
}

/** What one action takes from the session's budgets, all in one atomic write. */
export type Spend = {
  readonly actions: 1
  readonly writes: 0 | 1
  /** Bytes reserved before the call; what is unused comes back with the outcome. */
  readonly maxBytes: number
}
