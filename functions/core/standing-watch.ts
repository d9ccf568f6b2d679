// A long answer ends with what it stands on: the session's revocation, suspension or expiry, a narrowing
// or a policy that takes away what it does, or the kill switch, cut it within one interval (REV-6). It
// reads only while the answer is open.
import type { ActionDeps, RecordedAction } from './action.ts'
import { currentGrant } from './current-grant.ts'
import { type ActionRead, StoreUnavailable } from './records.ts'
import { removedEffectFailure, standingFailure } from './session-state.ts'

/** How long an open answer may outlive its session. */
const INTERVAL_MS = 2000

export type StandingWatch = {
  /** Resolves when the answer must end; never rejects. */
  readonly ended: Promise<void>
  /** The answer is open from now on. */
  begin(): void
  /** The answer is over. */
  stop(): void
}

export function standingWatch(
  { session, target, action, request }: RecordedAction,
  deps: ActionDeps,
): StandingWatch {
  let isOver = false
  let callOff = (): void => undefined
  let end = (): void => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  void request.cancelled?.then(end)

  async function mayGoOn(): Promise<boolean> {
    if (deps.isKilled() || session.expiresAt <= deps.clock.nowSeconds()) return false
    try {
      const read = await deps.records.readAction({
        sessionId: session.id,
        target: target.policy.name,
        withHistory: false,
        withApprovals: false,
      })
      if (read.killed || read.session === null) return false
      const standings = [read.session, ...read.session.above]
      return (
        standingFailure(standings, deps.clock.nowSeconds()) === null &&
        removedEffectFailure(standings, action.effects) === null &&
        (await isStillGranted(read))
      )
    } catch (cause) {
      // What was recorded goes on while nothing can be read; its end still needs its own record.
      if (cause instanceof StoreUnavailable) return true
      throw cause
    }
  }

  /** By today's bindings, where the policy is no longer the one that the session was opened under. */
  async function isStillGranted({ bindings, revision }: ActionRead): Promise<boolean> {
    if (bindings === null) return true
    const held = await deps.policy.current()
    const snapshot = held.revision === revision ? held : await deps.policy.refresh(revision - 1)
    if (!snapshot.targets.has(target.policy.name)) return false
    await deps.conditions.load(bindings)
    const grant = currentGrant(session, target.policy.name, bindings, snapshot, deps)
    return grant.ok && grant.value.grants(action).length > 0
  }

  function wait(): void {
    const leftMs = session.expiresAt * 1000 - deps.clock.nowMs()
    callOff = deps.timers.after(Math.max(1, Math.min(INTERVAL_MS, leftMs)), () => void look())
  }

  async function look(): Promise<void> {
    // Whatever went wrong in looking: an answer that is not watched does not stay open.
    const goesOn = await mayGoOn().catch(() => false)
    if (isOver) return
    if (goesOn) wait()
    else end()
  }

  return {
    ended,
    begin: () => {
      if (!isOver) wait()
    },
    stop: () => {
      isOver = true
      callOff()
    },
  }
}
