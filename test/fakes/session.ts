// An open session, as the store would give it.
import type { Session } from '../../functions/core/session.ts'

export function openSession(change: Partial<Session> = {}): Session {
  return {
    id: 'ses_1',
    state: 'active',
    identity: 'prod:agent-7',
    authMethod: 'prod',
    subject: 'agent-7',
    claims: { team: 'support' },
    onBehalfOf: null,
    lineage: null,
    above: [],
    intent: {
      type: 'agent_intent',
      purpose: 'Read <b>one</b> customer',
      agent: { name: 'support-bot' },
    },
    grants: [
      {
        target: 'crm',
        bindings: ['support-crm'],
        grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
        intentPolicies: ['default'],
        onReview: 'approval',
        mode: 'enforce',
      },
    ],
    scope: 'read',
    limits: { actions: 5 },
    usage: { actions: 1, writes: 0, rows: 0, bytes: 10 },
    createdAt: 1_800_000_000,
    expiresAt: 1_800_000_300,
    policyRevision: 3,
    decisionId: 'dec_9',
    attestationHash: 'ab'.repeat(32),
    removedEffects: [],
    denials: 0,
    attestedOrigin: null,
    delivery: 'session',
    confirmation: null,
    ...change,
  }
}
