// A broker as shipped, on one entry, with the outside world it needs: an issuer with real keys, a
// protected API, a store. Suites speak HTTP to it and nothing else.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { EntryKind } from '../../functions/http/capabilities.ts'
import { startHranaServer } from '../fakes/hrana-server.ts'
import { type TokenIssuer, tokenIssuer } from '../fakes/token-issuer.ts'
import { type Running, startLambda, startNode, startWorkerd } from '../runtime/rig.ts'

export const ADMIN_TOKEN = 'conformance-admin-token-0123456789abcdef'
/** The credential of the protected API: a canary that no answer may ever hold. */
export const API_KEY = 'canary-7d1f0c5e-crm-api-key'

/** Where the protected API begins an event stream and never ends it. */
export const ENDLESS_PATH = '/v1/customers/endless'

/** The entries that a suite runs over; SALLYPORT_TEST_ENTRIES narrows them while working. */
export const ENTRIES = (
  process.env['SALLYPORT_TEST_ENTRIES'] ?? 'node,workerd,lambda-url,lambda-apigw-v1'
).split(',') as readonly EntryKind[]

export const TT = 'urn:ietf:params:oauth:token-type:'
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export type Seen = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Peer = { readonly url: string; readonly seen: Seen[]; close(): Promise<void> }

export type Form = readonly (readonly [string, string])[] | Readonly<Record<string, string>>

export type World = {
  readonly entry: EntryKind
  readonly url: string
  readonly issuer: Peer
  readonly keys: TokenIssuer
  readonly origin: Peer
  /** A workload token as the issuer would make it; `claims` override. */
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>
  /** POST /token-exchange with the given parameters, exactly. */
  post(form: Form, init?: RequestInit): Promise<Response>
  /** A token exchange for `crm` that succeeds unless `over` breaks it. */
  exchange(over?: Readonly<Record<string, string | null>>): Promise<Response>
  /** The handle of a fresh session. */
  handle(over?: Readonly<Record<string, string | null>>): Promise<string>
  admin(method: string, path: string, body?: unknown): Promise<Response>
  /** Calls the gateway with a handle. */
  call(handle: string, path: string, init?: RequestInit): Promise<Response>
  stop(): Promise<void>
}

export async function startWorld(
  entry: EntryKind,
  options: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<World> {
  const keys = await tokenIssuer('ES256')
  const issuer = await startIssuer(keys)
  const origin = await startOrigin()
  const store = entry === 'node' ? null : await startHranaServer()
  const env: Record<string, string> = {
    SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN,
    SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
    ...(store === null ? {} : { DATABASE_URL: store.url }),
    ...options.env,
  }
  const broker = await startEntry(entry, env)
  const world = worldOf({ entry, broker, issuer, origin, keys, closeStore: store?.close ?? null })
  const applied = await world.admin('PUT', '/secrets/crm-key', {
    value: API_KEY,
    allowed_origins: [origin.url],
  })
  if (!applied.ok) throw new Error(`secret: ${applied.status} ${await applied.text()}`)
  await applyPolicy(world, policyOf(world))
  return world
}

function startEntry(entry: EntryKind, env: Readonly<Record<string, string>>): Promise<Running> {
  switch (entry) {
    case 'node':
      return startNode({ env })
    case 'workerd':
      return startWorkerd({ env })
    case 'lambda-url':
      return startLambda('url', { env })
    case 'lambda-url-streaming':
      return startLambda('url-streaming', { env })
    case 'lambda-apigw-v1':
      return startLambda('apigw-v1', { env })
    case 'lambda-apigw-v2':
      return startLambda('apigw-v2', { env })
  }
}

/** One method, two targets (`crm`, `billing`), one binding each; `ghost` exists but has no binding. */
export function policyOf(world: Pick<World, 'issuer' | 'origin'>) {
  const target = (name: string) => ({
    name,
    type: 'http',
    config: { base_url: world.origin.url },
    credential: { inject: 'bearer', secret: 'sealed:crm-key' },
  })
  return {
    auth_methods: [
      {
        name: 'ci',
        type: 'oidc',
        config: {
          issuer: world.issuer.url,
          audiences: ['sallyport'],
          match: { team: ['support', 'billing'] },
        },
      },
    ],
    targets: [target('crm'), target('billing'), target('ghost')],
    bindings: [
      {
        name: 'support-crm',
        auth_method: 'ci',
        target: 'crm',
        grants: [
          { effects: ['read'], objects: ['GET /v1/customers/*', 'GET /v1/customers'] },
          { effects: ['write'], objects: ['POST /v1/notes'] },
        ],
        ttl_seconds: 300,
      },
      {
        name: 'support-billing',
        auth_method: 'ci',
        target: 'billing',
        grants: [{ effects: ['read'], objects: ['GET /v1/invoices/*'] }],
        ttl_seconds: 120,
      },
    ],
    intent_policies: [],
  }
}

export async function applyPolicy(world: World, policy: unknown): Promise<number> {
  const applied = await world.admin('POST', '/policy/apply', policy)
  const text = await applied.text()
  if (!applied.ok) throw new Error(`policy: ${applied.status} ${text}`)
  return (JSON.parse(text) as { policy_revision: number }).policy_revision
}

type Parts = {
  readonly entry: EntryKind
  readonly broker: Running
  readonly issuer: Peer
  readonly origin: Peer
  readonly keys: TokenIssuer
  readonly closeStore: (() => Promise<void>) | null
}

function worldOf({ entry, broker, issuer, origin, keys, closeStore }: Parts): World {
  const url = broker.baseUrl
  const world: World = {
    entry,
    url,
    issuer,
    keys,
    origin,
    async token(claims = {}) {
      const now = Math.floor(Date.now() / 1000)
      const payload = {
        iss: issuer.url,
        sub: 'agent-7',
        aud: 'sallyport',
        iat: now,
        exp: now + 600,
        team: 'support',
        ...claims,
      }
      // Undefined members are left out by JSON, which is how a test removes a claim.
      return keys.sign(JSON.stringify(payload))
    },
    post(form, init = {}) {
      const pairs = Array.isArray(form) ? form : Object.entries(form)
      return fetch(`${url}/token-exchange`, {
        method: 'POST',
        body: new URLSearchParams(pairs as [string, string][]),
        ...init,
      })
    },
    async exchange(over = {}) {
      const form: Record<string, string | null> = {
        grant_type: TOKEN_EXCHANGE,
        subject_token: over['subject_token'] ?? (await world.token()),
        subject_token_type: `${TT}jwt`,
        audience: 'crm',
        ...over,
      }
      const given = Object.entries(form).filter(
        (pair): pair is [string, string] => pair[1] !== null,
      )
      return world.post(given)
    },
    async handle(over = {}) {
      const response = await world.exchange(over)
      const body = (await response.json()) as { access_token?: string }
      if (body.access_token === undefined) throw new Error(JSON.stringify(body))
      return body.access_token
    },
    admin(method, path, body) {
      return fetch(`${url}/admin/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_TOKEN}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    },
    call(handle, path, init = {}) {
      const headers = new Headers(init.headers)
      headers.set('authorization', `Bearer ${handle}`)
      return fetch(`${url}/t/${path}`, { redirect: 'manual', ...init, headers })
    },
    async stop() {
      await broker.stop()
      await Promise.all([issuer.close(), origin.close(), closeStore?.()])
    },
  }
  return world
}

async function startIssuer(keys: TokenIssuer): Promise<Peer> {
  return startPeer((request, response, peer) => {
    const body =
      request.url === '/jwks'
        ? { keys: [keys.publicJwk] }
        : { issuer: peer.url, jwks_uri: `${peer.url}/jwks` }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
}

/** Answers what was asked, without the credential; 401 when the credential is missing. */
async function startOrigin(): Promise<Peer> {
  return startPeer((request, response) => {
    const isAuthorised = request.headers.authorization === `Bearer ${API_KEY}`
    if (request.url === ENDLESS_PATH) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const ticking = setInterval(() => response.write('data: 1\n\n'), 300)
      response.once('close', () => clearInterval(ticking))
      return
    }
    response.writeHead(isAuthorised ? 200 : 401, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ method: request.method, path: request.url, ok: isAuthorised }))
  })
}

export async function startPeer(
  handle: (request: IncomingMessage, response: ServerResponse, peer: Peer, body: string) => void,
): Promise<Peer> {
  const seen: Seen[] = []
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      seen.push({
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body,
      })
      handle(request, response, peer, body)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  // A listening TCP server has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const peer: Peer = {
    url: `http://127.0.0.1:${port}`,
    seen,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
  return peer
}
