// What a binding must satisfy: it joins things that exist, its patterns and its condition can be read,
// and it asks of its target only what the target can do.
import { patternMistake } from '../core/object-pattern.ts'
import type { BindingPolicy, DocumentError, TargetPolicy } from '../core/policy.ts'
import type { Conditions } from '../core/snapshot.ts'
import { ADMIN_ROLES, ADMIN_TARGET } from './admin-target.ts'
import { delegationMistakes } from './check-delegation.ts'
import { pointer } from './pointer.ts'

export type Surroundings = {
  readonly authMethods: ReadonlySet<string>
  /** What those that can be read vouch for. */
  readonly subjects: ReadonlyMap<string, 'workload' | 'user'>
  readonly intentPolicies: ReadonlySet<string>
  readonly targets: ReadonlyMap<string, TargetPolicy>
  /** Present in the document, but with mistakes of their own. */
  readonly unreadableTargets: ReadonlySet<string>
}

/** Types of target that hand out a credential of their own making. */
const CREDENTIAL_TARGETS: readonly string[] = ['aws-sts']

export function bindingMistakes(
  binding: BindingPolicy,
  around: Surroundings,
  conditions: Conditions,
): DocumentError[] {
  return [
    ...referenceMistakes(binding, around),
    ...grantMistakes(binding),
    ...deliveryMistakes(binding, around),
    ...delegationMistakes(binding, around),
    ...proofMistakes(binding),
    ...conditionMistakes(binding, conditions),
  ]
}

function referenceMistakes(binding: BindingPolicy, around: Surroundings): DocumentError[] {
  const errors: DocumentError[] = []
  if (!around.authMethods.has(binding.auth_method))
    errors.push(unknownReference('/auth_method', 'auth method', binding.auth_method))
  if (
    binding.target !== ADMIN_TARGET &&
    !around.targets.has(binding.target) &&
    !around.unreadableTargets.has(binding.target)
  )
    errors.push(unknownReference('/target', 'target', binding.target))
  const policy = binding.intent?.policy
  if (policy !== undefined && !around.intentPolicies.has(policy))
    errors.push(unknownReference('/intent/policy', 'intent policy', policy))
  return errors
}

function unknownReference(path: string, what: string, name: string): DocumentError {
  return { path, code: 'unknown_reference', message: `there is no ${what} "${name}"` }
}

function grantMistakes(binding: BindingPolicy): DocumentError[] {
  if (binding.effect === 'allow' && binding.grants.length === 0)
    return [{ path: '/grants', code: 'required', message: 'an allow needs at least one grant' }]
  if (binding.target === ADMIN_TARGET) return adminGrantMistakes(binding)
  return binding.grants.flatMap((grant, i) =>
    grant.objects.flatMap((object, j) => {
      const mistake = patternMistake(object)
      if (mistake === null) return []
      return [{ path: pointer('grants', i, 'objects', j), code: 'pattern', message: mistake }]
    }),
  )
}

/** Objects are roles there, each by its name: a pattern would grant roles that do not exist yet. */
function adminGrantMistakes(binding: BindingPolicy): DocumentError[] {
  return binding.grants.flatMap((grant, i) => [
    ...(grant.effects.every((effect) => effect === 'admin')
      ? []
      : [
          {
            path: pointer('grants', i, 'effects'),
            code: 'value',
            message: `${ADMIN_TARGET} has the effect admin only`,
          },
        ]),
    ...grant.objects.flatMap((object, j) =>
      (ADMIN_ROLES as readonly string[]).includes(object)
        ? []
        : [
            {
              path: pointer('grants', i, 'objects', j),
              code: 'value',
              message: `must be one of ${ADMIN_ROLES.join(', ')}`,
            },
          ],
    ),
  ])
}

function deliveryMistakes(binding: BindingPolicy, around: Surroundings): DocumentError[] {
  if (binding.delivery === 'session' || around.unreadableTargets.has(binding.target)) return []
  const type = around.targets.get(binding.target)?.type
  if (type !== undefined && CREDENTIAL_TARGETS.includes(type)) return []
  const message = 'this target hands out no credential of its own'
  return [{ path: '/delivery', code: 'unsupported', message }]
}

/** Nothing that looks like a restriction is without effect (POL-9). */
function proofMistakes({ effect, require_proof: proof = 'none' }: BindingPolicy): DocumentError[] {
  if (effect === 'allow' || proof === 'none') return []
  const message = 'a deny opens nothing that could be bound to a key'
  return [{ path: '/require_proof', code: 'unsupported', message }]
}

function conditionMistakes(binding: BindingPolicy, conditions: Conditions): DocumentError[] {
  if (binding.condition === undefined) return []
  const mistake = conditions.mistake(binding.condition)
  return mistake === null ? [] : [{ path: '/condition', code: 'condition', message: mistake }]
}
