// Which bindings of a (method, target) pair hold for these claims, now. Deny wins; a condition that
// does not evaluate to exactly `true` matches nothing, in an allow as in a deny: write a deny so that it
// holds when a claim is missing (`!has(claims.team) || claims.team != "payments"`). Facts that are too
// large to be looked at end an allow and keep a deny, so that no padded claim gets around one.
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
  const end = bindingEnd(binding)
  // A date that cannot be read ends an allow and keeps a deny (fail closed).
  return Number.isNaN(end) ? binding.effect === 'allow' : end <= now
}

/** When the binding stops to hold: what it granted ends with it. NaN for a date that cannot be read. */
export function bindingEnd({ expires_at: end }: Pick<BindingPolicy, 'expires_at'>): Seconds {
  return end === undefined ? Infinity : Math.floor(Date.parse(end) / 1000)
}

function conditionHolds(
  binding: BindingPolicy,
  facts: BindingFacts,
  conditions: Conditions,
): boolean {
  if (binding.condition === undefined) return true
  const { name, type, labels = [] } = facts.target
  return conditions.holds(
    binding.condition,
    {
      claims: facts.claims,
      request: facts.request,
      target: { name, type, labels },
      now: facts.now,
    },
    binding.effect === 'deny',
  )
}
