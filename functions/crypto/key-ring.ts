// The signing keys of one purpose: made, published, rotated and retired here, with key-rotation.ts, and
// imported once. A key of one purpose neither signs nor verifies for another: it is sealed, listed and
// published by its purpose.
import { Buffer } from 'node:buffer'
import type { JsonObject } from '../core/identity.ts'
import type { Clock, Seconds } from '../core/ports.ts'
import type { KeyPurpose, SigningKeyStore } from '../store/contract.ts'
import {
  PUBLISH_LEAD_SECONDS,
  publishedKeysAt,
  RELOAD_SECONDS,
  retirementOf,
  type RotationTimes,
  signingKeyAt,
  slotToFill,
} from './key-rotation.ts'
import type { Sealer } from './seal.ts'
import {
  ES256,
  generateSigningKey,
  openSigningKey,
  type OpenedKey,
  resealSigningKey,
  type SigningKey,
} from './signing-key.ts'

export interface KeyRing {
  /** A compact JWS under the current key; a RangeError unless `exp` is within the longest life. */
  sign(claims: Readonly<Record<string, unknown>>, typ: string): Promise<string>
  /** The key if it verifies at `now`; `fresh`: an unknown one is looked for in the store again. */
  find(kid: string, now: Seconds, mode: 'fresh' | 'held'): Promise<SigningKey | null>
  /** Public keys only: those to come, the current one, and those whose tokens may still live. */
  jwks(): Promise<{ readonly keys: readonly JsonObject[] }>
  /** Makes the first key, makes the next one when it is due, seals again under a new KEK, drops the retired. */
  ensure(): Promise<void>
}

export type KeyRingDeps = {
  readonly purpose: KeyPurpose
  readonly store: SigningKeyStore
  readonly sealer: Sealer
  readonly clock: Clock
  readonly rotationSeconds?: number
  readonly leadSeconds?: number
  readonly maxTokenSeconds: number
}

const DEFAULT_ROTATION_SECONDS = 7 * 86_400
/** How long another request's refresh of the key set is waited for before the next request tries. */
const REFRESH_GRACE_SECONDS = 10
const RELOAD_WAIT_MS = 2000

type KeySet = {
  readonly loadedAt: Seconds
  /** In order of `activeFrom`. */
  readonly keys: readonly SigningKey[]
  readonly byKid: ReadonlyMap<string, OpenedKey>
  /** Slots taken, also by rows that do not open. */
  readonly occupied: ReadonlySet<Seconds>
  readonly hasRetired: boolean
}

export function createKeyRing(deps: KeyRingDeps): KeyRing {
  const times: RotationTimes = {
    rotationSeconds: deps.rotationSeconds ?? DEFAULT_ROTATION_SECONDS,
    leadSeconds: deps.leadSeconds ?? PUBLISH_LEAD_SECONDS,
    maxTokenSeconds: deps.maxTokenSeconds,
  }
  if (times.rotationSeconds < 2 * times.leadSeconds) {
    throw new RangeError(`keys rotate no faster than every ${2 * times.leadSeconds} seconds`)
  }
  const source = createKeySource(deps, times)

  return {
    async sign(claims, typ) {
      const now = deps.clock.nowSeconds()
      const key = signingKeyAt((await source.current(now)).keys, now, times)
      if (key === null) throw new Error('no signing key: ensure() has to run first')
      refuseLongerThan(claims['exp'], now + times.maxTokenSeconds)
      return signCompact(key, typ, claims)
    },

    async find(kid, now, mode) {
      let set = await source.current(now)
      if (mode === 'fresh' && !set.byKid.has(kid)) set = await source.reloadLimited(now)
      return publishedKeysAt(set.keys, now, times).find((key) => key.kid === kid) ?? null
    },

    async jwks() {
      const now = deps.clock.nowSeconds()
      const { keys } = await source.current(now)
      return { keys: publishedKeysAt(keys, now, times).map((key) => key.publicJwk) }
    },

    async ensure() {
      const now = deps.clock.nowSeconds()
      const set = await source.refresh(now)
      for (const { key, sealed, isStale } of set.byKid.values()) {
        if (!isStale) continue
        const row = { purpose: deps.purpose, kid: key.kid, sealedPrivateJwk: sealed }
        const resealed = await resealSigningKey(deps.sealer, row)
        if (resealed !== null) await deps.store.reseal(key.kid, sealed, resealed)
      }
      if (set.hasRetired) await deps.store.deleteRetired(now)
    },
  }
}

type KeySource = {
  /** The set that this isolate holds, read again when it is due. */
  current(now: Seconds): Promise<KeySet>
  /** Reads the set, and makes the key that is due. */
  refresh(now: Seconds): Promise<KeySet>
  /** Reads the set again, at most once a second: another isolate may have made a key. */
  reloadLimited(now: Seconds): Promise<KeySet>
}

function createKeySource(deps: KeyRingDeps, times: RotationTimes): KeySource {
  let held: KeySet | null = null
  let refreshStartedAt = Number.NEGATIVE_INFINITY
  let reload: { readonly at: Seconds; readonly set: Promise<KeySet> } | null = null

  async function load(now: Seconds): Promise<KeySet> {
    held = await readKeySet(deps, held, now)
    return held
  }

  async function refresh(now: Seconds): Promise<KeySet> {
    refreshStartedAt = now
    const set = await load(now)
    const activeFrom = slotToFill(set.keys, set.occupied, now, times)
    if (activeFrom === null) return set
    const retireAt = retirementOf(activeFrom, times)
    await deps.store.insert(
      await generateSigningKey(deps.sealer, deps.purpose, { createdAt: now, activeFrom, retireAt }),
    )
    // Read again, whoever won the slot: all isolates go on with the key that the store kept.
    return load(now)
  }

  return {
    async current(now) {
      if (held === null) return refresh(now)
      const age = now - held.loadedAt
      if (age < RELOAD_SECONDS) return held
      // One request reads; the others go on with a set that cannot lack a key in use before the lead is over.
      if (age < PUBLISH_LEAD_SECONDS && now - refreshStartedAt < REFRESH_GRACE_SECONDS) return held
      return refresh(now)
    },
    refresh,
    async reloadLimited(now) {
      if (reload === null || now !== reload.at) {
        reload = { at: now, set: load(now) }
        return reload.set
      }
      // workerd cancels the I/O of a request that goes away: whoever waits for it must not wait for ever.
      return (await within(RELOAD_WAIT_MS, reload.set)) ?? held ?? load(now)
    },
  }
}

/** What the promise gives, or null when it takes longer. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Rows that do not open are left out: they neither sign nor verify nor are published. */
async function readKeySet(
  { purpose, store, sealer }: Pick<KeyRingDeps, 'purpose' | 'store' | 'sealer'>,
  held: KeySet | null,
  now: Seconds,
): Promise<KeySet> {
  const rows = await store.list(purpose)
  const opened = await Promise.all(
    rows.map(async (row) => {
      const known = held?.byKid.get(row.kid)
      return known?.sealed === row.sealedPrivateJwk ? known : openSigningKey(sealer, row)
    }),
  )
  const readable = opened
    .filter((one) => one !== null)
    .toSorted((a, b) => a.key.activeFrom - b.key.activeFrom)
  return {
    loadedAt: now,
    keys: readable.map((one) => one.key),
    byKid: new Map(readable.map((one) => [one.key.kid, one])),
    occupied: new Set(rows.map((row) => row.activeFrom)),
    hasRetired: rows.some((row) => row.retireAt < now),
  }
}

async function signCompact(
  key: SigningKey,
  typ: string,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const signingInput = [{ alg: 'ES256', typ, kid: key.kid }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const signature = await crypto.subtle.sign(ES256, key.privateKey, Buffer.from(signingInput))
  return `${signingInput}.${Buffer.from(signature).toString('base64url')}`
}

/** A token that outlives what key-rotation.ts reckons with would end with its key: a bug of the caller. */
function refuseLongerThan(exp: unknown, latest: Seconds): void {
  if (typeof exp !== 'number' || exp > latest) {
    throw new RangeError('a token needs an `exp` within its longest life')
  }
}
