// Who takes part in an exchange, verified: the subject, the actor and the client, each by the Auth Methods of
// its own issuer and for its own type, whatever the others turned out to be (RFC 8693 §2.1).
import { candidatesFor, type RefusedAttestation, verifyBy } from './attestation.ts'
import type { UntrustedAttestation } from './auth-method.ts'
import { type Parties, partiesBelow, partiesOf } from './delegation.ts'
import type { SlowDown } from './exchange-limits.ts'
import type { ExchangeDeps, ExchangeRequest, ProvenRequest } from './exchange.ts'
import type { Failure } from './failure.ts'
import type { Identity } from './identity.ts'
import { type Proven, verifyProofFor, verifyProofOfClaims } from './proof.ts'
import { fail, ok, type Result } from './result.ts'
import type { PolicySnapshot } from './snapshot.ts'
import { TOKEN_TYPES } from './token.ts'

export async function verifyParties(
  request: ProvenRequest,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<Result<Parties, Failure> | 'policy_changed'> {
  if (request.subject.tokenType === TOKEN_TYPES.accessToken) {
    return verifyBelow(request, snapshot, deps)
  }
  const { source, proven } = request
  const from = { source, proven, snapshot }
  const [authMethod, actorMethod] = restrictedMethods(request)
  const subject = await verifyWithinLimits(request.subject, { ...from, authMethod }, deps)
  if ('kind' in subject) return fail(subject)
  const actor =
    request.actor === null || !subject.ok
      ? null
      : await verifyWithinLimits(request.actor, { ...from, authMethod: actorMethod }, deps)
  if (actor !== null && 'kind' in actor) return fail(actor)
  const client = subject.ok ? await verifyClient(request, from, deps) : null
  if (client !== null && 'kind' in client) return fail(client)
  return unlessChanged(snapshot, deps, () => {
    if (!subject.ok) return fail(refusedAs('subject', subject.failure))
    if (actor?.ok === false) return fail(refusedActor(request, actor.failure))
    if (client !== null && !isClient(client)) return fail(NOT_A_CLIENT)
    return partiesOf(subject.value, actor?.value ?? null, deps)
  })
}

const NOT_A_CLIENT = { kind: 'invalid_client', viaAuthorizationHeader: false } as const

async function verifyClient(
  { client }: ProvenRequest,
  from: Pick<ProvenRequest, 'source' | 'proven'> & { readonly snapshot: PolicySnapshot },
  deps: ExchangeDeps,
) {
  return client === null ? null : verifyWithinLimits(client, { ...from, authMethod: null }, deps)
}

/** A user's token says nothing of the client that holds it. */
function isClient(client: Result<Identity, RefusedAttestation>): boolean {
  return client.ok && client.value.kind === 'workload'
}

/** With a handle of this broker as the subject: whoever acts below it shows its own attestation. */
async function verifyBelow(
  request: ProvenRequest,
  snapshot: PolicySnapshot,
  deps: ExchangeDeps,
): Promise<Result<Parties, Failure> | 'policy_changed'> {
  const { subject, source, proven, authMethod } = request
  if (request.actor === null) {
    return fail({
      kind: 'malformed_request',
      reason: 'missing_parameter',
      parameter: 'actor_token',
    })
  }
  const handle = await deps.handles.verify(subject.token, deps.clock.nowSeconds())
  if (!handle.ok) return fail(refusedAs('subject', { reason: handle.failure }))
  const { iss, cnf = null } = handle.value
  if (iss !== deps.issuer) return fail(refusedAs('subject', { reason: 'unknown_issuer' }))
  const fits = verifyProofFor(cnf, proven)
  if (!fits.ok) return fail(refusedAs('subject', { reason: 'unproven', got: fits.failure }))
  const from = { source, proven, snapshot }
  const actor = await verifyWithinLimits(request.actor, { ...from, authMethod }, deps)
  if ('kind' in actor) return fail(actor)
  const client = await verifyClient(request, from, deps)
  if (client !== null && 'kind' in client) return fail(client)
  return unlessChanged(snapshot, deps, () => {
    if (!actor.ok) return fail(refusedAs('actor', actor.failure))
    if (client !== null && !isClient(client)) return fail(NOT_A_CLIENT)
    return partiesBelow(handle.value, actor.value, deps)
  })
}

/** A refusal, unless the policy has changed since this isolate read it; it looks once a second at most. */
async function unlessChanged(
  snapshot: PolicySnapshot,
  { policy }: ExchangeDeps,
  parties: () => Result<Parties, Failure>,
): Promise<Result<Parties, Failure> | 'policy_changed'> {
  const found = parties()
  if (found.ok) return found
  const fresh = await policy.refreshLimited()
  return fresh.revision === snapshot.revision ? found : 'policy_changed'
}

/** Who redeems an ID-JAG does so as a client, and is refused as one (RFC 7521 §4.2.1). */
function refusedActor({ subject }: ProvenRequest, refused: RefusedAttestation): Failure {
  if (subject.tokenType !== TOKEN_TYPES.idJag) return refusedAs('actor', refused)
  if (refused.reason === 'verifier_unavailable') return verifierDown(refused)
  const { reason, method } = refused
  return { ...NOT_A_CLIENT, reason, ...(method === undefined ? {} : { method }) }
}

function refusedAs(role: 'subject' | 'actor', refused: RefusedAttestation): Failure {
  if (refused.reason === 'verifier_unavailable') return verifierDown(refused)
  return { kind: 'attestation_rejected', role, ...refused }
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

/** `auth_method` is the subject's, or the actor's where only that one is opaque and needs it. */
function restrictedMethods({ subject, actor, authMethod }: ExchangeRequest) {
  const isActors =
    actor?.tokenType === TOKEN_TYPES.opaque && subject.tokenType !== TOKEN_TYPES.opaque
  return isActors ? ([null, authMethod] as const) : ([authMethod, null] as const)
}

/** Between the choice of the candidates, which costs nothing, and their work, which may cost a call. */
async function verifyWithinLimits(
  attestation: UntrustedAttestation,
  input: Pick<ProvenRequest, 'source' | 'authMethod' | 'proven'> & {
    readonly snapshot: PolicySnapshot
  },
  { select, limits }: ExchangeDeps,
): Promise<Result<Identity, RefusedAttestation> | SlowDown> {
  const candidates = candidatesFor(attestation, { ...input, select })
  if (!candidates.ok) return candidates
  const settle = limits.enterMethods(input.source, candidates.value)
  if (!settle.ok) return settle.failure
  const { verified, refusedAfterAsking } = await verifyBy(candidates.value, attestation)
  settle.value({ accepted: verified.ok ? verified.value.method : null, refusedAfterAsking })
  return verified.ok ? possessed(verified.value, input.proven) : verified
}

/** An attestation that is bound to a key (`cnf`) is one only together with its proof. */
function possessed(identity: Identity, proven: Proven): Result<Identity, RefusedAttestation> {
  const fits = verifyProofOfClaims(identity.claims, proven)
  if (fits.ok) return ok(identity)
  const { method } = identity
  return fail({ reason: 'unproven', claim: 'cnf', got: fits.failure, method })
}
