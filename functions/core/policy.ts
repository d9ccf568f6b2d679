// The policy objects of design/api.md as they are after parsing: snake_case members, as on the wire and
// in the store. http/ and store/ parse into these once; nothing inside checks their shape again.
import type { JsonObject } from './identity.ts'
import type { ProofKind } from './proof.ts'

export type DocumentError = {
  /** JSON Pointer into the document, e.g. `/bindings/0/grants/1/objects/0`. */
  readonly path: string
  /** Stable word, e.g. `required`, `unknown_member`, `unsafe`. */
  readonly code: string
  readonly message: string
}

export const EFFECTS = ['read', 'write', 'delete', 'send', 'execute', 'admin'] as const
export type Effect = (typeof EFFECTS)[number]

/** Of a session: twelve hours, the longest that AWS grants a role session. */
export const MAX_TTL_SECONDS = 43_200

export type Common = {
  readonly name: string
  readonly description?: string
  readonly owner?: string
  readonly labels?: readonly string[]
  readonly enabled: boolean
}

/** A matcher on one claim: an exact value, a list of alternatives, or a segment-wise glob. */
export type ClaimMatcher =
  | string
  | number
  | boolean
  | readonly (string | number | boolean)[]
  | { readonly glob: string }

export type AuthMethodPolicy = Common & {
  readonly type: string
  /** `workload` unless the method vouches for people. */
  readonly subject: 'workload' | 'user'
  readonly config: JsonObject
}

export type CredentialPolicy = {
  readonly inject: 'bearer' | 'basic' | 'header' | 'query' | 'cookie'
  /** Header, query parameter or cookie name. */
  readonly name?: string
  readonly username?: string
  readonly secret: string
}

export type MaskRule = {
  readonly json_path?: string
  readonly pattern?: string
  readonly with?: string
}

export type TargetPolicy = Common & {
  readonly type: string
  readonly config: JsonObject
  readonly credential?: CredentialPolicy
  readonly mask?: readonly MaskRule[]
  readonly max_response_bytes?: number
  readonly max_masked_bytes?: number
  readonly private_network?: boolean
}

export type Grant = { readonly effects: readonly Effect[]; readonly objects: readonly string[] }

export type LimitsPolicy = {
  readonly actions?: number
  readonly writes?: number
  readonly rows?: number
  readonly bytes?: number
  readonly per_minute?: number
}

export type OnReview = 'approval' | 'deny' | 'allow'

export type BindingPolicy = Common & {
  readonly auth_method: string
  readonly target: string
  readonly effect: 'allow' | 'deny'
  readonly condition?: string
  readonly grants: readonly Grant[]
  readonly ttl_seconds: number
  /** Methods whose users may be the subject; absent: it holds when nobody else is (a deny: always). */
  readonly on_behalf_of?: readonly string[]
  /** A user's token alone may open what this grants. */
  readonly allow_impersonation?: boolean
  /** Methods whose workloads may be sub-agents of a session that this opened. */
  readonly delegate_to?: readonly string[]
  /** Generations below a session that this opened; the smallest of all that hold for it. */
  readonly max_depth?: number
  readonly delivery: 'session' | 'credential'
  /** What is handed over may work for longer than the attestation that asked for it. */
  readonly may_outlive_subject?: boolean
  /** What handles are bound to: with `dpop` and `mtls` asked for by two bindings, to both. */
  readonly require_proof?: 'none' | ProofKind
  readonly intent?: {
    readonly policy?: string
    readonly required: boolean
    readonly on_review: OnReview
  }
  readonly limits?: LimitsPolicy
  readonly mode: 'enforce' | 'log_only'
  readonly review_by?: string
  readonly expires_at?: string
}

export type IntentRule = {
  readonly id: string
  readonly text: string
  readonly effect: 'deny' | 'review'
}

/** An evaluator reached over AuthZEN 1.0 (`floor`, or `judge` of type `authzen`). */
export type EvaluatorPolicy = {
  readonly type: string
  readonly url: string
  readonly model?: string
  readonly secret?: string
  readonly timeout_ms?: number
}

export type IntentPolicy = Common & {
  readonly rules: readonly IntentRule[]
  readonly judge?: EvaluatorPolicy
  readonly floor?: EvaluatorPolicy
}

export type PolicyKind = 'auth_methods' | 'targets' | 'bindings' | 'intent_policies'

export type PolicyDocument = {
  readonly auth_methods: readonly AuthMethodPolicy[]
  readonly targets: readonly TargetPolicy[]
  readonly bindings: readonly BindingPolicy[]
  readonly intent_policies: readonly IntentPolicy[]
}
