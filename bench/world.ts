// The outside world of a benchmark: an issuer with real keys, the policy, tokens, and the requests that
// the load generator sends, whole and in turn.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tokenIssuer } from '../test/fakes/token-issuer.ts'

export const ADMIN_TOKEN = 'bench-admin-token-0123456789abcdef0123'
export const API_KEY = 'bench-api-key-0123456789abcdef'
/** Each connection meets many tokens, as a broker does; nothing may live off having seen one before. */
const TOKENS = 512
/** Sessions that the actions go round. */
const SESSIONS = 64

const INTENT = {
  type: 'agent_intent',
  purpose: 'Look up customer 42 and summarise the account',
  origin: { kind: 'user', id: 'ticket-1207', prompt: 'What plan is customer 42 on?' },
  agent: { name: 'support-bot', version: '3.2.0' },
  envelope: { effects: ['read'], objects: ['GET /v1/customers/*'] },
}

export type Issuer = {
  readonly url: string
  readonly publicJwk: object
  /** Different workload tokens of one issuer, valid for an hour. */
  readonly tokens: readonly string[]
  close(): Promise<void>
}

/** Signs ES256, the cheapest to sign and the dearest to verify of what issuers use. */
export async function startIssuer(): Promise<Issuer> {
  const keys = await tokenIssuer('ES256')
  const server = createServer((request, response) => {
    const body = request.url === '/jwks' ? { keys: [keys.publicJwk] } : { issuer: url, jwks_uri }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  // A listening TCP server has an AddressInfo.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const jwks_uri = `${url}/jwks`
  const now = Math.floor(Date.now() / 1000)
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, (_, index) =>
      keys.sign({
        iss: url,
        sub: `system:serviceaccount:analytics:agent-${index}`,
        aud: 'sallyport',
        iat: now,
        nbf: now,
        exp: now + 3600,
        jti: `run-${index}`,
        team: 'support',
      }),
    ),
  )
  return {
    url,
    publicJwk: keys.publicJwk,
    tokens,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
}

/** The policy with `bindings` bindings, of which exactly one is this caller's. */
export function policyOf(issuer: string, origin: string, bindings = 1): object {
  const binding = (name: string, target: string) => ({
    name,
    auth_method: 'ci',
    target,
    grants: [{ effects: ['read'], objects: ['GET /v1/customers/*', 'GET /v1/customers'] }],
    ttl_seconds: 3600,
    intent: { required: true },
  })
  const others = Array.from({ length: bindings - 1 }, (_, index) => `crm-${index}`)
  const targets = ['crm', ...new Set(others)]
  return {
    auth_methods: [
      {
        name: 'ci',
        type: 'oidc',
        config: { issuer, audiences: ['sallyport'], match: { team: ['support', 'billing'] } },
      },
    ],
    targets: targets.map((name) => ({
      name,
      type: 'http',
      config: { base_url: origin },
      credential: { inject: 'bearer', secret: 'sealed:crm-key' },
    })),
    bindings: [
      binding('support-crm', 'crm'),
      ...others.map((target, index) => binding(`other-${index}`, target)),
    ],
    intent_policies: [],
  }
}

type Send = (path: string, init: RequestInit) => Promise<string>

/** Seals the key and applies the policy, over HTTP or in the same process. */
export async function configureApp(send: Send, origin: string, policy: object): Promise<void> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' }
  const secret = JSON.stringify({ value: API_KEY, allowed_origins: [origin] })
  await send('/admin/v1/secrets/crm-key', { method: 'PUT', headers, body: secret })
  const body = JSON.stringify(policy)
  await send('/admin/v1/policy/apply', { method: 'POST', headers, body })
}

export async function configure(broker: string, origin: string, policy: object): Promise<void> {
  const send: Send = async (path, init) => {
    const answer = await fetch(`${broker}${path}`, init)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
    return text
  }
  await configureApp(send, origin, policy)
}

/** The body of an exchange: the token, the target, and a declared intent with its envelope. */
export function exchangeForm(token: string): string {
  return new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    audience: 'crm',
    authorization_details: JSON.stringify([INTENT]),
  }).toString()
}

export function post(baseUrl: string, path: string, form: string): string {
  return [
    `POST ${path} HTTP/1.1`,
    `Host: ${new URL(baseUrl).host}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${Buffer.byteLength(form)}`,
    '',
    form,
  ].join('\r\n')
}

export function get(baseUrl: string, path: string, authorization: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${new URL(baseUrl).host}`,
    'Accept: application/json',
    'User-Agent: agent/1.0',
    `Authorization: Bearer ${authorization}`,
    '',
    '',
  ].join('\r\n')
}

export function exchangeRequests(broker: string, issuer: Issuer): readonly string[] {
  return issuer.tokens.map((token) => post(broker, '/token-exchange', exchangeForm(token)))
}

/** One GET through the gateway for each of some open sessions. */
export async function actionRequests(broker: string, issuer: Issuer): Promise<readonly string[]> {
  const handles: string[] = []
  for (const token of issuer.tokens.slice(0, SESSIONS)) handles.push(await open(broker, token))
  return handles.map((handle) => get(broker, '/t/crm/v1/customers/42', handle))
}

async function open(broker: string, token: string): Promise<string> {
  const answer = await fetch(`${broker}/token-exchange`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: exchangeForm(token),
  })
  const body = (await answer.json()) as { access_token?: string }
  if (body.access_token === undefined) throw new Error(JSON.stringify(body))
  return body.access_token
}
