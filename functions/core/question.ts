// The question put to an evaluator: AuthZEN 1.0 in the shape of design/api.md. Declared text travels as
// data. Never a secret, a header or a body.
import type { OnBehalfOf } from './delegation.ts'
import type { JsonObject } from './identity.ts'
import type { Action, AgentIntent, EvaluationQuestion, HistoryEntry } from './intent.ts'
import type { Seconds } from './ports.ts'

export type QuestionFacts = {
  /** `{auth_method}:{subject}` */
  readonly identity: string
  readonly authMethod: string
  readonly claims: JsonObject
  /** The user for whom the agent acts. */
  readonly onBehalfOf?: OnBehalfOf | null
  readonly intent: AgentIntent | null
  /** The originating intent of a sub-agent's session, to be judged together with its own. */
  readonly rootIntent?: AgentIntent | null
  readonly history?: readonly HistoryEntry[]
  readonly now: Seconds
}

export function questionOf(action: Action, facts: QuestionFacts): EvaluationQuestion {
  const { intent, rootIntent = null, onBehalfOf = null } = facts
  return {
    subject: {
      type: 'agent',
      id: facts.identity,
      properties: {
        auth_method: facts.authMethod,
        claims: facts.claims,
        ...(onBehalfOf === null ? {} : { on_behalf_of: describeUser(onBehalfOf) }),
        agent: { ...intent?.agent },
      },
    },
    action: { name: action.name, properties: action.properties },
    resource: {
      type: action.targetType,
      id: action.target,
      properties: { labels: [...action.targetLabels] },
    },
    context: {
      intent: intent === null ? {} : describeIntent(intent),
      ...(rootIntent === null ? {} : { root_intent: describeIntent(rootIntent) }),
      history: (facts.history ?? []).map((entry) => ({ ...entry })),
      time: new Date(facts.now * 1000).toISOString(),
    },
  }
}

function describeUser({ relation, identity, authMethod, claims }: OnBehalfOf): JsonObject {
  return { relation, id: identity, auth_method: authMethod, claims }
}

function describeIntent(intent: AgentIntent): JsonObject {
  return {
    purpose: intent.purpose,
    // Plain JSON by construction (intent-parse.ts).
    origin: { ...intent.origin },
    envelope: { ...intent.envelope },
  }
}
