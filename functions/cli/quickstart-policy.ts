// What the administrator of the quickstart allows, and what its agent declares.
import type { JsonValue } from '../core/identity.ts'

export const INTENT = {
  type: 'agent_intent',
  purpose: 'Look up customer 42 and summarise the account',
  origin: { kind: 'user', id: 'ticket-1207', prompt: 'What plan is customer 42 on?' },
  agent: { name: 'support-bot', version: '3.2.0' },
  envelope: { effects: ['read'], objects: ['GET /v1/customers/*'], limits: { actions: 5 } },
}

export function policyFor(broker: string, issuer: string, api: string): JsonValue {
  return {
    auth_methods: [
      {
        name: 'runtime',
        type: 'oidc',
        config: { issuer, audiences: [broker], match: { pool: 'support-agents' } },
      },
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        labels: ['customer-facing'],
        config: { base_url: api },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
        mask: [{ json_path: '$..ssn', with: '***' }],
      },
    ],
    bindings: [
      {
        name: 'support-crm',
        auth_method: 'runtime',
        target: 'crm',
        grants: [{ effects: ['read', 'delete'], objects: ['**'] }],
        ttl_seconds: 300,
        intent: { required: true },
        limits: { actions: 100 },
        owner: 'team-support',
      },
    ],
  }
}
