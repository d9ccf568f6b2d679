// The keys that sign and verify handles. Keys are made, published, rotated and retired here (with
// key-rotation.ts); the hot path signs and verifies with keys that were imported once. A handle verifies
// under our own keys only. `iss`, `aud` and the session are the caller's to check.
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { JsonObject } from '../core/identity.ts'
import type { Clock, HandleSigner, Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { HandleFault } from '../core/token.ts'
import type { SigningKeyStore } from '../store/contract.ts'
import { parseCompactJws } from './jws.ts'
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
  ES256_SIGNATURE_BYTES,
  generateSigningKey,
  openSigningKey,
  type OpenedKey,
  resealSigningKey,
  type SigningKey,
} from './signing-key.ts'
import { createVerifiedHandles, freeze, type VerifiedHandle } from './verified-handles.ts'

export interface HandleKeys {
  readonly signer: HandleSigner
  /** The claims of a handle of ours: signature, type, expiry. The caller checks `iss`, `aud` and session. */
  verify(token: string, nowSeconds: Seconds): Promise<Result<JsonObject, HandleFault>>
  /** Public keys only: those to come, the current one, and those whose handles may still live. */
  jwks(): Promise<{ readonly keys: readonly JsonObject[] }>
  /** Makes the first key, makes the next one when it is due, seals again under a new KEK, drops the retired. */
  ensure(): Promise<void>
}

export type HandleKeysDeps = {
  readonly store: SigningKeyStore
  readonly sealer: Sealer
  readonly clock: Clock
  readonly rotationSeconds?: number
  readonly maxHandleSeconds: number
}

const DEFAULT_ROTATION_SECONDS = 7 * 86_400
/** A handle with its longest `aud` list; api.md's request limits keep it far below. */
const MAX_HANDLE_BYTES = 16 * 1024
/** Verified handles kept by an isolate: some 2 KiB each. */
const MAX_CACHED_HANDLES = 4096
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

export function createHandleKeys(deps: HandleKeysDeps): HandleKeys {
  const times: RotationTimes = {
    rotationSeconds: deps.rotationSeconds ?? DEFAULT_ROTATION_SECONDS,
    maxHandleSeconds: deps.maxHandleSeconds,
  }
  if (times.rotationSeconds < 2 * PUBLISH_LEAD_SECONDS) {
    throw new RangeError(`keys rotate no faster than every ${2 * PUBLISH_LEAD_SECONDS} seconds`)
  }
  const source = createKeySource(deps, times)
  const verified = createVerifiedHandles(MAX_CACHED_HANDLES)

  return {
    signer: {
      async sign(claims) {
        const now = deps.clock.nowSeconds()
        const key = signingKeyAt((await source.current(now)).keys, now, times)
        if (key === null) throw new Error('no signing key: ensure() has to run first')
        refuseLongerThan(claims['exp'], now + times.maxHandleSeconds)
        return signCompact(key, claims)
      },
    },

    async verify(token, nowSeconds) {
      if (token.length > MAX_HANDLE_BYTES) return fail('malformed')
      const set = await source.current(nowSeconds)
      const cacheKey = createHash('sha256').update(token).digest('base64url')
      const hit = verified.get(cacheKey)
      if (hit !== undefined) {
        if (nowSeconds >= hit.exp) verified.delete(cacheKey)
        else if (isPublished(set, hit.kid, nowSeconds, times)) return ok(hit.claims)
        else verified.delete(cacheKey)
      }
      const result = await verifyAfresh(token, nowSeconds, source, times)
      if (!result.ok) return result
      verified.put(cacheKey, result.value)
      return ok(result.value.claims)
    },

    async jwks() {
      const now = deps.clock.nowSeconds()
      const { keys } = await source.current(now)
      return { keys: publishedKeysAt(keys, now, times).map((key) => key.publicJwk) }
    },

    async ensure() {
      const now = deps.clock.nowSeconds()
      const set = await source.refresh(now)
      for (const opened of set.byKid.values()) {
        if (!opened.isStale) continue
        const sealed = await resealSigningKey(deps.sealer, opened.key.kid, opened.sealed)
        if (sealed !== null) await deps.store.reseal(opened.key.kid, opened.sealed, sealed)
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

function createKeySource(deps: HandleKeysDeps, times: RotationTimes): KeySource {
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
      await generateSigningKey(deps.sealer, { createdAt: now, activeFrom, retireAt }),
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
  { store, sealer }: Pick<HandleKeysDeps, 'store' | 'sealer'>,
  held: KeySet | null,
  now: Seconds,
): Promise<KeySet> {
  const rows = await store.list()
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

function isPublished(set: KeySet, kid: string, now: Seconds, times: RotationTimes): boolean {
  return publishedKeysAt(set.keys, now, times).some((key) => key.kid === kid)
}

async function verifyAfresh(
  token: string,
  now: Seconds,
  source: KeySource,
  times: RotationTimes,
): Promise<Result<VerifiedHandle, HandleFault>> {
  const parsed = parseCompactJws(token, { maxBytes: MAX_HANDLE_BYTES })
  if (!parsed.ok) return fail('malformed')
  const { header, payload, signingInput, signature } = parsed.value
  const kid = kidOf(header)
  if (kid === null) return fail('malformed')
  if (signature.length !== ES256_SIGNATURE_BYTES) return fail('bad_signature')

  let set = await source.current(now)
  if (!set.byKid.has(kid)) set = await source.reloadLimited(now)
  const key = set.byKid.get(kid)?.key
  if (key === undefined || !isPublished(set, kid, now, times)) return fail('bad_signature')
  if (!(await crypto.subtle.verify(ES256, key.publicKey, signature, signingInput))) {
    return fail('bad_signature')
  }

  const exp = payload['exp']
  if (typeof exp !== 'number' || !Number.isSafeInteger(exp)) return fail('malformed')
  if (now >= exp) return fail('expired')
  return ok({ kid, exp, claims: freeze(payload) })
}

/** The header that we write, and nothing else: RFC 9068 §4 for `typ`, one algorithm, no further members. */
function kidOf(header: JsonObject): string | null {
  const { alg, typ, kid, ...others } = header
  if (alg !== 'ES256' || typeof kid !== 'string' || Object.keys(others).length > 0) return null
  return typ === 'at+jwt' || typ === 'application/at+jwt' ? kid : null
}

async function signCompact(
  key: SigningKey,
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
  const signingInput = key.headerSegment + payload
  const signature = await crypto.subtle.sign(ES256, key.privateKey, Buffer.from(signingInput))
  return `${signingInput}.${Buffer.from(signature).toString('base64url')}`
}

/** A handle that outlives what key-rotation.ts reckons with would end with its key: a bug of the caller. */
function refuseLongerThan(exp: unknown, latest: Seconds): void {
  if (typeof exp !== 'number' || exp > latest) {
    throw new RangeError('a handle needs an `exp` within maxHandleSeconds')
  }
}
