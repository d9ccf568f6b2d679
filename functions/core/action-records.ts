// What an action writes: its event with the budget, before anything is forwarded; its outcome after; or
// its refusal.
import type { ActionDeps, ActionRequest, RecordedAction, RefusedAction } from './action.ts'
import type { EventDraft } from './audit.ts'
import { describeSession, draftEvent } from './events.ts'
import type { EvaluatedVerdict } from './evaluate.ts'
import type { Failure } from './failure.ts'
import type { JsonObject } from './identity.ts'
import type { Action } from './intent.ts'
import { describeHandedOver } from './minting.ts'
import { type Records, StoreUnavailable } from './records.ts'
import type { Session } from './session.ts'
import { countsAsDenial, SUSPENDED } from './session-state.ts'
import { tightenAfter } from './self-tightening.ts'
import type { CallOutcome } from './target.ts'

export function actionEvent(
  request: ActionRequest,
  decisionId: string,
  known: { session: Session; revision: number },
  action: Action,
  verdict: EvaluatedVerdict,
  approvalId: string | null,
  deps: ActionDeps,
): EventDraft {
  return draftEvent(
    {
      type: 'action',
      decisionId,
      ...describeSession(known.session, request.declaredOrigin),
      action: describeAction(action),
      scope: known.session.scope,
      outcome: {
        verdict: 'allow',
        tier: verdict.tier,
        evaluator: verdict.evaluator,
        ...(approvalId === null ? {} : { approval: approvalId }),
        ...(verdict.wouldHave === undefined
          ? {}
          : { would_have: verdict.wouldHave.verdict, would_reason: verdict.wouldHave.reasonCode }),
      },
      reason: verdict.reasonCode,
      policyRevision: known.revision,
    },
    deps,
  )
}

export function describeAction(action: Action): JsonObject {
  return {
    name: action.name,
    target: action.target,
    effects: [...action.effects],
    objects: [...action.objects],
    destinations: [...action.destinations],
    ...action.record,
  }
}

type Unspent = Exclude<Awaited<ReturnType<Records['recordAction']>>, { kind: 'recorded' }>

export function unspent(result: Unspent, now: number): Failure {
  switch (result.kind) {
    case 'exhausted':
      return {
        kind: 'budget_exhausted',
        limit: result.limit,
        ...(result.limit === 'per_minute' ? { retryAfterSeconds: 60 - (now % 60) } : {}),
      }
    case 'session_ended':
      return { kind: 'invalid_handle', reason: 'session_ended' }
    case 'session_suspended':
      return SUSPENDED
    case 'session_narrowed':
      return { kind: 'unavailable', reason: 'session_narrowed', retryAfterSeconds: 1 }
    case 'approval_used':
      return { kind: 'action_denied', code: 'intent_denied', reason: 'approval_used' }
    case 'replayed':
      return { kind: 'invalid_proof', reason: 'replayed', at: 'resource' }
    case 'policy_changed':
      return { kind: 'unavailable', reason: 'policy_changed', retryAfterSeconds: 1 }
  }
}

function describeOutcome({ credential, ...outcome }: CallOutcome): JsonObject {
  if (credential === undefined) return outcome
  return { ...outcome, credential: describeHandedOver(credential) }
}

/** A failed call has an outcome of its own; a refusal event beside it would count it twice. */
export const OUTCOME_RECORDED = -1

export async function recordOutcome(
  recorded: RecordedAction,
  reservedBytes: number,
  outcome: CallOutcome,
  deps: ActionDeps,
): Promise<boolean> {
  if (await writeOutcome(recorded, reservedBytes, outcome, deps)) return true
  const { credential, ...rest } = outcome
  if (credential === undefined) return false
  // It is not handed over: the session or the broker was stopped meanwhile, and the log says so if it can.
  const nothing = { ...rest, result: 'aborted', reason: 'not_handed_over' } as const
  await writeOutcome(recorded, reservedBytes, nothing, deps)
  return false
}

async function writeOutcome(
  recorded: RecordedAction,
  reservedBytes: number,
  outcome: CallOutcome,
  deps: ActionDeps,
): Promise<boolean> {
  try {
    await deps.records.recordOutcome({
      event: draftEvent(
        {
          type: 'outcome',
          decisionId: recorded.decisionId,
          ...describeSession(recorded.session, recorded.request.declaredOrigin),
          action: describeAction(recorded.action),
          scope: recorded.session.scope,
          outcome: describeOutcome(outcome),
          policyRevision: recorded.revision,
        },
        deps,
      ),
      sessionId: recorded.session.id,
      reservedBytes,
      isShared: recorded.session.lineage !== null,
      usedBytes: outcome.bytes,
      usedRows: outcome.rows,
      ...(outcome.credential === undefined ? {} : { credential: outcome.credential }),
    })
    return true
  } catch (cause) {
    if (cause instanceof StoreUnavailable) return false
    throw cause
  }
}

export async function recordRefusal(
  refused: RefusedAction,
  request: ActionRequest,
  decisionId: string,
  deps: ActionDeps,
): Promise<void> {
  const { failure, session, action } = refused
  // Killed by the environment: the store may be what is wrong.
  if (failure.kind === 'killed' && failure.by === 'environment') return
  if (failure.kind === 'unavailable') return
  if (refused.revision === OUTCOME_RECORDED || failure.kind === 'approval_required') return
  const event = draftEvent(
    {
      type: 'refusal',
      decisionId,
      ...(session === undefined ? {} : describeSession(session, request.declaredOrigin)),
      action: action === undefined ? { target: request.target } : describeAction(action),
      ...(session === undefined ? {} : { scope: session.scope }),
      outcome: {
        verdict: 'deny',
        failure: failure.kind,
        ...('code' in failure ? { code: failure.code } : {}),
        ...('limit' in failure ? { limit: failure.limit } : {}),
        ...('ruleId' in failure && failure.ruleId !== undefined ? { rule_id: failure.ruleId } : {}),
        ...(session === undefined && request.handle !== null
          ? { token_sha256: deps.hashing.sha256Hex(request.handle.token) }
          : {}),
      },
      reason: 'reason' in failure ? failure.reason : failure.kind,
      policyRevision: refused.revision,
    },
    deps,
  )
  if (session === undefined || !countsAsDenial(failure)) return deps.records.recordRefusal(event)
  const denials = await deps.records.recordDenial(session.id, event)
  await tightenAfter(denials, { session, decisionId, revision: refused.revision }, deps)
}
