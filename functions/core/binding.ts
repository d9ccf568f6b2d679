// Which bindings of a (method, target) pair hold for these claims, now. Deny wins; a condition that
// does not evaluate to exactly `true` matches nothing, in an allow as in a deny: write a deny so that it
// holds when a claim is missing (`!has(claims.team) || claims.team != "payments"`). Facts that are too
// large to be looked at end an allow and keep a deny, so that no padded claim gets around one.
import { expandClaims } from './arn-pattern.ts'
import type { OnBehalfOf } from './delegation.ts'
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
  /** The user for whom it is asked; null: nobody but whose claims these are. */
  readonly onBehalfOf: Pick<OnBehalfOf, 'relation' | 'authMethod' | 'claims'> | null
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
      isForSubject(binding, facts.onBehalfOf) &&
      !isExpired(binding, facts.now) &&
      conditionHolds(binding, facts, conditions),
  )
  return {
    allows: holding.filter((binding) => binding.effect === 'allow'),
    denies: holding.filter((binding) => binding.effect === 'deny').map((binding) => binding.name),
  }
}

/**
 * An allow holds for the users that it names, and where it names none, when nobody else is the subject. A
 * deny that names none holds for everybody.
 */
function isForSubject(binding: BindingPolicy, onBehalfOf: BindingFacts['onBehalfOf']): boolean {
  const { effect, on_behalf_of: users, allow_impersonation: mayImpersonate } = binding
  if (users !== undefined) {
    return onBehalfOf?.relation === 'delegation' && users.includes(onBehalfOf.authMethod)
  }
  if (effect === 'deny' || onBehalfOf === null) return true
  return onBehalfOf.relation === 'impersonation' && mayImpersonate === true
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

/**
 * A binding whose objects name the caller's claims, with what was verified in their place. Only bindings of
 * targets that hand over credentials can.
 */
export function expandBinding(
  binding: BindingPolicy,
  { claims, onBehalfOf }: Pick<BindingFacts, 'claims' | 'onBehalfOf'>,
): BindingPolicy {
  if (binding.delivery === 'session') return binding
  const subject = onBehalfOf?.claims ?? null
  return { ...binding, grants: expandClaims(binding.grants, { claims, subject }) }
}

/** So that `has(subject.email)` is false, and no error, when there is no user. */
const NO_CLAIMS: JsonObject = {}

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
      subject: facts.onBehalfOf?.claims ?? NO_CLAIMS,
      request: facts.request,
      target: { name, type, labels },
      now: facts.now,
    },
    binding.effect === 'deny',
  )
}
