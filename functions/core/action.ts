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
import { currentGrant } from './current-grant.ts'
import type { Failure } from './failure.ts'
import type { JsonObject } from './identity.ts'
import type { Action } from './intent.ts'
import { askEvaluators, mayReview } from './intent-policies.ts'
import type { Clock, HandleVerifier, Hashing, Ids, Timers } from './ports.ts'
import { type ActionRead, type Records, StoreUnavailable } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import type { Secrets } from './secret-source.ts'
import type { Session } from './session.ts'
import type { Conditions, PolicySnapshot, PolicySource } from './snapshot.ts'
import { standingWatch } from './standing-watch.ts'
import type { CallOutcome, CompiledTarget } from './target.ts'
import { targetUrl } from './target-url.ts'

export type ActionRequest = {
  readonly target: string
  /** The handle as presented; null when there was none. */
  readonly handle: string | null
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
  const sessionId = await verifyHandle(request, deps)
  if (!sessionId.ok) return refuse(sessionId.failure)
  const { read, snapshot } = await readStanding(sessionId.value, request.target, deps)
  const { revision, session } = read
  if (read.killed) {
    const whose = session === null ? {} : { session }
    return refuse({ kind: 'killed', by: 'policy' }, { revision, ...whose })
  }
  const alive = liveSession(session, deps)
  if (!alive.ok) return refuse(alive.failure, { revision })
  const known = { session: alive.value, revision }

  await deps.conditions.load(read.bindings ?? [])
  const grant = currentGrant(alive.value, request.target, read.bindings, snapshot, deps)
  if (!grant.ok) return refuse(grant.failure, known)
  const target = snapshot.targets.get(request.target)
  if (target === undefined) return refuse(notGranted('target_removed'), known)
  const normalised = await target.normalise(request.raw)
  if (!normalised.ok) return refuse(normalised.failure, known)
  const { action, prepared } = normalised.value

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
      maxBytes: target.policy.max_response_bytes ?? DEFAULT_MAX_RESPONSE_BYTES,
    },
    nowSeconds: deps.clock.nowSeconds(),
    approvalId: passage.value,
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
): Promise<Result<string, Failure>> {
  if (request.handle === null) return fail({ kind: 'invalid_handle', reason: 'missing' })
  const verified = await deps.handles.verify(request.handle, deps.clock.nowSeconds())
  if (!verified.ok) return fail({ kind: 'invalid_handle', reason: verified.failure })
  const { aud, sid, iss } = verified.value
  const isForTarget = aud.includes(targetUrl(deps.issuer, request.target))
  if (iss !== deps.issuer || !isForTarget) {
    return fail({ kind: 'invalid_handle', reason: 'wrong_audience' })
  }
  return ok(sid)
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
  if (session.state === 'ended') return fail({ kind: 'invalid_handle', reason: 'session_ended' })
  if (session.expiresAt <= deps.clock.nowSeconds()) {
    return fail({ kind: 'invalid_handle', reason: 'expired' })
  }
  if (session.state === 'suspended') {
    return fail({ kind: 'action_denied', code: 'intent_denied', reason: 'session_suspended' })
  }
  return ok(session)
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
  const settle = (outcome: CallOutcome) => {
    watch.stop()
    return recordOutcome(recorded, reservedBytes, outcome, deps).finally(isRecorded)
  }
  const { target, action, prepared } = recorded
  const reference = target.policy.credential?.secret
  const secret = reference === undefined ? ok(null) : await deps.secrets.resolve(reference)
  if (!secret.ok) {
    await settle({ ...NO_CALL, result: 'unknown' })
    return outcomeFailure({
      kind: 'unavailable',
      reason: `secret_${secret.failure.reason}`,
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
