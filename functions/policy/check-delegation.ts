// What a binding says of who may act for whom: users are named where users are meant, workloads where
// workloads are, and nothing is said that could never take effect.
import type { BindingPolicy, DocumentError } from '../core/policy.ts'
import { ADMIN_TARGET } from './admin-target.ts'
import type { Surroundings } from './check-binding.ts'
import { pointer } from './pointer.ts'

export function delegationMistakes(
  binding: BindingPolicy,
  around: Pick<Surroundings, 'authMethods' | 'subjects'>,
): DocumentError[] {
  const {
    on_behalf_of: users,
    delegate_to: workloads,
    allow_impersonation: mayImpersonate,
    max_depth: maxDepth,
  } = binding
  const own = around.subjects.get(binding.auth_method)
  return [
    ...namedMethods('on_behalf_of', users, 'user', around),
    ...namedMethods('delegate_to', workloads, 'workload', around),
    ...(users !== undefined && own === 'user'
      ? [mistake('/on_behalf_of', 'value', 'the method of this binding vouches for users itself')]
      : []),
    ...(mayImpersonate === true && own === 'workload'
      ? [
          mistake(
            '/allow_impersonation',
            'value',
            'the method of this binding vouches for no users',
          ),
        ]
      : []),
    ...(mayImpersonate === true && binding.effect === 'deny'
      ? [mistake('/allow_impersonation', 'value', 'a deny allows nothing')]
      : []),
    ...(workloads !== undefined && binding.effect === 'deny'
      ? [mistake('/delegate_to', 'value', 'a deny delegates nothing')]
      : []),
    ...(maxDepth !== undefined && workloads === undefined
      ? [mistake('/max_depth', 'value', 'without delegate_to there is nothing below')]
      : []),
    ...(workloads !== undefined && binding.target === ADMIN_TARGET
      ? [mistake('/delegate_to', 'unsafe', 'administration is not delegated')]
      : []),
  ]
}

function namedMethods(
  member: 'on_behalf_of' | 'delegate_to',
  names: readonly string[] | undefined,
  wanted: 'workload' | 'user',
  { authMethods, subjects }: Pick<Surroundings, 'authMethods' | 'subjects'>,
): DocumentError[] {
  return (names ?? []).flatMap((name, i) => {
    const path = pointer(member, i)
    if (!authMethods.has(name)) {
      return [mistake(path, 'unknown_reference', `there is no auth method "${name}"`)]
    }
    // One with mistakes of its own says nothing yet.
    if ((subjects.get(name) ?? wanted) === wanted) return []
    return [mistake(path, 'value', `"${name}" does not vouch for ${wanted}s`)]
  })
}

function mistake(path: string, code: string, message: string): DocumentError {
  return { path, code, message }
}
