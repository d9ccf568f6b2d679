// What the intent policies say of opening a session, and what becomes of it: pass, deny, or wait for a
// person (design/api.md, `on_review`).
import { evaluateAction, type EvaluatedVerdict } from './evaluate.ts'
import { describeCaller } from './events.ts'
import type { ExchangeDeps } from './exchange.ts'
import type { Failure } from './failure.ts'
import { identityName } from './identity.ts'
import { namedPolicies } from './intent-policies.ts'
import { intentOf, intentsAbove, rootIntent } from './lineage.ts'
import { describeOpening, openingAction, openingHash } from './opening.ts'
import type { Opening, OpeningRequest } from './opening.ts'
import type { Seconds } from './ports.ts'
import { questionOf } from './question.ts'
import type { StoredApproval } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import { openReview, usableApproval } from './review.ts'
import { formatScope } from './scope.ts'
import type { PolicySnapshot } from './snapshot.ts'

/** An exchange is itself an action: `session.open`, judged by every intent policy of every target. */
export function judgeOpening(
  asked: OpeningRequest,
  opening: Opening,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<EvaluatedVerdict> {
  const scope = formatScope(opening.targets.flatMap((target) => target.grants))
  const action = openingAction(asked, scope, snapshot)
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
}

/** The id of the approval to consume (null: none is needed), or why the exchange stops here. */
export async function passOpening(
  judged: JudgedOpening,
  approval: StoredApproval | null,
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
  const standing = usableApproval(approval, judged.now)
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
            action: describeOpening(asked),
            reason: verdict.reasonCode,
            revision: judged.revision,
            now: judged.now,
          },
          deps,
        )
  return fail({ kind: 'authorization_pending', approval: pending })
}
