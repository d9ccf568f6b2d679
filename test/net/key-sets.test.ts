// The rules of the cache, with a clock and an origin that do as they are told. What real servers can do
// to it is in key-set-faults.test.ts.
import * as jose from 'jose'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import {
  createKeySets,
  type KeyLookup,
  type KeySets,
  type KeySource,
} from '../../functions/net/key-sets.ts'
import { OutboundError, type OutboundRequest } from '../../functions/net/outbound.ts'
import { manualClock, type ManualClock } from '../fakes/manual-clock.ts'

const ISSUER = 'https://issuer.test'
const JWKS_URI = 'https://issuer.test/keys'
const source: KeySource = { kind: 'jwks_uri', issuer: ISSUER, jwksUri: JWKS_URI }
const discovery: KeySource = { kind: 'discovery', issuer: ISSUER }
const bundle: KeySource = {
  kind: 'spiffe_bundle',
  trustDomain: 'td.test',
  url: 'https://td.test/b',
}
const COOL_DOWN = 30
const DAY = 86_400

let jwks: readonly JsonObject[]
beforeAll(async () => {
  const made = [1, 2, 3].map(async (index): Promise<JsonObject> => {
    const { publicKey } = await jose.generateKeyPair('ES256', { extractable: true })
    return { ...(await jose.exportJWK(publicKey)), kid: `k${index}` }
  })
  jwks = await Promise.all(made)
})
const key = (number: 1 | 2 | 3, changes: JsonObject = {}): JsonObject => ({
  ...jwks[number - 1],
  ...changes,
})

type Answer = () => string | Promise<string>
let answers: Record<string, Answer>
let requests: OutboundRequest[]
let clock: ManualClock
let sets: KeySets

beforeEach(() => {
  answers = {}
  requests = []
  clock = manualClock()
  sets = newSets()
})

function newSets(): KeySets {
  return createKeySets({
    clock,
    reach: { privateNetwork: false, loopback: false },
    outbound: async (request) => {
      requests.push(request)
      const answer = answers[request.url.href]
      if (answer === undefined) throw new OutboundError('connect_failed')
      const text = await answer()
      return { status: 200, headers: [], body: new Blob([text]).stream() }
    },
  })
}

function serve(document: object, url = JWKS_URI): void {
  answers[url] = () => JSON.stringify(document)
}

function find(changes: Partial<KeyLookup> = {}, from: KeySource = source): Promise<string> {
  return sets
    .find(from, { kid: 'k1', alg: 'ES256', maxStaleSeconds: DAY, ...changes })
    .then((found) => (found.ok ? `found ${found.value.key.kid}` : found.failure.reason))
}

describe('fetching', () => {
  it('JW-04: 20 callers of a cold source share one fetch', async () => {
    serve({ keys: [key(1)] })
    const found = await Promise.all(Array.from({ length: 20 }, () => find()))
    expect(new Set(found)).toEqual(new Set(['found k1']))
    expect(requests).toHaveLength(1)
    expect(sets.fetches).toBe(1)
  })

  it('JW-04: 1,000 random kids cost at most one more fetch in a cool-down, one after another or at once', async () => {
    serve({ keys: [key(1)] })
    expect(await find()).toBe('found k1')
    const kids = Array.from({ length: 500 }, (_, index) => `random-${index}`)
    for (const kid of kids) expect(await find({ kid })).toBe('unknown_key')
    await Promise.all(kids.map((kid) => find({ kid: `${kid}'` })))
    expect(requests).toHaveLength(2)
    clock.advance(COOL_DOWN)
    for (const kid of kids) expect(await find({ kid })).toBe('unknown_key')
    expect(requests).toHaveLength(3)
  })

  it('JW-04: a flood that meets a cold source costs one fetch', async () => {
    serve({ keys: [key(1)] })
    for (let kid = 0; kid < 100; kid += 1)
      expect(await find({ kid: `r${kid}` })).toBe('unknown_key')
    expect(requests).toHaveLength(1)
  })

  it('DEP-4: with the endpoint down random kids cost at most two fetches in a cool-down', async () => {
    serve({ keys: [key(1)] })
    await find()
    answers = {}
    for (const wait of [0, COOL_DOWN, 700]) {
      clock.advance(wait)
      requests.length = 0
      for (let kid = 0; kid < 200; kid += 1) {
        expect(await find({ kid: `r${kid}` })).toBe('unknown_key')
        expect(await find()).toBe('found k1')
      }
      expect(requests.length).toBeLessThanOrEqual(2)
    }
  })

  it('DEP-4: an issuer that was never reached is asked at most twice in a cool-down', async () => {
    for (const from of [source, discovery]) {
      requests.length = 0
      for (let call = 0; call < 50; call += 1) expect(await find({}, from)).toBe('keys_unreachable')
      expect(requests).toHaveLength(2)
    }
    serve({ keys: [key(1)] })
    clock.advance(COOL_DOWN)
    expect(await find()).toBe('found k1')
  })

  it('DEP-5: a new key is accepted within one fetch', async () => {
    serve({ issuer: ISSUER, jwks_uri: JWKS_URI }, `${ISSUER}/.well-known/openid-configuration`)
    for (const from of [source, discovery]) {
      serve({ keys: [key(1)] })
      expect(await find({}, from)).toBe('found k1')
      const before = requests.length
      serve({ keys: [key(1), key(2)] })
      expect(await find({ kid: 'k2' }, from)).toBe('found k2')
      expect(requests).toHaveLength(before + 1)
    }
  })

  it('DEP-5: a removed key is refused within ten minutes, and at once after a flush', async () => {
    serve({ keys: [key(1), key(2)] })
    expect(await find({ kid: 'k2' })).toBe('found k2')
    serve({ keys: [key(1)] })
    clock.advance(599)
    expect(await find({ kid: 'k2' })).toBe('found k2')
    clock.advance(1)
    expect(await find({ kid: 'k2' })).toBe('unknown_key')
    expect(await find({ kid: 'k1' })).toBe('found k1')
    serve({ keys: [key(3)] })
    sets.flush()
    expect(await find({ kid: 'k1' })).toBe('unknown_key')
    expect(await find({ kid: 'k3' })).toBe('found k3')
  })

  it('DEP-5: an answer that was on its way during a flush brings no key back', async () => {
    let release = (): void => undefined
    answers[JWKS_URI] = async () => {
      await new Promise<void>((resolve) => (release = resolve))
      return JSON.stringify({ keys: [key(1)] })
    }
    const old = find()
    await new Promise((resolve) => setTimeout(resolve, 0))
    sets.flush()
    const releaseOld = release
    serve({ keys: [key(2)] })
    expect(await find()).toBe('unknown_key')
    releaseOld()
    await old
    expect(await find()).toBe('unknown_key')
  })

  it('a fetch that was abandoned with its request does not block the next one', async () => {
    answers[JWKS_URI] = () => new Promise(() => undefined)
    void find()
    await new Promise((resolve) => setTimeout(resolve, 0))
    clock.advance(7)
    serve({ keys: [key(1)] })
    expect(await find()).toBe('found k1')
  })

  it('JW-03: attaches no credential, and asks for no redirect, coding or cookie', async () => {
    serve({ keys: [key(1)] })
    await find()
    expect(requests[0]?.headers.map(([name]) => name)).toEqual([
      'accept',
      'accept-encoding',
      'user-agent',
    ])
  })

  it('holds a bounded number of sources, and forgets the one that was not used for longest', async () => {
    const nth = (index: number): KeySource => ({
      kind: 'jwks_uri',
      issuer: `https://i${index}.test`,
      jwksUri: JWKS_URI,
    })
    serve({ keys: [key(1)] })
    for (let index = 0; index < 256; index += 1) await find({}, nth(index))
    await find({}, nth(0))
    await find({}, nth(256))
    expect(sets.fetches).toBe(257)
    await find({}, nth(0))
    expect(sets.fetches).toBe(257)
    await find({}, nth(1))
    expect(sets.fetches).toBe(258)
  })
})

describe('staleness', () => {
  it('DEP-3: known keys serve until max_stale while the endpoint is down, and say how old they are', async () => {
    serve({ keys: [key(1)] })
    await find()
    answers = {}
    clock.advance(DAY)
    const lookup = { kid: 'k1', alg: 'ES256', maxStaleSeconds: DAY }
    expect(await sets.find(source, lookup)).toMatchObject({ ok: true, value: { ageSeconds: DAY } })
    clock.advance(1)
    expect(await sets.find(source, lookup)).toEqual({
      ok: false,
      failure: { reason: 'keys_stale', rule: 'connect_failed' },
    })
    clock.advance(COOL_DOWN)
    serve({ keys: [key(1)] })
    expect(await sets.find(source, lookup)).toMatchObject({ ok: true, value: { ageSeconds: 0 } })
  })

  it('DEP-3: a max_stale shorter than the cache age holds as well', async () => {
    serve({ keys: [key(1)] })
    expect(await find({ maxStaleSeconds: 60 })).toBe('found k1')
    clock.advance(61)
    expect(await find({ maxStaleSeconds: 60 })).toBe('found k1')
    expect(sets.fetches).toBe(2)
    answers = {}
    clock.advance(61)
    expect(await find({ maxStaleSeconds: 60 })).toBe('keys_stale')
    expect(await find({ maxStaleSeconds: DAY })).toBe('found k1')
  })

  it('DEP-4: while one caller waits for an endpoint that is down, the others are served', async () => {
    serve({ keys: [key(1)] })
    await find()
    answers = {}
    clock.advance(600)
    expect(await find()).toBe('found k1')
    let isAnswered = false
    answers[JWKS_URI] = async () => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      isAnswered = true
      throw new OutboundError('timeout')
    }
    const first = find()
    expect(await find()).toBe('found k1')
    expect(isAnswered).toBe(false)
    expect(await first).toBe('found k1')
  })

  it('a clock that is set back makes no key younger', async () => {
    serve({ keys: [key(1)] })
    await find()
    serve({ keys: [key(2)] })
    clock.advance(-3_600)
    expect(await find()).toBe('unknown_key')
  })
})

describe('what replaces what is held', () => {
  it.each([
    ['an empty set', { keys: [] }],
    ['no keys member', {}],
    ['keys that are no list', { keys: {} }],
    ['symmetric keys only', { keys: [{ kty: 'oct', k: 'AAAA', kid: 'k1' }] }],
    ['entries that are no keys', { keys: [null, 1, 'k1', []] }],
    ['a list', []],
    [
      '101 keys',
      { keys: Array.from({ length: 101 }, (_, kid) => ({ kty: 'RSA', kid: `${kid}` })) },
    ],
  ])('DEP-2: %s never replaces good keys', async (_what, document) => {
    serve({ keys: [key(1)] })
    await find()
    serve(document)
    clock.advance(600)
    expect(await find()).toBe('found k1')
    sets = newSets()
    expect(await find()).toBe('keys_unreachable')
  })

  it.each(['', '<html>', '{"keys":[', '{"keys":[],"keys":[]}', '[]', 'null', '{"keys":1e999}'])(
    'DEP-2: %j never replaces good keys',
    async (text) => {
      serve({ keys: [key(1)] })
      await find()
      answers[JWKS_URI] = () => text
      clock.advance(600)
      expect(await find()).toBe('found k1')
    },
  )

  it('DEP-2: keys that carry the same kid are all left out, the others stay', async () => {
    serve({ keys: [key(1), key(2, { kid: 'k1' }), key(3)] })
    expect(await find({ kid: 'k1' })).toBe('unknown_key')
    expect(await find({ kid: 'k3' })).toBe('found k3')
  })

  it('DEP-2: the same kid for another purpose is no ambiguity', async () => {
    serve({ keys: [key(1), key(2, { kid: 'k1', use: 'enc' })] })
    expect(await find({ kid: 'k1' })).toBe('found k1')
    sets.flush()
    serve({ keys: [key(1), key(2, { kid: 'k1', use: 'sig' }), key(3)] })
    expect(await find({ kid: 'k1' })).toBe('unknown_key')
  })

  it('DEP-2: a private key in the set is left out with its public half, the others stay', async () => {
    serve({ keys: [key(1), key(1, { d: 'AAAA' }), key(2, { d: 'AAAA' }), key(3)] })
    expect(await find({ kid: 'k1' })).toBe('unknown_key')
    expect(await find({ kid: 'k2' })).toBe('unknown_key')
    expect(await find({ kid: 'k3' })).toBe('found k3')
  })
})

describe('which key', () => {
  it('RB-02: a key that does not answer to the algorithm is a mismatch', async () => {
    serve({ keys: [key(1), key(2, { alg: 'ES256' })] })
    expect(await find({ alg: 'RS256' })).toBe('key_mismatch')
    expect(await find({ kid: 'k2', alg: 'ES384' })).toBe('key_mismatch')
    expect(await find({ kid: 'k2', alg: 'none' })).toBe('key_mismatch')
  })

  it('without a kid exactly one key must fit', async () => {
    serve({ keys: [key(1)] })
    expect(await find({ kid: null })).toBe('found k1')
    expect(await find({ kid: null, alg: 'RS256' })).toBe('unknown_key')
    sets.flush()
    serve({ keys: [key(1), key(2)] })
    expect(await find({ kid: null })).toBe('unknown_key')
    const { kid: _kid, ...nameless } = key(3)
    sets.flush()
    serve({ keys: [nameless] })
    expect(await find({ kid: null })).toBe('found null')
    expect(await find({ kid: '' })).toBe('unknown_key')
    expect(await find({ kid: 'null' })).toBe('unknown_key')
  })

  it.each([
    '../../etc/passwd',
    '../../dev/null',
    "' OR 1=1--",
    '__proto__',
    'constructor',
    'toString',
    '',
    'k1 ',
    'K1',
    'k1\0',
    'a:b',
    'a|b',
    'a/b',
    `${ISSUER}|k1`,
    '["jwks_uri"]',
    'x'.repeat(1_000_000),
  ])('RB-04, JB-05: kid %.30j is only compared', async (kid) => {
    serve({ keys: [key(1)] })
    expect(await find({ kid })).toBe('unknown_key')
    expect(requests.every(({ url }) => url.href === JWKS_URI)).toBe(true)
    sets.flush()
    if (kid.length > 1_000) return
    serve({ keys: [key(1, { kid }), key(2)] })
    expect(await find({ kid })).toBe(`found ${kid}`)
    expect(await find({ kid: 'k1' })).toBe('unknown_key')
  })

  it('RB-04, JB-04: sources whose names look alike when joined keep their own keys', async () => {
    const alike: [string, string][] = [
      ['https://a.test/x', 'https://b.test/y'],
      ['https://a.test/x,https://b.test', '/y'],
      ['https://a.test/x","https://b.test/y', ''],
      ['https://a.test/x|https://b.test/y', ''],
      ['https://a.test/x:https', '//b.test/y'],
    ]
    serve({ keys: [key(1)] }, 'https://b.test/y')
    for (const [index, [issuer, jwksUri]] of alike.entries()) {
      const outcome = await find({}, { kind: 'jwks_uri', issuer, jwksUri })
      expect(outcome).toBe(index === 0 ? 'found k1' : 'keys_unreachable')
    }
    const other: KeySource = { kind: 'jwks_uri', issuer: 'https://b.test', jwksUri: JWKS_URI }
    serve({ keys: [key(2)] })
    expect(await find({}, other)).toBe('unknown_key')
    expect(await find({}, { kind: 'spiffe_bundle', trustDomain: ISSUER, url: JWKS_URI })).toBe(
      'unknown_key',
    )
  })

  it('inline keys need no network, and belong to the object they came with', async () => {
    const inline = (keys: JsonObject[]): KeySource => ({ kind: 'inline', id: 'm', jwks: { keys } })
    const first = inline([key(1)])
    expect(await find({}, first)).toBe('found k1')
    expect(await find({}, first)).toBe('found k1')
    expect(await find({ maxStaleSeconds: 0 }, first)).toBe('found k1')
    expect(await find({}, inline([key(2)]))).toBe('unknown_key')
    expect(await find({}, inline([{ kty: 'oct', k: 'AAAA', kid: 'k1' }]))).toBe('unknown_key')
    expect(await find({}, inline([]))).toBe('unknown_key')
    expect(requests).toHaveLength(0)
  })
})

describe('SPIFFE bundles', () => {
  const svid = { use: 'jwt-svid', alg: 'ES256' }
  const serveBundle = (document: object): void => serve(document, 'https://td.test/b')
  const findSvid = (kid: string, use = 'jwt-svid'): Promise<string> =>
    find({ kid, ...svid, use }, bundle)

  it('SP-06: only keys with exactly the use that is asked for', async () => {
    serveBundle({
      keys: [
        key(1, { use: 'jwt-svid' }),
        key(2, { use: 'wit-svid' }),
        key(3),
        key(1, { use: 'x509-svid', kid: 'x' }),
      ],
    })
    expect(await findSvid('k1')).toBe('found k1')
    expect(await findSvid('k2')).toBe('unknown_key')
    expect(await findSvid('k2', 'wit-svid')).toBe('found k2')
    expect(await findSvid('k3')).toBe('unknown_key')
    expect(await findSvid('x')).toBe('unknown_key')
    expect(await findSvid('x', 'x509-svid')).toBe('unknown_key')
    expect(await find({ kid: 'k1' }, bundle)).toBe('unknown_key')
  })

  it('SP-06: bundles of two trust domains are never merged, at one URL neither', async () => {
    serveBundle({ keys: [key(1, svid)] })
    expect(await findSvid('k1')).toBe('found k1')
    serveBundle({ keys: [key(2, svid)] })
    const other: KeySource = { ...bundle, trustDomain: 'other.test' }
    expect(await find({ ...svid }, other)).toBe('unknown_key')
    expect(await find({ ...svid, kid: 'k2' }, other)).toBe('found k2')
  })

  it('SP-07: an explicitly empty bundle makes every SVID invalid', async () => {
    for (const empty of [{ keys: [] }, { keys: [key(1, { use: 'x509-svid' })] }]) {
      sets.flush()
      serveBundle({ keys: [key(1, svid)], spiffe_sequence: 1 })
      expect(await findSvid('k1')).toBe('found k1')
      serveBundle({ ...empty, spiffe_sequence: 2 })
      clock.advance(300)
      expect(await findSvid('k1')).toBe('unknown_key')
    }
  })

  it('SP-07: a bundle of broken keys is a mistake and replaces nothing', async () => {
    serveBundle({ keys: [key(1, svid)] })
    await findSvid('k1')
    serveBundle({ keys: [{ kty: 'EC', use: 'jwt-svid' }] })
    clock.advance(300)
    expect(await findSvid('k1')).toBe('found k1')
  })

  it('SP-07: sequence numbers of 64 bits are compared exactly, and an older bundle is refused', async () => {
    const text = (sequence: string, number: 1 | 2): string =>
      `{"keys":[${JSON.stringify(key(number, svid))}],"spiffe_sequence":${sequence}}`
    const steps: [string, 1 | 2, string][] = [
      ['9007199254740993', 1, 'found k1'],
      ['9007199254740992', 2, 'unknown_key'],
      ['5', 2, 'unknown_key'],
      ['-1', 2, 'unknown_key'],
      ['1.5', 2, 'unknown_key'],
      ['1e30', 2, 'unknown_key'],
      ['"x"', 2, 'unknown_key'],
      ['18446744073709551616', 2, 'found k2'],
    ]
    for (const [sequence, number, expected] of steps) {
      answers['https://td.test/b'] = () => text(sequence, number)
      clock.advance(300)
      expect(await findSvid(`k${number}`)).toBe(expected)
    }
    serveBundle({ keys: [key(1, svid)] })
    clock.advance(300)
    expect(await findSvid('k1')).toBe('unknown_key')
  })

  it.each([
    [undefined, 300],
    [60, 60],
    [1, 30],
    [-5, 30],
    [86_400, 600],
    ['soon', 300],
  ])('SP-07: spiffe_refresh_hint %j is asked again after %i seconds', async (hint, seconds) => {
    serveBundle({
      keys: [key(1, svid)],
      ...(hint === undefined ? {} : { spiffe_refresh_hint: hint }),
    })
    await findSvid('k1')
    clock.advance(seconds - 1)
    await findSvid('k1')
    expect(sets.fetches).toBe(1)
    clock.advance(1)
    await findSvid('k1')
    expect(sets.fetches).toBe(2)
  })
})
