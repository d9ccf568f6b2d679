// What a session may do at a target now: what it was granted when it opened, and no more than what the
// bindings still grant if the policy changed since. A removal or a tightened rule acts at once.
import { matchBindings } from './binding.ts'
import type { Failure } from './failure.ts'
import { grantsAllow, smallestLimits, uniteBindings } from './grants.ts'
import type { Action } from './intent.ts'
import { describeOpening, findTarget } from './opening.ts'
import type { BindingPolicy, Grant, LimitsPolicy, OnReview } from './policy.ts'
import type { Clock } from './ports.ts'
import { fail, ok, type Result } from './result.ts'
import type { Session, TargetGrant } from './session.ts'
import type { Conditions, PolicySnapshot } from './snapshot.ts'

export type GrantNow = {
  /** The grants that hold for this action; empty when today's bindings do not cover it. */
  readonly grants: (action: Action) => readonly Grant[]
  readonly intentPolicies: readonly string[]
  readonly onReview: OnReview
  readonly mode: 'enforce' | 'log_only'
  readonly limits: LimitsPolicy
}

export function currentGrant(
  session: Session,
  target: string,
  /** Null: the policy is the one the session was opened under. */
  bindings: readonly BindingPolicy[] | null,
  snapshot: PolicySnapshot,
  deps: { conditions: Conditions; clock: Clock },
): Result<GrantNow, Failure> {
  const granted = session.grants.find((grant) => grant.target === target)
  if (granted === undefined) return notGranted('target_not_granted')
  if (bindings === null) {
    return ok({ ...granted, limits: session.limits, grants: () => granted.grants })
  }
  const method = snapshot.methods.get(session.authMethod)
  if (method === undefined || !method.accepts(session.claims)) return notGranted('method_changed')
  return tightened(session, granted, bindings, snapshot, deps)
}

function notGranted(reason: string): Result<never, Failure> {
  return fail({ kind: 'action_denied', code: 'not_granted', reason })
}

function tightened(
  session: Session,
  granted: TargetGrant,
  bindings: readonly BindingPolicy[],
  snapshot: PolicySnapshot,
  deps: { conditions: Conditions; clock: Clock },
): Result<GrantNow, Failure> {
  const target = findTarget(granted.target, snapshot)
  if (target === null) return notGranted('target_removed')
  const now = deps.clock.nowSeconds()
  const request = describeOpening({
    targets: session.grants.map((grant) => grant.target),
    scope: null,
    intent: session.intent,
  })
  const matched = matchBindings(
    bindings,
    { claims: session.claims, request, target, now },
    deps.conditions,
  )
  if (matched.denies.length > 0) return notGranted('denied_by_binding')
  const allows = matched.allows.filter((binding) => binding.delivery === 'session')
  if (allows.length === 0) return notGranted('no_binding')
  const united = uniteBindings(allows)
  if (session.createdAt + united.ttlSeconds <= now) {
    return fail({ kind: 'invalid_handle', reason: 'expired' })
  }
  if (united.intentRequired && session.intent === null) return notGranted('intent_required')
  return ok({
    // Both must allow: the session never gains what a later policy adds.
    grants: (action) =>
      grantsAllow(united.grants, action.effects, action.objects) ? granted.grants : [],
    intentPolicies: united.intentPolicies,
    onReview: united.onReview,
    mode: granted.mode === 'enforce' ? 'enforce' : united.mode,
    limits: smallestLimits([session.limits, united.limits]),
  })
}
