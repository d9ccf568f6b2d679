// What a session's state means for an action, and what tightens it by itself. States only tighten by
// themselves: nothing here, and no statement that follows from it, gives anything back. Only an admin does.
import type { Failure } from './failure.ts'
import { type Effect, EFFECTS } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Session } from './session.ts'

/** As much of a session, or of a session that it descends from, as an action has to respect. */
export type Standing = Pick<Session, 'state' | 'expiresAt' | 'removedEffects'>

/** The effects that a session narrowed to reading has lost. */
export const ALL_BUT_READ: readonly Effect[] = EFFECTS.filter((effect) => effect !== 'read')

/** Refused actions of one session after which it may only read. A task that goes wrong meets a few. */
export const DENIALS_UNTIL_NARROWED = 10
/** Refused actions after which it may do nothing until a person has looked. */
export const DENIALS_UNTIL_SUSPENDED = 20

/** A change that takes something away, and that an admin may take back. */
export type Restorable =
  | { readonly to: 'narrowed'; readonly removes: readonly Effect[] }
  | { readonly to: 'suspended' }

export type Tightening = Restorable | { readonly to: 'ended' }

export const NARROWED_TO_READ: Restorable = { to: 'narrowed', removes: ALL_BUT_READ }

/** What so many refused actions lead to. */
export function tighteningAfter(denials: number): Restorable | null {
  if (denials >= DENIALS_UNTIL_SUSPENDED) return { to: 'suspended' }
  return denials >= DENIALS_UNTIL_NARROWED ? NARROWED_TO_READ : null
}

/** Why nothing at all may be done on these standings: the session's own and those it descends from. */
export function standingFailure(standings: readonly Standing[], now: Seconds): Failure | null {
  for (const { state, expiresAt } of standings) {
    if (state === 'ended') return { kind: 'invalid_handle', reason: 'session_ended' }
    if (expiresAt <= now) return { kind: 'invalid_handle', reason: 'expired' }
  }
  return standings.some(({ state }) => state === 'suspended') ? SUSPENDED : null
}

export const SUSPENDED: Failure = {
  kind: 'action_denied',
  code: 'intent_denied',
  reason: 'session_suspended',
  hint: 'the session is suspended and waits for review by an administrator',
}

/** What a session has lost, by itself or with one that it descends from. */
export function effectsLost({
  removedEffects,
  above,
}: Pick<Session, 'removedEffects' | 'above'>): readonly Effect[] {
  const lost = [removedEffects, ...above.map((one) => one.removedEffects)].flat()
  return EFFECTS.filter((effect) => lost.includes(effect))
}

/** Why these effects may not be had: one of the standings has lost one of them. */
export function removedEffectFailure(
  standings: readonly Pick<Standing, 'removedEffects'>[],
  effects: readonly Effect[],
): Failure | null {
  for (const { removedEffects } of standings) {
    if (removedEffects.length === 0) continue
    const removed = effects.find((effect) => removedEffects.includes(effect))
    if (removed !== undefined) return effectRemoved(removed, standings)
  }
  return null
}

function effectRemoved(
  effect: Effect,
  standings: readonly Pick<Standing, 'removedEffects'>[],
): Failure {
  const left = EFFECTS.filter((one) =>
    standings.every(({ removedEffects }) => !removedEffects.includes(one)),
  )
  return {
    kind: 'action_denied',
    code: 'not_granted',
    reason: 'effect_removed',
    hint: `the session was narrowed: ${effect} was taken away; left at most: ${left.join(' ') || 'nothing'}`,
  }
}

/**
 * Denials that say nothing of what the agent tries: the policy changed, a person or an evaluator did not
 * answer, somebody else was faster. They must not tighten, or an outage would suspend every session.
 */
const NOT_THE_AGENTS: ReadonlySet<string> = new Set([
  'session_suspended',
  'approval_used',
  'method_changed',
  'target_removed',
  'no_binding',
  'denied_by_binding',
  'not_delegated',
  'too_deep',
  'intent_required',
  'log_only',
])

/**
 * Whether a refused action counts against its session. Asked only where the handle was verified and its
 * session read: who does not hold the handle counts nothing.
 */
export function countsAsDenial(failure: Failure): boolean {
  if (failure.kind !== 'action_denied' || NOT_THE_AGENTS.has(failure.reason)) return false
  // Of an evaluator only its own no counts, not that it was late, unreachable or not there.
  return !failure.reason.startsWith('judge_') || failure.reason === 'judge_denied'
}
