// An exchange that hands over a credential instead of a handle: planned, judged and recorded like an action,
// minted only then, and given out only when its grant is recorded, too.
import { describeAction } from './action-records.ts'
import type { Parties } from './delegation.ts'
import { describeCaller, draftEvent } from './events.ts'
import type { ExchangeDeps, ExchangeGrant, ExchangeRequest, RefusedExchange } from './exchange.ts'
import { grantEvent, revocablesOf } from './exchange-records.ts'
import { type Failure, storeDown } from './failure.ts'
import type { Action } from './intent.ts'
import { mintFacts, mintOnce, planOf } from './mint-facts.ts'
import { describeHandedOver, type Minting, type MintPlan } from './minting.ts'
import type { OpeningRequest } from './opening.ts'
import { type DecisionWrite, StoreUnavailable } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import { formatScope } from './scope.ts'
import type { Session } from './session.ts'
import type { PolicySnapshot } from './snapshot.ts'

export type PlannedCredential = {
  readonly minting: Minting
  readonly plan: MintPlan
  /** The session as it is granted: what the credential is good for, and until when. */
  readonly session: Session
  /** What those above it spend with it. */
  readonly spendAbove: DecisionWrite['spendAbove']
}

export async function planCredential(
  { targets, requestedType, scope }: OpeningRequest,
  session: Session,
  parent: Session | null,
  snapshot: PolicySnapshot,
): Promise<Result<PlannedCredential, Failure>> {
  const [grant] = session.grants
  if (targets.length !== 1 || grant === undefined) {
    const parameter = 'audience'
    return fail({ kind: 'malformed_request', reason: 'one_target_at_a_time', parameter })
  }
  const minting = snapshot.targets.get(grant.target)?.minting
  if (minting?.tokenType !== requestedType) {
    return fail({ kind: 'invalid_target', reason: 'delivery', target: grant.target })
  }
  const { grants, mode } = grant
  const held = { grants, mode, scope, endsAt: session.expiresAt }
  const facts = mintFacts(session, held, session.createdAt)
  const planned = await planOf(minting, facts)
  if (!planned.ok) return planned
  const plan = planned.value
  const writes = writesOf(plan.action)
  if (!isWithin(session, writes)) return fail({ kind: 'access_denied', reason: 'budget_exhausted' })
  return ok({
    minting,
    plan,
    spendAbove: spendAbove(session, parent, writes),
    session: {
      ...session,
      delivery: 'credential',
      grants: [{ ...grant, grants: facts.grants }],
      scope: formatScope(facts.grants),
      expiresAt: Math.min(session.expiresAt, plan.endsAt),
      usage: { ...session.usage, actions: 1, writes },
    },
  })
}

function spendAbove(
  { lineage }: Session,
  parent: Session | null,
  writes: 0 | 1,
): DecisionWrite['spendAbove'] {
  if (lineage === null || parent === null) return undefined
  const removedEffects = [...parent.above, parent].map((one) => one.removedEffects)
  return {
    ancestors: lineage.ancestors,
    writes,
    shared: { limits: lineage.limits, removedEffects },
  }
}

/** What an action counts against a budget of writes. */
export function writesOf({ effects }: Pick<Action, 'effects'>): 0 | 1 {
  return effects.some((effect) => effect !== 'read') ? 1 : 0
}

/** Of a sub-agent the budget is what those above it have left, which may be nothing. */
function isWithin({ limits }: Session, writes: 0 | 1): boolean {
  const { writes: mayWrite = 1, ...others } = limits
  return mayWrite >= writes && Object.values(others).every((limit) => limit > 0)
}

export async function mintAndRecordCredential(
  planned: PlannedCredential,
  request: ExchangeRequest,
  caller: Parties,
  deps: ExchangeDeps,
): Promise<Result<ExchangeGrant, RefusedExchange>> {
  const { minting, plan } = planned
  const minted = await mintOnce(minting, plan)
  if (!minted.ok) {
    await recordNotMinted(planned, caller, minted.failure, deps)
    const { policyRevision: revision } = planned.session
    return fail({ failure: minted.failure, caller, revision, isRecorded: true })
  }
  const { token, record, members, document } = minted.value
  const expiresAt = Math.min(planned.session.expiresAt, minted.value.expiresAt)
  const session = { ...planned.session, expiresAt }
  const credential = {
    sha256: deps.hashing.sha256Hex(token),
    target: plan.action.target,
    expiresAt,
    record,
    effects: plan.action.effects,
  }
  const given = { request, caller, action: describeAction(plan.action) }
  const said = {
    credential_sha256: credential.sha256,
    credential: describeHandedOver(credential),
  }
  try {
    await deps.records.recordGrant({
      session,
      credential,
      revocable: revocablesOf(caller),
      event: grantEvent(session, given, said, deps),
    })
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause
    return notHandedOver(planned, caller, deps)
  }
  return ok({
    token,
    session,
    expiresInSeconds: expiresAt - deps.clock.nowSeconds(),
    credential: { tokenType: minting.tokenType, members, document, record },
  })
}

/** The broker or a session was stopped meanwhile, or the store was: the log says so if it can. */
async function notHandedOver(
  planned: PlannedCredential,
  caller: Parties,
  deps: ExchangeDeps,
): Promise<Result<never, RefusedExchange>> {
  const failure = storeDown()
  try {
    await recordNotMinted(planned, caller, { ...failure, reason: 'not_handed_over' }, deps)
  } catch (lost) {
    if (!(lost instanceof StoreUnavailable)) throw lost
  }
  const { policyRevision: revision } = planned.session
  return fail({ failure, caller, revision, isRecorded: true })
}

/** The decision stands in the session's chain, and behind it that nothing came of it. */
async function recordNotMinted(
  { plan, session }: PlannedCredential,
  caller: Parties,
  failure: Failure,
  deps: ExchangeDeps,
): Promise<void> {
  const { kind, ...facts } = failure
  await deps.records.recordRefusal(
    draftEvent(
      {
        type: 'refusal',
        decisionId: session.decisionId,
        sessionId: session.id,
        ...describeCaller(caller, session.intent),
        action: describeAction(plan.action),
        scope: session.scope,
        outcome: { verdict: 'deny', failure: kind, facts },
        reason: 'reason' in failure ? failure.reason : kind,
        policyRevision: session.policyRevision,
      },
      deps,
    ),
  )
}
