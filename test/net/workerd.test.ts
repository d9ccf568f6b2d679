// The parts of this folder that run on Workers, in workerd itself.
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import * as jose from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ASYMMETRIC_ALGORITHMS } from '../../functions/crypto/jws.ts'
import { startOrigin, type Origin } from '../fakes/origin.ts'
import { startWorkerd, type RunningWorkerd } from './workerd/start.ts'

let worker: RunningWorkerd
let origin: Origin
let keysAsked = 0
let jwks = ''

beforeAll(async () => {
  const { publicKey } = await jose.generateKeyPair('ES256', { extractable: true })
  jwks = JSON.stringify({ keys: [{ ...(await jose.exportJWK(publicKey)), kid: 'k1' }] })
  origin = await startOrigin((incoming, answer) => {
    switch (incoming.url) {
      case '/keys':
        keysAsked += 1
        return setTimeout(() => answer.end(jwks), 100)
      case '/packed/keys':
      case '/packed':
        return answer.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(jwks))
      case '/bomb/keys':
        return answer
          .writeHead(200, { 'content-encoding': 'gzip' })
          .end(gzipSync(Buffer.alloc(50_000_000)))
      case '/redirect':
        return answer.writeHead(307, { location: `${origin.url}/keys` }).end()
      case '/cookies':
        return answer.setHeader('set-cookie', ['a=1', 'b=2, c']).end(incoming.headers['x-one'])
      default:
        return undefined
    }
  })
  worker = await startWorkerd(fileURLToPath(new URL('./workerd/probe.ts', import.meta.url)))
})
afterAll(async () => {
  await worker.stop()
  await origin.close()
})

async function ask(path: string, question: object): Promise<unknown> {
  const answer = await fetch(`${worker.url}${path}`, {
    method: 'POST',
    body: JSON.stringify(question),
  })
  return answer.json()
}

describe('in workerd', () => {
  it.each(ASYMMETRIC_ALGORITHMS.filter((alg) => alg !== 'EdDSA'))(
    'RUN-1: %s verifies what jose signed, and not with a byte changed',
    async (alg) => {
      const pair = await jose.generateKeyPair(alg, { extractable: true })
      const jwk = await jose.exportJWK(pair.publicKey)
      const token = await new jose.SignJWT({}).setProtectedHeader({ alg }).sign(pair.privateKey)
      expect(await ask('/verify', { token, jwk })).toBe(true)
      expect(await ask('/verify', { token: token.replace('.', '.AAAA'), jwk })).toBe(false)
    },
  )

  it('RUN-1: refuses a point that is not on its curve', async () => {
    const x = Buffer.alloc(32, 1).toString('base64url')
    const jwk = { kty: 'EC', crv: 'P-256', x, y: x }
    expect(await ask('/verify', { token: 'e30.e30.AAAA', jwk })).toBeNull()
  })

  it('JW-04: 20 cold requests at once share one fetch, across requests', async () => {
    const asking = Array.from({ length: 20 }, () => ask('/find', { url: origin.url }))
    expect(new Set(await Promise.all(asking))).toEqual(new Set(['found']))
    expect(keysAsked).toBe(1)
  })

  it('reads keys that arrive compressed, and caps what they unpack to', async () => {
    expect(await ask('/find', { url: `${origin.url}/packed` })).toBe('found')
    expect(await ask('/find', { url: `${origin.url}/bomb` })).toEqual({
      reason: 'keys_unreachable',
      rule: 'too_large',
    })
  })

  it('SSRF-3: returns a redirect instead of following it', async () => {
    const before = keysAsked
    expect(await ask('/fetch', { url: `${origin.url}/redirect` })).toMatchObject({ status: 307 })
    expect(keysAsked).toBe(before)
  })

  it('G-3: keeps cookies apart and sends headers as given', async () => {
    const answer = await ask('/fetch', { url: `${origin.url}/cookies` })
    const { headers, body } = answer as { headers: [string, string][]; body: string }
    expect(headers.filter(([name]) => name === 'set-cookie')).toEqual([
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2, c'],
    ])
    expect(body).toBe('1')
  })

  it('does not pass on a content coding that workerd has taken off', async () => {
    const answer = await ask('/fetch', { url: `${origin.url}/packed` })
    const { headers, body } = answer as { headers: [string, string][]; body: string }
    expect(headers.map(([name]) => name)).not.toContain('content-encoding')
    expect(body).toBe(jwks)
  })

  it('tells a timeout, a closed port and a refused address apart', async () => {
    expect(await ask('/fetch', { url: `${origin.url}/silent` })).toBe('timeout')
    expect(await ask('/fetch', { url: 'http://127.0.0.1:1/' })).toBe('connect_failed')
    expect(await ask('/fetch', { url: 'http://169.254.169.254/' })).toBe('address_refused')
  })
})
