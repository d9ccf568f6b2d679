// The values that the tests of the store write. Nothing here needs a runtime of its own.
import { createHash, randomBytes } from 'node:crypto'
import type { EventDraft, EventType } from '../../functions/core/audit.ts'
import type { BindingPolicy } from '../../functions/core/policy.ts'
import type { ActionWrite, DecisionWrite, HandleGrant } from '../../functions/core/records.ts'
import type { Session } from '../../functions/core/session.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createStores } from '../../functions/store/index.ts'
import type { Stores } from '../../functions/store/index.ts'

/** The clock of all tests of the store. */
export const NOW = 1_800_000_000

export const clock = { nowSeconds: () => NOW, nowMs: () => NOW * 1000 }

export const hashing = {
  sha256Hex: (text: string) => createHash('sha256').update(text, 'utf8').digest('hex'),
}

export function storesOn(driver: Driver, nowSeconds = NOW): Stores {
  const at = { nowSeconds: () => nowSeconds, nowMs: () => nowSeconds * 1000 }
  return createStores({ driver, hashing, clock: at })
}

export function freshId(prefix: string): string {
  return `${prefix}_${randomBytes(16).toString('base64url')}`
}

export function eventOf(type: EventType, facts: Partial<EventDraft> = {}): EventDraft {
  return {
    id: freshId('evt'),
    time: '2027-01-15T08:00:00.000Z',
    type,
    decision_id: freshId('dec'),
    session_id: null,
    identity: 'ci:repo:a/b',
    agent: { declared: { name: 'bot' }, attested: { auth_method: 'ci' } },
    intent: { purpose: 'test' },
    origin: { declared: null, attested: null },
    action: { name: 'session.open', target: 'crm' },
    scope: 'read',
    outcome: { verdict: 'allow' },
    reason: 'granted',
    policy_revision: 1,
    ...facts,
  }
}

export function sessionOf(facts: Partial<Session> = {}): Session {
  return {
    id: freshId('ses'),
    state: 'active',
    identity: 'ci:repo:a/b',
    authMethod: 'ci',
    subject: 'repo:a/b',
    claims: { sub: 'repo:a/b', roles: ['x'] },
    onBehalfOf: null,
    lineage: null,
    above: [],
    intent: { type: 'agent_intent', purpose: 'test', agent: { name: 'bot' } },
    grants: [grantOf('crm', ['ci-crm'])],
    scope: 'read',
    limits: {},
    usage: { actions: 0, writes: 0, rows: 0, bytes: 0 },
    createdAt: NOW,
    expiresAt: NOW + 300,
    policyRevision: 1,
    decisionId: freshId('dec'),
    attestationHash: 'a'.repeat(64),
    removedEffects: [],
    denials: 0,
    attestedOrigin: null,
    delivery: 'session',
    confirmation: null,
    ...facts,
  }
}

export function grantOf(target: string, bindings: readonly string[]): Session['grants'][number] {
  const grants = [{ effects: ['read'] as const, objects: ['*'] }]
  return { target, bindings, grants, intentPolicies: [], onReview: 'deny', mode: 'enforce' }
}

export function bindingOf(facts: Partial<BindingPolicy> = {}): BindingPolicy {
  return {
    name: 'ci-crm',
    enabled: true,
    auth_method: 'ci',
    target: 'crm',
    effect: 'allow',
    grants: [{ effects: ['read'], objects: ['GET /**'] }],
    ttl_seconds: 300,
    delivery: 'session',
    mode: 'enforce',
    ...facts,
  }
}

export function decisionOf(sessionId: string, facts: Partial<DecisionWrite> = {}): DecisionWrite {
  return {
    event: eventOf('decision', { session_id: sessionId }),
    sessionId,
    singleUse: [],
    approvalId: null,
    expectedRevision: 1,
    ...facts,
  }
}

export function opening(session: Session): HandleGrant {
  return { event: eventOf('grant', { session_id: session.id }), session }
}

/** A session that was granted the way an exchange does it. */
export async function openSession(stores: Stores, facts: Partial<Session> = {}): Promise<Session> {
  const session = sessionOf(facts)
  const revision = await stores.policy.readRevision()
  const decision = decisionOf(session.id, { expectedRevision: revision, opens: opening(session) })
  const recorded = await stores.records.recordDecision(decision)
  if (recorded !== 'recorded') throw new Error(recorded)
  return session
}

export function actionOf(session: Session, facts: Partial<ActionWrite> = {}): ActionWrite {
  return {
    event: eventOf('action', { session_id: session.id, action: { name: 'http.request' } }),
    sessionId: session.id,
    limits: session.limits,
    spend: { actions: 1, writes: 0, maxBytes: 0 },
    shared: null,
    nowSeconds: NOW,
    approvalId: null,
    removedEffects: [],
    singleUse: [],
    expectedRevision: session.policyRevision,
    ...facts,
  }
}

export function outcomeOf(sessionId: string, facts = {}) {
  const event = eventOf('outcome', { session_id: sessionId })
  return {
    event,
    sessionId,
    reservedBytes: 0,
    isShared: false,
    usedBytes: 0,
    usedRows: 0,
    ...facts,
  }
}

export function reviewOf(id: string, sessionId: string | null, expiresAt: number) {
  const url = `https://broker.example/admin/v1/approvals/${id}`
  return {
    event: eventOf('refusal', { session_id: sessionId, outcome: { verdict: 'review' } }),
    sessionId,
    approval: { id, url, expiresAt },
    actionHash: `hash-of-${id}`,
    subject: JSON.stringify({ action: { name: 'http.request' } }),
  }
}
