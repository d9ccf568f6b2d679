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
  /** How long a key is published before it signs: at least PUBLISH_LEAD_SECONDS, more for slow caches. */
  readonly leadSeconds: number
  /** The longest life of what it signs. */
  readonly maxTokenSeconds: number
}

export type KeyTimes = { readonly activeFrom: Seconds; readonly retireAt: Seconds }

/**
 * The end of a key, fixed when it is made. Twice the rotation, because a deployment that slept through
 * the change goes on signing with the old key for the lead of the new one.
 */
export function retirementOf(activeFrom: Seconds, times: RotationTimes): Seconds {
  return activeFrom + 2 * times.rotationSeconds + times.maxTokenSeconds + CLOCK_SKEW_SECONDS
}

/** The newest key that is active and outlives a token signed now; keys are in order of `activeFrom`. */
export function signingKeyAt<K extends KeyTimes>(
  keys: readonly K[],
  now: Seconds,
  times: RotationTimes,
): K | null {
  const lastUse = now + times.maxTokenSeconds + CLOCK_SKEW_SECONDS
  return keys.findLast((key) => key.activeFrom <= now && lastUse <= key.retireAt) ?? null
}

/**
 * The keys that verify and are published: those to come, and those whose last token may still live. A key
 * that was followed by another signs at most until every isolate has read the set again.
 */
export function publishedKeysAt<K extends KeyTimes>(
  keys: readonly K[],
  now: Seconds,
  times: RotationTimes,
): readonly K[] {
  return keys.filter((key, i) => {
    const next = keys[i + 1]
    const lastToken =
      next === undefined
        ? key.retireAt
        : next.activeFrom + PUBLISH_LEAD_SECONDS + times.maxTokenSeconds + CLOCK_SKEW_SECONDS
    return now < Math.min(key.retireAt, lastToken)
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
  const lead = times.leadSeconds
  if (signingKeyAt(usable, now, times) === null) {
    // Nothing can sign: a key that is active at once. A slot may be held by a row that this KEK cannot open.
    let slot = Math.floor(now / grid) * grid
    while (occupied.has(slot)) slot--
    return slot
  }
  const newest = usable.at(-1)
  if (newest === undefined || newest.activeFrom + times.rotationSeconds > now + lead) return null
  return Math.ceil((now + lead) / grid) * grid
}
