// X.509 roots of a SPIFFE bundle, through the same cache as its keys: one fetch for both, no rollback, and
// silence is an order.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { readBundleRoots } from '../../functions/net/bundle-roots.ts'
import {
  type BundleSource,
  createKeySets,
  type KeySets,
  type RootsLookup,
} from '../../functions/net/key-sets.ts'
import { OutboundError } from '../../functions/net/outbound.ts'
import { manualClock, type ManualClock } from '../fakes/manual-clock.ts'
import { type MadeCertificate, opensslLab } from '../fakes/openssl.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const first = lab.make({ name: 'root' })
const second = lab.make({ name: 'root' })

const source: BundleSource = {
  kind: 'spiffe_bundle',
  trustDomain: 'td.test',
  url: 'https://td.test/b',
}
const entry = ({ der }: MadeCertificate, over: JsonObject = {}): JsonObject => ({
  use: 'x509-svid',
  kty: 'EC',
  x5c: [Buffer.from(der).toString('base64')],
  ...over,
})

let published: JsonObject | null
let asked: number
let clock: ManualClock
let sets: KeySets

beforeEach(() => {
  published = null
  asked = 0
  clock = manualClock()
  sets = createKeySets({
    clock,
    reach: { privateNetwork: false, loopback: false },
    outbound: async () => {
      asked += 1
      if (published === null) throw new OutboundError('connect_failed')
      return { status: 200, headers: [], body: new Response(JSON.stringify(published)).body }
    },
  })
})

async function roots(over: Partial<RootsLookup> = {}): Promise<readonly string[] | string> {
  const found = await sets.findRoots(source, {
    maxStaleSeconds: 86_400,
    mayHold: (held) => held.length > 0,
    ...over,
  })
  if (!found.ok) return `${found.failure.reason} ${found.failure.rule}`
  return found.value.roots
    .map(({ der }) => [first, second].findIndex((made) => same(made.der, der)))
    .map(String)
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b)
}

describe('SP-07 SP-09 roots of a bundle', () => {
  it('SP-08 are asked for when they are due, without anybody showing a token', async () => {
    published = { keys: [entry(first)], spiffe_refresh_hint: 60 }
    expect(await roots()).toEqual(['0'])
    await sets.refreshBundles()
    expect(asked).toBe(1)
    clock.advance(61)
    published = { keys: [entry(first), entry(second)], spiffe_refresh_hint: 60 }
    await sets.refreshBundles()
    expect(asked).toBe(2)
    published = null
    clock.advance(61)
    await sets.refreshBundles()
    expect(await roots()).toEqual(['0', '1'])
  })

  it('SP-09 are its entries for X509-SVIDs, in one fetch with its keys', async () => {
    published = { keys: [entry(first), entry(second), { use: 'jwt-svid', kty: 'EC', kid: 'x' }] }
    // Its only key for tokens is broken, which an endpoint that serves both would not have.
    expect(await roots()).toBe('keys_unreachable no_usable_key')
    published = { keys: [entry(first), entry(second)] }
    clock.advance(31)
    expect(await roots()).toEqual(['0', '1'])
    const lookup = { kid: 'k', alg: 'ES256', use: 'jwt-svid', maxStaleSeconds: 86_400 }
    expect(await sets.find(source, lookup)).toMatchObject({ failure: { reason: 'unknown_key' } })
  })

  it('SP-07 an empty bundle, or one for tokens alone, has none', async () => {
    published = { keys: [] }
    expect(await roots()).toEqual([])
    published = { keys: [{ use: 'unknown', kty: 'EC' }] }
    clock.advance(301)
    expect(await roots()).toEqual([])
  })

  it('SP-07 an older sequence never brings a removed root back', async () => {
    published = { keys: [entry(second)], spiffe_sequence: 8, spiffe_refresh_hint: 60 }
    expect(await roots()).toEqual(['1'])
    published = { keys: [entry(first)], spiffe_sequence: 7 }
    clock.advance(61)
    expect(await roots()).toEqual(['1'])
    published = { keys: [entry(first)] }
    clock.advance(61)
    expect(await roots()).toEqual(['1'])
    published = { keys: [entry(first)], spiffe_sequence: 9 }
    clock.advance(61)
    expect(await roots()).toEqual(['0'])
  })

  it('SP-07 asks again at the refresh hint, or after 300 seconds', async () => {
    published = { keys: [entry(first)], spiffe_refresh_hint: 40 }
    await roots()
    clock.advance(39)
    await roots()
    expect(asked).toBe(1)
    clock.advance(1)
    published = { keys: [entry(first)] }
    await roots()
    expect(asked).toBe(2)
    clock.advance(299)
    await roots()
    expect(asked).toBe(2)
    clock.advance(1)
    await roots()
    expect(asked).toBe(3)
  })

  it('DEP-4 a root that is not known is asked for once, and a flood of them costs nothing', async () => {
    published = { keys: [entry(first)] }
    await roots()
    published = { keys: [entry(first), entry(second)] }
    const mayHold: RootsLookup['mayHold'] = (held) => held.length > 1
    expect(await roots({ mayHold })).toEqual(['0', '1'])
    expect(asked).toBe(2)
    await Promise.all(Array.from({ length: 50 }, () => roots({ mayHold: () => false })))
    expect(asked).toBe(2)
  })

  it('DEP-3 known roots serve while the endpoint is down, and no longer than configured', async () => {
    published = { keys: [entry(first)] }
    await roots()
    published = null
    clock.advance(3_600)
    expect(await roots()).toEqual(['0'])
    expect(await roots({ maxStaleSeconds: 3_599 })).toMatch(/^keys_stale/)
  })

  it('SP-09 what is broken is left out, and the rest stays', () => {
    const broken = [
      { x5c: [] },
      { x5c: ['AAAA'] },
      { x5c: 'AAAA' },
      { x5c: [7] },
      { x5c: [Buffer.from(first.der).toString('base64url')] },
      { use: 'jwt-svid' },
    ]
    const keys = [...broken.map((over) => entry(first, over)), entry(second)]
    expect(readBundleRoots({ keys })).toHaveLength(1)
    expect(readBundleRoots({})).toEqual([])
    expect(readBundleRoots({ keys: 'x' })).toEqual([])
  })
})

const VECTORS = '../shared/vectors/go-spiffe/bundle/spiffebundle/testdata'
const isAbsent = !existsSync(VECTORS) && process.env['CI'] === undefined

describe.skipIf(isAbsent)('SP-07 SP-09 the bundles of go-spiffe', () => {
  it.each([
    ['spiffebundle_valid_1.json', 1],
    ['spiffebundle_valid_2.json', 1],
    ['spiffebundle_valid_with_wit.json', 1],
    // Of several certificates in one entry the first alone is a root.
    ['spiffebundle_multiple_x509.json', 1],
    ['spiffebundle_no_keys.json', 0],
  ])('SP-09 %s has %d', (name, count) => {
    const bundle = JSON.parse(readFileSync(join(VECTORS, name), 'utf8')) as JsonObject
    expect(readBundleRoots(bundle)).toHaveLength(count)
  })
})
