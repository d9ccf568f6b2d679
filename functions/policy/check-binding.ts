// What a binding must satisfy: it joins things that exist, its patterns and its condition can be read,
// and it asks of its target only what the target can do.
import { patternMistake } from '../core/object-pattern.ts'
import type { BindingPolicy, DocumentError, TargetPolicy } from '../core/policy.ts'
import type { Conditions } from '../core/snapshot.ts'
import type { TargetType } from '../core/target.ts'
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

type Types = { readonly conditions: Conditions; readonly targets: readonly TargetType[] }

export async function bindingMistakes(
  binding: BindingPolicy,
  around: Surroundings,
  { conditions, targets }: Types,
): Promise<DocumentError[]> {
  const type = targetTypeOf(binding, around, targets)
  return [
    ...referenceMistakes(binding, around),
    ...(await grantMistakes(binding, around, type?.grantMistakes)),
    ...deliveryMistakes(binding, type),
    ...(type?.needsUser === true ? userMistakes(binding) : []),
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

async function grantMistakes(
  binding: BindingPolicy,
  around: Surroundings,
  ofType: TargetType['grantMistakes'],
): Promise<readonly DocumentError[]> {
  if (binding.effect === 'allow' && binding.grants.length === 0)
    return [{ path: '/grants', code: 'required', message: 'an allow needs at least one grant' }]
  if (binding.target === ADMIN_TARGET) return adminGrantMistakes(binding)
  const target = around.targets.get(binding.target)
  if (ofType !== undefined && target !== undefined) return ofType(binding.grants, target)
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

/** Null of a target that cannot be read or is not there: that is a mistake of its own. */
function targetTypeOf(
  { target: name }: BindingPolicy,
  around: Surroundings,
  types: readonly TargetType[],
): Pick<TargetType, 'delivery' | 'grantMistakes' | 'needsUser'> | null {
  if (name === ADMIN_TARGET) return {}
  const target = around.unreadableTargets.has(name) ? undefined : around.targets.get(name)
  return types.find(({ type }) => type === target?.type) ?? null
}

function deliveryMistakes(
  { effect, delivery, limits, may_outlive_subject: mayOutlive }: BindingPolicy,
  type: Pick<TargetType, 'delivery'> | null,
): DocumentError[] {
  const unsupported = (path: string, message: string) => [{ path, code: 'unsupported', message }]
  if (type === null) return []
  const { delivery: wanted = 'session' } = type
  // A deny delivers nothing, and need not say what it does not deliver.
  const fits = delivery === wanted || (effect === 'deny' && delivery === 'session')
  const outlives = mayOutlive === undefined || (effect === 'allow' && wanted === 'credential')
  return [
    ...(fits ? [] : unsupported('/delivery', DELIVERIES[wanted])),
    ...(outlives ? [] : unsupported('/may_outlive_subject', 'nothing is handed over here')),
    // Whoever holds a credential is counted by nobody.
    ...(['rows', 'bytes'] as const).flatMap((limit) =>
      wanted === 'session' || limits?.[limit] === undefined
        ? []
        : unsupported(`/limits/${limit}`, 'what is done with a credential is not counted'),
    ),
  ]
}

/** What is handed over here speaks of a user, and of who acts for that user. */
function userMistakes({ effect, ...binding }: BindingPolicy): DocumentError[] {
  if (effect === 'deny') return []
  const needed = { path: '/on_behalf_of', code: 'required', message: 'this target is for users' }
  const alone = {
    path: '/allow_impersonation',
    code: 'unsupported',
    message: 'needs an agent beside the user',
  }
  return [
    ...(binding.on_behalf_of === undefined ? [needed] : []),
    ...(binding.allow_impersonation === true ? [alone] : []),
  ]
}

const DELIVERIES = {
  session: 'this target hands out no credential of its own',
  credential: 'this target hands out credentials of its own making: say `delivery: credential`',
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
