import { createLocalJWKSet, jwtVerify } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  createFederationKeys,
  type FederationKeys,
} from '../../functions/crypto/federation-keys.ts'
import { createHandleKeys, type HandleKeys } from '../../functions/crypto/handle-keys.ts'
import { createSealer } from '../../functions/crypto/seal.ts'
import type { FederationTyp } from '../../functions/core/ports.ts'
import type { SigningKeyRow } from '../../functions/store/contract.ts'
import { type ManualClock, manualClock } from '../fakes/manual-clock.ts'
import { type FakeSigningKeyStore, fakeSigningKeyStore } from '../fakes/signing-key-store.ts'

const ISSUER = 'https://broker.example/federation'
const DAY = 86_400
const TYPES: readonly FederationTyp[] = ['JWT', 'oauth-id-jag+jwt', 'txntoken+jwt']
const KEK = new Uint8Array(32).fill(1)
const sealer = createSealer({ kek: KEK, kekPrevious: null })

let store: FakeSigningKeyStore
let clock: ManualClock
let federation: FederationKeys
let handles: HandleKeys

const isolate = (seals = sealer) => createFederationKeys(ISSUER, { store, sealer: seals, clock })
const claims = (over: object = {}) => ({
  sub: 'sallyport:warehouse',
  aud: 'sts.amazonaws.com',
  exp: clock.nowSeconds() + 300,
  ...over,
})
const kidsOf = async (keys: Pick<FederationKeys, 'jwks'>) =>
  (await keys.jwks()).keys.map(({ kid }) => String(kid))
const kidOf = (token: string): unknown =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())['kid']

beforeEach(() => {
  store = fakeSigningKeyStore()
  clock = manualClock()
  federation = isolate()
  handles = createHandleKeys({ store, sealer, clock, maxHandleSeconds: 3600 })
})

/** A JWS with any header under the private key of a row, as an insider would make it. */
async function forge(row: SigningKeyRow, header: object, payload: object): Promise<string> {
  const label = row.purpose === 'handle' ? 'signing-key' : 'federation-key'
  const opened = await sealer.open(`${label}:${row.kid}`, row.sealedPrivateJwk)
  const jwk = { kty: 'EC', crv: 'P-256', ...JSON.parse(opened?.plaintext ?? '{}') }
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign'])
  const input = [header, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const signature = await crypto.subtle.sign(algorithm, key, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

describe('a federation token', () => {
  test.each(TYPES)(
    'of typ %s verifies with the published keys in an unmodified client',
    async (typ) => {
      const token = await federation.signer.sign(claims(), typ)
      const keys = createLocalJWKSet(JSON.parse(JSON.stringify(await federation.jwks())))
      const options = { issuer: ISSUER, audience: 'sts.amazonaws.com', typ, algorithms: ['ES256'] }
      const currentDate = new Date(clock.nowMs())
      const { payload } = await jwtVerify(token, keys, { ...options, currentDate })
      expect(payload).toEqual({ ...claims(), iss: ISSUER })
    },
  )

  test('names the federation issuer, whatever its claims say', async () => {
    const token = await federation.signer.sign(claims({ iss: 'https://broker.example' }), 'JWT')
    const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    expect(payload['iss']).toBe(ISSUER)
  })

  test.each([
    ['lives for more than five minutes', { exp: 1_800_000_301 }],
    ['has no end', { exp: undefined }],
    ['ends at what is no time', { exp: '1800000100' }],
    ['is for nobody', { aud: undefined }],
    ['is for an empty name', { aud: '' }],
    ['is for several', { aud: ['sts.amazonaws.com'] }],
  ])('is not made when it %s', async (_, over) => {
    await expect(federation.signer.sign(claims(over), 'JWT')).rejects.toThrow(RangeError)
  })
})

describe('JB-07: keys of one purpose', () => {
  test('are published for it alone', async () => {
    await Promise.all([federation.ensure(), handles.ensure()])
    const [ours, theirs] = [await kidsOf(federation), await kidsOf(handles)]
    expect([ours.length, theirs.length]).toEqual([1, 1])
    expect(ours).not.toEqual(theirs)
  })

  test.each(TYPES)('a federation token of typ %s is no handle', async (typ) => {
    await handles.ensure()
    const token = await federation.signer.sign(claims(), typ)
    expect((await handles.verify(token, clock.nowSeconds())).ok).toBe(false)
  })

  test('what a federation key signed as a handle is none', async () => {
    await Promise.all([federation.ensure(), handles.ensure()])
    const row = store.rows.find(({ purpose }) => purpose === 'federation')
    if (row === undefined) throw new Error('no federation key')
    const header = { alg: 'ES256', typ: 'at+jwt', kid: row.kid }
    const token = await forge(row, header, claims())
    expect(await handles.verify(token, clock.nowSeconds())).toEqual({
      ok: false,
      failure: 'bad_signature',
    })
  })

  test('a row that is given the other purpose neither signs nor verifies nor is published', async () => {
    const token = await federation.signer.sign(claims(), 'JWT')
    await handles.ensure()
    const stolen = store.rows.find(({ purpose }) => purpose === 'federation')
    if (stolen === undefined) throw new Error('no federation key')
    store.rows = [{ ...stolen, purpose: 'handle' }]
    const fresh = createHandleKeys({ store, sealer, clock, maxHandleSeconds: 3600 })
    const header = { alg: 'ES256', typ: 'at+jwt', kid: stolen.kid }
    const forged = await forge(stolen, header, claims())
    expect((await fresh.verify(forged, clock.nowSeconds())).ok).toBe(false)
    expect((await fresh.verify(token, clock.nowSeconds())).ok).toBe(false)
    expect(await kidsOf(fresh)).not.toContain(stolen.kid)
  })

  test('the other way round, too', async () => {
    await handles.ensure()
    store.rows = store.rows.map((row) => ({ ...row, purpose: 'federation' as const }))
    const kids = store.rows.map(({ kid }) => kid)
    expect(await kidsOf(isolate())).not.toEqual(kids)
  })
})

describe('rotation of federation keys', () => {
  test('a key is published for a day before it signs, as clouds keep a key set that long', async () => {
    await federation.ensure()
    const first = kidOf(await federation.signer.sign(claims(), 'JWT'))
    clock.advance(6 * DAY - 1200)
    await federation.ensure()
    expect(await kidsOf(federation)).toHaveLength(1)
    clock.advance(1200)
    await federation.ensure()
    const both = await kidsOf(federation)
    expect(both).toHaveLength(2)
    for (const seconds of [3600, 12 * 3600, 10 * 3600]) {
      clock.advance(seconds)
      await federation.ensure()
      expect(kidOf(await federation.signer.sign(claims(), 'JWT'))).toBe(first)
    }
    clock.advance(DAY)
    await federation.ensure()
    expect(kidOf(await isolate().signer.sign(claims(), 'JWT'))).toBe(both[1])
    expect(await kidsOf(isolate())).toEqual([both[1]])
  })

  test('two isolates that start at once agree on one key', async () => {
    const [one, two] = [isolate(), isolate()]
    await Promise.all([one.ensure(), two.ensure()])
    expect(await kidsOf(one)).toEqual(await kidsOf(two))
    expect(store.rows).toHaveLength(1)
  })

  test('after a KEK rotation it is sealed under the new KEK', async () => {
    await federation.ensure()
    const kid = (await kidsOf(federation))[0]
    const next = new Uint8Array(32).fill(2)
    await isolate(createSealer({ kek: next, kekPrevious: KEK })).ensure()
    expect(await kidsOf(isolate(createSealer({ kek: next, kekPrevious: null })))).toEqual([kid])
  })

  test('a store that does not answer is an error', async () => {
    store.list = () => Promise.reject(new Error('down'))
    await expect(federation.signer.sign(claims(), 'JWT')).rejects.toThrow('down')
  })
})
