// The path of a security event, read top to bottom: transmitter by issuer, before any I/O -> signature and
// claims -> RECORD the event and tighten the sessions, in one write. Whether anybody was meant is told to
// nobody.
import type { EventDraft } from './audit.ts'
import type { CompiledAuthMethod } from './auth-method.ts'
import { draftEvent } from './events.ts'
import type { ExchangeLimits } from './exchange-limits.ts'
import type { Failure } from './failure.ts'
import { identityName } from './identity.ts'
import { CLOCK_SKEW_SECONDS, type Clock, type Hashing, type Ids } from './ports.ts'
import { type Records, StoreUnavailable } from './records.ts'
import { fail, ok, type Result } from './result.ts'
import {
  consequenceOf,
  revocationKey,
  type SetFault,
  type Transmitter,
  type VerifiedSet,
} from './security-event.ts'
import { describeTightening } from './self-tightening.ts'
import type { Tightening } from './session-state.ts'
import type { PolicySnapshot, PolicySource } from './snapshot.ts'
import type { Withdraw } from './withdrawn.ts'

/**
 * How old a token may be: as old as the oldest session there can be. What is older concerns none, and
 * its id need not be remembered.
 */
export const MAX_SET_AGE_SECONDS = 43_200

export type ReceiveDeps = {
  readonly records: Records
  readonly policy: PolicySource
  /** The `iss` of a token, from unverified content and without any I/O; it selects, and proves nothing. */
  readonly untrustedSetIssuer: (token: string) => Result<string, SetFault>
  readonly eventLimits: Pick<ExchangeLimits, 'enter'>
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly isKilled: () => boolean
  readonly withdraw: Withdraw
}

export type ReceiveRequest = {
  readonly token: string
  /** The bearer token that came with the request, not verified. */
  readonly authorization: string | null
  readonly source: string | null
}
export type ReceiveRefusal =
  | { readonly kind: 'set'; readonly fault: SetFault }
  | { readonly kind: 'failure'; readonly failure: Failure }

const MAX_ATTEMPTS = 4

/** Null: taken, or taken before. */
export async function receiveEvent(
  request: ReceiveRequest,
  decisionId: string,
  deps: ReceiveDeps,
): Promise<ReceiveRefusal | null> {
  const unavailable = (reason: string): ReceiveRefusal => ({
    kind: 'failure',
    failure: { kind: 'unavailable', reason, retryAfterSeconds: 5 },
  })
  // The kill switch of the store lets events in: they only ever tighten.
  if (deps.isKilled()) return unavailable('killed')
  const slow = deps.eventLimits.enter(request.source)
  if (slow !== null) return { kind: 'failure', failure: slow }
  const issuer = deps.untrustedSetIssuer(request.token)
  if (!issuer.ok) return { kind: 'set', fault: issuer.failure }
  try {
    for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
      const outcome = await attempt(request, issuer.value, decisionId, deps)
      if (outcome === null) return null
      if (outcome === 'policy_changed') continue
      return outcome.retry === true ? unavailable('verifier') : { kind: 'set', fault: outcome }
    }
    return unavailable('policy_revision')
  } catch (cause) {
    if (cause instanceof StoreUnavailable) return unavailable('store')
    throw cause
  }
}

/** What one attempt found out. */
async function attempt(
  request: ReceiveRequest,
  issuer: string,
  decisionId: string,
  deps: ReceiveDeps,
): Promise<SetFault | 'policy_changed' | null> {
  let snapshot = await deps.policy.current()
  if (believersIn(issuer, snapshot).length === 0) snapshot = await deps.policy.refreshLimited()
  const verified = await verify(request, believersIn(issuer, snapshot))
  if (!verified.ok && verified.failure.authenticated !== true) return verified.failure
  // The policy as it is now, or a method that was just removed would still be listened to.
  const { revision } = await deps.records.readPolicyState()
  if (revision !== snapshot.revision) {
    await deps.policy.refresh(revision - 1)
    return 'policy_changed'
  }
  const about = { issuer, token: request.token, decisionId, revision }
  if (!verified.ok) return refused(verified.failure, about, deps)
  const [first] = verified.value
  if (first === undefined) return UNKNOWN_TRANSMITTER
  const consequence = consequenceOf(first.set.event)
  if (consequence.kind === 'malformed') {
    const reason = `event_${consequence.member}`
    return refused({ err: 'invalid_request', reason, authenticated: true }, about, deps)
  }
  const tightening = consequence.kind === 'tighten' ? consequence.tightening : null
  return record(verified.value, tightening, about, deps)
}

type Believer = CompiledAuthMethod & { readonly transmitter: Transmitter }

function believersIn(issuer: string, { methods }: PolicySnapshot): readonly Believer[] {
  const isBeliever = (method: CompiledAuthMethod): method is Believer =>
    method.transmitter?.issuer === issuer
  return [...methods.values()].filter(isBeliever)
}

/** One body for every stranger, whatever is configured (ER-09). */
const UNKNOWN_TRANSMITTER: SetFault = {
  err: 'authentication_failed',
  reason: 'unknown_issuer',
}

type BelievedSet = { readonly method: string; readonly set: VerifiedSet }

/** Several methods may believe one transmitter, each about its own identities. One acceptance suffices. */
async function verify(
  { token, authorization }: ReceiveRequest,
  believers: readonly Believer[],
): Promise<Result<readonly BelievedSet[], SetFault>> {
  const accepted: BelievedSet[] = []
  let fault = UNKNOWN_TRANSMITTER
  for (const { name, transmitter } of believers) {
    const verified = await transmitter.verify(token, authorization)
    if (verified.ok) accepted.push({ method: name, set: verified.value })
    else if (verified.failure.retry === true || fault.retry !== true) fault = verified.failure
  }
  return accepted.length > 0 ? ok(accepted) : fail(fault)
}

type About = {
  readonly issuer: string
  readonly token: string
  readonly decisionId: string
  readonly revision: number
}

async function record(
  believed: readonly BelievedSet[],
  tightening: Tightening | null,
  about: About,
  deps: ReceiveDeps,
): Promise<'policy_changed' | null> {
  const subjects = believed.flatMap(({ method, set: { subject, issuedAt } }) =>
    subject === null ? [] : [{ method, subject, issuedAt }],
  )
  const recorded = await deps.records.recordSecurityEvent({
    event: eventOf(believed, tightening, about, deps),
    // With method and issuer in it, so that nobody burns somebody else's ids (RB-06).
    singleUse: believed.map(({ method, set }) => ({
      key: deps.hashing.sha256Hex(JSON.stringify(['secevent', method, about.issuer, set.jti])),
      expiresAt: set.issuedAt + MAX_SET_AGE_SECONDS + CLOCK_SKEW_SECONDS,
    })),
    expectedRevision: about.revision,
    identities: subjects.map(identityName),
    revoked: subjects.map(({ method, subject, issuedAt }) => ({
      key: revocationKey(method, subject, deps.hashing),
      issuedAt,
    })),
    tightening,
  })
  if (recorded === 'policy_changed') return recorded
  // What was delivered twice has been taken care of (RFC 8935 §2).
  if (recorded === 'recorded' && tightening !== null && tightening.to !== 'narrowed') {
    await deps.withdraw({ decisionId: about.decisionId, sessionId: null })
  }
  return null
}

function eventOf(
  believed: readonly BelievedSet[],
  tightening: Tightening | null,
  { issuer, token, decisionId, revision }: About,
  deps: ReceiveDeps,
): EventDraft {
  const [first] = believed
  const type = first?.set.event.type ?? ''
  return draftEvent(
    {
      type: tightening?.to === 'ended' ? 'revocation' : 'state',
      decisionId,
      action: {
        operation: 'security-event',
        event: type.slice(type.lastIndexOf('/') + 1),
        event_type: type,
        issuer,
        jti: first?.set.jti ?? null,
        subject: first?.set.subjectId ?? null,
        auth_methods: believed.map(({ method }) => method),
        token_sha256: deps.hashing.sha256Hex(token),
        ...(tightening === null ? {} : describeTightening(tightening)),
      },
      outcome: { result: tightening === null ? 'acknowledged' : 'applied', by: 'transmitter' },
      reason: 'security_event',
      policyRevision: revision,
    },
    deps,
  )
}

/** Of an authenticated transmitter only; strangers leave nothing. */
async function refused(fault: SetFault, about: About, deps: ReceiveDeps): Promise<SetFault> {
  await deps.records.recordRefusal(
    draftEvent(
      {
        type: 'refusal',
        decisionId: about.decisionId,
        action: { operation: 'security-event', issuer: about.issuer },
        outcome: {
          verdict: 'deny',
          failure: fault.err,
          token_sha256: deps.hashing.sha256Hex(about.token),
        },
        reason: fault.reason,
        policyRevision: about.revision,
      },
      deps,
    ),
  )
  return fault
}
