// A clock that moves when it is told to.
import type { Clock } from '../../functions/core/ports.ts'

export type ManualClock = Clock & { advance(seconds: number): void }

export function manualClock(startSeconds = 1_800_000_000): ManualClock {
  let now = startSeconds
  return {
    nowSeconds: () => Math.floor(now),
    nowMs: () => Math.floor(now * 1000),
    advance(seconds) {
      now += seconds
    },
  }
}
