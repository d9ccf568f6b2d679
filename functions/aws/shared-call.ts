// One call at a time for all who want what it answers. On Workers a call dies with the request that began it,
// without a word to those that wait for it, so nobody waits for ever.
import type { Clock } from '../core/ports.ts'

export function sharedCall<T>({
  clock,
  abandonedMs,
  late,
}: {
  readonly clock: Clock
  /** A call that has not ended by then never will. */
  readonly abandonedMs: number
  /** What those are told that waited for it. */
  readonly late: T
}): (call: () => Promise<T>) => Promise<T> {
  let running: { readonly startedAtMs: number; readonly done: Promise<T> } | null = null
  return (call) => {
    if (running !== null && Math.abs(clock.nowMs() - running.startedAtMs) < abandonedMs) {
      return beforeTimeout(running.done, abandonedMs, late)
    }
    const mine = {
      startedAtMs: clock.nowMs(),
      done: call().finally(() => {
        if (running === mine) running = null
      }),
    }
    running = mine
    return mine.done
  }
}

function beforeTimeout<T>(done: Promise<T>, ms: number, late: T): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late), ms)
    done.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
