// The action path, read top to bottom (design/architecture.md): handle -> session -> normalise -> floor,
// envelope, rules -> RECORD the decision and spend the budget -> credential -> forward -> RECORD the
// outcome. Nothing is forwarded that was not recorded.
import {
  actionEvent,
  OUTCOME_RECORDED,
  recordOutcome,
  recordRefusal,
  unspent,
} from './action-records.ts'
import { judgeAction, passAction } from './action-verdict.ts'
import { currentGrant, type GrantNow } from './current-grant.ts'
import type { Failure } from './failure.ts'
import type { JsonObject } from './identity.ts'
import type { Action } from './intent.ts'
import { askEvaluators, mayReview } from './intent-policies.ts'
import { mintFacts } from './mint-facts.ts'
import type { MintFacts } from './minting.ts'
import type { Clock, HandleVerifier, Hashing, Ids, Timers } from './ports.ts'
import { type PresentedHandle, type VerifiedHandle, verifyPresented } from './presented-handle.ts'
import type { ProofVerifier } from './proof.ts'
import { type ActionRead, type Records, type SharedSpend, StoreUnavailable } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import type { Secrets } from './secret-source.ts'
import { removedEffectFailure, standingFailure } from './session-state.ts'
import type { Session } from './session.ts'
import type { Conditions, PolicySnapshot, PolicySource } from './snapshot.ts'
import { standingWatch } from './standing-watch.ts'
import type { CallOutcome, CompiledTarget } from './target.ts'
import { targetUrl } from './target-url.ts'

export type ActionRequest = {
  readonly target: string
  /** As it came; null when there was none. */
  readonly handle: PresentedHandle | null
  /** In the form that the target's `normalise` takes. */
  readonly raw: unknown
  /** `Sallyport-Action-Origin` and `-Ref`: declared, recorded, believed by nobody. */
  readonly declaredOrigin: JsonObject | null
  /** Resolves when the caller goes away before it has its answer. */
  readonly cancelled?: Promise<void>
  /** Told of the outcome's record, which must be written even when the caller goes away. */
  readonly keepAlive?: (work: Promise<unknown>) => void
}

export type ActionDeps = {
  readonly records: Records
  readonly policy: PolicySource
  readonly conditions: Conditions
  readonly handles: HandleVerifier
  readonly proofs: ProofVerifier
  readonly secrets: Secrets
  readonly clock: Clock
  readonly timers: Timers
  readonly ids: Ids
  readonly hashing: Hashing
  readonly issuer: string
  readonly isKilled: () => boolean
}

/** Of an answer whose target sets no `max_response_bytes`. */
export const DEFAULT_MAX_RESPONSE_BYTES = 10 * 1024 * 1024

/** What is known when an action is refused, for its event. */
export type RefusedAction = {
  readonly failure: Failure
  readonly session?: Session
  readonly action?: Action
  readonly revision: number
}

/** Runs one action; the answer is the target's own. */
export async function act(
  request: ActionRequest,
  decisionId: string,
  deps: ActionDeps,
): Promise<Result<unknown, Failure>> {
  try {
    const outcome = await attempt(request, decisionId, deps)
    if (outcome.ok) return outcome
    await recordRefusal(outcome.failure, request, decisionId, deps)
    return fail(outcome.failure.failure)
  } catch (cause) {
    if (cause instanceof StoreUnavailable) {
      return fail({ kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 })
    }
    throw cause
  }
}

async function attempt(
  request: ActionRequest,
  decisionId: string,
  deps: ActionDeps,
): Promise<Result<unknown, RefusedAction>> {
  if (deps.isKilled()) return refuse({ kind: 'killed', by: 'environment' })
  const handle = await verifyHandle(request, deps)
  if (!handle.ok) return refuse(handle.failure)
  const { claims, singleUse } = handle.value
  const { read, snapshot } = await readStanding(claims.sid, request.target, deps)
  const { revision, session } = read
  if (read.killed) {
    const whose = session === null ? {} : { session }
    return refuse({ kind: 'killed', by: 'policy' }, { revision, ...whose })
  }
  const alive = liveSession(session, deps)
  if (!alive.ok) {
    // Of a suspended session the chain goes on; one that has ended has nothing more to say.
    const whose = session?.state === 'suspended' ? { session } : {}
    return refuse(alive.failure, { revision, ...whose })
  }
  const known = { session: alive.value, revision }

  await deps.conditions.load(read.bindings ?? [])
  const grant = currentGrant(alive.value, request.target, read.bindings, snapshot, deps)
  if (!grant.ok) return refuse(grant.failure, known)
  const target = snapshot.targets.get(request.target)
  if (target === undefined) return refuse(notGranted('target_removed'), known)
  const normalised = await target.normalise(request.raw, {
    mintFacts: () => factsOf(alive.value, grant.value, deps),
  })
  if (!normalised.ok) return refuse(normalised.failure, known)
  const { action, prepared } = normalised.value
  const removed = removedEffectFailure([alive.value, ...alive.value.above], action.effects)
  if (removed !== null) return refuse(removed, { ...known, action })

  const verdict = await judgeAction(action, alive.value, grant.value, snapshot, read, deps)
  const passage = await passAction(verdict, action, prepared, target, grant.value, read, {
    request,
    decisionId,
    session: alive.value,
    deps,
  })
  if (!passage.ok) return refuse(passage.failure, { ...known, action })

  const recorded = await deps.records.recordAction({
    event: actionEvent(request, decisionId, known, action, verdict, passage.value, deps),
    sessionId: alive.value.id,
    limits: grant.value.limits,
    spend: {
      actions: 1,
      writes: action.effects.some((effect) => effect !== 'read') ? 1 : 0,
      maxBytes: reservation(target),
    },
    shared: sharedSpend(alive.value, grant.value),
    removedEffects: alive.value.removedEffects,
    nowSeconds: deps.clock.nowSeconds(),
    approvalId: passage.value,
    singleUse,
    expectedRevision: revision,
  })
  if (recorded.kind !== 'recorded') {
    return refuse(unspent(recorded, deps.clock.nowSeconds()), { ...known, action })
  }
  return perform(
    { request, decisionId, session: alive.value, revision, action, prepared, target },
    recorded.reservedBytes,
    deps,
  )
}

/** What a sub-agent spends is its ancestors' too. */
function sharedSpend({ above }: Session, { shared: limits }: GrantNow): SharedSpend | null {
  if (limits === null) return null
  return { limits, removedEffects: above.map(({ removedEffects }) => removedEffects) }
}

/** What is handed over holds no data of the target's. */
function reservation({ policy, minting }: CompiledTarget): number {
  return minting === undefined ? (policy.max_response_bytes ?? DEFAULT_MAX_RESPONSE_BYTES) : 0
}

function factsOf(session: Session, grant: GrantNow, { clock }: ActionDeps): MintFacts {
  const { mode, endsAt } = grant
  return mintFacts(session, { grants: grant.held(), mode, endsAt, scope: null }, clock.nowSeconds())
}

function refuse(
  failure: Failure,
  known: Partial<Omit<RefusedAction, 'failure'>> = {},
): Result<never, RefusedAction> {
  return fail({ failure, revision: 0, ...known })
}

function notGranted(reason: string): Failure {
  return { kind: 'action_denied', code: 'not_granted', reason }
}

async function verifyHandle(
  request: ActionRequest,
  deps: ActionDeps,
): Promise<Result<VerifiedHandle, Failure>> {
  if (request.handle === null) return fail({ kind: 'invalid_handle', reason: 'missing' })
  const verified = await verifyPresented(request.handle, deps)
  if (!verified.ok) return verified
  const isForTarget = verified.value.claims.aud.includes(targetUrl(deps.issuer, request.target))
  return isForTarget ? verified : fail({ kind: 'invalid_handle', reason: 'wrong_audience' })
}

/** The session and the policy it stands on; a snapshot older than the store's is loaded again. */
async function readStanding(
  sessionId: string,
  target: string,
  deps: ActionDeps,
): Promise<{ read: ActionRead; snapshot: PolicySnapshot }> {
  // Held in memory but for the first request of an isolate.
  const current = await deps.policy.current()
  const query = { sessionId, target, ...needsOf(current) }
  const read = await deps.records.readAction(query)
  // Another request may have loaded a policy between the two: only one as new as what was read will do.
  if (read.revision === current.revision) return { read, snapshot: current }
  const snapshot = await deps.policy.refresh(read.revision - 1)
  const needs = needsOf(snapshot)
  const lacks =
    (needs.withHistory && !query.withHistory) || (needs.withApprovals && !query.withApprovals)
  if (!lacks) return { read, snapshot }
  // The policy asks an evaluator or a person since a moment ago: the one case in which an action reads twice.
  const { history, approvals } = await deps.records.readAction({ ...query, ...needs })
  return { read: { ...read, history, approvals }, snapshot }
}

function needsOf(snapshot: PolicySnapshot) {
  return { withHistory: askEvaluators(snapshot), withApprovals: mayReview(snapshot) }
}

function liveSession(session: Session | null, deps: ActionDeps): Result<Session, Failure> {
  if (session === null) return fail({ kind: 'invalid_handle', reason: 'unknown_session' })
  const failure = standingFailure([session, ...session.above], deps.clock.nowSeconds())
  return failure === null ? ok(session) : fail(failure)
}

export type RecordedAction = {
  readonly request: ActionRequest
  readonly decisionId: string
  readonly session: Session
  readonly revision: number
  readonly action: Action
  readonly prepared: unknown
  readonly target: CompiledTarget
}

/** Obtains the credential, injects, forwards. From here on an outcome follows, whatever happens. */
async function perform(
  recorded: RecordedAction,
  reservedBytes: number,
  deps: ActionDeps,
): Promise<Result<unknown, RefusedAction>> {
  const watch = standingWatch(recorded, deps)
  let isRecorded = (): void => undefined
  const { target, action, prepared } = recorded
  const reference = target.policy.credential?.secret
  const settle = (outcome: CallOutcome) => {
    watch.stop()
    // Perhaps it was rotated: the next action reads it again. This one is never sent twice.
    if (outcome.status === 401 && reference !== undefined) deps.secrets.doubt?.(reference)
    return recordOutcome(recorded, reservedBytes, outcome, deps).finally(isRecorded)
  }
  const secret = reference === undefined ? ok(null) : await deps.secrets.resolve(reference)
  if (!secret.ok) {
    const reason = `secret_${secret.failure.reason}`
    await settle({ ...NO_CALL, result: 'unknown', reason })
    return outcomeFailure({
      kind: 'unavailable',
      reason,
      retryAfterSeconds: 5,
    })
  }
  recorded.request.keepAlive?.(new Promise<void>((resolve) => (isRecorded = resolve)))
  const answer = await target.call({
    prepared,
    action,
    credential: secret.value,
    maxResponseBytes: reservedBytes,
    settle,
    cancelled: watch.ended,
  })
  // An answer without a body is over by now, and nothing is watched.
  watch.begin()
  return answer.ok ? answer : outcomeFailure(answer.failure)
}

const NO_CALL = { status: null, bytes: 0, rows: 0, reflected: false, masked: 0 } as const

function outcomeFailure(failure: Failure): Result<never, RefusedAction> {
  return fail({ failure, revision: OUTCOME_RECORDED })
}
