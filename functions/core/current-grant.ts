// What a session may do at a target now: what it was granted when it opened, and no more than what the
// bindings still grant if the policy changed since. A removal or a tightened rule acts at once.
import type { Failure } from './failure.ts'
import { bindingEnd } from './binding.ts'
import { asScope, grantsAllow, narrowGrants, smallestLimits } from './grants.ts'
import { type Action, isMinting } from './intent.ts'
import { intentOf, purposesOf } from './lineage.ts'
import { deliveryOf, describeOpening, findTarget } from './opening.ts'
import type { BindingPolicy, Grant, LimitsPolicy, OnReview } from './policy.ts'
import type { Clock, Seconds } from './ports.ts'
import { isBoundAs } from './proof.ts'
import { fail, ok, type Result } from './result.ts'
import type { Session, TargetGrant } from './session.ts'
import type { Conditions, PolicySnapshot } from './snapshot.ts'
import { treeGrant } from './tree-grant.ts'

export type GrantNow = {
  /** What holds at this target: never more than the session was granted, and than today's bindings grant. */
  readonly held: () => readonly Grant[]
  /** When what it is granted ends. */
  readonly endsAt: Seconds
  /** The grants that hold for this action; empty when today's bindings do not cover it. */
  readonly grants: (action: Action) => readonly Grant[]
  readonly intentPolicies: readonly string[]
  readonly onReview: OnReview
  readonly mode: 'enforce' | 'log_only'
  readonly limits: LimitsPolicy
  /** Of a sub-agent's session: what the policy allows all of its tree together. */
  readonly shared: LimitsPolicy | null
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
    const shared = session.lineage?.limits ?? null
    const { limits, expiresAt: endsAt } = session
    const grants = () => granted.grants
    return ok({ ...granted, limits, shared, endsAt, grants, held: grants })
  }
  if (!areStillVouchedFor(session, snapshot)) return notGranted('method_changed')
  return tightened(session, granted, bindings, snapshot, deps)
}

/**
 * Whether the methods of all who take part would still accept them, and as what they were: agents above
 * it and itself as workloads, the user, and whoever a user's token alone let in, as users.
 */
export function areStillVouchedFor(
  session: Session,
  { methods, userMethods }: PolicySnapshot,
): boolean {
  const { onBehalfOf, lineage } = session
  const [root, ...below] = [...(lineage?.actors ?? []), session]
  const isImpersonation = onBehalfOf?.relation === 'impersonation'
  const taking = [session, ...(lineage?.actors ?? []), ...(onBehalfOf === null ? [] : [onBehalfOf])]
  return (
    taking.every(({ authMethod, claims }) => methods.get(authMethod)?.accepts(claims) === true) &&
    (onBehalfOf === null || userMethods.has(onBehalfOf.authMethod)) &&
    userMethods.has(root.authMethod) === isImpersonation &&
    !below.some(({ authMethod }) => userMethods.has(authMethod))
  )
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
  const asked = describeOpening({
    targets: session.grants.map((grant) => grant.target),
    scope: null,
    intent: null,
  })
  const requests = purposesOf(session).map((purpose) => ({ ...asked, purpose }))
  // Judged as the chain of agents that it is: the root's bindings grant, everybody's denies hold.
  const [root, ...below] = [...(session.lineage?.actors ?? []), session]
  const { onBehalfOf } = session
  const delivery = deliveryOf(granted.target, snapshot)
  const facts = { root, below, onBehalfOf, requests, target, delivery, now }
  const tree = treeGrant(bindings, facts, deps.conditions)
  if (!tree.ok) return notGranted(tree.failure)
  const { united, held: holding, delegated } = tree.value
  const endsAt = root.createdAt + united.ttlSeconds
  if (endsAt <= now) {
    return fail({ kind: 'invalid_handle', reason: 'expired' })
  }
  if (united.intentRequired && intentOf(session) === null) return notGranted('intent_required')
  if (!isBoundAs(united.proofs, session.confirmation)) {
    return fail({ kind: 'invalid_handle', reason: 'proof_required' })
  }
  // Both must allow: the session never gains what a later policy adds.
  const held = () => narrowGrants(granted.grants, asScope(delegated), undefined)
  return ok({
    held,
    endsAt: Math.min(session.expiresAt, endsAt, ...holding.map(bindingEnd)),
    grants: (action) => {
      // Planned from what is held, each effect on its own objects: both have said yes to it.
      if (isMinting(action)) return held()
      return grantsAllow(delegated, action.effects, action.objects) ? granted.grants : []
    },
    intentPolicies: united.intentPolicies,
    onReview: united.onReview,
    mode: granted.mode === 'enforce' ? 'enforce' : united.mode,
    limits: smallestLimits([session.limits, united.limits]),
    shared:
      session.lineage === null ? null : smallestLimits([session.lineage.limits, united.limits]),
  })
}
