// Who acts for whom (RFC 8693 §1.1): the actor authorises, the subject is whom it acts for. Both are
// verified before they come here; what an earlier actor was is carried, and decides nothing.
import { canonicalJson } from './audit.ts'
import type { Failure } from './failure.ts'
import { type Identity, identityName, type JsonObject, type JsonValue } from './identity.ts'
import type { Lineage } from './lineage.ts'
import { fail, ok, type Result } from './result.ts'
import type { HandleClaims } from './token.ts'

/** The user whom a session acts for. */
export type OnBehalfOf = {
  /** `impersonation`: the user's token came alone, and nobody else was attested. */
  readonly relation: 'delegation' | 'impersonation'
  /** `{auth_method}:{subject}` of the user. */
  readonly identity: string
  readonly authMethod: string
  readonly subject: string
  /** Verified claims, kept so that a changed binding can be judged again. */
  readonly claims: JsonObject
  readonly attestationHash: string
}

/** Who takes part in an exchange. */
export type Parties = {
  /** Who acts, and whose Auth Method's bindings authorise. */
  readonly identity: Identity
  readonly onBehalfOf: OnBehalfOf | null
  readonly lineage: Lineage | null
  /** The parent's handle, verified; whom it acts for and what it descends from stand in its session. */
  readonly parent: HandleClaims | null
  /** Every attestation that was presented, the subject's first: the handle outlives none of them. */
  readonly attestations: readonly Identity[]
  /** `sub` and `act` of the handle. */
  readonly sub: string
  readonly act: JsonObject | null
}

/** What the deployment says. */
export type Here = {
  readonly issuer: string
  /** Generations of sub-agents; `act` names one more, the agent at the root. */
  readonly maxDelegationDepth: number
}

/** The parties of an exchange without a parent session. */
export function partiesOf(
  subject: Identity,
  actor: Identity | null,
  here: Here,
): Result<Parties, Failure> {
  if (actor === null) return partiesAlone(subject, here)
  if (subject.kind !== 'user') return wrongRole('subject', subject, 'user')
  if (actor.kind !== 'workload') return wrongRole('actor', actor, 'workload')
  if (!isPresenter(subject, identityName(actor))) return notThePresenter(subject)
  if (!mayAct(subject.claims, actor)) return mayNotAct(subject.method)
  const act = actorClaim(actor, priorActors(subject, here.issuer), here)
  if (!act.ok) return act
  return ok({
    identity: actor,
    onBehalfOf: behalfOf(subject, 'delegation'),
    lineage: null,
    parent: null,
    attestations: [subject, actor],
    sub: identityName(subject),
    act: act.value,
  })
}

function partiesAlone(subject: Identity, { issuer, maxDelegationDepth }: Here) {
  if (!isPresenter(subject, null)) return notThePresenter(subject)
  if (depthOf(subject.act) > maxDelegationDepth + 1) return chainTooLong()
  const isUser = subject.kind === 'user'
  // The token says who may use it, and whoever presents it alone has not shown who it is (AC-05).
  if (isUser && subject.claims['may_act'] !== undefined) return mayNotAct(subject.method)
  return ok({
    identity: subject,
    onBehalfOf: isUser ? behalfOf(subject, 'impersonation') : null,
    lineage: null,
    parent: null,
    attestations: [subject],
    sub: identityName(subject),
    act: priorActors(subject, issuer),
  })
}

/** What was issued to one agent is worth nothing in the hands of another. */
function isPresenter({ grant }: Identity, presenter: string | null): boolean {
  return grant === undefined || grant.presenter === presenter
}

function notThePresenter({ method, grant }: Identity): Result<never, Failure> {
  return fail({
    kind: 'attestation_rejected',
    role: 'subject',
    reason: 'claim_mismatch',
    method,
    claim: 'client_id',
    ...(grant === undefined ? {} : { expected: grant.presenter }),
  })
}

/** The parties of an exchange whose subject is the handle of a parent session. */
export function partiesBelow(
  parent: HandleClaims,
  actor: Identity,
  here: Here,
): Result<Parties, Failure> {
  if (actor.kind !== 'workload') return wrongRole('actor', actor, 'workload')
  const act = actorClaim(actor, parent.act ?? null, here)
  if (!act.ok) return act
  return ok({
    identity: actor,
    onBehalfOf: null,
    lineage: null,
    parent,
    attestations: [actor],
    sub: parent.sub,
    act: act.value,
  })
}

function behalfOf(user: Identity, relation: OnBehalfOf['relation']): OnBehalfOf {
  return {
    relation,
    identity: identityName(user),
    authMethod: user.method,
    subject: user.subject,
    claims: user.claims,
    attestationHash: user.attestationHash,
  }
}

function wrongRole(
  role: 'subject' | 'actor',
  { method, kind }: Identity,
  expected: Identity['kind'],
): Result<never, Failure> {
  const reason = 'wrong_role'
  return fail({ kind: 'attestation_rejected', role, reason, method, expected, got: kind })
}

export function mayNotAct(method: string): Result<never, Failure> {
  const reason = 'may_not_act'
  return fail({ kind: 'attestation_rejected', role: 'actor', reason, method, claim: 'may_act' })
}

/**
 * Whether the `may_act` of a user's token, if it has one, names this actor (RFC 8693 §4.4): every member
 * equals the actor's verified claim of that name. Without `iss` it speaks of the token's own issuer, so
 * that the same `sub` under another one is somebody else (AC-04). Absent, it permits nothing by itself.
 */
export function mayAct(claims: JsonObject, actor: Pick<Identity, 'claims'>): boolean {
  const named = claims['may_act']
  if (named === undefined) return true
  if (!isObject(named)) return false
  if (named['sub'] === undefined && named['client_id'] === undefined) return false
  const wanted: JsonObject = { iss: claims['iss'] ?? null, ...named }
  return Object.entries(wanted).every(([name, value]) => {
    const own = Object.hasOwn(actor.claims, name) ? actor.claims[name] : undefined
    return own !== undefined && canonicalJson(own) === canonicalJson(value)
  })
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The actors that a token named before it came here. Where it does not say whose names they are, they are
 * its issuer's, and so are those that it says are ours: inside a handle they would read as verified here.
 */
function priorActors({ act, claims, method }: Identity, issuer: string): JsonObject | null {
  const iss = typeof claims['iss'] === 'string' ? claims['iss'] : method
  return act === null ? null : named(act, iss, issuer)
}

function named(act: JsonObject, iss: string, issuer: string): JsonObject {
  const { iss: claimed, act: inner, ...level } = act
  return {
    ...level,
    iss: claimed === undefined || claimed === issuer ? iss : claimed,
    ...(inner !== undefined && isObject(inner) ? { act: named(inner, iss, issuer) } : {}),
  }
}

/** The actor in front of those before it (AC-03), as deep as `act` may be (AC-06). */
export function actorClaim(
  actor: Identity,
  prior: JsonObject | null,
  { issuer, maxDelegationDepth }: Here,
): Result<JsonObject, Failure> {
  if (depthOf(prior) > maxDelegationDepth) return chainTooLong()
  const current = { iss: issuer, sub: identityName(actor) }
  const act = prior === null ? current : { ...current, act: prior }
  return JSON.stringify(act).length > MAX_ACT_CHARACTERS ? chainTooLong() : ok(act)
}

/** With more of it the handle would outgrow what a gateway, this one included, takes in a header line. */
const MAX_ACT_CHARACTERS = 8192

function chainTooLong(): Result<never, Failure> {
  const reason = 'chain_too_long'
  return fail({ kind: 'attestation_rejected', role: 'subject', reason, claim: 'act' })
}

function depthOf(act: JsonObject | null): number {
  let depth = 0
  for (let level: JsonValue | undefined = act ?? undefined; level !== undefined; depth += 1) {
    level = isObject(level) ? level['act'] : undefined
  }
  return depth
}

/** Who acts by this handle, as `{auth_method}:{subject}`. */
export function actingIdentity({ act, sub, iss }: HandleClaims): string {
  return act !== undefined && act['iss'] === iss && typeof act['sub'] === 'string'
    ? act['sub']
    : sub
}

/** What an event says of whom a session acts for; the agent's own attestation stands beside it (AC-08). */
export function describeOnBehalfOf(
  onBehalfOf: OnBehalfOf | null,
  lineage: Lineage | null,
): JsonObject {
  if (onBehalfOf === null) return {}
  const { relation, identity, authMethod, subject, claims, attestationHash } = onBehalfOf
  // Who acts below one whom the user's token let in was attested itself, and is not the user.
  if (relation === 'impersonation' && lineage === null) return { relation }
  return {
    relation: 'delegation',
    on_behalf_of: {
      identity,
      auth_method: authMethod,
      subject,
      token_sha256: attestationHash,
      ...(typeof claims['iss'] === 'string' ? { issuer: claims['iss'] } : {}),
    },
  }
}
