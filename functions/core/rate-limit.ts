// Token buckets in memory, so that a flood is shed before anything expensive (DEP-10). Each isolate counts
// for itself and forgets when it ends: a limit for the whole deployment belongs in front of the broker.

export type BucketRule = {
  /** Refilled evenly; 0 is no limit. */
  readonly perMinute: number
  /** How much a full bucket holds. */
  readonly burst: number
  /** Of the keys held, the one that was used longest ago makes room for a new one. */
  readonly maxKeys: number
}

type Bucket = { tokens: number; atMs: number; refused: number; toldAtMs: number }

export type TokenBuckets = {
  /** 0 when there was a token, or whole seconds until there is one. */
  take(key: string, nowMs: number): number
  giveBack(key: string): void
  /** How many were refused since the last answer that was not null; null within a minute of that. */
  untold(key: string, nowMs: number): number | null
  readonly size: number
}

const MINUTE_MS = 60_000

export function tokenBuckets({ perMinute, burst, maxKeys }: BucketRule): TokenBuckets {
  const buckets = new Map<string, Bucket>()
  const perMs = perMinute / MINUTE_MS

  function used(key: string, nowMs: number): Bucket {
    const bucket = buckets.get(key) ?? {
      tokens: burst,
      atMs: nowMs,
      refused: 0,
      toldAtMs: -Infinity,
    }
    // Behind all others: the first of the map is the one that was used longest ago.
    buckets.delete(key)
    buckets.set(key, bucket)
    const [oldest] = buckets.keys()
    if (buckets.size > maxKeys && oldest !== undefined) buckets.delete(oldest)
    // A clock that was set back fills nothing, and does not stop the filling either.
    bucket.tokens = Math.min(burst, bucket.tokens + Math.max(0, nowMs - bucket.atMs) * perMs)
    bucket.atMs = nowMs
    return bucket
  }

  return {
    take(key, nowMs) {
      if (perMinute === 0) return 0
      const bucket = used(key, nowMs)
      if (bucket.tokens >= 1) {
        bucket.tokens -= 1
        return 0
      }
      bucket.refused += 1
      return Math.ceil((1 - bucket.tokens) / perMs / 1000)
    },
    giveBack(key) {
      const bucket = buckets.get(key)
      if (bucket !== undefined) bucket.tokens = Math.min(burst, bucket.tokens + 1)
    },
    untold(key, nowMs) {
      const bucket = buckets.get(key)
      if (bucket === undefined || Math.abs(nowMs - bucket.toldAtMs) < MINUTE_MS) return null
      const { refused } = bucket
      bucket.refused = 0
      bucket.toldAtMs = nowMs
      return refused
    },
    get size() {
      return buckets.size
    },
  }
}
