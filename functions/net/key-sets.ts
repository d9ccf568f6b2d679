// The broker's own cache of verification keys. It decides when to ask an issuer and how long to go on
// without an answer: fetches in flight are shared, a flood of unknown `kid`s costs the issuer nothing,
// and an endpoint that is down, or lies, never takes good keys away before they are too old (F4).
import type { JsonObject } from '../core/identity.ts'
import type { Clock, Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { VerificationKey } from '../crypto/jwk.ts'
import type { Certificate } from '../crypto/x509/certificate.ts'
import { type CachedSource, cachedSource, type Held, type Refresh } from './cached-source.ts'
import { pickKey, type KeyLookup, type PickedKey } from './key-choice.ts'
import { readKeySet } from './key-set-document.ts'
import { FETCH_TIMEOUT_MS } from './key-set-fetch.ts'
import { loadKeys, locateKeys, type LoadFault, type RemoteKeySource } from './key-set-load.ts'
import type { Outbound, Reach } from './outbound.ts'

export { issuerUrlMistake } from './issuer-url.ts'
export type { KeyLookup } from './key-choice.ts'

export type KeySource =
  | RemoteKeySource
  | { readonly kind: 'inline'; readonly id: string; readonly jwks: JsonObject }

export type BundleSource = Extract<RemoteKeySource, { kind: 'spiffe_bundle' }>

export type FoundKey = { readonly key: VerificationKey; readonly ageSeconds: number }
export type FoundRoots = { readonly roots: readonly Certificate[]; readonly ageSeconds: number }

export type RootsLookup = {
  readonly maxStaleSeconds: Seconds
  /** Whether one of them may be meant; else the endpoint is asked again, as for an unknown `kid`. */
  readonly mayHold: (roots: readonly Certificate[]) => boolean
}

export type KeyLookupFault = {
  readonly reason: 'unknown_key' | 'key_mismatch' | 'keys_unreachable' | 'keys_stale'
  /** The rule by which the last answer was refused; for the audit log only. */
  readonly rule?: LoadFault
}

export interface KeySets {
  find(source: KeySource, lookup: KeyLookup): Promise<Result<FoundKey, KeyLookupFault>>
  /** X.509 roots of a trust domain, out of the same bundle; none in it means none (SP-07, SP-09). */
  findRoots(source: BundleSource, lookup: RootsLookup): Promise<Result<FoundRoots, KeyLookupFault>>
  /**
   * Asks again for the bundles that are due, whether or not anybody shows a token: the server of
   * `https_spiffe` is known by the roots of the last bundle, which a rotation that was missed takes away.
   */
  refreshBundles(): Promise<void>
  /** Forgets everything, so that a removed key is refused at once. */
  flush(): void
  /** Refreshes started; one of them may be two requests, discovery document and keys. */
  readonly fetches: number
}

/** Within it an issuer sees two refreshes at most, and one for unknown `kid`s (JW-04, DEP-4). */
const COOL_DOWN_SECONDS = 30
const REFRESHES_PER_COOL_DOWN = 2
/** A moved `jwks_uri` is noticed within this. */
const DISCOVERY_MAX_AGE_SECONDS = 600
/**
 * A refresh that has not ended by then never will: on Workers it dies with the request that began it,
 * without a word to the requests that wait.
 */
const ABANDONED_MS = FETCH_TIMEOUT_MS + 1_000

type Staleness = { readonly maxStaleSeconds: Seconds }
type Dependencies = {
  readonly outbound: Outbound
  readonly clock: Clock
  readonly reach: Reach
}

export function createKeySets(dependencies: Dependencies): KeySets {
  const { clock } = dependencies
  const sources = new Map<string, CachedSource>()
  const inline = new WeakMap<JsonObject, Promise<readonly VerificationKey[]>>()
  let fetches = 0

  function start(cached: CachedSource, source: RemoteKeySource): void {
    fetches += 1
    const now = clock.nowSeconds()
    cached.startedAt = [...recent(cached.startedAt, now), now]
    const refresh: Refresh = {
      startedAtMs: clock.nowMs(),
      done: refreshOnce(dependencies, cached, source, () => cached.inFlight === refresh).finally(
        () => {
          if (cached.inFlight === refresh) cached.inFlight = null
        },
      ),
    }
    cached.inFlight = refresh
  }

  function inFlight(cached: CachedSource): Refresh | null {
    const { inFlight: refresh } = cached
    if (refresh === null) return null
    return Math.abs(clock.nowMs() - refresh.startedAtMs) < ABANDONED_MS ? refresh : null
  }

  /** Asks because what is held is missing or due. True when the caller waited for an answer. */
  async function refreshIfDue(
    cached: CachedSource,
    source: RemoteKeySource,
    lookup: Staleness,
  ): Promise<boolean> {
    const now = clock.nowSeconds()
    if (!isDue(cached.held, lookup, now)) return false
    const running = inFlight(cached)
    // While the endpoint is down one caller tries; the others go on with what is held (DEP-4).
    const canGoOn = cached.lastFault !== null && !isTooOld(cached.held, lookup, now)
    if (running !== null && canGoOn) return false
    if (running === null) {
      if (recent(cached.startedAt, now).length >= REFRESHES_PER_COOL_DOWN) return false
      start(cached, source)
    }
    await settled(cached.inFlight)
    return true
  }

  /** Asks because a `kid` is not known, once in a cool-down. `justAsked`: this caller has, in vain. */
  async function refreshForUnknown(
    cached: CachedSource,
    source: RemoteKeySource,
    justAsked: boolean,
  ): Promise<void> {
    const now = clock.nowSeconds()
    if (inFlight(cached) !== null) return settled(cached.inFlight)
    if (cached.askedForUnknownAt !== null && isWithin(cached.askedForUnknownAt, now)) return
    cached.askedForUnknownAt = now
    if (justAsked || recent(cached.startedAt, now).length >= REFRESHES_PER_COOL_DOWN) return
    start(cached, source)
    await settled(cached.inFlight)
  }

  /** What is held of a source, asked for again where it is due or lacks what is looked for. */
  async function heldOf(
    source: RemoteKeySource,
    lookup: Staleness,
    lacks: (held: Held) => boolean,
  ): Promise<Result<Held & { readonly ageSeconds: number }, KeyLookupFault>> {
    const cached = cachedSource(sources, source)
    const justAsked = await refreshIfDue(cached, source, lookup)
    if (cached.held !== null && lacks(cached.held)) {
      await refreshForUnknown(cached, source, justAsked)
    }
    return usable(cached, lookup, clock.nowSeconds())
  }

  async function findRemote(
    source: RemoteKeySource,
    lookup: KeyLookup,
  ): Promise<Result<FoundKey, KeyLookupFault>> {
    const held = await heldOf(source, lookup, ({ keys }) => pickKey(keys, lookup) === 'unknown')
    return held.ok ? foundKey(pickKey(held.value.keys, lookup), held.value.ageSeconds) : held
  }

  function findInline(jwks: JsonObject): Promise<readonly VerificationKey[]> {
    const found = inline.get(jwks)
    if (found !== undefined) return found
    const keys = readKeySet(jwks, 'jwks').then((set) => (set.ok ? set.value : []))
    inline.set(jwks, keys)
    return keys
  }

  return {
    async find(source, lookup) {
      if (source.kind !== 'inline') return findRemote(source, lookup)
      return foundKey(pickKey(await findInline(source.jwks), lookup), 0)
    },
    async findRoots(source, lookup) {
      const held = await heldOf(source, lookup, ({ roots }) => !lookup.mayHold(roots))
      return held.ok ? ok({ roots: held.value.roots, ageSeconds: held.value.ageSeconds }) : held
    },
    async refreshBundles() {
      const now = clock.nowSeconds()
      for (const cached of sources.values()) {
        const { source, held } = cached
        if (source.kind !== 'spiffe_bundle' || held === null) continue
        if (ageOf(held, now) >= held.refreshSeconds && inFlight(cached) === null)
          start(cached, source)
      }
      await Promise.all([...sources.values()].map(({ inFlight: refresh }) => settled(refresh)))
    },
    flush() {
      sources.clear()
    },
    get fetches() {
      return fetches
    },
  }
}

/** One refresh. Never throws; `isCurrent` is false once a flush or a newer refresh has replaced it. */
async function refreshOnce(
  { outbound, clock, reach }: Dependencies,
  cached: CachedSource,
  source: RemoteKeySource,
  isCurrent: () => boolean,
): Promise<void> {
  // The answer is at least as old as the question.
  const fetchedAt = clock.nowSeconds()
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), FETCH_TIMEOUT_MS)
  const asking = { outbound, reach, signal: deadline.signal, now: fetchedAt }
  try {
    const known = cached.location
    const isKnown =
      known !== null && Math.abs(fetchedAt - known.foundAt) < DISCOVERY_MAX_AGE_SECONDS
    const location = isKnown ? ok(known.value) : await locateKeys(source, asking)
    if (location.ok && !isKnown) cached.location = { value: location.value, foundAt: fetchedAt }
    const loaded = location.ok
      ? await loadKeys(source, location.value, cached.held, asking)
      : location
    if (!isCurrent()) return
    cached.lastFault = loaded.ok ? null : loaded.failure
    if (loaded.ok) cached.held = { ...loaded.value, fetchedAt }
  } finally {
    clearTimeout(timer)
  }
}

function usable(
  cached: CachedSource,
  lookup: Staleness,
  now: Seconds,
): Result<Held & { readonly ageSeconds: number }, KeyLookupFault> {
  const rule = cached.lastFault === null ? {} : { rule: cached.lastFault }
  const { held } = cached
  if (held === null) return fail({ reason: 'keys_unreachable', ...rule })
  if (isTooOld(held, lookup, now)) return fail({ reason: 'keys_stale', ...rule })
  return ok({ ...held, ageSeconds: ageOf(held, now) })
}

function foundKey(picked: PickedKey, ageSeconds: number): Result<FoundKey, KeyLookupFault> {
  if (picked === 'mismatch') return fail({ reason: 'key_mismatch' })
  if (picked === 'unknown' || picked === 'ambiguous') return fail({ reason: 'unknown_key' })
  return ok({ key: picked, ageSeconds })
}

function isDue(held: Held | null, lookup: Staleness, now: Seconds): boolean {
  return held === null || ageOf(held, now) >= held.refreshSeconds || isTooOld(held, lookup, now)
}

function isTooOld(held: Held | null, { maxStaleSeconds }: Staleness, now: Seconds): boolean {
  return held === null || ageOf(held, now) > maxStaleSeconds
}

/** A clock that was set back must not make keys young again: the distance counts, whatever its sign. */
function ageOf({ fetchedAt }: Held, now: Seconds): number {
  return Math.abs(now - fetchedAt)
}

function isWithin(moment: Seconds, now: Seconds): boolean {
  return Math.abs(now - moment) < COOL_DOWN_SECONDS
}

function recent(moments: readonly Seconds[], now: Seconds): readonly Seconds[] {
  return moments.filter((moment) => isWithin(moment, now))
}

/** Waits for a refresh, but not for one that has been abandoned. */
function settled(refresh: Refresh | null): Promise<void> {
  if (refresh === null) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ABANDONED_MS)
    refresh.done.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
