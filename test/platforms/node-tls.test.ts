// TLS on the Node server with real clients: whose certificate arrives, that it is proven, and that
// nothing but the connection says so.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterAll, afterEach, expect, test } from 'vitest'
import { startNode } from '../../functions/platforms/node.ts'
import { createNodeServer, type NodeServer } from '../../functions/platforms/node-server.ts'
import type { RequestFacts } from '../../functions/platform.ts'
import { createEchoApp } from '../fakes/echo-app.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import { listen } from '../runtime/listen.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const server = lab.make({ name: 'server', extensions: [...LEAF, 'subjectAltName=IP:127.0.0.1'] })
const root = lab.make({ name: 'root' })
const ca = lab.make({ name: 'ca', issuer: root, extensions: CA })
const agent = lab.make({ name: 'agent', issuer: ca })

const running: NodeServer[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(async ({ drain }) => drain(0)))
})

async function start(): Promise<{ port: number; seen: RequestFacts[]; resumed: boolean[] }> {
  const seen: RequestFacts[] = []
  const resumed: boolean[] = []
  const nodeServer = createNodeServer(
    async (_request, facts) => {
      // Read at once: the certificate is made when it is asked for.
      seen.push({ ...facts, clientCertificate: facts.clientCertificate ?? null })
      return new Response('fine')
    },
    () => {},
    { tls: { cert: server.pem, key: server.keyPem } },
  )
  nodeServer.server.on('secureConnection', (socket: TLSSocket) => {
    resumed.push(socket.isSessionReused())
  })
  running.push(nodeServer)
  return { port: await listen(nodeServer.server, 0), seen, resumed }
}

type Client = Pick<ConnectionOptions, 'cert' | 'key' | 'session' | 'maxVersion'>

function clientOf(chain: readonly MadeCertificate[]): Client {
  return { cert: chain.map(({ pem }) => pem).join('\n'), key: chain[0]?.keyPem }
}

async function send(
  port: number,
  client: Client & { readonly agent?: Agent },
  headers: Record<string, string> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { host: '127.0.0.1', port, ca: server.pem, agent: false, headers, ...client },
      (response) => response.resume().on('end', () => resolve(response.statusCode ?? 0)),
    )
    request.on('error', reject)
    request.end()
  })
}

const chainOf = (facts: RequestFacts | undefined) =>
  facts?.clientCertificate?.chain.map((der) => Buffer.from(der).toString('base64')) ?? null
const ders = (...made: readonly MadeCertificate[]) =>
  made.map(({ der }) => Buffer.from(der).toString('base64'))

test('CA-09 MTLS-3: hands on the chain as it was sent, from no CA that it knows', async () => {
  const { port, seen } = await start()
  expect(await send(port, clientOf([agent, ca]))).toBe(200)
  expect(await send(port, clientOf([agent, ca, root]))).toBe(200)
  expect(await send(port, clientOf([agent]))).toBe(200)
  expect(seen.map(chainOf)).toEqual([ders(agent, ca), ders(agent, ca, root), ders(agent)])
  expect(seen.every((facts) => facts.clientCertificate?.provenByPlatform === true)).toBe(true)
})

test('MTLS-2: every request of one connection brings the whole chain', async () => {
  const { port, seen } = await start()
  const agentOfHttp = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let i = 0; i < 3; i += 1) {
    const client = { ...clientOf([agent, ca]), agent: agentOfHttp }
    expect(await send(port, client)).toBe(200)
  }
  agentOfHttp.destroy()
  expect(seen.map(chainOf)).toEqual([ders(agent, ca), ders(agent, ca), ders(agent, ca)])
})

test('a certificate that signs itself ends after itself', async () => {
  const { port, seen } = await start()
  await send(port, clientOf([root]))
  expect(chainOf(seen[0])).toEqual(ders(root))
})

test('CA-09: a client without a certificate is served, and has none', async () => {
  const { port, seen } = await start()
  expect(await send(port, {})).toBe(200)
  expect(seen[0]?.clientCertificate).toBe(null)
})

test('CA-09 MTLS-1: no header makes a certificate', async () => {
  const { port, seen } = await start()
  const value = Buffer.from(agent.der).toString('base64')
  const forged = {
    'client-cert': `:${value}:`,
    'client-cert-chain': `:${value}:`,
    'x-forwarded-client-cert': `Cert="${encodeURIComponent(agent.pem)}"`,
    'x-client-cert': encodeURIComponent(agent.pem),
    'cf-client-cert-der-base64': value,
    'cf-client-cert-sha256': 'x',
    'x-amzn-mtls-clientcert': encodeURIComponent(agent.pem),
    'x-amzn-mtls-clientcert-leaf': encodeURIComponent(agent.pem),
    'ssl-client-verify': 'SUCCESS',
    'mf-cf-blob': JSON.stringify({
      tlsClientAuth: { certPresented: '1', certVerified: 'SUCCESS' },
    }),
  }
  await send(port, {}, forged)
  await send(port, clientOf([ca]), forged)
  expect(seen[0]?.clientCertificate).toBe(null)
  expect(chainOf(seen[1])).toEqual(ders(ca))
})

test('a client that does not hold the key does not get through the handshake', async () => {
  const { port, seen } = await start()
  const other = lab.make({ name: 'other' })
  const stolen = { cert: agent.pem, key: other.keyPem }
  await expect(send(port, stolen)).rejects.toThrow()
  expect(seen).toEqual([])
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'MTLS-2: no session is resumed over %s, so that a chain is never half there',
  async (maxVersion) => {
    const { port, seen, resumed } = await start()
    let session: Buffer | undefined
    for (let i = 0; i < 2; i += 1) {
      session = (await converse(port, { ...clientOf([agent, ca]), maxVersion, session })) ?? session
    }
    expect(resumed).toEqual([false, false])
    expect(seen.map(chainOf)).toEqual([ders(agent, ca), ders(agent, ca)])
  },
)

/** One request on a connection of its own; the session that it was offered, if any. */
async function converse(port: number, client: Client): Promise<Buffer | undefined> {
  let session: Buffer | undefined
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ca: server.pem, ...client }, () => {
      session = socket.getSession()
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    })
    socket.on('session', (offered: Buffer) => (session = offered))
    socket.on('data', () => {})
    socket.on('close', () => resolve())
    socket.on('error', reject)
  })
  return session
}

test('SPIFFE-4: a chain of 60 certificates arrives as too long, and costs nothing more', async () => {
  const { port, seen } = await start()
  const crowd = Array.from({ length: 60 }, () => ca)
  const status = await send(port, clientOf([agent, ...crowd])).catch(() => 0)
  expect([0, 200]).toContain(status)
  if (status === 200) expect(chainOf(seen[0])).toHaveLength(11)
})

test('plain HTTP on the TLS port is no request', async () => {
  const { port, seen } = await start()
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow()
  expect(seen).toEqual([])
})

test('G-4: what is refused over TCP is refused over TLS', async () => {
  const { port, seen } = await start()
  const answer = await new Promise<string>((resolve) => {
    let text = ''
    const socket = connect({ port, host: '127.0.0.1', ca: server.pem }, () => {
      socket.write('GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n')
    })
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('close', () => resolve(text))
  })
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(seen).toEqual([])
})

test('the server refuses to start where its certificate or key cannot be used, and quotes neither', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tls-'))
  try {
    const write = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const cert = write('cert.pem', server.pem)
    const refusal = async (certFile: string, keyFile: string) => {
      const env: Record<string, string> = {
        SALLYPORT_KEK: Buffer.alloc(32, 7).toString('base64url'),
        SALLYPORT_TLS_CERT: certFile,
        SALLYPORT_TLS_KEY: keyFile,
      }
      const started = await startNode(createEchoApp, (name) => env[name])
      return started.ok ? [] : started.failure
    }
    const missing = await refusal(cert, join(folder, 'absent'))
    expect(missing.map(({ setting }) => setting)).toEqual(['SALLYPORT_TLS_KEY'])
    for (const key of [write('other.key', agent.keyPem), write('text', 'a secret'), cert]) {
      const refused = await refusal(cert, key)
      expect(refused.map(({ setting }) => setting)).toEqual(['SALLYPORT_TLS_CERT'])
      expect(JSON.stringify(refused)).not.toMatch(/a secret|BEGIN|openssl/i)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
