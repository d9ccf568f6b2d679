// Which bindings of a (method, target) pair hold for these claims, now. Deny wins; a condition that
// does not evaluate to exactly `true` matches nothing, in an allow as in a deny: write a deny so that it
// holds when a claim is missing (`!has(claims.team) || claims.team != "payments"`).
import type { JsonObject } from './identity.ts'
import type { BindingPolicy, TargetPolicy } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Conditions } from './snapshot.ts'

export type BindingFacts = {
  /** Verified claims, `act` cut to the outermost actor. */
  readonly claims: JsonObject
  /** What was asked for: scope, declared purpose. Caller-written; useful to narrow, never to prove. */
  readonly request: JsonObject
  readonly target: Pick<TargetPolicy, 'name' | 'type' | 'labels'>
  readonly now: Seconds
}

export type MatchedBindings = {
  readonly allows: readonly BindingPolicy[]
  /** Names of deny bindings that hold. */
  readonly denies: readonly string[]
}

export function matchBindings(
  bindings: readonly BindingPolicy[],
  facts: BindingFacts,
  conditions: Conditions,
): MatchedBindings {
  const holding = bindings.filter(
    (binding) =>
      binding.enabled &&
      binding.target === facts.target.name &&
      !isExpired(binding, facts.now) &&
      conditionHolds(binding, facts, conditions),
  )
  return {
    allows: holding.filter((binding) => binding.effect === 'allow'),
    denies: holding.filter((binding) => binding.effect === 'deny').map((binding) => binding.name),
  }
}

function isExpired(binding: BindingPolicy, now: Seconds): boolean {
  if (binding.expires_at === undefined) return false
  const end = Date.parse(binding.expires_at) / 1000
  // A date that cannot be read ends an allow and keeps a deny (fail closed).
  return Number.isNaN(end) ? binding.effect === 'allow' : end <= now
}

function conditionHolds(
  binding: BindingPolicy,
  facts: BindingFacts,
  conditions: Conditions,
): boolean {
  if (binding.condition === undefined) return true
  return conditions.holds(binding.condition, {
    claims: facts.claims,
    request: facts.request,
    target: { name: facts.target.name, type: facts.target.type, labels: facts.target.labels ?? [] },
    now: facts.now,
  })
}
