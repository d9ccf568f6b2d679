// When a signing key signs, when the next one is made, and how long each stays published. Pure: every
// isolate that sees the same rows at the same time comes to the same answer.
import { CLOCK_SKEW_SECONDS, type Seconds } from '../core/ports.ts'

/** A key is published at least this long before it signs, so that every cached key set has it by then. */
export const PUBLISH_LEAD_SECONDS = 600
/** An isolate reads the key set again after this long: twice within the lead, so it never misses a key. */
export const RELOAD_SECONDS = PUBLISH_LEAD_SECONDS / 2

export type RotationTimes = {
  /** A key signs for about this long. */
  readonly rotationSeconds: number
  /** The longest life of a handle. */
  readonly maxHandleSeconds: number
}

export type KeyTimes = { readonly activeFrom: Seconds; readonly retireAt: Seconds }

/**
 * The end of a key, fixed when it is made. Twice the rotation, because a deployment that slept through
 * the change goes on signing with the old key for the lead of the new one.
 */
export function retirementOf(activeFrom: Seconds, times: RotationTimes): Seconds {
  return activeFrom + 2 * times.rotationSeconds + times.maxHandleSeconds + CLOCK_SKEW_SECONDS
}

/** The newest key that is active and outlives a handle signed now; keys are in order of `activeFrom`. */
export function signingKeyAt<K extends KeyTimes>(
  keys: readonly K[],
  now: Seconds,
  times: RotationTimes,
): K | null {
  const lastUse = now + times.maxHandleSeconds + CLOCK_SKEW_SECONDS
  return keys.findLast((key) => key.activeFrom <= now && lastUse <= key.retireAt) ?? null
}

/**
 * The keys that verify and are published: those to come, and those whose last handle may still live. A key
 * that was followed by another signs at most until every isolate has read the set again.
 */
export function publishedKeysAt<K extends KeyTimes>(
  keys: readonly K[],
  now: Seconds,
  times: RotationTimes,
): readonly K[] {
  return keys.filter((key, i) => {
    const next = keys[i + 1]
    const lastHandle =
      next === undefined
        ? key.retireAt
        : next.activeFrom + PUBLISH_LEAD_SECONDS + times.maxHandleSeconds + CLOCK_SKEW_SECONDS
    return now < Math.min(key.retireAt, lastHandle)
  })
}

/**
 * The `activeFrom` of the key that has to be made now, or null. Times lie on a grid, so that isolates that
 * start at once ask for the same slot, and the store keeps one of them.
 */
export function slotToFill(
  usable: readonly KeyTimes[],
  occupied: ReadonlySet<Seconds>,
  now: Seconds,
  times: RotationTimes,
): Seconds | null {
  const grid = PUBLISH_LEAD_SECONDS
  if (signingKeyAt(usable, now, times) === null) {
    // Nothing can sign: a key that is active at once. A slot may be held by a row that this KEK cannot open.
    let slot = Math.floor(now / grid) * grid
    while (occupied.has(slot)) slot--
    return slot
  }
  const newest = usable.at(-1)
  if (newest === undefined || newest.activeFrom + times.rotationSeconds > now + grid) return null
  return Math.ceil((now + grid) / grid) * grid
}
