// How often the exchange path does its expensive work: by source and by Auth Method, before any signature
// is checked or anybody is asked; and how often strangers can make the broker ask on their behalf.
import type { CompiledAuthMethod } from './auth-method.ts'
import type { Failure } from './failure.ts'
import type { Clock } from './ports.ts'
import { type TokenBuckets, tokenBuckets } from './rate-limit.ts'
import { fail, ok, type Result } from './result.ts'

/** Requests per minute; 0 is no limit. */
export type ExchangeRates = { readonly perSource: number; readonly perMethod: number }

export const DEFAULT_RATES: ExchangeRates = { perSource: 600, perMethod: 600_000 }

/** Attempts per minute that ask an authority (STS, TokenReview, introspection) and are then refused. */
const FAILED_PER_SOURCE = 60
const FAILED_PER_METHOD = 600

/** A few MB of memory at most. Methods are the configured ones: nobody can push their buckets out. */
const MAX_SOURCES = 20_000
const MAX_METHODS = 1_000
const MAX_KNOWN = 5_000
const KNOWN_MS = 3_600_000
/** Requests to end what has ended already, each of which asks whoever honours what it handed over. */
const AGAIN_PER_MINUTE = 6
/** Limits that were hit and get an event of their own, of all sources and methods together. */
const EVENTS_PER_MINUTE = 10

export type SlowDown = Extract<Failure, { kind: 'slow_down' }>

export type ExchangeLimits = {
  /** `source` is null where nothing vouches for it, and for loopback: then it is not limited by it. */
  enter(source: string | null): SlowDown | null
  /** To end a session once more. */
  endAgain(sessionId: string): SlowDown | null
  enterMethods(
    source: string | null,
    candidates: readonly Pick<CompiledAuthMethod, 'name' | 'asks'>[],
  ): Result<SettleAttempt, SlowDown>
}

/** Which method accepted, and which of them refused after having asked their authority. */
export type SettleAttempt = (outcome: {
  readonly accepted: string | null
  readonly refusedAfterAsking: readonly string[]
}) => void

type Buckets = { readonly by: string; readonly buckets: TokenBuckets }

export function exchangeLimits(rates: ExchangeRates, clock: Clock): ExchangeLimits {
  const sources = limitBy('source', rates.perSource, MAX_SOURCES)
  const methods = limitBy('method', rates.perMethod, MAX_METHODS)
  const failedSources = limitBy('source_failures', FAILED_PER_SOURCE, MAX_SOURCES, 1)
  const failedMethods = limitBy('method_failures', FAILED_PER_METHOD, MAX_METHODS, 1)
  const again = limitBy('ended_session', AGAIN_PER_MINUTE, MAX_SOURCES)
  const events = tokenBuckets({
    perMinute: EVENTS_PER_MINUTE,
    burst: EVENTS_PER_MINUTE,
    maxKeys: 1,
  })
  const known = knownSources()

  function take({ by, buckets }: Buckets, key: string, nowMs: number): SlowDown | null {
    const retryAfterSeconds = buckets.take(key, nowMs)
    if (retryAfterSeconds === 0) return null
    const count = buckets.untold(key, nowMs)
    const isTold = count !== null && events.take('', nowMs) === 0
    return {
      kind: 'slow_down',
      retryAfterSeconds,
      ...(isTold ? { limit: { by, key, refused: count } } : {}),
    }
  }

  return {
    enter: (source) => (source === null ? null : take(sources, source, clock.nowMs())),

    endAgain: (sessionId) => take(again, sessionId, clock.nowMs()),

    enterMethods(source, candidates) {
      const nowMs = clock.nowMs()
      for (const { name } of candidates) {
        const slow = take(methods, name, nowMs)
        // Who was accepted lately is not held up by what strangers do to the method.
        if (slow !== null && !known.has(name, source, nowMs)) return fail(slow)
      }
      // Taken in advance and given back, or many attempts at once would all pass before the first fails.
      const asking = candidates.filter(({ asks }) => asks === true).map(({ name }) => name)
      const taken: (readonly [TokenBuckets, string])[] = []
      const giveBack = (): void => taken.forEach(([buckets, key]) => buckets.giveBack(key))
      for (const name of asking) {
        const slow = take(failedMethods, name, nowMs)
        if (slow === null) taken.push([failedMethods.buckets, name])
        else if (!known.has(name, source, nowMs)) {
          giveBack()
          return fail(slow)
        }
      }
      if (asking.length > 0 && source !== null) {
        const slow = take(failedSources, source, nowMs)
        if (slow !== null) {
          giveBack()
          return fail(slow)
        }
        taken.push([failedSources.buckets, source])
      }
      return ok(({ accepted, refusedAfterAsking }) => {
        if (accepted !== null) known.add(accepted, source, clock.nowMs())
        const isRefused = accepted === null && refusedAfterAsking.length > 0
        for (const [buckets, key] of taken) {
          const counts = buckets === failedSources.buckets || refusedAfterAsking.includes(key)
          if (!isRefused || !counts) buckets.giveBack(key)
        }
      })
    },
  }
}

/** The burst is a third of a minute's worth, and all of it for failures. */
function limitBy(by: string, perMinute: number, maxKeys: number, share = 1 / 3): Buckets {
  const burst = Math.max(1, Math.ceil(perMinute * share))
  return { by, buckets: tokenBuckets({ perMinute, burst, maxKeys }) }
}

/** Sources that a method has accepted within the hour. */
function knownSources() {
  const acceptedAtMs = new Map<string, number>()
  const keyOf = (method: string, source: string): string => `${method} ${source}`
  return {
    has: (method: string, source: string | null, nowMs: number): boolean =>
      source !== null && nowMs - (acceptedAtMs.get(keyOf(method, source)) ?? -Infinity) < KNOWN_MS,
    add(method: string, source: string | null, nowMs: number): void {
      if (source === null) return
      acceptedAtMs.delete(keyOf(method, source))
      acceptedAtMs.set(keyOf(method, source), nowMs)
      const [oldest] = acceptedAtMs.keys()
      if (acceptedAtMs.size > MAX_KNOWN && oldest !== undefined) acceptedAtMs.delete(oldest)
    },
  }
}
