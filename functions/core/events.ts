// Builds audit events with the whole field set, so that no path leaves one out (AUD-9).
import type { EventDraft, EventType } from './audit.ts'
import { describeOnBehalfOf, type OnBehalfOf } from './delegation.ts'
import type { Identity, JsonObject } from './identity.ts'
import { identityName } from './identity.ts'
import type { AgentIntent } from './intent.ts'
import { attestedOrigin } from './origin.ts'
import { describeLineage, type Lineage } from './lineage.ts'
import type { Clock, Ids } from './ports.ts'
import type { Session } from './session.ts'

export type EventFacts = {
  readonly type: EventType
  readonly decisionId: string
  readonly sessionId?: string
  readonly identity?: string
  readonly agent?: EventDraft['agent']
  readonly intent?: JsonObject
  readonly origin?: EventDraft['origin']
  readonly action?: JsonObject
  readonly scope?: string
  readonly outcome: JsonObject
  readonly reason?: string
  readonly policyRevision: number
}

/** An event with every member present; what was not known is null. */
export function draftEvent(facts: EventFacts, deps: { clock: Clock; ids: Ids }): EventDraft {
  return {
    id: deps.ids.fresh('evt'),
    time: new Date(deps.clock.nowMs()).toISOString(),
    type: facts.type,
    decision_id: facts.decisionId,
    session_id: facts.sessionId ?? null,
    identity: facts.identity ?? null,
    agent: facts.agent ?? { declared: null, attested: null },
    intent: facts.intent ?? null,
    origin: facts.origin ?? { declared: null, attested: null },
    action: facts.action ?? null,
    scope: facts.scope ?? null,
    outcome: facts.outcome,
    reason: facts.reason ?? null,
    policy_revision: facts.policyRevision,
  }
}

/** Who asks, verified. */
export type Caller = {
  readonly identity: Identity
  readonly onBehalfOf: OnBehalfOf | null
  readonly lineage: Lineage | null
}

/** What is said of the caller and by whom: declared by itself, attested by its token. */
export function describeCaller(
  caller: Caller | null,
  intent: AgentIntent | null,
): Pick<EventFacts, 'identity' | 'agent' | 'intent' | 'origin'> {
  return {
    ...(caller === null ? {} : { identity: identityName(caller.identity) }),
    agent: {
      declared: intent?.agent === undefined ? null : { ...intent.agent },
      attested: caller === null ? null : attestedAgent(caller),
    },
    ...(intent === null ? {} : { intent: describeIntent(intent) }),
    origin: {
      declared: intent?.origin === undefined ? null : describeOrigin(intent),
      attested: caller === null ? null : attestedOrigin(caller),
    },
  }
}

function attestedAgent({ identity, onBehalfOf, lineage }: Caller): JsonObject {
  return {
    auth_method: identity.method,
    type: identity.methodType,
    subject: identity.subject,
    token_sha256: identity.attestationHash,
    ...(typeof identity.claims['iss'] === 'string' ? { issuer: identity.claims['iss'] } : {}),
    ...identity.evidence,
    ...describeOnBehalfOf(onBehalfOf, lineage),
    ...describeLineage(lineage),
  }
}

/** The intent as the log keeps it: verbatim, but agent and origin, which have members of their own. */
function describeIntent(intent: AgentIntent): JsonObject {
  return {
    purpose: intent.purpose,
    // Envelope holds plain JSON values by construction.
    ...(intent.envelope === undefined ? {} : { envelope: intent.envelope }),
    ...(intent.expected_seconds === undefined ? {} : { expected_seconds: intent.expected_seconds }),
  }
}

function describeOrigin(intent: AgentIntent): JsonObject {
  return { ...intent.origin } // strings only, see DeclaredOrigin
}

/** The same for an action of an open session: the identity was attested when the session opened. */
export function describeSession(
  session: Session,
  declaredOrigin: JsonObject | null,
): Pick<EventFacts, 'identity' | 'agent' | 'intent' | 'origin' | 'sessionId'> {
  return {
    sessionId: session.id,
    identity: session.identity,
    agent: {
      declared: session.intent?.agent === undefined ? null : { ...session.intent.agent },
      attested: {
        auth_method: session.authMethod,
        subject: session.subject,
        token_sha256: session.attestationHash,
        ...(session.confirmation === null ? {} : { cnf: { ...session.confirmation } }),
        ...describeOnBehalfOf(session.onBehalfOf, session.lineage),
        ...describeLineage(session.lineage),
      },
    },
    ...(session.intent === null ? {} : { intent: describeIntent(session.intent) }),
    origin: {
      declared:
        declaredOrigin ??
        (session.intent?.origin === undefined ? null : describeOrigin(session.intent)),
      attested: session.attestedOrigin,
    },
  }
}
