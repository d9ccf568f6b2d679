// The exchange path, read top to bottom (design/architecture.md): verify -> bindings -> intent -> RECORD the
// decision and the grant of a handle, in one write -> answer. A credential is minted between the two records
// (docs/decisions/0016-one-write.md). Nothing is given out that was not recorded.
import type { SelectAttestation } from './attestation.ts'
import { heldToGrants } from './assertion-grant.ts'
import { targetsNamed } from './downstream-names.ts'
import type { UntrustedAttestation } from './auth-method.ts'
import { newSession, recordDecision, recordRefusal, signHandle } from './exchange-records.ts'
import type { ExchangeLimits } from './exchange-limits.ts'
import { mintAndRecordCredential, planCredential } from './exchange-minting.ts'
import type { Caller } from './events.ts'
import { type Failure, storeDown } from './failure.ts'
import type { AgentIntent } from './intent.ts'
import type { Parties } from './delegation.ts'
import { mayReview } from './intent-policies.ts'
import { lineageBelow } from './lineage.ts'
import { openBelow } from './opening-below.ts'
import { openingHash, type OpeningRequest, openTargets } from './opening.ts'
import { describeDecided, judgeOpening, passOpening } from './opening-verdict.ts'
import type { Minted, MintPlan } from './minting.ts'
import type { Clock, HandleSigner, HandleVerifier, Hashing, Ids } from './ports.ts'
import {
  bindHandle,
  proveRequest,
  type Proven,
  type ProofVerifier,
  type UntrustedProof,
} from './proof.ts'
import {
  type DecisionWrite,
  type HandleGrant,
  type ParentRead,
  type Records,
  StoreUnavailable,
} from './records.ts'
import { fail, ok, type Result } from './result.ts'
import type { ScopeItem } from './scope.ts'
import type { Session } from './session.ts'
import type { Conditions, PolicySnapshot, PolicySource } from './snapshot.ts'
import { TOKEN_TYPES } from './token.ts'
import { verifyParties } from './verify-parties.ts'

export type ExchangeRequest = {
  readonly subject: UntrustedAttestation
  /** The agent's own, when the subject is somebody else. */
  readonly actor: UntrustedAttestation | null
  /** A `client_assertion`: an attestation like any other (design/api.md). */
  readonly client: UntrustedAttestation | null
  /** Names of the targets asked for, without repetition; none where an assertion may name them. */
  readonly targets: readonly string[]
  readonly scope: readonly ScopeItem[] | null
  readonly intent: AgentIntent | null
  /** What is to be answered with: a handle (`TOKEN_TYPES.accessToken`), or what a target hands over. */
  readonly requestedType: string
  readonly authMethod: string | null
  readonly minPolicyRevision: number | null
  /** Whom the platform says it comes from, as a key for rate limits; null is limited by method alone. */
  readonly source: string | null
  /** Recorded as declared, and used for nothing. */
  readonly declaredClientId: string | null
  /** What came with the request to prove a key. */
  readonly proof: UntrustedProof
}

/** A request whose proof, if one came, holds. */
export type ProvenRequest = ExchangeRequest & { readonly proven: Proven }

export type ExchangeDeps = {
  readonly records: Records
  readonly policy: PolicySource
  readonly conditions: Conditions
  readonly signer: HandleSigner
  readonly handles: HandleVerifier
  readonly proofs: ProofVerifier
  readonly select: SelectAttestation
  readonly limits: ExchangeLimits
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly issuer: string
  readonly maxDelegationDepth: number
  /** SALLYPORT_KILL, read for each request. */
  readonly isKilled: () => boolean
}

export type ExchangeGrant = {
  /** The handle, or what stands for the credential in its place. */
  readonly token: string
  readonly session: Session
  readonly expiresInSeconds: number
  /** What was handed over, where it is no handle. Secret but for `record`. */
  readonly credential?: { readonly tokenType: string } & Pick<
    Minted,
    'members' | 'document' | 'record'
  >
}

/** A refusal and what was known when it happened, for its event. */
export type RefusedExchange = {
  readonly failure: Failure
  readonly caller: Caller | null
  readonly revision: number
  /** Its event stands in the session's chain. */
  readonly isRecorded?: true
}
type Attempt = Result<ExchangeGrant, RefusedExchange> | 'policy_changed'

/** How often an exchange starts over because the policy changed under it (RACE-5). */
const MAX_ATTEMPTS = 4

export async function exchange(
  request: ExchangeRequest,
  decisionId: string,
  deps: ExchangeDeps,
): Promise<Result<ExchangeGrant, Failure>> {
  try {
    const outcome = await untilPolicyStands(request, decisionId, deps)
    if (outcome.ok) return outcome
    const { failure } = outcome.failure
    if (outcome.failure.isRecorded === true) return fail(failure)
    if (failure.kind === 'slow_down') await tellOfLimit(outcome.failure, request, decisionId, deps)
    else await recordRefusal(outcome.failure, request, decisionId, deps)
    return fail(failure)
  } catch (cause) {
    if (cause instanceof StoreUnavailable) return fail(storeDown())
    throw cause
  }
}

/** One event for a whole flood. What is shed must not need the store: nothing is granted without it. */
async function tellOfLimit(
  refused: RefusedExchange,
  request: ExchangeRequest,
  decisionId: string,
  deps: ExchangeDeps,
): Promise<void> {
  if (refused.failure.kind !== 'slow_down' || refused.failure.limit === undefined) return
  try {
    await recordRefusal(refused, request, decisionId, deps)
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause
  }
}

async function untilPolicyStands(
  request: ExchangeRequest,
  decisionId: string,
  deps: ExchangeDeps,
): Promise<Result<ExchangeGrant, RefusedExchange>> {
  if (deps.isKilled()) return refuse({ kind: 'killed', by: 'environment' }, null, 0)
  const slow = deps.limits.enter(request.source)
  if (slow !== null) return refuse(slow, null, 0)
  const place = { at: 'token_endpoint', token: request.subject.token } as const
  const proven = await proveRequest(request.proof, place, deps)
  if (!proven.ok) return refuse(proven.failure, null, 0)
  const asked: ProvenRequest = { ...request, proven: proven.value }
  let snapshot = await deps.policy.current()
  const minimum = request.minPolicyRevision ?? 0
  if (snapshot.revision < minimum) snapshot = await deps.policy.atLeast(minimum)
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const outcome = await attempt(asked, decisionId, snapshot, deps)
    if (outcome !== 'policy_changed') return outcome
    snapshot = await deps.policy.refresh(snapshot.revision)
    if (snapshot.revision < minimum) break
  }
  return refuse(policyBehind(), null, snapshot.revision)
}

function policyBehind(): Failure {
  return { kind: 'unavailable', reason: 'policy_revision', retryAfterSeconds: 1 }
}

function refuse(
  failure: Failure,
  caller: Caller | null,
  revision: number,
): Result<never, RefusedExchange> {
  return fail({ failure, caller, revision })
}

/** Who was refused below a session is told with the tree and the user that it asked to act in. */
function asBelow(caller: Parties, parent: ParentRead | null): Caller {
  if (caller.parent === null || parent === null) return caller
  const { session } = parent
  return { ...caller, onBehalfOf: session.onBehalfOf, lineage: lineageBelow(session, {}) }
}

async function attempt(
  request: ProvenRequest,
  decisionId: string,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<Attempt> {
  const verified = await verifyParties(request, snapshot, deps)
  if (verified === 'policy_changed') return verified
  if (snapshot.revision < (request.minPolicyRevision ?? 0)) {
    // What refuses a caller here may be what the newer policy changes.
    return verified.ok ? 'policy_changed' : refuse(policyBehind(), null, snapshot.revision)
  }
  if (!verified.ok) return refuse(verified.failure, null, snapshot.revision)
  const caller = verified.value
  const named = { ...request, targets: targetsNamed(request, snapshot) }
  const held = heldToGrants(named, caller.attestations)
  if (!held.ok) return refuse(held.failure, caller, snapshot.revision)
  const asking: OpeningRequest = { ...held.value, ...caller }

  const approvalHash = mayReview(snapshot) ? openingHash(asking, deps.hashing) : null
  const read = await deps.records.readExchange({
    method: caller.identity.method,
    targets: asking.targets,
    approvalHash,
    parent: caller.parent?.sid ?? null,
  })
  const revision = read.revision
  if (read.killed) return refuse({ kind: 'killed', by: 'policy' }, caller, revision)
  if (revision !== snapshot.revision) return 'policy_changed'

  const now = deps.clock.nowSeconds()
  const { conditions, maxDelegationDepth } = deps
  await conditions.load(read.bindings)
  const policy = { bindings: read.bindings, snapshot, conditions, now, maxDelegationDepth }
  const opened =
    caller.parent === null ? openTargets(asking, policy) : openBelow(asking, read.parent, policy)
  if (!opened.ok) return refuse(opened.failure, asBelow(caller, read.parent), revision)
  const { asked, opening } = opened.value
  const bound = bindHandle(opening.proofs, request.proven)
  if (!bound.ok) return refuse(bound.failure, asked, revision)
  const facts = { decisionId, revision, now, confirmation: bound.value }
  const fresh = newSession(asked, opening, facts, deps.ids)
  const planned = await planDelivery(asked, fresh, read.parent, snapshot)
  if (!planned.ok) return refuse(planned.failure, asked, revision)
  const { session, plan, spendAbove, deliver } = planned.value
  const verdict = await judgeOpening(asked, opening, plan?.action ?? null, snapshot, deps)
  const approvalId = await passOpening(
    { verdict, opening, asked, decisionId, approvalHash, revision, now, plan },
    read.approval,
    deps,
  )
  if (!approvalId.ok) return refuse(approvalId.failure, asked, revision)

  const { opens, give } = await deliver(request, { ...caller, ...asked }, deps)
  const decided = {
    action: describeDecided(asked, plan),
    approvalId: approvalId.value,
    proofs: request.proven.singleUse,
    spendAbove,
    opens,
  }
  const refusal = await recordDecision(session, asked, verdict, decided, deps)
  if (refusal === 'policy_changed') return refusal
  return refusal === null ? give() : refuse(refusal, asked, revision)
}

type Delivery = {
  /** As it is granted. */
  readonly session: Session
  /** Of a credential; null: a handle is given. */
  readonly plan: MintPlan | null
  readonly spendAbove?: DecisionWrite['spendAbove']
  readonly deliver: (
    request: ExchangeRequest,
    caller: Parties,
    deps: ExchangeDeps,
  ) => Promise<Deliverable>
}

type Deliverable = {
  /**
   * Of a handle: its grant, recorded with the decision. It is signed before, which nobody sees, and names a
   * session that is there only with both. A credential cannot be taken back: it has to wait for the decision.
   */
  readonly opens?: HandleGrant
  /** Once the decision stands. */
  readonly give: () => Promise<Result<ExchangeGrant, RefusedExchange>>
}

/** What is asked for: a handle to the session, or a credential. */
async function planDelivery(
  asked: OpeningRequest,
  fresh: Session,
  parent: ParentRead | null,
  snapshot: PolicySnapshot,
): Promise<Result<Delivery, Failure>> {
  if (asked.requestedType === TOKEN_TYPES.accessToken) {
    const deliver: Delivery['deliver'] = async (...to) => {
      const { handle: token, grant } = await signHandle(fresh, ...to)
      const expiresInSeconds = fresh.expiresAt - fresh.createdAt
      return { opens: grant, give: async () => ok({ token, session: fresh, expiresInSeconds }) }
    }
    return ok({ session: fresh, plan: null, deliver })
  }
  const planned = await planCredential(asked, fresh, parent?.session ?? null, snapshot)
  if (!planned.ok) return planned
  const deliver: Delivery['deliver'] = async (...to) => ({
    give: () => mintAndRecordCredential(planned.value, ...to),
  })
  return ok({ ...planned.value, deliver })
}
