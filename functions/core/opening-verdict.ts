// What the intent policies say of opening a session, and what becomes of it: pass, deny, or wait for a
// person (design/api.md, `on_review`).
import { evaluateAction, type EvaluatedVerdict } from './evaluate.ts'
import { describeCaller } from './events.ts'
import type { ExchangeDeps } from './exchange.ts'
import type { Failure } from './failure.ts'
import { identityName, type JsonObject } from './identity.ts'
import type { Action } from './intent.ts'
import type { MintPlan } from './minting.ts'
import { namedPolicies } from './intent-policies.ts'
import { intentOf, intentsAbove, rootIntent } from './lineage.ts'
import { describeAction } from './action-records.ts'
import { canonicalJson } from './audit.ts'
import { describeOpening, openingAction, openingHash } from './opening.ts'
import type { Opening, OpeningRequest } from './opening.ts'
import type { Seconds } from './ports.ts'
import { questionOf } from './question.ts'
import type { OpeningApproval } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import { openReview, usableApproval } from './review.ts'
import { formatScope } from './scope.ts'
import type { PolicySnapshot } from './snapshot.ts'

/** An exchange is itself an action: `session.open`, judged by every intent policy of every target. */
export function judgeOpening(
  asked: OpeningRequest,
  opening: Opening,
  /** What is judged instead, where it does not end with a handle. */
  minted: Action | null,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<EvaluatedVerdict> {
  const scope = formatScope(opening.targets.flatMap((target) => target.grants))
  const action = minted ?? openingAction(asked, scope, snapshot)
  const intent = intentOf(asked)
  return evaluateAction(
    {
      action,
      grants: opening.targets.flatMap((target) => target.grants),
      deniedBy: [],
      intent,
      intentsAbove: intentsAbove(asked.lineage),
      policies: namedPolicies(opening.intentPolicies, snapshot),
      question: () =>
        questionOf(action, {
          identity: identityName(asked.identity),
          authMethod: asked.identity.method,
          claims: asked.identity.claims,
          onBehalfOf: asked.onBehalfOf,
          intent,
          rootIntent: rootIntent(asked.lineage),
          now: deps.clock.nowSeconds(),
        }),
      mode: opening.mode,
    },
    deps,
  )
}

export type JudgedOpening = {
  readonly verdict: EvaluatedVerdict
  readonly opening: Opening
  readonly asked: OpeningRequest
  readonly decisionId: string
  /** Null when no approval was looked for. */
  readonly approvalHash: string | null
  readonly revision: number
  readonly now: Seconds
  /** Of the credential that is asked for; null: a handle is. */
  readonly plan: MintPlan | null
}

/** What the log says was decided, and what a person is asked to approve. */
export function describeDecided(asked: OpeningRequest, plan: MintPlan | null): JsonObject {
  return plan === null
    ? { name: 'session.open', ...describeOpening(asked) }
    : describeAction(plan.action)
}

/** The id of the approval to consume (null: none is needed), or why the exchange stops here. */
export async function passOpening(
  judged: JudgedOpening,
  approval: OpeningApproval | null,
  deps: ExchangeDeps,
): Promise<Result<string | null, Failure>> {
  const { verdict, opening, asked } = judged
  if (verdict.verdict === 'allow') return ok(null)
  const denial: Failure = {
    kind: 'access_denied',
    reason: verdict.reasonCode,
    ...(verdict.ruleId === undefined ? {} : { ruleId: verdict.ruleId }),
  }
  if (verdict.verdict === 'deny' || opening.onReview === 'deny') return fail(denial)
  if (opening.onReview === 'allow') return ok(null)
  const standing = usableApproval(isOfPlan(approval, judged) ? approval : null, judged.now)
  if (standing.state === 'approved') return ok(standing.id)
  if (standing.state === 'denied') return fail({ ...denial, reason: 'approval_denied' })
  const pending =
    standing.state === 'pending'
      ? standing.approval
      : await openReview(
          {
            actionHash: judged.approvalHash ?? openingHash(asked, deps.hashing),
            sessionId: null,
            decisionId: judged.decisionId,
            ...describeCaller(asked, asked.intent),
            action:
              judged.plan === null ? describeOpening(asked) : describeDecided(asked, judged.plan),
            reason: verdict.reasonCode,
            revision: judged.revision,
            now: judged.now,
          },
          deps,
        )
  return fail({ kind: 'authorization_pending', approval: pending })
}

/**
 * A credential is approved as it was planned: with other bindings, claims or another role behind the same
 * request it may have become more than a person saw.
 */
function isOfPlan(approval: OpeningApproval | null, { plan }: JudgedOpening): boolean {
  if (approval === null || plan === null) return true
  const { action } = JSON.parse(approval.subject) as { action: JsonObject }
  return canonicalJson(action) === canonicalJson(describeAction(plan.action))
}
