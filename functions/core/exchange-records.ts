// What an exchange writes: the decision, the grant with the hash of what is given, or the refusal.
import type { EvaluatedVerdict } from './evaluate.ts'
import { canonicalJson, type EventDraft } from './audit.ts'
import type { Parties } from './delegation.ts'
import { describeCaller, draftEvent, type EventFacts } from './events.ts'
import type { ExchangeDeps, ExchangeRequest, RefusedExchange } from './exchange.ts'
import type { Failure } from './failure.ts'
import { identityName, type JsonObject } from './identity.ts'
import { describeOpening } from './opening.ts'
import type { Opening, OpeningRequest } from './opening.ts'
import { attestedOrigin } from './origin.ts'
import type { Ids, Seconds } from './ports.ts'
import type { Confirmation, SingleUse } from './proof.ts'
import type { DecisionWrite, HandleGrant } from './records.ts'
import { formatScope } from './scope.ts'
import type { Revocable } from './security-event.ts'
import type { Session } from './session.ts'
import { targetUrl } from './target-url.ts'
import { type HandleClaims, TOKEN_TYPES } from './token.ts'

export function newSession(
  asked: OpeningRequest,
  opening: Opening,
  facts: {
    decisionId: string
    revision: number
    now: Seconds
    confirmation: Confirmation | null
  },
  ids: Ids,
): Session {
  return {
    id: ids.fresh('ses'),
    state: 'active',
    identity: identityName(asked.identity),
    authMethod: asked.identity.method,
    subject: asked.identity.subject,
    claims: asked.identity.claims,
    onBehalfOf: asked.onBehalfOf,
    lineage: asked.lineage,
    above: [],
    intent: asked.intent,
    grants: opening.targets,
    delivery: 'session',
    scope: formatScope(opening.targets.flatMap((target) => target.grants)),
    limits: opening.limits,
    usage: { actions: 0, writes: 0, rows: 0, bytes: 0 },
    createdAt: facts.now,
    expiresAt: opening.expiresAt,
    policyRevision: facts.revision,
    decisionId: facts.decisionId,
    attestationHash: asked.identity.attestationHash,
    removedEffects: [],
    denials: 0,
    attestedOrigin: attestedOrigin(asked),
    confirmation: facts.confirmation,
  }
}

/** Null when it stands. Single-use attestations are consumed by the same atomic write. */
export async function recordDecision(
  session: Session,
  asked: OpeningRequest,
  verdict: EvaluatedVerdict,
  decided: {
    /** What is decided on. */
    readonly action: JsonObject
    readonly approvalId: string | null
    readonly proofs: readonly SingleUse[]
    readonly spendAbove?: DecisionWrite['spendAbove'] | undefined
    readonly opens?: DecisionWrite['opens'] | undefined
  },
  deps: ExchangeDeps,
): Promise<Failure | 'policy_changed' | null> {
  const { action, approvalId, proofs } = decided
  const recorded = await deps.records.recordDecision({
    event: draftEvent(
      {
        type: 'decision',
        decisionId: session.decisionId,
        sessionId: session.id,
        ...describeCaller(asked, asked.intent),
        action,
        scope: session.scope,
        outcome: {
          verdict: 'allow',
          tier: verdict.tier,
          ...(session.confirmation === null ? {} : { cnf: session.confirmation }),
          ...(approvalId === null ? {} : { approval: approvalId }),
          ...(verdict.wouldHave === undefined
            ? {}
            : {
                would_have: verdict.wouldHave.verdict,
                would_reason: verdict.wouldHave.reasonCode,
              }),
        },
        reason: verdict.reasonCode,
        policyRevision: session.policyRevision,
      },
      deps,
    ),
    sessionId: session.id,
    singleUse: [...asked.attestations.flatMap(({ singleUse }) => singleUse ?? []), ...proofs],
    revocable: revocablesOf(asked),
    approvalId,
    ...(decided.spendAbove === undefined ? {} : { spendAbove: decided.spendAbove }),
    ...(decided.opens === undefined ? {} : { opens: decided.opens }),
    expectedRevision: session.policyRevision,
  })
  switch (recorded) {
    case 'recorded':
      return null
    case 'policy_changed':
      return recorded
    case 'approval_used':
      return { kind: 'access_denied', reason: recorded }
    case 'exhausted':
      return { kind: 'access_denied', reason: 'budget_exhausted' }
    case 'parent_changed':
      return { kind: 'attestation_rejected', role: 'subject', reason: 'session_ended' }
    case 'proof_replayed':
      return { kind: 'invalid_proof', reason: 'replayed', at: 'token_endpoint' }
    case 'replayed':
    case 'revoked':
      return {
        kind: 'attestation_rejected',
        role: 'subject',
        reason: recorded,
        method: asked.identity.method,
      }
  }
}

export function revocablesOf({
  attestations,
}: Pick<Parties, 'attestations'>): readonly Revocable[] {
  return attestations.flatMap(({ revocable }) => revocable ?? [])
}

/** Signed, and worth nothing until `grant` is recorded: what it names is a session that is not there. */
export async function signHandle(
  session: Session,
  request: ExchangeRequest,
  caller: Parties,
  deps: ExchangeDeps,
): Promise<{ readonly handle: string; readonly grant: HandleGrant }> {
  const claims: HandleClaims = {
    iss: deps.issuer,
    aud: session.grants.map((grant) => targetUrl(deps.issuer, grant.target)),
    sub: caller.sub,
    client_id: session.authMethod,
    sid: session.id,
    jti: deps.ids.fresh('jti'),
    iat: session.createdAt,
    exp: session.expiresAt,
    scope: session.scope,
    ...(caller.act === null ? {} : { act: caller.act }),
    ...(session.confirmation === null ? {} : { cnf: session.confirmation }),
  }
  const handle = await deps.signer.sign(claims)
  const given = {
    request,
    caller,
    action: { name: 'session.open', targets: session.grants.map((grant) => grant.target) },
  }
  const minted = { credential_sha256: deps.hashing.sha256Hex(handle), jti: claims.jti }
  return { handle, grant: { session, event: grantEvent(session, given, minted, deps) } }
}

/** To whom, and in answer to what. */
type Given = {
  readonly request: Pick<ExchangeRequest, 'declaredClientId'>
  readonly caller: Parties
  readonly action: JsonObject
}

/** Once it is recorded, what was minted may be given out; `minted` says what that is, by its hash. */
export function grantEvent(
  session: Session,
  { request, caller, action }: Given,
  minted: JsonObject,
  deps: ExchangeDeps,
): EventDraft {
  return draftEvent(
    {
      type: 'grant',
      decisionId: session.decisionId,
      sessionId: session.id,
      ...describeCaller(caller, session.intent),
      action,
      scope: session.scope,
      outcome: {
        verdict: 'granted',
        delivery: session.delivery,
        ...minted,
        ...(session.confirmation === null ? {} : { cnf: session.confirmation }),
        expires_at: new Date(session.expiresAt * 1000).toISOString(),
        ...(caller.act === null ? {} : { act: caller.act }),
        ...(request.declaredClientId === null
          ? {}
          : { declared_client_id: request.declaredClientId.slice(0, 256) }),
      },
      policyRevision: session.policyRevision,
    },
    deps,
  )
}

export async function recordRefusal(
  refused: RefusedExchange,
  request: ExchangeRequest,
  decisionId: string,
  deps: ExchangeDeps,
): Promise<void> {
  const { failure } = refused
  // Killed by the environment, or the store itself is behind: there is nothing to write to.
  if (failure.kind === 'killed' && failure.by === 'environment') return
  if (failure.kind === 'unavailable' && failure.reason !== 'verifier') return
  // The review is its own event.
  if (failure.kind === 'authorization_pending') return
  const { kind, ...facts } = failure
  await deps.records.recordRefusal(
    draftEvent(
      {
        type: 'refusal',
        decisionId,
        ...describeRefused(refused, request, deps),
        outcome: {
          verdict: 'deny',
          failure: kind,
          // Failures hold plain facts (style rule 17); undefined members are dropped by canonical JSON.
          facts: facts,
          token_sha256: deps.hashing.sha256Hex(request.subject.token),
          ...(request.actor === null
            ? {}
            : { actor_token_sha256: deps.hashing.sha256Hex(request.actor.token) }),
        },
        reason: 'reason' in failure ? failure.reason : kind,
        policyRevision: refused.revision,
      },
      deps,
    ),
  )
}

const MAX_STRANGER_CHARACTERS = 200
const MAX_STRANGER_ITEMS = 8

/**
 * What a refused caller said. Of a stranger's words, which nobody vouches for and everybody can send, the
 * log keeps the beginning and a hash of the whole, so that they do not fill it (AUD-8).
 */
function describeRefused(
  { caller }: RefusedExchange,
  request: ExchangeRequest,
  { hashing }: ExchangeDeps,
): Pick<EventFacts, 'identity' | 'agent' | 'intent' | 'origin' | 'action'> {
  const opening = describeOpening(request)
  const { requestedType } = request
  const asked =
    requestedType === TOKEN_TYPES.accessToken ? {} : { requested_token_type: requestedType }
  const name = 'session.open'
  if (caller !== null) {
    return { ...describeCaller(caller, request.intent), action: { name, ...opening, ...asked } }
  }
  const { intent, scope, targets } = request
  // The intent is parsed JSON by construction.
  const said = { scope: opening['scope'] ?? null, intent: intent as unknown as JsonObject | null }
  return {
    ...(intent === null
      ? {}
      : { intent: { purpose: [...intent.purpose].slice(0, MAX_STRANGER_CHARACTERS).join('') } }),
    action: {
      name,
      targets: targets.slice(0, MAX_STRANGER_ITEMS),
      scope_items: scope?.length ?? 0,
      declared_sha256: hashing.sha256Hex(canonicalJson(said)),
      ...asked,
    },
  }
}
