// The transport of Workers, on Node's fetch; the runtime suite runs it in workerd.
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createFetchOutbound } from '../../functions/net/fetch-outbound.ts'
import { OutboundError, type OutboundRequest } from '../../functions/net/outbound.ts'
import { readCapped } from '../../functions/net/read-body.ts'
import { startOrigin, type Handler, type Origin } from '../fakes/origin.ts'

const origins: Origin[] = []
afterEach(async () => {
  await Promise.all(origins.splice(0).map((origin) => origin.close()))
})

async function origin(handler: Handler): Promise<Origin> {
  const started = await startOrigin(handler)
  origins.push(started)
  return started
}

const outbound = createFetchOutbound(fetch)

function request(url: string, changes: Partial<OutboundRequest> = {}): OutboundRequest {
  return {
    method: 'GET',
    url: new URL(url),
    headers: [],
    body: null,
    timeoutMs: 5_000,
    reach: { privateNetwork: false, loopback: true },
    ...changes,
  }
}

async function faultOf(call: Promise<unknown>): Promise<OutboundError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof OutboundError)) throw new Error(`no OutboundError: ${inspect(error)}`)
  return error
}

describe('createFetchOutbound', () => {
  it('SSRF-3: follows no redirect, and returns it', async () => {
    const canary = await origin((_incoming, answer) => answer.end())
    const server = await origin((_incoming, answer) => {
      answer.writeHead(307, { location: canary.url }).end()
    })
    const answer = await outbound(request(server.url))
    expect(answer.status).toBe(307)
    expect(answer.headers).toContainEqual(['location', canary.url])
    expect(canary.hits).toBe(0)
  })

  it('SSRF-1: refuses literal addresses and names before fetch is called', async () => {
    const never = createFetchOutbound(async () => Promise.reject(new Error('called')))
    const reach = { privateNetwork: false, loopback: false }
    for (const host of [
      '127.0.0.1',
      '[::1]',
      'localhost',
      '10.0.0.1',
      'metadata.google.internal',
    ]) {
      const error = await faultOf(never(request(`https://${host}/`, { reach })))
      expect(error.reason).toBe('address_refused')
    }
    expect((await faultOf(never(request('http://example.com/', { reach })))).reason).toBe(
      'address_refused',
    )
  })

  it('G-2, LEAK-3, F6: no error repeats a header value', async () => {
    const bad = request('http://127.0.0.1:1/', { headers: [['x-key', 'secret-canary\nx']] })
    expect((await faultOf(outbound(bad))).reason).toBe('protocol_error')
    const talkative = createFetchOutbound(async () => Promise.reject(new Error('secret-canary')))
    for (const call of [outbound(bad), talkative(request('http://127.0.0.1:1/'))]) {
      const error = await faultOf(call)
      expect(inspect(error, { showHidden: true, depth: 10 })).not.toContain('secret-canary')
    }
  })

  it("G-1, G-3: sends the caller's headers without framing, and keeps cookies apart", async () => {
    const server = await origin((incoming, answer) => {
      answer.setHeader('set-cookie', ['a=1', 'b=2, c'])
      answer.setHeader('x-seen', JSON.stringify(incoming.headers))
      answer.end()
    })
    const { headers } = await outbound(
      request(server.url, {
        headers: [
          ['Host', 'evil.test'],
          ['X-One', '1'],
          ['Expect', 'x'],
        ],
      }),
    )
    expect(headers.filter(([name]) => name === 'set-cookie')).toEqual([
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2, c'],
    ])
    const seen = JSON.parse(headers.find(([name]) => name === 'x-seen')?.[1] ?? '') as object
    expect(seen).toMatchObject({ host: `127.0.0.1:${server.port}`, 'x-one': '1' })
    expect(seen).not.toHaveProperty('expect')
  })

  it('does not pass on a content coding that the runtime has taken off', async () => {
    const server = await origin((_incoming, answer) => {
      answer.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('hello'))
    })
    const { headers, body } = await outbound(request(server.url))
    expect(headers.map(([name]) => name)).not.toContain('content-encoding')
    expect(Buffer.from((await readCapped(body, 100)) ?? []).toString()).toBe('hello')
  })

  it('sends bytes and streams, and has no body where there is none', async () => {
    const server = await origin((incoming, answer) => {
      if (incoming.url === '/204') return answer.writeHead(204).end()
      return incoming.pipe(answer)
    })
    for (const body of [Buffer.from('hello'), new Blob(['hello']).stream()]) {
      const answer = await outbound(request(server.url, { method: 'POST', body }))
      expect(Buffer.from((await readCapped(answer.body, 100)) ?? []).toString()).toBe('hello')
    }
    expect((await outbound(request(`${server.url}/204`))).body).toBeNull()
  })

  it('tells a timeout from an abort from a failure', async () => {
    const server = await origin(() => undefined)
    const aborted = new AbortController()
    const call = outbound(request(server.url, { signal: aborted.signal }))
    aborted.abort()
    expect((await faultOf(call)).reason).toBe('aborted')
    expect((await faultOf(outbound(request(server.url, { timeoutMs: 50 })))).reason).toBe('timeout')
    expect((await faultOf(outbound(request('http://127.0.0.1:1/')))).reason).toBe('connect_failed')
  })
})
