// The envelope tier: the machine-checkable part of the declared intent. A member restricts what it
// names: an action without a tool is not held to `tools`. Limits are spent in the store, not here.
import type { Action, AgentIntent, Envelope, Verdict } from './intent.ts'
import { objectMatches } from './object-pattern.ts'

/** What a normaliser could not tell of an action. */
export type Undetermined = 'effects' | 'objects' | 'destinations'

type Breach = { readonly reasonCode: string; readonly hint: string }

/** The denial of an action outside its envelope; null inside, or where there is none. */
export function envelopeVerdict(
  action: Action,
  intent: AgentIntent | null,
): Omit<Verdict, 'latencyMs'> | null {
  const envelope = intent?.envelope
  // The envelope bounds what is done in the session. Opening one is not yet any of it.
  if (envelope === undefined || action.name === 'session.open') return null
  const found = breach(action, envelope)
  if (found === null) return null
  return { verdict: 'deny', tier: 'envelope', evaluator: 'sallyport', ...found }
}

function breach(action: Action, envelope: Envelope): Breach | null {
  const { effects, tools, objects, destinations } = envelope
  const { tool } = action
  const effect = effects && action.effects.find((one) => !effects.includes(one))
  if (effect !== undefined) return breachOf('effect', effect)
  if (tool !== undefined && tools && !tools.includes(tool)) return breachOf('tool', tool)
  const object =
    objects && action.objects.find((one) => !objects.some((wide) => objectMatches(wide, one)))
  if (object !== undefined) return breachOf('object', object)
  const destination = destinations && action.destinations.find((one) => !destinations.includes(one))
  if (destination !== undefined) return breachOf('destination', destination)
  return null
}

function breachOf(part: 'effect' | 'tool' | 'object' | 'destination', value: string): Breach {
  // The value comes from the agent and goes back to it; it is cut so that an answer stays an
  // answer.
  const shown = value.length > 200 ? `${value.slice(0, 200)}…` : value
  return {
    reasonCode: `${part}_outside_envelope`,
    hint: `the declared envelope does not list the ${part} ${shown}`,
  }
}

/**
 * Whether the envelope restricts a part of the action that nobody could tell: then it is left open.
 */
export function isOpenAgainst(
  intent: AgentIntent | null,
  undetermined: readonly Undetermined[],
): boolean {
  return undetermined.some((part) => intent?.envelope?.[part] !== undefined)
}

/**
 * Whether the envelope alone vouches for the whole action: each part that the action has is known
 * and listed. Asked where no grants are known, so what is not listed is not allowed by silence.
 */
export function coversWhole(
  action: Action,
  intent: AgentIntent | null,
  undetermined: readonly Undetermined[],
): boolean {
  const envelope = intent?.envelope
  if (envelope === undefined || undetermined.length > 0) return false
  if (envelope.effects === undefined || action.effects.length === 0) return false
  if (action.tool === undefined && action.objects.length === 0) return false
  if (action.tool !== undefined && envelope.tools === undefined) return false
  if (action.objects.length > 0 && envelope.objects === undefined) return false
  return action.destinations.length === 0 || envelope.destinations !== undefined
}
