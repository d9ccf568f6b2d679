// Writes to the policy: planned on one revision, written on exactly that one, planned again when another
// write came between. Nothing is ever decided on one policy and written on the next (RACE-5).
import type { Failure } from '../../core/failure.ts'
import type { PolicyDocument } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { fail } from '../../core/result.ts'
import { adminOnlyChanges } from '../../policy/admin-target.ts'
import type { PolicyTypes } from '../../policy/check.ts'
import { withMemory } from '../../policy/check-secrets.ts'
import type { PolicyChange } from '../../store/contract.ts'
import type { AdminCall, Answer } from './contract.ts'
import { adminEvent, describeChanges } from './event.ts'

/** Writers that keep overtaking each other are told so instead of holding their connections. */
const MAX_ATTEMPTS = 5

export const MOVED = Symbol('the policy changed meanwhile')
export type Attempt = Result<Answer, Failure> | typeof MOVED

export async function untilUnmoved(
  attempt: () => Promise<Attempt>,
): Promise<Result<Answer, Failure>> {
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    const result = await attempt()
    if (result !== MOVED) return result
  }
  return fail({ kind: 'conflict', reason: 'policy_changed_meanwhile' })
}

/** The new revision, or MOVED when nothing was written. */
export async function writePolicy(
  call: AdminCall,
  operation: string,
  changes: readonly PolicyChange[],
  expectedRevision: number,
): Promise<number | typeof MOVED> {
  const event = adminEvent(call, {
    action: describeChanges(operation, changes, call),
    policyRevision: expectedRevision + 1,
  })
  const revision = await call.deps.policies.write({ changes, expectedRevision, event })
  if (revision === null) return MOVED
  call.deps.onPolicyChanged()
  return revision
}

/**
 * What a policy is checked with. Whoever may not name a secret of AWS does not find out by a check which ones
 * there are, nor has AWS asked.
 */
export function typesFor({ admin, deps: { types } }: AdminCall): PolicyTypes {
  const asker = admin.role === 'admin' ? 'admin' : 'other'
  return withMemory({
    ...types,
    secretAllowedOrigins: (reference) => types.secretAllowedOrigins(reference, asker),
  })
}

/** Null when this administrator may make the changes. */
export function refusalOfRole(
  call: AdminCall,
  changes: readonly PolicyChange[],
  before: PolicyDocument,
  after: PolicyDocument,
): Failure | null {
  if (call.admin.role === 'admin') return null
  const beyond = adminOnlyChanges(changes, before, after, call.deps.issuer)
  return beyond.length === 0 ? null : { kind: 'forbidden', needs: 'admin' }
}
