// Auth Methods, targets and intent policies as one isolate holds them, compiled, keyed by the policy
// revision. Bindings are not in it: they are read by key with each request.
import type { CompiledAuthMethod } from './auth-method.ts'
import type { CompiledEvaluator } from './evaluator.ts'
import type { IntentPolicy } from './policy.ts'
import type { CompiledTarget } from './target.ts'

export type CompiledIntentPolicy = {
  readonly policy: IntentPolicy
  readonly floor: CompiledEvaluator | null
  readonly judge: CompiledEvaluator | null
}

export type PolicySnapshot = {
  readonly revision: number
  /** Enabled methods by `selectorKey`. */
  readonly methodsBySelector: ReadonlyMap<string, readonly CompiledAuthMethod[]>
  readonly methods: ReadonlyMap<string, CompiledAuthMethod>
  /** Names of those that vouch for people. */
  readonly userMethods: ReadonlySet<string>
  readonly targets: ReadonlyMap<string, CompiledTarget>
  /** Nothing comes out of them any more; what they have handed over may still be withdrawn. */
  readonly disabledTargets?: ReadonlyMap<string, CompiledTarget>
  readonly intentPolicies: ReadonlyMap<string, CompiledIntentPolicy>
}

export interface PolicySource {
  /** The snapshot this isolate holds, loaded on first use. Throws StoreUnavailable. */
  current(): Promise<PolicySnapshot>
  /** Loads again when the stored revision is not `known`. */
  refresh(known: number): Promise<PolicySnapshot>
  /** Like refresh, but reads the revision at most once a second (unknown issuers). */
  refreshLimited(): Promise<PolicySnapshot>
  /**
   * The snapshot, loaded again when it is older than `revision`. A revision that does not exist yet is
   * looked for at most once a second, whoever asks.
   */
  atLeast(revision: number): Promise<PolicySnapshot>
  /** This isolate wrote to the policy: the next limited refresh does not wait. */
  noteChange(): void
}

/** CEL conditions behind the wrapper of functions/conditions (length, nesting and list caps). */
export interface Conditions {
  /** Makes the engine ready for the conditions of these bindings; comes before `holds` and `mistake`. */
  load(bindings: readonly { readonly condition?: string }[]): Promise<void>
  /**
   * True only when the expression evaluates to exactly `true`. `whenBeyondCaps` is the answer for facts
   * that are too large to be looked at: a deny says true, or padding a claim would get around it.
   */
  holds(
    expression: string,
    facts: {
      readonly claims: unknown
      /** Of the user acted for; empty when there is none. */
      readonly subject: unknown
      readonly request: unknown
      readonly target: unknown
      readonly now: number
    },
    whenBeyondCaps?: boolean,
  ): boolean
  /** A mistake in the expression, or null; used when a binding is saved. */
  mistake(expression: string): string | null
}
