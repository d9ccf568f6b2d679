// What floor, envelope and rules say of an action, and what becomes of it: pass, deny, or wait for a
// person who approves exactly this action.
import type { ActionDeps, ActionRequest } from './action.ts'
import { canonicalJson } from './audit.ts'
import type { GrantNow } from './current-grant.ts'
import { describeSession } from './events.ts'
import { evaluateAction, type EvaluatedVerdict } from './evaluate.ts'
import type { Failure } from './failure.ts'
import type { Action } from './intent.ts'
import { namedPolicies } from './intent-policies.ts'
import { intentOf, intentsAbove, rootIntent } from './lineage.ts'
import type { Hashing } from './ports.ts'
import { questionOf } from './question.ts'
import type { ActionRead } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import { openReview, usableApproval } from './review.ts'
import type { Session } from './session.ts'
import type { PolicySnapshot } from './snapshot.ts'
import type { CompiledTarget } from './target.ts'

export function judgeAction(
  action: Action,
  session: Session,
  grant: GrantNow,
  snapshot: PolicySnapshot,
  read: ActionRead,
  deps: ActionDeps,
): Promise<EvaluatedVerdict> {
  const intent = intentOf(session)
  return evaluateAction(
    {
      action,
      grants: grant.grants(action),
      deniedBy: [],
      intent,
      intentsAbove: intentsAbove(session.lineage),
      policies: namedPolicies(grant.intentPolicies, snapshot),
      question: () =>
        questionOf(action, {
          identity: session.identity,
          authMethod: session.authMethod,
          claims: session.claims,
          onBehalfOf: session.onBehalfOf,
          intent,
          rootIntent: rootIntent(session.lineage),
          history: read.history,
          now: deps.clock.nowSeconds(),
        }),
      mode: grant.mode,
    },
    deps,
  )
}

/**
 * Of one session. Who is asked without end approves without looking; and a person's denial must not be
 * pushed out of what the store reads back (its MAX_APPROVALS is no smaller) to be asked for again.
 */
const MAX_REVIEWS = 50

type Passing = {
  readonly request: ActionRequest
  readonly decisionId: string
  readonly session: Session
  readonly deps: ActionDeps
}

/** The id of the approval to consume (null: none is needed), or why the action stops here. */
export async function passAction(
  verdict: EvaluatedVerdict,
  action: Action,
  prepared: unknown,
  target: CompiledTarget,
  grant: GrantNow,
  read: ActionRead,
  { request, decisionId, session, deps }: Passing,
): Promise<Result<string | null, Failure>> {
  if (verdict.verdict === 'allow') return ok(null)
  if (verdict.verdict === 'deny' || grant.onReview === 'deny') return fail(denial(verdict))
  if (grant.onReview === 'allow') return ok(null)
  const fingerprint = await target.fingerprint(prepared)
  if (!fingerprint.ok) return fingerprint
  // How long a credential would work changes with the clock, and what it is good for is recorded.
  const properties = target.minting === undefined ? action.properties : action.record
  const fitted = { ...action, properties }
  const actionHash = approvalHash(session, fitted, fingerprint.value, deps.hashing)
  const now = deps.clock.nowSeconds()
  const newest = read.approvals.findLast((approval) => approval.actionHash === actionHash) ?? null
  const standing = usableApproval(newest, now)
  if (standing.state === 'approved') return ok(standing.id)
  if (standing.state === 'denied') return fail({ ...denial(verdict), reason: 'approval_denied' })
  if (standing.state === 'none' && read.approvals.length >= MAX_REVIEWS) {
    return fail({ ...denial(verdict), reason: 'too_many_reviews' })
  }
  const approval =
    standing.state === 'pending'
      ? standing.approval
      : await openReview(
          {
            ...describeSession(session, request.declaredOrigin),
            actionHash,
            sessionId: session.id,
            decisionId,
            action: action.record,
            reason: verdict.reasonCode,
            revision: read.revision,
            now,
          },
          deps,
        )
  return fail({
    kind: 'approval_required',
    approval,
    reason: verdict.reasonCode,
    ...(verdict.ruleId === undefined ? {} : { ruleId: verdict.ruleId }),
  })
}

function denial(verdict: EvaluatedVerdict): Extract<Failure, { kind: 'action_denied' }> {
  const code =
    verdict.tier === 'floor' && verdict.evaluator === 'sallyport'
      ? 'not_granted'
      : verdict.tier === 'envelope'
        ? 'envelope_exceeded'
        : 'intent_denied'
  return {
    kind: 'action_denied',
    code,
    reason: verdict.reasonCode,
    ...(verdict.hint === undefined ? {} : { hint: verdict.hint }),
    ...(verdict.ruleId === undefined ? {} : { ruleId: verdict.ruleId }),
  }
}

/** An approval fits one normalised action of one session, body included. */
function approvalHash(
  session: Session,
  action: Action,
  fingerprint: string,
  hashing: Hashing,
): string {
  return hashing.sha256Hex(
    canonicalJson({
      session: session.id,
      target: action.target,
      name: action.name,
      effects: [...action.effects],
      objects: [...action.objects],
      properties: action.properties,
      fingerprint,
    }),
  )
}
