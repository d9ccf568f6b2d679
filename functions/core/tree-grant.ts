// What the bindings grant to the last of a chain of agents, each of which was let in by the one before it:
// the root's bindings, as far as they name every method of the chain, and nobody's deny.
import { expandBinding, matchBindings } from './binding.ts'
import type { OnBehalfOf } from './delegation.ts'
import { type UnitedBindings, uniteBindings } from './grants.ts'
import type { JsonObject } from './identity.ts'
import type { BindingPolicy, Grant, TargetPolicy } from './policy.ts'
import type { Seconds } from './ports.ts'
import { fail, ok, type Result } from './result.ts'
import type { Conditions } from './snapshot.ts'

/** One agent of the chain, by what was verified of it. */
export type Link = { readonly authMethod: string; readonly claims: JsonObject }

export type TreeFacts = {
  readonly root: Link
  /** Those below the root, the one that acts last. */
  readonly below: readonly Link[]
  readonly onBehalfOf: OnBehalfOf | null
  /** What is asked for, as each of the chain declared it: the root's first, the last one's last. */
  readonly requests: readonly JsonObject[]
  readonly target: Pick<TargetPolicy, 'name' | 'type' | 'labels'>
  readonly delivery: BindingPolicy['delivery']
  readonly now: Seconds
}

export type TreeGrant = {
  /** All bindings that hold for the root, or that hold for it by what somebody below declared: their terms bind. */
  readonly united: UnitedBindings
  readonly held: readonly BindingPolicy[]
  /** What those of them grant that delegate to the whole chain, and their names. */
  readonly delegated: readonly Grant[]
  readonly names: readonly string[]
}

export function treeGrant(
  bindings: readonly BindingPolicy[],
  facts: TreeFacts,
  conditions: Conditions,
): Result<TreeGrant, 'denied_by_binding' | 'no_binding' | 'not_delegated' | 'too_deep'> {
  const { root, below, onBehalfOf, requests, target, now } = facts
  // Whoever acts below the root acts for its user too, and was attested itself.
  const asActor = onBehalfOf === null ? null : ({ ...onBehalfOf, relation: 'delegation' } as const)
  const matchedBy = (
    { authMethod, claims }: Link,
    behalf: OnBehalfOf | null,
    request: JsonObject,
  ) =>
    matchBindings(
      bindings.filter((binding) => binding.auth_method === authMethod),
      { claims, onBehalfOf: behalf, request, target, now },
      conditions,
    )
  // With what each declared, that one and all before it are judged: a purpose of its own frees nobody
  // from what holds for those above.
  const levels = requests.map((request, level) => {
    const ofRoot = matchedBy(root, onBehalfOf, request)
    const others = below.slice(0, level).map((link) => matchedBy(link, asActor, request))
    return {
      isDenied: [ofRoot, ...others].some(({ denies }) => denies.length > 0),
      allows: ofRoot.allows.filter((binding) => binding.delivery === facts.delivery),
    }
  })
  if (levels.some(({ isDenied }) => isDenied)) return fail('denied_by_binding')
  if (levels.some(({ allows }) => allows.length === 0)) return fail('no_binding')
  const held = [...new Set(levels.flatMap(({ allows }) => allows))]
  if (held.some(({ max_depth: depth = Infinity }) => below.length > depth)) return fail('too_deep')
  const delegating = held.filter(
    (binding) =>
      levels.every(({ allows }) => allows.includes(binding)) &&
      below.every(({ authMethod }) => binding.delegate_to?.includes(authMethod) === true),
  )
  if (delegating.length === 0) return fail('not_delegated')
  return ok({
    united: uniteBindings(held),
    held,
    // In the words of the root, whose bindings these are.
    delegated: delegating.flatMap(
      (binding) => expandBinding(binding, { claims: root.claims, onBehalfOf }).grants,
    ),
    names: delegating.map(({ name }) => name),
  })
}
