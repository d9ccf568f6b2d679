// The declared intent: fixed when the session opens, kept verbatim, never mixed with what is attested.
import type { JsonObject } from './identity.ts'
import type { Effect } from './policy.ts'

export const ORIGIN_KINDS = ['user', 'task', 'agent', 'schedule', 'upstream'] as const
export type OriginKind = (typeof ORIGIN_KINDS)[number]

export type DeclaredOrigin = {
  readonly kind: OriginKind
  readonly id?: string
  readonly prompt?: string
}
export type DeclaredAgent = {
  readonly name?: string
  readonly version?: string
  readonly instance?: string
}

export type EnvelopeLimits = {
  readonly actions?: number
  readonly writes?: number
  readonly rows?: number
  readonly bytes?: number
}

/** The machine-checkable part of the intent. An absent member does not restrict. */
export type Envelope = {
  readonly effects?: readonly Effect[]
  readonly tools?: readonly string[]
  readonly objects?: readonly string[]
  readonly destinations?: readonly string[]
  readonly limits?: EnvelopeLimits
}

/** `agent_intent` of design/api.md after parsing; snake_case as on the wire. */
export type AgentIntent = {
  readonly type: 'agent_intent'
  readonly purpose: string
  readonly origin?: DeclaredOrigin
  readonly agent?: DeclaredAgent
  readonly envelope?: Envelope
  readonly expected_seconds?: number
}

/** What hands over a credential is an action of its own: the effects and objects are the credential's. */
export const MINTING_ACTIONS = ['aws.assume', 'id_jag.issue', 'txn_token.issue'] as const

export type ActionName =
  | 'mcp.call'
  | 'sql.query'
  | 'http.request'
  | 'aws.call'
  | 'session.open'
  | (typeof MINTING_ACTIONS)[number]

/** One normalised operation: what a verdict is about, what is recorded, and what an evaluator sees. */
export type Action = {
  readonly name: ActionName
  readonly target: string
  readonly targetType: string
  readonly targetLabels: readonly string[]
  readonly effects: readonly Effect[]
  readonly objects: readonly string[]
  /** Where data goes, e.g. the host of a URL or a recipient. */
  readonly destinations: readonly string[]
  /** Tool name, where the action has one. */
  readonly tool?: string
  /** `action.properties` of the AuthZEN request (design/api.md). May hold agent-written data. */
  readonly properties: JsonObject
  /** What the audit event says of it. Never a body, never a query value. */
  readonly record: JsonObject
}

export function isMinting({ name }: Pick<Action, 'name'>): boolean {
  return (MINTING_ACTIONS as readonly string[]).includes(name)
}

export type Tier = 'floor' | 'envelope' | 'provenance' | 'rule' | 'judge' | 'baseline'

export type Verdict = {
  readonly verdict: 'allow' | 'deny' | 'review'
  readonly tier: Tier
  /** Stable word, e.g. `not_granted`, `effect_outside_envelope`, `judge_timeout`, `judge_not_configured`. */
  readonly reasonCode: string
  readonly ruleId?: string
  /** How to narrow, safe to show to the agent. */
  readonly hint?: string
  readonly evaluator: string
  readonly latencyMs: number
}

export type HistoryEntry = {
  readonly action: JsonObject
  readonly verdict: string
  readonly result?: JsonObject
}

/** One question to an evaluator: AuthZEN 1.0 Access Evaluation, design/api.md "Intent evaluation". */
export type EvaluationQuestion = {
  readonly subject: { readonly type: 'agent'; readonly id: string; readonly properties: JsonObject }
  readonly action: { readonly name: ActionName; readonly properties: JsonObject }
  readonly resource: { readonly type: string; readonly id: string; readonly properties: JsonObject }
  readonly context: JsonObject
}
