// Whom the transport of Node believes over TLS, where a call brings its own authorities or its own judge.
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createFetchOutbound } from '../../functions/net/fetch-outbound.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { OutboundError, type OutboundRequest } from '../../functions/net/outbound.ts'
import { LEAF, opensslLab } from '../fakes/openssl.ts'
import { startRawOrigin } from '../fakes/origin.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const root = lab.make({ name: 'own-ca' })
const leaf = lab.make({
  name: 'server',
  issuer: root,
  extensions: [...LEAF, 'subjectAltName=IP:127.0.0.1,DNS:server.test'],
})

const open: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()))
})

async function server() {
  const seen: string[] = []
  const tls = createTlsServer(
    { key: leaf.keyPem, cert: leaf.pem + root.pem },
    (request, response) => {
      seen.push(request.url ?? '')
      response.end('ok')
    },
  )
  let connections = 0
  tls.on('connection', () => (connections += 1))
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    tls.closeAllConnections()
    return new Promise((resolve) => tls.close(() => resolve()))
  })
  // A TCP server that listens has an address with a port.
  const { port } = tls.address() as AddressInfo
  return { port, seen, connections: () => connections }
}

function request(port: number, changes: Partial<OutboundRequest> = {}): OutboundRequest {
  return {
    method: 'GET',
    url: new URL(`https://127.0.0.1:${port}/secret-path`),
    headers: [],
    body: null,
    timeoutMs: 5_000,
    reach: { privateNetwork: false, loopback: true },
    ...changes,
  }
}

async function outcomeOf(call: Promise<{ status: number; body: unknown }>): Promise<string> {
  return call.then(
    ({ status }) => String(status),
    (error: unknown) => (error instanceof OutboundError ? error.reason : 'another error'),
  )
}

describe('authorities of the call', () => {
  it('TLS vouch for the server, and for that call alone', async () => {
    const { port } = await server()
    const outbound = createNodeOutbound()
    expect(await outcomeOf(outbound(request(port, { ca: root.pem })))).toBe('200')
    // The connection is still open, and no use to a call that was checked against nobody.
    expect(await outcomeOf(outbound(request(port)))).toBe('connect_failed')
    expect(await outcomeOf(outbound(request(port, { ca: leaf.pem })))).toBe('connect_failed')
  })

  it('TLS vouch for no other name', async () => {
    const { port } = await server()
    const outbound = createNodeOutbound({ resolve: async () => ['127.0.0.1'] })
    const named = (host: string) =>
      outbound(request(port, { ca: root.pem, url: new URL(`https://${host}:${port}/`) }))
    expect(await outcomeOf(named('server.test'))).toBe('200')
    expect(await outcomeOf(named('other.test'))).toBe('connect_failed')
  })

  it('as many as there ever were do not pile up', async () => {
    const { port } = await server()
    const outbound = createNodeOutbound()
    for (let i = 0; i < 70; i++) {
      const ca = `${root.pem}\n${'#'.repeat(i)}`
      expect(await outcomeOf(outbound(request(port, { ca })))).toBe('200')
    }
  })
})

describe('a judge of the call', () => {
  it('TLS sees what the server presents, leaf first, before anything is sent', async () => {
    const { port, seen } = await server()
    const chains: (readonly Uint8Array[])[] = []
    const verifyPeer = async (chain: readonly Uint8Array[]) => {
      chains.push(chain)
      expect(seen).toEqual([])
      return true
    }
    expect(await outcomeOf(createNodeOutbound()(request(port, { verifyPeer })))).toBe('200')
    expect(chains.map((chain) => chain.map((der) => Buffer.from(der)))).toEqual([
      [Buffer.from(leaf.der), Buffer.from(root.der)],
    ])
    expect(seen).toEqual(['/secret-path'])
  })

  it.each([
    ['says no', async () => false],
    ['throws', () => Promise.reject(new Error('broken'))],
  ])('TLS nothing is sent when it %s', async (_name, verifyPeer: () => Promise<boolean>) => {
    const { port, seen } = await server()
    expect(await outcomeOf(createNodeOutbound()(request(port, { verifyPeer })))).toBe(
      'connect_failed',
    )
    expect(seen).toEqual([])
  })

  it('TLS is asked at each call: no connection is kept', async () => {
    const { port, connections } = await server()
    const outbound = createNodeOutbound()
    let asked = 0
    const verifyPeer = async () => ++asked < 3
    for (const expected of ['200', '200', 'connect_failed']) {
      expect(await outcomeOf(outbound(request(port, { verifyPeer })))).toBe(expected)
    }
    expect(await outcomeOf(outbound(request(port)))).toBe('connect_failed')
    expect(connections()).toBe(4)
  })

  it('TLS never stands for plain http', async () => {
    const verifyPeer = async () => true
    const url = new URL('http://127.0.0.1:9/')
    expect(await outcomeOf(createNodeOutbound()(request(9, { verifyPeer, url })))).toBe(
      'protocol_error',
    )
  })

  it('SSRF-2 changes nothing about what may be reached', async () => {
    const verifyPeer = async () => true
    const outbound = createNodeOutbound({ resolve: async () => ['10.0.0.1'] })
    const named = request(443, { verifyPeer, url: new URL('https://spire.test/') })
    expect(await outcomeOf(outbound(named))).toBe('address_refused')
  })

  it('the call ends in time where the server never finishes the handshake', async () => {
    let left: () => void = () => undefined
    const hasLeft = new Promise<void>((resolve) => (left = resolve))
    const silent = await startRawOrigin((socket) => socket.resume().once('close', () => left()))
    open.push(() => silent.close())
    const { port } = silent
    const call = createNodeOutbound()(
      request(port, { verifyPeer: async () => true, timeoutMs: 50 }),
    )
    expect(['timeout', 'connect_failed']).toContain(await outcomeOf(call))
    // Nothing of it stays open.
    await hasLeft
  })
})

it('a transport that cannot hold a call to either refuses it, sending nothing', async () => {
  let sent = 0
  const outbound = createFetchOutbound(async () => {
    sent += 1
    return new Response('ok')
  })
  for (const change of [{ ca: root.pem }, { verifyPeer: async () => true }]) {
    expect(await outcomeOf(outbound(request(443, change)))).toBe('protocol_error')
  }
  expect(sent).toBe(0)
})
