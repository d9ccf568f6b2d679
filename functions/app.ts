// The composition root: one app for Node, Workers and Lambda. Routes only; what they call decides.
import { Hono, type Context } from 'hono'
import type { Failure } from './core/failure.ts'
import type { JsonValue } from './core/identity.ts'
import { StoreUnavailable } from './core/records.ts'
import type { DocumentError } from './core/policy.ts'
import { fail, ok, type Result } from './core/result.ts'
import type { TargetType } from './core/target.ts'
import type { Config } from './config.ts'
import type { AdminDeps } from './http/admin/contract.ts'
import { type AdminAuthDeps, authenticateAdmin } from './http/admin-auth.ts'
import { rolePermits } from './http/admin/roles.ts'
import { NO_STORE, problemAnswer, toResponse } from './http/error.ts'
import { evaluationRoutes } from './http/evaluation.ts'
import { hasProof } from './http/authorization.ts'
import { handleEvents } from './http/events.ts'
import { handleExchange } from './http/exchange.ts'
import { handleAction, isGatewayTarget } from './http/gateway.ts'
import { authorizationServerMetadata, protectedResourceMetadata } from './http/metadata.ts'
import { handleIntrospect, handleRevoke } from './http/token-endpoints.ts'
import { federationDocument } from './http/federation.ts'
import type { Platform, RequestFacts } from './platform.ts'
import { errorFacts } from './platforms/system.ts'
import type { AdminRole } from './policy/admin-target.ts'
import { resealSecrets, sealSecret } from './secrets/index.ts'
import { createServices, type Services } from './services.ts'

export type App = {
  fetch(request: Request, facts: RequestFacts): Promise<Response>
  /** Resolves when store and keys are usable; throws StoreUnavailable. */
  ready(): Promise<void>
  migrate(): Promise<void>
  /** Applies a whole policy document with the checks of the API. */
  applyPolicy(document: JsonValue): Promise<Result<number, readonly DocumentError[]>>
  /** What has to happen now and then: rotates keys, seals again under a new KEK, removes what expired. */
  maintain(): Promise<void>
  close(): Promise<void>
}

type Env = { Bindings: { facts: RequestFacts } }

/** `plugins`: target types besides those of targets/index.ts. */
export async function createApp(
  platform: Platform,
  config: Config,
  plugins: readonly TargetType[] = [],
): Promise<App> {
  const services = createServices(platform, config, plugins)
  const routes = createRoutes(platform, config, services)
  const { stores, keys, federation, types, paths, sealer } = services
  return {
    async fetch(request, facts) {
      try {
        // The gateway reads the target as it was sent, before any router parses it (G-5).
        const response = isGatewayTarget(facts.rawTarget)
          ? await handleAction(request, facts, services.paths)
          : await routes.fetch(request, { facts })
        return hasProof(facts) ? offerNonce(response, services.proofNonce()) : response
      } catch (error) {
        return unexpected(error, platform)
      }
    },
    async ready() {
      await stores.records.readPolicyState()
      await keys.jwks()
    },
    async migrate() {
      await stores.migrate()
      await Promise.all([keys.ensure(), federation.ensure()])
    },
    async applyPolicy(document) {
      const { applyPolicyDocument } = await import('./http/admin/index.ts')
      return applyPolicyDocument(document, { ...paths, policies: stores.policy, types })
    },
    async maintain() {
      await Promise.all([keys.ensure(), federation.ensure()])
      await services.keySets.refreshBundles()
      if (config.kekPrevious !== null) await resealSecrets({ store: stores.secrets, sealer })
      await stores.purge(platform.clock.nowSeconds())
      await services.withdraw(null)
    },
    close: () => platform.driver.close(),
  }
}

function createRoutes(platform: Platform, config: Config, services: Services): Hono<Env> {
  const { paths, stores, keys, types, sealer } = services
  const { issuer } = config
  const binding = { certificates: config.tls !== undefined || platform.runtime !== 'node' }
  const factsOf = new WeakMap<Request, RequestFacts>()
  const adminAuth: AdminAuthDeps = { ...paths, adminToken: config.adminToken }
  // Once for each request, however often it is asked: a proof counts once.
  const admins = new WeakMap<Request, ReturnType<typeof authenticateAdmin>>()
  const authenticate = async (request: Request, role: AdminRole) => {
    const facts = factsOf.get(request)
    if (facts === undefined) return fail<Failure>({ kind: 'unauthenticated' })
    const authenticated = admins.get(request) ?? authenticateAdmin(request, facts, adminAuth)
    admins.set(request, authenticated)
    const admin = await authenticated
    if (!admin.ok) return admin
    const held = admin.value.roles.filter((one) => rolePermits(one, role))
    const best = held.includes('admin') ? 'admin' : held[0]
    if (best === undefined) {
      return fail<Failure>({ kind: 'forbidden', needs: role, identity: admin.value.name })
    }
    return ok({ name: admin.value.name, role: best, sessionId: admin.value.sessionId })
  }
  const tokenDeps = {
    ...paths,
    isViewer: async (request: Request) => (await authenticate(request, 'viewer')).ok,
  }
  const sendFailure = (_c: Context, failure: Failure, decisionId: string) =>
    toResponse(problemAnswer(failure, decisionId))

  const app = new Hono<Env>()
  app.use(async (c, next) => {
    factsOf.set(c.req.raw, c.env.facts)
    await next()
  })
  app.all('/token-exchange', (c) => handleExchange(c.req.raw, c.env.facts, paths))
  app.all('/introspect', (c) => handleIntrospect(c.req.raw, c.env.facts, tokenDeps))
  app.all('/revoke', (c) => handleRevoke(c.req.raw, c.env.facts, tokenDeps))
  app.all('/events', (c) => handleEvents(c.req.raw, c.env.facts, paths))
  app.get('/.well-known/oauth-authorization-server', (c) =>
    c.json(authorizationServerMetadata(issuer, binding)),
  )
  app.get('/.well-known/jwks.json', async (c) => {
    c.header('cache-control', PUBLIC)
    return c.json(await keys.jwks())
  })
  app.get('/federation/.well-known/*', async (c) => {
    const document = await federationDocument(c.req.path, services.federation)
    if (document === null) return notFound(platform)
    c.header('cache-control', PUBLIC)
    return c.json(document)
  })
  app.get('/.well-known/oauth-protected-resource/*', (c) => {
    const path = c.req.path.slice('/.well-known/oauth-protected-resource'.length)
    const metadata = protectedResourceMetadata(path, issuer, binding)
    return metadata === null ? notFound(platform) : c.json(metadata)
  })
  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.get('/readyz', async (c) => c.json(await readiness(services)))
  // Loaded when somebody administers: schemas and documents are no part of a cold start of either path.
  const adminDeps: AdminDeps = {
    policies: stores.policy,
    secrets: stores.secrets,
    sessions: stores.sessions,
    approvals: stores.approvals,
    audit: stores.audit,
    records: stores.records,
    types,
    authenticate,
    sealSecret: (secret) => sealSecret(sealer, secret),
    issuer,
    allowInsecureLoopback: config.allowInsecureLoopback,
    clock: paths.clock,
    ids: paths.ids,
    hashing: paths.hashing,
    sendFailure,
    withdraw: services.withdraw,
    onPolicyChanged: () => paths.policy.noteChange(),
  }
  const administration = onDemand(async () => {
    const { adminRoutes } = await import('./http/admin/index.ts')
    return new Hono().route('/admin/v1', adminRoutes(adminDeps))
  })
  app.all('/admin/v1', administration)
  app.all('/admin/v1/*', administration)
  const reference = onDemand(async () => (await import('./http/docs.ts')).docsRoutes())
  for (const path of ['/openapi.json', '/docs', '/docs/style.css']) app.all(path, reference)
  app.route('/', evaluationRoutes({ ...paths, authenticate, sendFailure, issuer }))
  app.notFound(() => notFound(platform))
  app.onError((error) => unexpected(error, platform))
  return app
}

/** Key sets: half of the time that a key is published before it signs. */
const PUBLIC = 'public, max-age=300'

/** Routes that are made at their first request. */
function onDemand(make: () => Promise<Hono>): (c: Context<Env>) => Promise<Response> {
  let made: Hono | null = null
  return async (c) => {
    made ??= await make()
    return made.fetch(c.req.raw, c.env)
  }
}

/** RFC 9449 §8.2: with every answer to a proof, so that the next one can carry it; never from a cache. */
function offerNonce(response: Response, nonce: string): Response {
  response.headers.set('dpop-nonce', nonce)
  response.headers.set('cache-control', NO_STORE['cache-control'])
  return response
}

function notFound(platform: Platform): Response {
  return toResponse(problemAnswer({ kind: 'not_found' }, platform.ids.fresh('dec')))
}

/** The last resort: a store that went away is a 503, anything else a bug and a 500 that says nothing. */
function unexpected(error: unknown, platform: Platform): Response {
  const decisionId = platform.ids.fresh('dec')
  if (error instanceof StoreUnavailable) {
    platform.log('warn', 'store unavailable', { decision_id: decisionId, ...errorFacts(error) })
    const failure: Failure = { kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 }
    return toResponse(problemAnswer(failure, decisionId))
  }
  platform.log('error', 'unexpected error', { decision_id: decisionId, ...errorFacts(error) })
  return new Response(
    JSON.stringify({
      type: 'about:blank',
      status: 500,
      title: 'Internal error',
      code: 'internal_error',
      decision_id: decisionId,
    }),
    { status: 500, headers: { ...NO_STORE, 'content-type': 'application/problem+json' } },
  )
}

/** What /readyz says. Throws StoreUnavailable, which answers 503. */
async function readiness({ stores, keys }: Services): Promise<Record<string, unknown>> {
  const { revision } = await stores.records.readPolicyState()
  const { keys: published } = await keys.jwks()
  return { status: 'ready', policy_revision: revision, signing_keys: published.length }
}
