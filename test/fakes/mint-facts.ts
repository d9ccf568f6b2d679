// From what a credential is planned, for an agent that acts for itself or for a user.
import type { OnBehalfOf } from '../../functions/core/delegation.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { MintFacts } from '../../functions/core/minting.ts'

export const NOW = 1_800_000_000

export function mintFactsOf(over: Partial<MintFacts> = {}): MintFacts {
  return {
    sessionId: 'ses_0123456789abcdefghijkl',
    identity: 'ci:agent-7',
    authMethod: 'ci',
    subject: 'agent-7',
    claims: { iss: 'https://ci.example', sub: 'agent-7' },
    onBehalfOf: null,
    lineage: null,
    intent: null,
    attestedOrigin: null,
    confirmation: null,
    grants: [{ effects: ['read'], objects: ['**'] }],
    scope: null,
    now: NOW,
    endsAt: NOW + 3600,
    ...over,
  }
}

/** A user by the ID token that the agent's own client got. */
export function userOf(claims: JsonObject = {}, over: Partial<OnBehalfOf> = {}): OnBehalfOf {
  return {
    relation: 'delegation',
    identity: 'people:ada',
    authMethod: 'people',
    subject: 'ada',
    claims: { iss: 'https://login.example', sub: 'ada', aud: 'chat-agent', ...claims },
    attestationHash: 'a'.repeat(64),
    ...over,
  }
}
