// The app in this process, over a store, a clock and a network that a test can break: a fault is put in
// with a trigger, a driver that fails, or an outside world that misbehaves.
import { type App, createApp } from '../../functions/app.ts'
import type { Config } from '../../functions/config.ts'
import { DEFAULT_RATES } from '../../functions/core/exchange-limits.ts'
import type { JsonValue } from '../../functions/core/identity.ts'
import { type Outbound, OutboundError, type OutboundRequest } from '../../functions/net/outbound.ts'
import type { TargetType } from '../../functions/core/target.ts'
import type { Platform, RequestFacts } from '../../functions/platform.ts'
import { randomIds, sha256Hashing } from '../../functions/platforms/system.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { type ManualClock, manualClock } from '../fakes/manual-clock.ts'
import { type TokenIssuer, tokenIssuer } from '../fakes/token-issuer.ts'

export const ISSUER = 'https://broker.example'
export const IDP = 'https://idp.example'
export const CRM = 'https://crm.example'
export const API_KEY = 'canary-in-process-api-key'
export const ADMIN_TOKEN = 'in-process-admin-token'

export type InProcess = {
  readonly app: App
  readonly driver: Driver
  readonly clock: ManualClock
  readonly keys: TokenIssuer
  /** Requests that reached the protected API. */
  readonly reached: OutboundRequest[]
  readonly logged: string[]
  /** The environment, which a test may change while the app runs. */
  readonly env: Record<string, string>
  /** SQL as the operator of the database could run it. */
  sql(text: string): Promise<readonly (readonly unknown[])[]>
  fetch(path: string, init?: RequestInit, facts?: Partial<RequestFacts>): Promise<Response>
  admin(method: string, path: string, body?: unknown): Promise<Response>
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>
  exchange(over?: Readonly<Record<string, string>>): Promise<Response>
  handle(over?: Readonly<Record<string, string>>): Promise<string>
  call(handle: string, path: string, init?: RequestInit): Promise<Response>
}

export type InProcessOptions = {
  readonly driver?: Driver
  readonly env?: Readonly<Record<string, string>>
  /** Answers for the protected API; the default echoes nothing secret. */
  readonly origin?: Outbound
  /** Answers for the rest of the world, which else nobody reaches. */
  readonly elsewhere?: Outbound
  /** As Node and Lambda have it; none, as on Workers, when absent. */
  readonly awsSdk?: NonNullable<Platform['awsSdk']>
  readonly method?: Readonly<Record<string, JsonValue>>
  readonly binding?: Readonly<Record<string, JsonValue>>
  readonly config?: Partial<Config>
  readonly intentPolicies?: readonly JsonValue[]
  /** Target types of the test's own, and what the policy says of them. */
  readonly plugins?: readonly TargetType[]
  readonly targets?: readonly JsonValue[]
  readonly methods?: readonly JsonValue[]
  readonly bindings?: readonly JsonValue[]
}

export async function startInProcess(options: InProcessOptions = {}): Promise<InProcess> {
  const clock = manualClock()
  const keys = await tokenIssuer('ES256')
  const driver = options.driver ?? createFileDriver({ path: ':memory:' })
  const reached: OutboundRequest[] = []
  const logged: string[] = []
  const env: Record<string, string> = { ...options.env }
  const platform: Platform = {
    runtime: 'node',
    clock,
    ids: randomIds,
    hashing: sha256Hashing,
    outbound: outsideWorld(keys, reached, options),
    driver,
    ...(options.awsSdk === undefined ? {} : { awsSdk: options.awsSdk }),
    env: (name) => env[name],
    log: (level, message, facts) => void logged.push(JSON.stringify({ level, message, ...facts })),
  }
  const app = await createApp(platform, { ...config, ...options.config }, options.plugins)
  await app.migrate()
  const running = inProcess({ app, driver, clock, keys, reached, logged, env })
  const stored = await running.admin('PUT', '/secrets/crm-key', {
    value: API_KEY,
    allowed_origins: [CRM],
  })
  if (!stored.ok) throw new Error(await stored.text())
  const applied = await running.admin('POST', '/policy/apply', policyOf(options))
  if (!applied.ok) throw new Error(await applied.text())
  return running
}

const config: Config = {
  issuer: ISSUER,
  port: 8787,
  databaseUrl: 'file::memory:',
  kek: new Uint8Array(32).fill(7),
  kekPrevious: null,
  adminToken: ADMIN_TOKEN,
  envSecrets: [],
  awsRoleArn: null,
  awsRegion: null,
  policyFile: null,
  allowInsecureLoopback: false,
  exchangeRates: DEFAULT_RATES,
  requiresProofNonce: false,
  maxDelegationDepth: 4,
  logLevel: 'debug',
}

function policyOf(options: InProcessOptions) {
  const { method, methods, binding, intentPolicies, targets, bindings } = options
  return {
    auth_methods: [
      {
        name: 'ci',
        type: 'oidc',
        config: { issuer: IDP, audiences: ['sallyport'], match: { team: 'support' }, ...method },
      },
      ...(methods ?? []),
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: CRM },
        credential: { inject: 'bearer', secret: 'sealed:crm-key' },
        max_response_bytes: 100_000,
      },
      ...(targets ?? []),
    ],
    bindings: [
      {
        name: 'support-crm',
        auth_method: 'ci',
        target: 'crm',
        grants: [{ effects: ['read', 'write'], objects: ['* /v1/**'] }],
        ttl_seconds: 300,
        ...binding,
      },
      ...(bindings ?? []),
    ],
    intent_policies: intentPolicies ?? [],
  }
}

function outsideWorld(
  keys: TokenIssuer,
  reached: OutboundRequest[],
  { origin, elsewhere }: Pick<InProcessOptions, 'origin' | 'elsewhere'>,
): Outbound {
  const json = (value: unknown) => ({
    status: 200,
    headers: [['content-type', 'application/json']] as const,
    body: new Response(JSON.stringify(value)).body,
  })
  return async (request) => {
    if (request.url.origin === CRM) {
      reached.push(request)
      return origin === undefined ? json({ ok: true }) : origin(request)
    }
    if (request.url.origin !== IDP) {
      if (elsewhere === undefined) throw new OutboundError('unresolvable')
      return elsewhere(request)
    }
    return json(
      request.url.pathname === '/jwks'
        ? { keys: [keys.publicJwk] }
        : { issuer: IDP, jwks_uri: `${IDP}/jwks` },
    )
  }
}

type Parts = Pick<InProcess, 'app' | 'driver' | 'clock' | 'keys' | 'reached' | 'logged' | 'env'>

function inProcess(parts: Parts): InProcess {
  const { app, driver, clock, keys } = parts
  const running: InProcess = {
    ...parts,
    async sql(text) {
      const rows = await driver.write([{ sql: text, args: [] }])
      return (rows[0] ?? []).map((row) => Object.values(row))
    },
    fetch(path, init = {}, facts = {}) {
      const request = new Request(`${ISSUER}${path}`, init)
      return app.fetch(request, {
        rawTarget: path,
        clientAddress: '203.0.113.7',
        headerLines: [...request.headers],
        ...facts,
      })
    },
    admin(method, path, body) {
      return running.fetch(`/admin/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    },
    token(claims = {}) {
      const now = clock.nowSeconds()
      const payload = { iss: IDP, sub: 'agent-7', aud: 'sallyport', iat: now, exp: now + 600 }
      return keys.sign(
        JSON.stringify({ ...payload, team: 'support', jti: `jti-${n++}`, ...claims }),
      )
    },
    async exchange(over = {}) {
      return running.fetch('/token-exchange', {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
          subject_token: over['subject_token'] ?? (await running.token()),
          audience: 'crm',
          ...over,
        }),
      })
    },
    async handle(over = {}) {
      const body = (await (await running.exchange(over)).json()) as { access_token?: string }
      if (body.access_token === undefined) throw new Error(JSON.stringify(body))
      return body.access_token
    },
    call(handle, path, init = {}) {
      const headers = new Headers(init.headers)
      headers.set('authorization', `Bearer ${handle}`)
      return running.fetch(`/t/crm${path}`, { ...init, headers })
    },
  }
  return running
}

let n = 0
