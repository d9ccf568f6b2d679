// Which bindings of a method would hold for claims that were read and not verified, and why the others do
// not: by the function that the broker itself asks.
import { bindingEnd, matchBindings } from '../core/binding.ts'
import type { JsonObject } from '../core/identity.ts'
import { describeOpening, findTarget } from '../core/opening.ts'
import type { BindingPolicy } from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import type { ExplainedPolicy } from './explain-policy.ts'

export type BindingLine = {
  readonly binding: string
  readonly target: string
  readonly effect: string
  readonly holds: boolean
  readonly why?: string
}

export function bindingLines(
  method: string,
  claims: JsonObject,
  policy: ExplainedPolicy,
  now: Seconds,
): BindingLine[] {
  const { auth_methods: methods, bindings } = policy.document
  const isUser = methods.some(({ name, subject }) => name === method && subject === 'user')
  return bindings
    .filter((binding) => binding.auth_method === method)
    .map((binding) => {
      const { name, effect } = binding
      const target = findTarget(binding.target, policy.snapshot)
      const line = { binding: name, target: binding.target, effect }
      if (target === null) return { ...line, holds: false, why: 'there is no such target' }
      if (isUser && effect === 'allow' && binding.allow_impersonation !== true) {
        return { ...line, holds: false, why: "a user's token alone opens nothing" }
      }
      if (binding.on_behalf_of !== undefined) {
        return {
          ...line,
          holds: false,
          why: `only on behalf of ${binding.on_behalf_of.join(', ')}`,
        }
      }
      const request = describeOpening({ targets: [binding.target], scope: null, intent: null })
      // On its own: a user acts by impersonation.
      const onBehalfOf = isUser
        ? ({ relation: 'impersonation', authMethod: method, claims } as const)
        : null
      const facts = { claims, onBehalfOf, request, target, now }
      const { allows, denies } = matchBindings([binding], facts, policy.conditions)
      if (allows.length + denies.length > 0) return { ...line, holds: true }
      return { ...line, holds: false, why: reasonOf(binding, now) }
    })
}

function reasonOf(binding: BindingPolicy, now: Seconds): string {
  if (!binding.enabled) return 'it is disabled'
  if (bindingEnd(binding) <= now) return `it ended at ${String(binding.expires_at)}`
  return `its condition is not true: ${String(binding.condition)}`
}
