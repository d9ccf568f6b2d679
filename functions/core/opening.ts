// What a caller may open: the bindings of each target asked for, united, narrowed to the scope. All
// targets are granted, or none.
import { canonicalJson } from './audit.ts'
import { bindingEnd, expandBinding, matchBindings } from './binding.ts'
import type { Parties } from './delegation.ts'
import type { Failure } from './failure.ts'
import { narrowGrants, smallestLimits, uniteBindings } from './grants.ts'
import { identityName, type Identity, type JsonObject } from './identity.ts'
import type { Action, AgentIntent } from './intent.ts'
import type { BindingPolicy, LimitsPolicy, OnReview, TargetPolicy } from './policy.ts'
import { CLOCK_SKEW_SECONDS, type Hashing, type Seconds } from './ports.ts'
import type { ProofKind } from './proof.ts'
import { fail, ok, type Result } from './result.ts'
import type { ScopeItem } from './scope.ts'
import type { TargetGrant } from './session.ts'
import type { Conditions, PolicySnapshot } from './snapshot.ts'
import { TOKEN_TYPES } from './token.ts'

/** What is asked for, and by whom (verified). */
export type OpeningRequest = Omit<Parties, 'sub' | 'act'> & {
  readonly targets: readonly string[]
  readonly scope: readonly ScopeItem[] | null
  readonly intent: AgentIntent | null
  readonly requestedType: string
}

export type Opening = {
  readonly targets: readonly TargetGrant[]
  readonly limits: LimitsPolicy
  readonly expiresAt: Seconds
  readonly mode: 'enforce' | 'log_only'
  readonly onReview: OnReview
  readonly intentPolicies: readonly string[]
  /** What the handle has to be bound to. */
  readonly proofs: readonly ProofKind[]
}

/** What was asked for, with all that is known by now, and what may be opened. */
export type Opened = { readonly asked: OpeningRequest; readonly opening: Opening }

export type OpeningPolicy = {
  readonly bindings: readonly BindingPolicy[]
  readonly snapshot: PolicySnapshot
  readonly conditions: Conditions
  readonly now: Seconds
  /** Generations below a root. */
  readonly maxDelegationDepth: number
}

/** Administration is a target that needs no record (design/api.md, Administration). */
export const ADMIN_TARGET = 'sallyport-admin'

const adminTarget: Pick<TargetPolicy, 'name' | 'type' | 'labels'> = {
  name: ADMIN_TARGET,
  type: 'admin',
  labels: [],
}

export function findTarget(
  name: string,
  snapshot: PolicySnapshot,
): Pick<TargetPolicy, 'name' | 'type' | 'labels'> | null {
  if (name === ADMIN_TARGET) return adminTarget
  return snapshot.targets.get(name)?.policy ?? null
}

/** What bindings of a target have to say that they deliver. */
export function deliveryOf(name: string, snapshot: PolicySnapshot): BindingPolicy['delivery'] {
  return snapshot.targets.get(name)?.minting === undefined ? 'session' : 'credential'
}

export function openTargets(
  request: OpeningRequest,
  policy: OpeningPolicy,
): Result<Opened, Failure> {
  const grants: TargetGrant[] = []
  const matched: BindingPolicy[] = []
  for (const name of request.targets) {
    const allows = allowingBindings(name, request, policy)
    if (!allows.ok) return allows
    const united = uniteBindings(allows.value)
    const narrowed = narrowGrants(united.grants, request.scope, undefined)
    if (narrowed.length === 0)
      return fail({ kind: 'invalid_scope', reason: 'nothing_left', target: name })
    grants.push({
      target: name,
      bindings: united.names,
      grants: narrowed,
      intentPolicies: united.intentPolicies,
      onReview: united.onReview,
      mode: united.mode,
    })
    matched.push(...allows.value)
  }
  const opening = sessionTerms(request, grants, matched, policy.now)
  return opening.ok ? ok({ asked: request, opening: opening.value }) : opening
}

function allowingBindings(
  name: string,
  request: OpeningRequest,
  policy: OpeningPolicy,
): Result<readonly BindingPolicy[], Failure> {
  const target = findTarget(name, policy.snapshot)
  if (target === null)
    return fail({ kind: 'invalid_target', reason: 'unknown_target', target: name })
  const facts = {
    claims: request.identity.claims,
    onBehalfOf: request.onBehalfOf,
    request: describeOpening(request),
    target,
    now: policy.now,
  }
  const matched = matchBindings(policy.bindings, facts, policy.conditions)
  if (matched.denies.length > 0) {
    return fail({ kind: 'invalid_target', reason: 'denied_by_binding', target: name })
  }
  const delivery = deliveryOf(name, policy.snapshot)
  const allows = matched.allows.filter((binding) => binding.delivery === delivery)
  if (allows.length > 0) return ok(allows.map((binding) => expandBinding(binding, facts)))
  const reason = matched.allows.length === 0 ? 'no_binding' : 'delivery'
  return fail({ kind: 'invalid_target', reason, target: name })
}

/**
 * TTL and each limit are the smallest of all; the handle never outlives an attestation (RS-05) nor a
 * binding that it stands on, which is not read again while the policy stays the same.
 */
function sessionTerms(
  request: OpeningRequest,
  targets: readonly TargetGrant[],
  matched: readonly BindingPolicy[],
  now: Seconds,
): Result<Opening, Failure> {
  const united = uniteBindings(matched)
  if (united.intentRequired && request.intent === null) {
    return fail({ kind: 'invalid_authorization_details', reason: 'intent_required' })
  }
  const expiresAt = Math.min(
    now + united.ttlSeconds,
    ...matched.map(bindingEnd),
    ...attestationEnds(request, matched, now),
  )
  if (expiresAt <= now)
    return fail({ kind: 'attestation_rejected', role: 'subject', reason: 'expired' })
  return ok({
    targets,
    limits: smallestLimits([united.limits, request.intent?.envelope?.limits ?? {}]),
    expiresAt,
    mode: united.mode,
    onReview: united.onReview,
    intentPolicies: united.intentPolicies,
    proofs: united.proofs,
  })
}

/** None where a credential is handed over, which every binding lets work for longer. A handle never does. */
export function attestationEnds(
  { attestations, requestedType }: OpeningRequest,
  held: readonly BindingPolicy[],
  now: Seconds,
): readonly Seconds[] {
  const mayOutlive =
    requestedType !== TOKEN_TYPES.accessToken &&
    held.every((binding) => binding.may_outlive_subject === true)
  return mayOutlive ? [] : attestations.map((one) => attestationEnd(one, now))
}

/** The attestation's own end; one that was accepted within the clock skew ends with the skew. */
function attestationEnd({ expiresAt }: Identity, now: Seconds): Seconds {
  if (expiresAt === null) return Infinity
  return expiresAt > now ? expiresAt : expiresAt + CLOCK_SKEW_SECONDS
}

/** The exchange as a fact for conditions, evaluators and the log. Caller-written but for the targets. */
export function describeOpening(
  request: Pick<OpeningRequest, 'targets' | 'scope' | 'intent'>,
): JsonObject {
  return {
    targets: [...request.targets],
    scope: request.scope === null ? null : request.scope.map((item) => ({ ...item })),
    purpose: request.intent?.purpose ?? null,
  }
}

/** An exchange is itself an action: `session.open`. */
export function openingAction(
  request: OpeningRequest,
  scope: string,
  snapshot: PolicySnapshot,
): Action {
  const [first = ''] = request.targets
  const target = findTarget(first, snapshot)
  return {
    name: 'session.open',
    target: first,
    targetType: target?.type ?? 'unknown',
    targetLabels: [
      ...new Set(request.targets.flatMap((name) => findTarget(name, snapshot)?.labels ?? [])),
    ],
    effects: [],
    objects: [],
    destinations: [],
    properties: { targets: [...request.targets], scope },
    record: { name: 'session.open', targets: [...request.targets] },
  }
}

/** What an approval of this opening is bound to: who, what, why. */
export function openingHash(request: OpeningRequest, hashing: Hashing): string {
  return hashing.sha256Hex(
    canonicalJson({
      identity: identityName(request.identity),
      // Of a parent, too, everything else is known by its session.
      on_behalf_of: request.parent === null ? (request.onBehalfOf?.identity ?? null) : null,
      parent: request.parent?.sid ?? null,
      ...describeOpening({ ...request, targets: [...request.targets].sort() }),
      ...(request.requestedType === TOKEN_TYPES.accessToken
        ? {}
        : { requested_token_type: request.requestedType }),
      // Parsed JSON by construction.
      intent: request.intent as unknown as JsonObject | null,
    }),
  )
}
