// The question put to an evaluator: AuthZEN 1.0 in the shape of design/api.md. Declared text travels as
// data. Never a secret, a header or a body.
import type { JsonObject } from './identity.ts'
import type { Action, AgentIntent, EvaluationQuestion, HistoryEntry } from './intent.ts'
import type { Seconds } from './ports.ts'

export type QuestionFacts = {
  /** `{auth_method}:{subject}` */
  readonly identity: string
  readonly authMethod: string
  readonly claims: JsonObject
  readonly intent: AgentIntent | null
  readonly history?: readonly HistoryEntry[]
  readonly now: Seconds
}

export function questionOf(action: Action, facts: QuestionFacts): EvaluationQuestion {
  const { intent } = facts
  return {
    subject: {
      type: 'agent',
      id: facts.identity,
      properties: {
        auth_method: facts.authMethod,
        claims: facts.claims,
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
      intent:
        intent === null
          ? {}
          : {
              purpose: intent.purpose,
              // Plain JSON by construction (intent-parse.ts).
              origin: { ...intent.origin } as JsonObject,
              envelope: { ...intent.envelope } as unknown as JsonObject,
            },
      history: (facts.history ?? []).map((entry) => ({ ...entry })),
      time: new Date(facts.now * 1000).toISOString(),
    },
  }
}
