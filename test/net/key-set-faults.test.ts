// What real servers do to the cache of keys, through the real transport of Node.
import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import * as jose from 'jose'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createKeySets, type KeySets, type KeySource } from '../../functions/net/key-sets.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { manualClock, type ManualClock } from '../fakes/manual-clock.ts'
import { startOrigin, type Handler, type Origin } from '../fakes/origin.ts'

type Reply = (answer: ServerResponse, url: string) => void

const lookup = { kid: 'k1', alg: 'ES256', maxStaleSeconds: 86_400 }
let jwks = ''
beforeAll(async () => {
  const { publicKey } = await jose.generateKeyPair('ES256', { extractable: true })
  jwks = JSON.stringify({ keys: [{ ...(await jose.exportJWK(publicKey)), kid: 'k1' }] })
})

const origins: Origin[] = []
afterEach(async () => {
  await Promise.all(origins.splice(0).map((origin) => origin.close()))
})
async function origin(handler: Handler): Promise<Origin> {
  const started = await startOrigin(handler)
  origins.push(started)
  return started
}

function newSets(clock: ManualClock): KeySets {
  const reach = { privateNetwork: false, loopback: true }
  return createKeySets({ clock, reach, outbound: createNodeOutbound() })
}

async function outcome(sets: KeySets, source: KeySource): Promise<string> {
  const found = await sets.find(source, lookup)
  return found.ok ? 'found' : `${found.failure.reason}: ${found.failure.rule}`
}

describe('DEP-2, RB-03: a JWKS endpoint that misbehaves', () => {
  const canary = { hits: 0 }
  const faults: [string, string, Reply][] = [
    ['500', 'status', (answer) => answer.writeHead(500).end(jwks)],
    ['201', 'status', (answer) => answer.writeHead(201).end(jwks)],
    [
      '302',
      'redirect',
      (answer, url) => answer.writeHead(302, { location: `${url}/canary` }).end(jwks),
    ],
    [
      '307 to a metadata service',
      'redirect',
      (answer) => answer.writeHead(307, { location: 'http://169.254.169.254/' }).end(),
    ],
    ['200 with HTML', 'not_json', (answer) => answer.end('<!doctype html><title>Sign in</title>')],
    ['an empty body', 'not_json', (answer) => answer.end()],
    ['two documents', 'not_json', (answer) => answer.end(`${jwks}${jwks}`)],
    ['truncated JSON', 'not_json', (answer) => answer.end(jwks.slice(0, -1))],
    [
      'a length that is not kept',
      'protocol_error',
      (answer) => {
        answer.writeHead(200, { 'content-length': 5_000 }).write(jwks)
        setTimeout(() => answer.destroy(), 20)
      },
    ],
    [
      'bytes that are not UTF-8',
      'not_json',
      (answer) => answer.end(Buffer.from([0x7b, 0xff, 0x7d])),
    ],
    ['empty keys', 'no_usable_key', (answer) => answer.end('{"keys":[]}')],
    [
      '10,000 keys',
      'too_large',
      (answer) =>
        answer.end(
          JSON.stringify({
            keys: Array.from({ length: 10_000 }, (_, kid) => ({ kty: 'EC', kid: `${kid}` })),
          }),
        ),
    ],
    [
      '1,000 tiny keys',
      'too_many_keys',
      (answer) => answer.end(JSON.stringify({ keys: Array.from({ length: 1_000 }, () => ({})) })),
    ],
    ['deep JSON', 'not_json', (answer) => answer.end('['.repeat(60_000))],
    [
      'gzip nobody asked for',
      'encoded',
      (answer) => answer.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(jwks)),
    ],
    [
      'a gzip bomb',
      'encoded',
      (answer) =>
        answer
          .writeHead(200, { 'content-encoding': 'gzip' })
          .end(gzipSync(Buffer.alloc(50_000_000))),
    ],
    ['one byte over the cap', 'too_large', (answer) => answer.end(jwks.padEnd(65_537))],
    [
      'a head without end',
      'protocol_error',
      (answer) => answer.writeHead(200, { 'x-filler': 'a'.repeat(40_000) }).end(jwks),
    ],
    ['no answer', 'timeout', () => undefined],
    [
      'one byte at a time',
      'timeout',
      (answer) => {
        const drip = setInterval(() => answer.write(' '), 50)
        answer.once('close', () => clearInterval(drip))
      },
    ],
  ]

  // At once, since two of them take as long as the timeout does.
  it.concurrent.each(faults)(
    '%s: never replaces good keys, and says %s',
    async (_what, rule, reply) => {
      let current: Reply = (answer) => answer.end(jwks)
      const server = await startOrigin((incoming, answer) => {
        if (incoming.url === '/canary') canary.hits += 1
        current(answer, server.url)
      })
      const clock = manualClock()
      const sets = newSets(clock)
      const source: KeySource = {
        kind: 'jwks_uri',
        issuer: server.url,
        jwksUri: `${server.url}/keys`,
      }
      expect(await outcome(sets, source)).toBe('found')
      current = reply
      clock.advance(600)
      expect(await outcome(sets, source)).toBe('found')
      clock.advance(86_400)
      expect(await outcome(sets, source)).toBe(`keys_stale: ${rule}`)
      current = (answer) => answer.end(jwks)
      clock.advance(30)
      expect(await outcome(sets, source)).toBe('found')
      expect(canary.hits).toBe(0)
      await server.close()
    },
  )

  it.each([
    ['50 MB with a length', { 'content-length': '50000000' }],
    ['an endless chunked body', {}],
  ])('%s: is cut off at the cap, before it is read or parsed', async (_what, headers) => {
    let written = 0
    let isClosed = false
    const server = await origin((_incoming, answer) => {
      answer.writeHead(200, headers as Record<string, string>)
      answer.once('close', () => (isClosed = true))
      const chunk = Buffer.alloc(16_384, ' ')
      const more = (): void => {
        while (!isClosed && written < 50_000_000 && answer.write(chunk)) written += chunk.length
        if (!isClosed) answer.once('drain', more)
      }
      more()
    })
    const source: KeySource = {
      kind: 'jwks_uri',
      issuer: server.url,
      jwksUri: `${server.url}/keys`,
    }
    expect(await outcome(newSets(manualClock()), source)).toBe('keys_unreachable: too_large')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(isClosed).toBe(true)
    // What the socket buffers of this machine took, not what was read.
    expect(written).toBeLessThan(20_000_000)
  })

  it('a set of exactly the cap is read', async () => {
    const server = await origin((_incoming, answer) => answer.end(jwks.padEnd(65_536)))
    const source: KeySource = {
      kind: 'jwks_uri',
      issuer: server.url,
      jwksUri: `${server.url}/keys`,
    }
    expect(await outcome(newSets(manualClock()), source)).toBe('found')
  })

  it('a closed port is no answer', async () => {
    const source: KeySource = {
      kind: 'jwks_uri',
      issuer: 'http://127.0.0.1:1',
      jwksUri: 'http://127.0.0.1:1/keys',
    }
    expect(await outcome(newSets(manualClock()), source)).toBe('keys_unreachable: connect_failed')
    const nowhere: KeySource = { kind: 'jwks_uri', issuer: 'https://x.test', jwksUri: 'nowhere' }
    expect(await outcome(newSets(manualClock()), nowhere)).toBe('keys_unreachable: not_a_url')
  })
})

describe('DEP-6, JW-03: a discovery document', () => {
  async function discover(document: (issuer: string) => unknown): Promise<string> {
    const server = await origin((incoming, answer) => {
      if (incoming.url === '/.well-known/openid-configuration') {
        answer.end(JSON.stringify(document(server.url)))
      } else answer.end(jwks)
    })
    return outcome(newSets(manualClock()), { kind: 'discovery', issuer: server.url })
  }

  it('is followed to the keys of the same origin', async () => {
    expect(await discover((issuer) => ({ issuer, jwks_uri: `${issuer}/keys?v=1` }))).toBe('found')
  })

  it('is found below an issuer with a path, with or without a slash at its end', async () => {
    const server = await origin((incoming, answer) => {
      const path = incoming.url ?? ''
      if (!path.startsWith('/tenant/')) return answer.writeHead(404).end()
      if (path !== '/tenant/.well-known/openid-configuration') return answer.end(jwks)
      const issuer = server.hits === 1 ? `${server.url}/tenant` : `${server.url}/tenant/`
      return answer.end(JSON.stringify({ issuer, jwks_uri: `${server.url}/tenant/keys` }))
    })
    const sets = newSets(manualClock())
    expect(await outcome(sets, { kind: 'discovery', issuer: `${server.url}/tenant` })).toBe('found')
    expect(await outcome(sets, { kind: 'discovery', issuer: `${server.url}/tenant/` })).toBe(
      'found',
    )
  })

  it.each<[string, (issuer: string) => string]>([
    ['case', (issuer) => issuer.toUpperCase()],
    ['a slash', (issuer) => `${issuer}/`],
    ['its port', (issuer) => `${issuer}0`],
    ['its path', (issuer) => `${issuer}/x`],
    ['its scheme', (issuer) => issuer.replace('http:', 'https:')],
    ['everything', () => 'https://issuer.test'],
  ])('is refused when its issuer differs by %s', async (_what, change) => {
    const document = (issuer: string): object => ({
      issuer: change(issuer),
      jwks_uri: `${issuer}/k`,
    })
    expect(await discover(document)).toBe('keys_unreachable: issuer_mismatch')
  })

  it.each<[string, unknown]>([
    ['issuer_mismatch', undefined],
    ['issuer_mismatch', ['self']],
    ['issuer_mismatch', null],
  ])('is refused (%s) when its issuer is %j', async (rule, issuer) => {
    expect(await discover((url) => ({ issuer, jwks_uri: `${url}/k` }))).toBe(
      `keys_unreachable: ${rule}`,
    )
  })

  it.each([
    ['jwks_uri_scheme', 'http://169.254.169.254/latest/meta-data/'],
    ['jwks_uri_link_local', 'https://169.254.169.254/'],
    ['jwks_uri_loopback', 'https://127.0.0.1/keys'],
    ['jwks_uri_loopback', 'https://localhost/keys'],
    ['jwks_uri_private', 'https://[::ffff:10.0.0.1]/keys'],
    ['jwks_uri_private', 'https://10.0.0.1/keys'],
    ['jwks_uri_private', 'https://vault.internal/keys'],
    ['jwks_uri_metadata', 'https://metadata.google.internal/'],
    ['jwks_uri_scheme', 'http://keys.example/keys'],
    ['jwks_uri_scheme', 'file:///etc/passwd'],
    ['jwks_uri_scheme', 'data:application/json,{"keys":[]}'],
    ['jwks_uri_userinfo', 'https://user:pass@keys.example/keys'],
    ['jwks_uri', '/keys'],
    ['jwks_uri', ''],
    ['jwks_uri', 1],
    ['jwks_uri', undefined],
  ])('is refused (%s) when its jwks_uri is %j', async (rule, jwksUri) => {
    expect(await discover((issuer) => ({ issuer, jwks_uri: jwksUri }))).toBe(
      `keys_unreachable: ${rule}`,
    )
  })

  it('RB-03: an exception for the issuer does not hold for another port of its host', async () => {
    const other = await origin((_incoming, answer) => answer.end(jwks))
    const found = await discover((issuer) => ({ issuer, jwks_uri: `${other.url}/keys` }))
    expect(found).toBe('keys_unreachable: jwks_uri_scheme')
    expect(other.hits).toBe(0)
  })

  it('RB-03: a redirect on the way to it is not followed', async () => {
    const canary = await origin((_incoming, answer) => answer.end(jwks))
    const server = await origin((_incoming, answer) => {
      answer.writeHead(307, { location: `${canary.url}/.well-known/openid-configuration` }).end()
    })
    const source: KeySource = { kind: 'discovery', issuer: server.url }
    expect(await outcome(newSets(manualClock()), source)).toBe('keys_unreachable: redirect')
    expect(canary.hits).toBe(0)
  })

  it('JW-03: public keys on another public host are asked for without private reach', async () => {
    const asked: [string, boolean][] = []
    const sets = createKeySets({
      clock: manualClock(),
      reach: { privateNetwork: true, loopback: true },
      outbound: async ({ url, reach }) => {
        asked.push([url.host, reach.privateNetwork || reach.loopback])
        const isDiscovery = url.host === 'issuer.test'
        const document = { issuer: 'https://issuer.test', jwks_uri: 'https://keys.test/v3' }
        const body = new Blob([isDiscovery ? JSON.stringify(document) : jwks]).stream()
        return { status: 200, headers: [], body }
      },
    })
    const source: KeySource = { kind: 'discovery', issuer: 'https://issuer.test' }
    expect(await outcome(sets, source)).toBe('found')
    expect(asked).toEqual([
      ['issuer.test', true],
      ['keys.test', false],
    ])
  })
})
