// The outside world of the quickstart: an identity provider that vouches for workloads, and an API that
// wants a key. Both are real HTTP servers on loopback; nothing of the broker is faked.
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

type Running = { readonly url: string; close(): Promise<void> }

export type Issuer = Running & {
  /** What a runtime hands to the workload that it runs. */
  workloadToken(claims: Readonly<Record<string, unknown>>): Promise<string>
}

export type ProtectedApi = Running & {
  readonly key: string
  /** `METHOD /path` of every request that came with the right key. */
  readonly served: readonly string[]
}

const ES256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const TOKEN_SECONDS = 300

export async function startIssuer(): Promise<Issuer> {
  const pair = await crypto.subtle.generateKey(ES256, true, ['sign', 'verify'])
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  const kid = randomBytes(8).toString('hex')
  const documents: Record<string, unknown> = {}
  const server = await listen((request, response) => {
    const document = documents[request.url ?? '']
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document ?? { error: 'not_found' }))
  })
  documents['/.well-known/openid-configuration'] = {
    issuer: server.url,
    jwks_uri: `${server.url}/keys`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  }
  documents['/keys'] = { keys: [{ kty, crv, x, y, kid, use: 'sig', alg: 'ES256' }] }
  return {
    ...server,
    async workloadToken(claims) {
      const now = Math.floor(Date.now() / 1000)
      const header = { alg: 'ES256', typ: 'JWT', kid }
      const payload = { iss: server.url, iat: now, exp: now + TOKEN_SECONDS, ...claims }
      const input = `${encode(header)}.${encode(payload)}`
      const signature = await crypto.subtle.sign(ES256, pair.privateKey, Buffer.from(input))
      return `${input}.${Buffer.from(signature).toString('base64url')}`
    },
  }
}

export async function startProtectedApi(): Promise<ProtectedApi> {
  const key = `crm_live_${randomBytes(24).toString('base64url')}`
  const served: string[] = []
  const server = await listen((request, response) => {
    const json = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    if (request.headers.authorization !== `Bearer ${key}`) {
      return json(401, { error: 'an API key is required' })
    }
    served.push(`${request.method} ${request.url}`)
    const [, id] = /^\/v1\/customers\/(\d+)$/.exec(request.url ?? '') ?? []
    if (id === undefined) return json(404, { error: 'no such thing' })
    if (request.method === 'DELETE') return json(200, { deleted: id })
    return json(200, { id, name: 'Ada Ltd', plan: 'pro', ssn: '123-45-6789' })
  })
  return { ...server, key, served }
}

/** A port that was free a moment ago: the broker has to know its own origin before it listens. */
export async function freePort(): Promise<number> {
  const server = await listen((_, response) => response.end())
  await server.close()
  return Number(new URL(server.url).port)
}

async function listen(handler: RequestListener): Promise<Running> {
  const server = createServer(handler)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
