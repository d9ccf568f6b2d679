// The exchange path, read top to bottom (design/architecture.md): verify -> bindings -> intent ->
// RECORD the decision -> mint -> RECORD the grant -> answer. Nothing is minted that was not recorded.
import {
  candidatesFor,
  type RefusedAttestation,
  type SelectAttestation,
  verifyBy,
} from './attestation.ts'
import type { UntrustedAttestation } from './auth-method.ts'
import {
  mintAndRecordGrant,
  newSession,
  recordDecision,
  recordRefusal,
} from './exchange-records.ts'
import type { ExchangeLimits, SlowDown } from './exchange-limits.ts'
import type { Failure } from './failure.ts'
import type { Identity } from './identity.ts'
import type { AgentIntent } from './intent.ts'
import { mayReview } from './intent-policies.ts'
import { openingHash, type OpeningRequest, openTargets } from './opening.ts'
import { judgeOpening, passOpening } from './opening-verdict.ts'
import type { Clock, HandleSigner, Hashing, Ids } from './ports.ts'
import { type Records, StoreUnavailable } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import type { ScopeItem } from './scope.ts'
import type { Session } from './session.ts'
import type { Conditions, PolicySnapshot, PolicySource } from './snapshot.ts'

export type ExchangeRequest = {
  readonly subject: UntrustedAttestation
  /** A `client_assertion`: an attestation like any other (design/api.md). */
  readonly client: UntrustedAttestation | null
  /** Names of the targets asked for, without repetition. */
  readonly targets: readonly string[]
  readonly scope: readonly ScopeItem[] | null
  readonly intent: AgentIntent | null
  readonly authMethod: string | null
  readonly minPolicyRevision: number | null
  /** Whom the platform says it comes from, as a key for rate limits; null is limited by method alone. */
  readonly source: string | null
  /** Recorded as declared, and used for nothing. */
  readonly declaredClientId: string | null
}

export type ExchangeDeps = {
  readonly records: Records
  readonly policy: PolicySource
  readonly conditions: Conditions
  readonly signer: HandleSigner
  readonly select: SelectAttestation
  readonly limits: ExchangeLimits
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly issuer: string
  /** SALLYPORT_KILL, read for each request. */
  readonly isKilled: () => boolean
}

export type ExchangeGrant = {
  readonly handle: string
  readonly session: Session
  readonly expiresInSeconds: number
}

/** A refusal and what was known when it happened, for its event. */
export type RefusedExchange = {
  readonly failure: Failure
  readonly caller: Identity | null
  readonly revision: number
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

export function storeDown(): Failure {
  return { kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 }
}

/** STS and the like: nothing was found wrong with the token, and nothing right (AW-11). */
function verifierDown({ method, got }: RefusedAttestation): Failure {
  return {
    kind: 'unavailable',
    reason: 'verifier',
    retryAfterSeconds: 5,
    ...(method === undefined ? {} : { method }),
    ...(got === undefined ? {} : { got }),
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
  let snapshot = await deps.policy.current()
  const minimum = request.minPolicyRevision ?? 0
  if (snapshot.revision < minimum) snapshot = await deps.policy.atLeast(minimum)
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const outcome = await attempt(request, decisionId, snapshot, deps)
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
  caller: Identity | null,
  revision: number,
): Result<never, RefusedExchange> {
  return fail({ failure, caller, revision })
}

async function attempt(
  request: ExchangeRequest,
  decisionId: string,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<Attempt> {
  const verified = await verifyCaller(request, snapshot, deps)
  if (verified === 'policy_changed') return verified
  if (snapshot.revision < (request.minPolicyRevision ?? 0)) {
    // What refuses a caller here may be what the newer policy changes.
    return verified.ok ? 'policy_changed' : refuse(policyBehind(), null, snapshot.revision)
  }
  if (!verified.ok) return refuse(verified.failure, null, snapshot.revision)
  const caller = verified.value
  const asked: OpeningRequest = { ...request, identity: caller }

  const approvalHash = mayReview(snapshot) ? openingHash(asked, deps.hashing) : null
  const read = await deps.records.readExchange({
    method: caller.method,
    targets: request.targets,
    approvalHash,
  })
  const revision = read.revision
  if (read.killed) return refuse({ kind: 'killed', by: 'policy' }, caller, revision)
  if (revision !== snapshot.revision) return 'policy_changed'

  const now = deps.clock.nowSeconds()
  const { conditions } = deps
  await conditions.load(read.bindings)
  const opening = openTargets(asked, { bindings: read.bindings, snapshot, conditions, now })
  if (!opening.ok) return refuse(opening.failure, caller, revision)
  const verdict = await judgeOpening(asked, opening.value, snapshot, deps)
  const approvalId = await passOpening(
    { verdict, opening: opening.value, asked, decisionId, approvalHash, revision, now },
    read.approval,
    deps,
  )
  if (!approvalId.ok) return refuse(approvalId.failure, caller, revision)

  const session = newSession(asked, opening.value, { decisionId, revision, now }, deps.ids)
  const refusal = await recordDecision(session, asked, verdict, approvalId.value, deps)
  if (refusal === 'policy_changed') return refusal
  if (refusal !== null) return refuse(refusal, caller, revision)
  return ok(await mintAndRecordGrant(session, request, caller, deps))
}

async function verifyCaller(
  request: ExchangeRequest,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<Result<Identity, Failure> | 'policy_changed'> {
  const { source, authMethod } = request
  const subject = await verifyWithinLimits(request.subject, { source, authMethod, snapshot }, deps)
  if ('kind' in subject) return fail(subject)
  const client =
    request.client === null || !subject.ok
      ? null
      : await verifyWithinLimits(request.client, { source, authMethod: null, snapshot }, deps)
  if (client !== null && 'kind' in client) return fail(client)
  if (subject.ok && (client === null || client.ok)) return subject
  // The policy may have changed since this isolate read it; it looks once a second at most.
  const fresh = await deps.policy.refreshLimited()
  if (fresh.revision !== snapshot.revision) return 'policy_changed'
  if (subject.ok) return fail({ kind: 'invalid_client', viaAuthorizationHeader: false })
  if (subject.failure.reason === 'verifier_unavailable') return fail(verifierDown(subject.failure))
  return fail({ kind: 'attestation_rejected', role: 'subject', ...subject.failure })
}

/** Between the choice of the candidates, which costs nothing, and their work, which may cost a call. */
async function verifyWithinLimits(
  attestation: UntrustedAttestation,
  input: Pick<ExchangeRequest, 'source' | 'authMethod'> & { readonly snapshot: PolicySnapshot },
  { select, limits }: ExchangeDeps,
): Promise<Result<Identity, RefusedAttestation> | SlowDown> {
  const candidates = candidatesFor(attestation, { ...input, select })
  if (!candidates.ok) return candidates
  const settle = limits.enterMethods(input.source, candidates.value)
  if (!settle.ok) return settle.failure
  const { verified, refusedAfterAsking } = await verifyBy(candidates.value, attestation)
  settle.value({ accepted: verified.ok ? verified.value.method : null, refusedAfterAsking })
  return verified
}
