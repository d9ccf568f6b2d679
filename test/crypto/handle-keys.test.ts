import { createHash } from 'node:crypto'
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  SignJWT,
} from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { createHandleKeys, type HandleKeys } from '../../functions/crypto/handle-keys.ts'
import { createSealer, type Sealer } from '../../functions/crypto/seal.ts'
import type { SigningKeyRow } from '../../functions/store/contract.ts'
import { type FakeSigningKeyStore, fakeSigningKeyStore } from '../fakes/signing-key-store.ts'

type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>

const LEAD = 600
const ROTATION = 86_400
const MAX_HANDLE = 3600
const START = 1_800_000_123

let store: FakeSigningKeyStore
let now: number
const clock = { nowSeconds: () => now, nowMs: () => now * 1000 }
const sealerOf = (fill: number, previous: number | null = null): Sealer =>
  createSealer({
    kek: new Uint8Array(32).fill(fill),
    kekPrevious: previous === null ? null : new Uint8Array(32).fill(previous),
  })

const isolate = (sealer = sealerOf(1)): HandleKeys =>
  createHandleKeys({
    store,
    sealer,
    clock,
    rotationSeconds: ROTATION,
    maxHandleSeconds: MAX_HANDLE,
  })

const claims = (over: Record<string, unknown> = {}) => ({
  iss: 'https://broker.example',
  aud: ['https://broker.example/t/crm'],
  sub: 'k8s:agent',
  sid: 'ses_1',
  jti: 'jti_1',
  iat: now,
  exp: now + 300,
  ...over,
})
const kidOf = (token: string): unknown =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())['kid']
const kidsOf = async (keys: HandleKeys): Promise<unknown[]> =>
  (await keys.jwks()).keys.map((key) => key['kid'])

/** A JWS with any header and payload under any key, past every check of a signing library. */
async function forge(header: Record<string, unknown>, payload: unknown, key: Key): Promise<string> {
  const segments = [header, payload].map((part) =>
    Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url'),
  )
  const input = segments.join('.')
  const signature = await crypto.subtle.sign(
    { name: 'ECDSA', hash: 'SHA-256' },
    key,
    Buffer.from(input),
  )
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

/** The private key of a row, opened as an insider of the broker would. */
async function privateKeyOf(row: SigningKeyRow): Promise<Key> {
  const opened = await sealerOf(1).open(`signing-key:${row.kid}`, row.sealedPrivateJwk)
  const jwk = { kty: 'EC', crv: 'P-256', ...JSON.parse(opened?.plaintext ?? '{}') }
  return crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, [
    'sign',
  ])
}

beforeEach(() => {
  store = fakeSigningKeyStore()
  now = START
})

describe('a handle', () => {
  test('is a compact ES256 JWS of typ at+jwt that an unmodified client verifies with the JWKS', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    const [jwk] = (await keys.jwks()).keys
    const { payload, protectedHeader } = await jwtVerify(
      token,
      await importJWK(jwk as Parameters<typeof importJWK>[0], 'ES256'),
      { typ: 'at+jwt', currentDate: new Date(now * 1000) },
    )
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: jwk?.['kid'] })
    expect(payload).toEqual(claims())
    expect(await keys.verify(token, now)).toEqual({ ok: true, value: claims() })
  })

  test('ends at `exp`, also when it was verified before (no cache beyond the expiry)', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    expect((await keys.verify(token, now + 299)).ok).toBe(true)
    expect(await keys.verify(token, now + 300)).toEqual({ ok: false, failure: 'expired' })
    expect(await keys.verify(token, now + 299)).toMatchObject({ ok: true })
  })

  test('is refused with any character changed, also right after the genuine one was cached', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    expect((await keys.verify(token, now)).ok).toBe(true)
    for (let i = 0; i < token.length; i += 3) {
      const other = token[i] === 'A' ? 'B' : 'A'
      const changed = token.slice(0, i) + other + token.slice(i + 1)
      expect((await keys.verify(changed, now)).ok, `position ${i}`).toBe(false)
    }
    for (const changed of [`${token}=`, `${token}.`, `${token}A`, ` ${token}`, `${token}\n`]) {
      expect((await keys.verify(changed, now)).ok, JSON.stringify(changed)).toBe(false)
    }
  })

  test('that repeats costs no second signature check and gives the same, unchangeable claims', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    const first = await keys.verify(token, now)
    const verify = crypto.subtle.verify
    crypto.subtle.verify = () => Promise.reject(new Error('the signature was checked again'))
    try {
      const second = await keys.verify(token, now)
      expect(second).toEqual(first)
      if (!second.ok) return
      expect(Object.isFrozen(second.value)).toBe(true)
      expect(Object.isFrozen(second.value['aud'])).toBe(true)
    } finally {
      crypto.subtle.verify = verify
    }
  })

  test('JW-01 RB-01: only ES256 with our own kid, exactly at+jwt, no further header member', async () => {
    const keys = isolate()
    await keys.ensure()
    const row = store.rows[0] as SigningKeyRow
    const key = await privateKeyOf(row)
    const good = { alg: 'ES256', typ: 'at+jwt', kid: row.kid }
    expect((await keys.verify(await forge(good, claims(), key), now)).ok).toBe(true)
    const long = { ...good, typ: 'application/at+jwt' }
    expect((await keys.verify(await forge(long, claims(), key), now)).ok).toBe(true)
    const bad: Record<string, unknown>[] = [
      { ...good, alg: 'none' },
      { ...good, alg: 'HS256' },
      { ...good, alg: 'ES384' },
      { ...good, alg: 'es256' },
      { ...good, alg: ['ES256'] },
      { ...good, typ: 'JWT' },
      { ...good, typ: 'AT+JWT' },
      { ...good, typ: 'application/jwt' },
      { alg: 'ES256', kid: row.kid },
      { alg: 'ES256', typ: 'at+jwt' },
      { ...good, kid: 7 },
      { ...good, kid: '' },
      { ...good, kid: '__proto__' },
      { ...good, kid: '../../etc/passwd' },
      { ...good, crit: ['b64'], b64: false },
      { ...good, jku: 'https://evil.example/jwks' },
      { ...good, jwk: row.publicJwk },
      { ...good, x5u: 'https://evil.example' },
      { ...good, zip: 'DEF' },
      { ...good, cty: 'JWT' },
    ]
    for (const header of bad) {
      const result = await keys.verify(await forge(header, claims(), key), now)
      expect(result.ok, JSON.stringify(header)).toBe(false)
    }
  })

  test('an HMAC keyed with the public key does not verify (AUTH-3)', async () => {
    const keys = isolate()
    await keys.ensure()
    const row = store.rows[0] as SigningKeyRow
    for (const alg of ['HS256', 'ES256']) {
      const token = await new SignJWT(claims())
        .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: row.kid })
        .sign(new TextEncoder().encode(JSON.stringify(row.publicJwk)))
      const [, payload, signature] = token.split('.')
      const header = Buffer.from(JSON.stringify({ alg, typ: 'at+jwt', kid: row.kid }))
      const forged = `${header.toString('base64url')}.${payload}.${signature}`
      expect((await keys.verify(forged, now)).ok, alg).toBe(false)
    }
  })

  test('a payload without a sound `exp`, or with a member twice, is refused although we signed it', async () => {
    const keys = isolate()
    await keys.ensure()
    const row = store.rows[0] as SigningKeyRow
    const key = await privateKeyOf(row)
    const header = { alg: 'ES256', typ: 'at+jwt', kid: row.kid }
    const text = JSON.stringify(claims())
    const payloads: unknown[] = [
      claims({ exp: undefined }),
      claims({ exp: String(now + 300) }),
      claims({ exp: now + 0.5 }),
      text.replace(`"exp":${now + 300}`, '"exp":1e400'),
      text.replace('"sub"', '"exp":9999999999,"sub"'),
      '[]',
      'null',
      '"text"',
      `${text} {}`,
    ]
    for (const payload of payloads) {
      const result = await keys.verify(await forge(header, payload, key), now)
      expect(result, JSON.stringify(payload)).toEqual({ ok: false, failure: 'malformed' })
    }
  })

  test('an all-zero, short, long or DER signature does not verify', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    const input = token.slice(0, token.lastIndexOf('.'))
    for (const bytes of [0, 1, 63, 64, 65, 72, 128]) {
      const forged = `${input}.${Buffer.alloc(bytes).toString('base64url')}`
      expect((await keys.verify(forged, now)).ok, `${bytes} bytes`).toBe(false)
    }
  })

  test('oversize and garbage are refused without a look at the store', async () => {
    const keys = isolate()
    await keys.ensure()
    const reads = store.reads
    for (const text of ['', '.', '..', 'a.b.c', 'x'.repeat(1_000_000), '💥.💥.💥', 'a.b.c.d.e']) {
      expect(await keys.verify(text, now)).toEqual({ ok: false, failure: 'malformed' })
    }
    expect(store.reads).toBe(reads)
  })

  test('longer than the longest handle is never signed', async () => {
    const keys = isolate()
    await expect(keys.signer.sign(claims({ exp: now + MAX_HANDLE + 1 }))).rejects.toThrow(
      RangeError,
    )
    await expect(keys.signer.sign(claims({ exp: undefined }))).rejects.toThrow(RangeError)
  })
})

describe('the key set', () => {
  test('MD-03: publishes public members only, and `kid` is the RFC 7638 thumbprint', async () => {
    const keys = isolate()
    await keys.ensure()
    const { keys: published } = await keys.jwks()
    expect(published).toHaveLength(1)
    for (const jwk of published) {
      expect(Object.keys(jwk).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
      expect(jwk).toMatchObject({ kty: 'EC', crv: 'P-256', use: 'sig', alg: 'ES256' })
      const parameters = jwk as Parameters<typeof calculateJwkThumbprint>[0]
      expect(await calculateJwkThumbprint(parameters)).toBe(jwk['kid'])
    }
  })

  test('LEAK-1: the private half is in the store only sealed', async () => {
    await isolate().ensure()
    const row = store.rows[0] as SigningKeyRow
    const opened = await sealerOf(1).open(`signing-key:${row.kid}`, row.sealedPrivateJwk)
    const { d } = JSON.parse(opened?.plaintext ?? '{}')
    expect(d).toMatch(/^[\w-]{43}$/)
    expect(JSON.stringify(store.rows)).not.toContain(d)
    expect(JSON.stringify(store.rows)).not.toContain('"d"')
  })

  test('several isolates that start at once end with one active key', async () => {
    const isolates = Array.from({ length: 12 }, () => isolate())
    // All of them read the empty table before any of them has written.
    let waiting = 0
    let release = () => {}
    const all = new Promise<void>((resolve) => {
      release = resolve
    })
    store.beforeList = () => {
      if (++waiting >= isolates.length) release()
      return all
    }
    const tokens = await Promise.all(isolates.map((one) => one.signer.sign(claims())))
    expect(store.rows).toHaveLength(1)
    expect(new Set(tokens.map(kidOf)).size).toBe(1)
    for (const one of isolates) {
      for (const token of tokens) expect((await one.verify(token, now)).ok).toBe(true)
    }
  })

  test('the next key is published at least the lead before it signs, and signs from its time on', async () => {
    const keys = isolate()
    const first = kidOf(await keys.signer.sign(claims()))
    const published = new Map<unknown, number>()
    const signedFirst = new Map<unknown, number>()
    for (; now < START + ROTATION + 3 * LEAD; now += 60) {
      for (const kid of await kidsOf(keys)) if (!published.has(kid)) published.set(kid, now)
      const kid = kidOf(await keys.signer.sign(claims()))
      if (!signedFirst.has(kid)) signedFirst.set(kid, now)
    }
    expect(signedFirst.size).toBe(2)
    const [, [second, since] = ['', 0]] = [...signedFirst]
    expect(second).not.toBe(first)
    expect(since - (published.get(second) ?? since)).toBeGreaterThanOrEqual(LEAD)
  })

  test('a retired key stays published until the last handle of it has ended, and not for ever', async () => {
    const keys = isolate()
    let last = { token: await keys.signer.sign(claims()), exp: now + 300 }
    const first = kidOf(last.token)
    for (; now < START + 2 * ROTATION; now += 120) {
      const exp = now + MAX_HANDLE
      const token = await keys.signer.sign(claims({ exp }))
      if (kidOf(token) === first) last = { token, exp }
    }
    now = last.exp - 1
    expect((await isolate().verify(last.token, now)).ok).toBe(true)
    expect(await kidsOf(isolate())).toContain(first)
    now = START + 3 * ROTATION
    expect(await kidsOf(isolate())).not.toContain(first)
    await isolate().ensure()
    now += ROTATION
    await isolate().ensure()
    expect(store.rows.map((row) => row.kid)).not.toContain(first)
  })

  test('a handle that was cached ends with its key', async () => {
    const keys = isolate()
    const token = await keys.signer.sign(claims({ exp: now + MAX_HANDLE }))
    expect((await keys.verify(token, now)).ok).toBe(true)
    store.rows = []
    now += LEAD
    expect(await keys.verify(token, now)).toEqual({ ok: false, failure: 'bad_signature' })
  })

  test('a deployment that slept for months signs at once with a fresh key', async () => {
    const first = kidOf(await isolate().signer.sign(claims()))
    now += 200 * ROTATION
    const keys = isolate()
    const token = await keys.signer.sign(claims())
    expect(kidOf(token)).not.toBe(first)
    expect((await keys.verify(token, now)).ok).toBe(true)
    expect(await kidsOf(keys)).toEqual([kidOf(token)])
  })

  test('a deployment that slept through one rotation signs with the old key for the lead of the new', async () => {
    const first = kidOf(await isolate().signer.sign(claims()))
    now += ROTATION + 5 * LEAD
    const keys = isolate()
    expect(kidOf(await keys.signer.sign(claims()))).toBe(first)
    expect(await kidsOf(keys)).toHaveLength(2)
    now += 2 * LEAD
    expect(kidOf(await keys.signer.sign(claims()))).not.toBe(first)
  })

  test('a kid that another isolate made is found with one read; strangers cost one read a second', async () => {
    const [old, fresh] = [isolate(), isolate(sealerOf(1))]
    await old.ensure()
    store.rows = []
    const token = await fresh.signer.sign(claims())
    const reads = store.reads
    expect((await old.verify(token, now)).ok).toBe(true)
    expect(store.reads).toBe(reads + 1)

    const { privateKey } = await generateKeyPair('ES256')
    const strangers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        new SignJWT(claims())
          .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: `stranger-${i}` })
          .sign(privateKey),
      ),
    )
    now += 1
    const before = store.reads
    for (const stranger of strangers) {
      expect(await old.verify(stranger, now)).toEqual({ ok: false, failure: 'bad_signature' })
    }
    expect(store.reads).toBe(before + 1)
  })

  test('handles of a new key that come all at once are all accepted, with one read', async () => {
    const [old, fresh] = [isolate(), isolate()]
    await old.ensure()
    store.rows = []
    const tokens = await Promise.all(
      Array.from({ length: 40 }, (_, i) => fresh.signer.sign(claims({ jti: `jti_${i}` }))),
    )
    const reads = store.reads
    const results = await Promise.all(tokens.map((token) => old.verify(token, now)))
    expect(results.every((result) => result.ok)).toBe(true)
    expect(store.reads).toBe(reads + 1)
  })

  test('the hot path neither reads the store nor opens a seal again', async () => {
    let opened = 0
    const inner = sealerOf(1)
    const keys = isolate({ ...inner, open: (...args) => (opened++, inner.open(...args)) })
    await keys.ensure()
    const [reads, opens] = [store.reads, opened]
    for (let i = 0; i < 100; i++) {
      const token = await keys.signer.sign(claims({ jti: `jti_${i}` }))
      expect((await keys.verify(token, now)).ok).toBe(true)
    }
    expect([store.reads, opened]).toEqual([reads, opens])
  })

  test('a key put into the store by someone without the KEK verifies nothing and is not published', async () => {
    const keys = isolate()
    await keys.ensure()
    const own = store.rows[0] as SigningKeyRow
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    const planted: SigningKeyRow = {
      ...own,
      kid,
      activeFrom: own.activeFrom - 1,
      publicJwk: { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '', kid },
      sealedPrivateJwk: own.sealedPrivateJwk,
    }
    store.rows.push(planted)
    // And the own row's public half replaced by the attacker's.
    store.rows[0] = { ...own, publicJwk: planted.publicJwk }
    const after = isolate()
    for (const claimed of [kid, own.kid]) {
      const forged = await new SignJWT(claims())
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: claimed })
        .sign(privateKey)
      expect((await after.verify(forged, now)).ok).toBe(false)
    }
    expect(await kidsOf(after)).toEqual([own.kid])
    expect((await after.jwks()).keys[0]?.['x']).not.toBe(jwk.x)
  })

  test('a row held by a key that this KEK cannot open does not keep the broker from starting', async () => {
    await isolate(sealerOf(9)).ensure()
    const keys = isolate(sealerOf(1))
    const token = await keys.signer.sign(claims())
    expect((await keys.verify(token, now)).ok).toBe(true)
    expect(store.rows).toHaveLength(2)
    expect(await kidsOf(keys)).toEqual([kidOf(token)])
  })

  test('after a KEK rotation every key is sealed under the new KEK, and live handles go on', async () => {
    const token = await isolate(sealerOf(1)).signer.sign(claims())
    const rotated = isolate(sealerOf(2, 1))
    expect((await rotated.verify(token, now)).ok).toBe(true)
    await rotated.ensure()
    const later = isolate(sealerOf(2))
    expect((await later.verify(token, now)).ok).toBe(true)
    expect(kidOf(await later.signer.sign(claims()))).toBe(kidOf(token))
    expect(store.rows).toHaveLength(1)
  })

  test('a store that does not answer is an error, never an unsigned or unverified handle', async () => {
    const token = await isolate().signer.sign(claims())
    const keys = isolate()
    store.list = () => Promise.reject(new Error('down'))
    await expect(keys.signer.sign(claims())).rejects.toThrow('down')
    await expect(keys.verify(token, now)).rejects.toThrow('down')
  })

  test('a rotation faster than the lead is refused', () => {
    const deps = { store, sealer: sealerOf(1), clock, maxHandleSeconds: MAX_HANDLE }
    expect(() => createHandleKeys({ ...deps, rotationSeconds: 60 })).toThrow(RangeError)
  })
})

test('the cache tells tokens apart by the whole token', async () => {
  const keys = isolate()
  const one = await keys.signer.sign(claims({ sid: 'ses_1' }))
  const two = await keys.signer.sign(claims({ sid: 'ses_2' }))
  for (let i = 0; i < 3; i++) {
    expect(await keys.verify(one, now)).toMatchObject({ value: { sid: 'ses_1' } })
    expect(await keys.verify(two, now)).toMatchObject({ value: { sid: 'ses_2' } })
  }
  expect(createHash('sha256').update(one).digest('hex')).not.toBe(
    createHash('sha256').update(two).digest('hex'),
  )
})
