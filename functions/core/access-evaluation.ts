// One AuthZEN access evaluation: the same judgement as an action of the gateway, over facts that
// another gateway states. Nothing is minted, spent or recorded; the answer is advice to whoever
// asked.
import type { ActionType, UnderstoodAction } from './action-type.ts'
import { matchBindings } from './binding.ts'
import { evaluateAction } from './evaluate.ts'
import type { EvaluatedVerdict } from './evaluate.ts'
import { narrowGrants, uniteBindings } from './grants.ts'
import type { UnitedBindings } from './grants.ts'
import type { JsonObject } from './identity.ts'
import type { Action, AgentIntent, HistoryEntry } from './intent.ts'
import { namedPolicies } from './intent-policies.ts'
import { describeOpening } from './opening.ts'
import type { Grant, IntentRule } from './policy.ts'
import type { Clock, Seconds } from './ports.ts'
import { questionOf } from './question.ts'
import type { Records } from './records.ts'
import { parseScope } from './scope.ts'
import type { CompiledIntentPolicy, Conditions, PolicySnapshot } from './snapshot.ts'

export type AccessRequest = {
  readonly subject: {
    readonly id: string
    /** Null when the request does not say. */
    readonly authMethod: string | null
    readonly claims: JsonObject
  }
  readonly action: { readonly name: string; readonly properties: JsonObject }
  readonly resource: {
    readonly type: string
    readonly id: string
    readonly labels: readonly string[]
  }
  readonly intent: AgentIntent | null
  readonly history: readonly HistoryEntry[]
  readonly rules: readonly IntentRule[]
  /** The time of the action. */
  readonly time: Seconds
}

export type AccessAnswer = {
  readonly verdict: EvaluatedVerdict
  readonly floor: 'evaluated' | 'not_evaluated'
  /** Null when the action was not understood. */
  readonly action: Action | null
}

export type AccessDeps = {
  readonly actionTypes: readonly ActionType[]
  readonly records: Pick<Records, 'readExchange'>
  readonly conditions: Conditions
  readonly clock: Clock
}

/** What the bindings say; null where they say nothing about this subject at this target. */
type Floor = {
  readonly united: UnitedBindings
  readonly denies: readonly string[]
}

export async function evaluateAccess(
  request: AccessRequest,
  snapshot: PolicySnapshot,
  deps: AccessDeps,
): Promise<AccessAnswer> {
  const understood = await understand(request, snapshot, deps)
  if (understood === null) {
    return { verdict: NOT_UNDERSTOOD, floor: 'not_evaluated', action: null }
  }
  const floor = await readFloor(request, snapshot, deps)
  const verdict = await judge(request, understood, floor, snapshot, deps)
  const isEvaluated = floor === null ? 'not_evaluated' : 'evaluated'
  return { verdict, floor: isEvaluated, action: understood.action }
}

/** An unknown action, or one that is not what its name says: nobody knows what would be allowed. */
const NOT_UNDERSTOOD: EvaluatedVerdict = {
  verdict: 'deny',
  tier: 'floor',
  reasonCode: 'not_understood',
  evaluator: 'sallyport',
  latencyMs: 0,
}

async function understand(
  { action, resource }: AccessRequest,
  snapshot: PolicySnapshot,
  deps: AccessDeps,
): Promise<UnderstoodAction | null> {
  const type = deps.actionTypes.find(({ name }) => name === action.name)
  const target = snapshot.targets.get(resource.id) ?? null
  const read = await type?.read({ properties: action.properties, resource, target })
  return read?.ok === true ? read.value : null
}

async function readFloor(
  request: AccessRequest,
  snapshot: PolicySnapshot,
  deps: AccessDeps,
): Promise<Floor | null> {
  const { authMethod, claims } = request.subject
  const target = snapshot.targets.get(request.resource.id)
  const method = authMethod === null ? undefined : snapshot.methods.get(authMethod)
  if (target === undefined || method === undefined) return null
  const { bindings } = await deps.records.readExchange({
    method: method.name,
    targets: [target.policy.name],
    approvalHash: null,
  })
  if (bindings.length === 0) return null
  // Claims that the method would refuse are nobody's: no binding speaks for them.
  if (!method.accepts(claims)) return { united: uniteBindings([]), denies: [] }
  await deps.conditions.load(bindings)
  const { intent } = request
  const matched = matchBindings(
    bindings,
    {
      claims,
      onBehalfOf: userAlone(method.name, claims, snapshot),
      request: describeOpening({ targets: [target.policy.name], scope: null, intent }),
      target: target.policy,
      now: request.time,
    },
    deps.conditions,
  )
  return { united: uniteBindings(matched.allows), denies: matched.denies }
}

/** A gateway that asks names one subject: a user is one who acts alone. */
function userAlone(authMethod: string, claims: JsonObject, { userMethods }: PolicySnapshot) {
  if (!userMethods.has(authMethod)) return null
  return { relation: 'impersonation', authMethod, claims } as const
}

async function judge(
  request: AccessRequest,
  { action, undetermined }: UnderstoodAction,
  floor: Floor | null,
  snapshot: PolicySnapshot,
  deps: AccessDeps,
): Promise<EvaluatedVerdict> {
  const { intent, subject } = request
  const united = floor?.united
  if (united?.intentRequired === true && intent === null) return INTENT_REQUIRED
  return evaluateAction(
    {
      action,
      grants: united === undefined ? null : grantsFor(action, united.grants),
      deniedBy: floor?.denies ?? [],
      intent,
      policies: withRules(namedPolicies(united?.intentPolicies ?? [], snapshot), request.rules),
      mode: united?.mode ?? 'enforce',
      undetermined,
      question: () =>
        questionOf(action, {
          identity: subject.id,
          authMethod: subject.authMethod ?? '',
          claims: subject.claims,
          intent,
          history: request.history,
          now: request.time,
        }),
    },
    deps,
  )
}

const INTENT_REQUIRED: EvaluatedVerdict = { ...NOT_UNDERSTOOD, reasonCode: 'intent_required' }

/** A session is opened on what is left of its scope. */
function grantsFor(action: Action, grants: readonly Grant[]): readonly Grant[] {
  const { scope } = action.properties
  if (action.name !== 'session.open' || typeof scope !== 'string') return grants
  const items = parseScope(scope)
  return items.ok ? narrowGrants(grants, items.value, undefined) : []
}

/**
 * Rules that came with the request, for the judge of the target; without one they are not judged.
 */
function withRules(
  policies: readonly CompiledIntentPolicy[],
  rules: readonly IntentRule[],
): readonly CompiledIntentPolicy[] {
  if (rules.length === 0) return policies
  const judged = policies.findIndex(({ judge }) => judge !== null)
  const found = policies[judged]
  if (found === undefined) {
    const policy = { name: 'request', enabled: true, rules }
    return [...policies, { policy, floor: null, judge: null }]
  }
  const policy = { ...found.policy, rules: [...found.policy.rules, ...rules] }
  return policies.with(judged, { ...found, policy })
}
