// The intent policies that a binding names, as they are compiled. One that is named and not there
// (it was removed, disabled, or does not compile) still applies: it denies, since nobody knows what
// it says.
import type { CompiledEvaluator } from './evaluator.ts'
import type { CompiledIntentPolicy, PolicySnapshot } from './snapshot.ts'

export function namedPolicies(
  names: readonly string[],
  snapshot: Pick<PolicySnapshot, 'intentPolicies'>,
): readonly CompiledIntentPolicy[] {
  return names.map((name) => snapshot.intentPolicies.get(name) ?? missingPolicy(name))
}

/** Whether anything can ask for a person: rules and evaluators do, grants and envelopes never. */
export function mayReview({ intentPolicies }: Pick<PolicySnapshot, 'intentPolicies'>): boolean {
  return intentPolicies.size > 0
}

/** Whether any of them asks an evaluator, which is shown what the session did before. */
export function askEvaluators({ intentPolicies }: Pick<PolicySnapshot, 'intentPolicies'>): boolean {
  for (const { floor, judge } of intentPolicies.values()) {
    if (floor !== null || judge !== null) return true
  }
  return false
}

/**
 * In the place of the floor, which log_only does not cover: the missing policy may have had one.
 */
function missingPolicy(name: string): CompiledIntentPolicy {
  return { policy: { name, enabled: true, rules: [] }, floor: DENY, judge: null }
}

const DENY: CompiledEvaluator = {
  name: 'sallyport',
  evaluate: async () => ({ verdict: 'deny', reasonCode: 'intent_policy_missing', latencyMs: 0 }),
}
