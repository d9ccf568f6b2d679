// What becomes of a credential that was handed over when its session ends: the mark in the session is first
// and holds at once. Whoever honours the credential is then told, where a target has a way to tell; what came
// of that is an event of its own, and never changes what was marked.
import { draftEvent } from './events.ts'
import type { JsonObject } from './identity.ts'
import type { Clock, Hashing, Ids, Seconds } from './ports.ts'
import { type HandedOverRead, type Records, StoreUnavailable } from './records.ts'
import { fail, type Result } from './result.ts'
import { type Cause, timeOf, type Withdraw } from './withdrawn.ts'

/** A session that may do nothing any more, at one target, with what it handed over there still unexpired. */
export type EndedSession = {
  readonly sessionId: string
  readonly expiresAt: Seconds
  /** As whom it acts there, by the records of what was handed over: the target may have changed since. */
  readonly heldAs?: readonly string[]
}

export type Denied = {
  /** The kill switch is engaged: whatever was handed over, by whichever session. */
  readonly everything: boolean
  /** In one order for equal sets. */
  readonly sessions: readonly EndedSession[]
}

export type Enforced = {
  /** False: it was so already. */
  readonly changed: boolean
  /** For whom there was no room: what they hold works until it expires. */
  readonly left: readonly EndedSession[]
  /** Who holds what the target handed over before it was changed: that works until it expires, too. */
  readonly elsewhere?: readonly EndedSession[]
}

/** As the store has it: those who have ended or are suspended, by themselves or with one above them. */
export type EndedHolders = Denied & { readonly revision: number }

/** How a target has credentials refused before their time. */
export interface Withdrawal {
  /**
   * Makes it so that exactly these are refused, whatever was so before; what is right already is left
   * alone. The failure is a word for the log.
   */
  enforce(denied: Denied): Promise<Result<Enforced, string>>
}

/** A target whose credentials somebody else honours; `withdrawal` null: until they expire, whatever happens. */
export type Honoured = { readonly target: string; readonly withdrawal: Withdrawal | null }

export type WithdrawalDeps = {
  readonly records: Pick<Records, 'readEndedHolders' | 'readHandedOver' | 'recordRefusal'>
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly log: (level: 'warn' | 'error', message: string, facts: JsonObject) => void
}

/** More than two isolates that end sessions at the same moment need; what is left maintenance does. */
const MAX_ROUNDS = 4

/** Asked for once a session is marked: at whatever targets it holds something, or at all of them. */
export async function withdraw(
  honoured: readonly Honoured[],
  cause: Cause,
  deps: WithdrawalDeps,
): ReturnType<Withdraw> {
  const holding = await holdingOf(cause, deps)
  const concerned = honoured.filter(
    ({ target }) => holding === null || holding.some((one) => one.target === target),
  )
  if (concerned.length === 0) return null
  const missed = await Promise.all(concerned.map((one) => withdrawAt(one, cause, deps)))
  // Of one session the answer is its own holder's, who is told nothing of others.
  const own = holding === null ? null : new Set(holding.map(({ sessionId }) => sessionId))
  return { until: latestOf(missed.flat().filter(({ sessionId }) => own?.has(sessionId) ?? true)) }
}

/** Null where it is about whoever holds anything. */
async function holdingOf(
  cause: Cause,
  { records }: WithdrawalDeps,
): Promise<HandedOverRead['holding'] | null> {
  if (cause === null || cause.sessionId === null) return null
  return (await records.readHandedOver(cause.sessionId)).holding
}

/** Answers with those who are not denied. */
async function withdrawAt(
  { target, withdrawal }: Honoured,
  cause: Cause,
  deps: WithdrawalDeps,
): Promise<readonly EndedSession[]> {
  const facts = { target, cause }
  let denied = await deps.records.readEndedHolders(target)
  if (withdrawal === null) return tellOfLimit(denied, facts, deps)
  const isIdle = !denied.everything && denied.sessions.length === 0
  if (isIdle && cause?.sessionId === null && cause.isLift !== true) return []
  let changed = false
  // Whoever writes last looks again after it has written: of two isolates at work at once, the one that
  // wrote an older list sees what the other had seen, and writes once more.
  for (let round = 1; ; round += 1) {
    const done = await enforced(withdrawal, denied)
    if (!done.ok) {
      const until = latestOf(denied.sessions)
      await record({ ...facts, denied, result: 'failed', until, reason: done.failure }, deps)
      return denied.sessions
    }
    changed ||= done.value.changed
    const now = await deps.records.readEndedHolders(target)
    if (isSame(now, denied) || round === MAX_ROUNDS) {
      const { left, elsewhere = [] } = done.value
      const missed = [...new Set([...left, ...elsewhere])]
      const until = latestOf(missed)
      const full = left.length > 0 ? 'deny_list_full' : null
      const reason = elsewhere.length > 0 ? 'held_elsewhere' : full
      if (changed || missed.length > 0) {
        await record(
          { ...facts, denied, result: 'applied', until, reason, left: missed.length },
          deps,
        )
      }
      return missed
    }
    denied = now
  }
}

/** What one target throws must not keep the others, nor whoever ends sessions, from their work. */
async function enforced(withdrawal: Withdrawal, denied: Denied): ReturnType<Withdrawal['enforce']> {
  try {
    return await withdrawal.enforce(denied)
  } catch (cause) {
    // Only the name: whoever asks holds secrets, which the text of an error may repeat.
    return fail(`threw_${cause instanceof Error ? cause.name : 'unknown'}`)
  }
}

/** Where nothing can be done about it the log says until when it is so. */
async function tellOfLimit(
  denied: EndedHolders,
  facts: Pick<Told, 'target' | 'cause'>,
  deps: WithdrawalDeps,
): Promise<readonly EndedSession[]> {
  const until = latestOf(denied.sessions)
  if (until === null || facts.cause === null) return denied.sessions
  await record({ ...facts, denied, result: 'off', until, reason: 'no_revoker' }, deps)
  return denied.sessions
}

function isSame(one: Denied, other: Denied): boolean {
  return one.everything === other.everything && idsOf(one).join(' ') === idsOf(other).join(' ')
}

function idsOf({ sessions }: Denied): readonly string[] {
  return sessions.map(({ sessionId }) => sessionId)
}

function latestOf(sessions: readonly EndedSession[]): Seconds | null {
  return sessions.length === 0 ? null : Math.max(...sessions.map(({ expiresAt }) => expiresAt))
}

type Told = {
  readonly target: string
  readonly denied: EndedHolders
  readonly cause: Cause
  readonly result: 'applied' | 'failed' | 'off'
  readonly until: Seconds | null
  readonly reason: string | null
  readonly left?: number
}

async function record(
  { target, denied, cause, result, until, reason, left = 0 }: Told,
  deps: WithdrawalDeps,
): Promise<void> {
  const event = draftEvent(
    {
      type: 'revocation',
      decisionId: cause?.decisionId ?? deps.ids.fresh('dec'),
      ...(cause === null || cause.sessionId === null ? {} : { sessionId: cause.sessionId }),
      action: {
        operation: 'credentials.deny',
        target,
        everything: denied.everything,
        sessions: denied.sessions.length,
        sessions_sha256: deps.hashing.sha256Hex(idsOf(denied).join(' ')),
      },
      outcome: {
        result,
        by: 'sallyport',
        ...(left === 0 ? {} : { left }),
        aws_honours_until: until === null ? null : timeOf(until),
      },
      ...(reason === null ? {} : { reason }),
      policyRevision: denied.revision,
    },
    deps,
  )
  try {
    await deps.records.recordRefusal(event)
  } catch (lost) {
    // What was marked stays marked, and what AWS was told stays told.
    if (!(lost instanceof StoreUnavailable)) throw lost
    deps.log('error', 'what became of ended credentials could not be recorded', { target, result })
  }
}
