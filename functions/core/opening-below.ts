// What a sub-agent may open: of what its parent holds, as much as the root's bindings delegate to it,
// within what every session above it has left. It never widens, whatever the sub-agent's own method may do
// by itself: who is asked by somebody with less must not lend them what it has (confused deputy).
import { bindingEnd } from './binding.ts'
import { areStillVouchedFor } from './current-grant.ts'
import { mayAct, mayNotAct } from './delegation.ts'
import type { Failure } from './failure.ts'
import { asScope, narrowGrants, smallestLimits, strictestReview, uniteBindings } from './grants.ts'
import { lineageBelow, intentOf, purposesOf } from './lineage.ts'
import {
  attestationEnds,
  deliveryOf,
  describeOpening,
  findTarget,
  type Opened,
  type Opening,
  type OpeningPolicy,
  type OpeningRequest,
} from './opening.ts'
import type { BindingPolicy, Grant, LimitsPolicy } from './policy.ts'
import { isBoundAs, PROOF_KINDS } from './proof.ts'
import type { ParentRead } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import { standingFailure } from './session-state.ts'
import type { Session, SessionUsage, TargetGrant } from './session.ts'
import { type TreeGrant, treeGrant } from './tree-grant.ts'

export function openBelow(
  request: OpeningRequest,
  parent: ParentRead | null,
  policy: OpeningPolicy,
): Result<Opened, Failure> {
  const unfit = parentFault(request, parent?.session ?? null, policy)
  if (parent === null || unfit !== null) return fail(unfit ?? noParent('session_ended'))
  const { session } = parent
  const asked = {
    ...request,
    onBehalfOf: session.onBehalfOf,
    lineage: lineageBelow(session, {}),
  }
  const opened: OpenedTarget[] = []
  for (const name of request.targets) {
    const target = openTarget(name, asked, session, policy)
    if (!target.ok) return target
    opened.push(target.value)
  }
  const held = opened.flatMap((target) => target.held)
  const shared = uniteBindings(held).limits
  const opening = termsBelow(asked, opened, parent, policy)
  if (!opening.ok) return opening
  return ok({
    asked: { ...asked, lineage: lineageBelow(session, shared) },
    opening: opening.value,
  })
}

function noParent(reason: 'session_ended' | 'expired'): Failure {
  return { kind: 'attestation_rejected', role: 'subject', reason }
}

/** Why nobody can descend from this session, or this actor cannot. */
function parentFault(
  { identity }: OpeningRequest,
  parent: Session | null,
  { now, snapshot, maxDelegationDepth }: OpeningPolicy,
): Failure | null {
  if (parent === null || standingFailure([parent, ...parent.above], now) !== null) {
    return noParent('session_ended')
  }
  const { onBehalfOf, lineage } = parent
  if ((lineage?.ancestors.length ?? 0) >= maxDelegationDepth) {
    return { kind: 'attestation_rejected', role: 'subject', reason: 'chain_too_long' }
  }
  if (onBehalfOf !== null && !mayAct(onBehalfOf.claims, identity)) {
    const refused = mayNotAct(onBehalfOf.authMethod)
    return refused.ok ? null : refused.failure
  }
  return areStillVouchedFor(parent, snapshot) ? null : noParent('session_ended')
}

type OpenedTarget = {
  readonly grant: TargetGrant
  readonly held: readonly BindingPolicy[]
}

function openTarget(
  name: string,
  asked: OpeningRequest,
  parent: Session,
  policy: OpeningPolicy,
): Result<OpenedTarget, Failure> {
  const target = findTarget(name, policy.snapshot)
  if (target === null) return invalidTarget('unknown_target', name)
  const held = parent.grants.find((grant) => grant.target === name)
  if (held === undefined) return invalidTarget('no_binding', name)
  const { identity, onBehalfOf } = asked
  const [root, ...between] = [...(parent.lineage?.actors ?? []), parent]
  const tree = treeGrant(
    policy.bindings,
    {
      root,
      below: [...between, { authMethod: identity.method, claims: identity.claims }],
      onBehalfOf,
      requests: purposesOf(asked).map((purpose) => ({ ...describeOpening(asked), purpose })),
      target,
      delivery: deliveryOf(name, policy.snapshot),
      now: policy.now,
    },
    policy.conditions,
  )
  if (!tree.ok) return invalidTarget(tree.failure, name)
  const own = grantsBelow(parent, held, tree.value)
  if (own.length === 0) return invalidTarget('not_delegated', name)
  const grants = narrowGrants(own, asked.scope, undefined)
  if (grants.length === 0) {
    return fail({ kind: 'invalid_scope', reason: 'nothing_left', target: name })
  }
  return ok({ grant: strictestOf(held, tree.value, grants), held: tree.value.held })
}

function invalidTarget(
  reason: Extract<Failure, { kind: 'invalid_target' }>['reason'],
  target: string,
): Result<never, Failure> {
  return fail({ kind: 'invalid_target', reason, target })
}

/** What the parent holds and has not lost, within what is delegated. */
function grantsBelow(parent: Session, held: TargetGrant, tree: TreeGrant): readonly Grant[] {
  const removed = new Set([parent, ...parent.above].flatMap((one) => one.removedEffects))
  const kept = held.grants.flatMap(({ effects, objects }) => {
    const left = effects.filter((effect) => !removed.has(effect))
    return left.length === 0 ? [] : [{ effects: left, objects }]
  })
  return narrowGrants(kept, asScope(tree.delegated), undefined)
}

/** What held the parent holds the sub-agent, and what the policy has added since. */
function strictestOf(
  held: TargetGrant,
  { united, names }: TreeGrant,
  grants: readonly Grant[],
): TargetGrant {
  return {
    target: held.target,
    bindings: names,
    grants,
    intentPolicies: [...new Set([...held.intentPolicies, ...united.intentPolicies])],
    onReview: strictestReview([held.onReview, united.onReview]),
    mode: held.mode === 'enforce' ? 'enforce' : united.mode,
  }
}

function termsBelow(
  asked: OpeningRequest,
  opened: readonly OpenedTarget[],
  { session, above }: ParentRead,
  { now }: OpeningPolicy,
): Result<Opening, Failure> {
  const held = opened.flatMap((target) => target.held)
  const targets = opened.map(({ grant }) => grant)
  const united = uniteBindings(held)
  const proofs = PROOF_KINDS.filter(
    (kind) => united.proofs.includes(kind) || isBoundAs([kind], session.confirmation),
  )
  if (united.intentRequired && intentOf(asked) === null) {
    return fail({ kind: 'invalid_authorization_details', reason: 'intent_required' })
  }
  // The parent could not act by its handle any more: nobody gets below it what it has lost.
  if (!isBoundAs(united.proofs, session.confirmation)) {
    return fail({ kind: 'attestation_rejected', role: 'subject', reason: 'unproven' })
  }
  const rootCreatedAt = session.lineage?.actors[0]?.createdAt ?? session.createdAt
  const expiresAt = Math.min(
    session.expiresAt,
    rootCreatedAt + united.ttlSeconds,
    ...held.map(bindingEnd),
    ...attestationEnds(asked, held, now),
  )
  // A binding that has ended holds no more, so what is over is the parent's time or an attestation's.
  if (expiresAt <= now) return fail(noParent('expired'))
  const remaining = [session, ...above].map(({ limits, usage }) => left(limits, usage))
  return ok({
    targets,
    limits: smallestLimits([united.limits, asked.intent?.envelope?.limits ?? {}, ...remaining]),
    expiresAt,
    mode: targets.every(({ mode }) => mode === 'log_only') ? 'log_only' : 'enforce',
    onReview: strictestReview(targets.map(({ onReview }) => onReview)),
    intentPolicies: [...new Set(targets.flatMap((target) => target.intentPolicies))],
    // What the parent's handle is bound to, the sub-agent's is, whatever these targets ask for.
    proofs,
  })
}

/** What a budget still holds; a rate is not used up. */
function left(limits: LimitsPolicy, usage: SessionUsage): LimitsPolicy {
  const remaining: { -readonly [name in keyof LimitsPolicy]: number } = {}
  for (const name of ['actions', 'writes', 'rows', 'bytes'] as const) {
    const limit = limits[name]
    if (limit !== undefined) remaining[name] = Math.max(0, limit - usage[name])
  }
  return limits.per_minute === undefined
    ? remaining
    : { ...remaining, per_minute: limits.per_minute }
}
