// Cloudflare Workers: bindings to config, D1 or libSQL over HTTP, and the facts that the edge vouches
// for. Values are kept between requests, promises are not: workerd ties I/O to the request that began it.
import { readConfig } from '../config.ts'
import type { Config } from '../config.ts'
import type { UntrustedCertificate } from '../core/auth-method.ts'
import { decodeByteSequences } from '../crypto/x509/pem.ts'
import { createFetchOutbound } from '../net/fetch-outbound.ts'
import type { Platform, RequestFacts } from '../platform.ts'
import { createD1Driver } from '../store/d1-driver.ts'
import type { D1Binding } from '../store/d1-driver.ts'
import { createHttpDriver } from '../store/http-driver.ts'
import type { Driver } from '../store/driver.ts'
import { entryProblem, logSettingErrors, migratesOnce } from './served-app.ts'
import type { CreateApp, ServedApp } from './served-app.ts'
import { errorFacts, jsonLog, randomIds, sha256Hashing, systemClock } from './system.ts'

type Bindings = Readonly<Record<string, unknown>>

type Isolate = {
  readonly app: ServedApp
  readonly migrate: () => Promise<boolean>
}

/** Of one request; `waitUntil` lets its work end after its client is gone. */
type Context = { waitUntil(work: Promise<unknown>): void }

/** Name of the D1 binding; an explicit DATABASE_URL goes before it. */
const D1_BINDING = 'DB'

export function createWorker(createApp: CreateApp): {
  fetch(request: Request, bindings: Bindings, context: Context): Promise<Response>
  /** The cron trigger of wrangler.jsonc. */
  scheduled(controller: unknown, bindings: Bindings): Promise<void>
} {
  let isolate: Isolate | null = null
  return {
    fetch: async (request, bindings, context) => {
      // What comes of the work is told to the client, or nobody.
      const keepAlive = (work: Promise<unknown>) => context.waitUntil(work.catch(() => undefined))
      try {
        isolate ??= await createIsolate(createApp, bindings)
        if (isolate === null) return entryProblem(503, 'misconfigured')
        await isolate.migrate()
        const answered = isolate.app.fetch(request, { ...factsOf(request), keepAlive })
        keepAlive(answered)
        return await answered
      } catch (error) {
        jsonLog('error', console.error)('error', 'the app threw', errorFacts(error))
        return entryProblem(500, 'internal_error')
      }
    },
    scheduled: async (_controller, bindings) => {
      isolate ??= await createIsolate(createApp, bindings)
      if (isolate === null) return
      await isolate.migrate()
      await isolate.app.maintain()
    },
  }
}

/** Null when a setting is refused: a Worker cannot refuse to start. */
async function createIsolate(createApp: CreateApp, bindings: Bindings): Promise<Isolate | null> {
  const env = readBinding(bindings)
  const read = readConfig(env, { runtime: 'workerd' })
  if (!read.ok) {
    logSettingErrors(jsonLog('error', console.error), read.failure)
    return null
  }
  const platform = workerPlatform(read.value, bindings)
  const app = await createApp(platform, read.value)
  return { app, migrate: migratesOnce(app, platform) }
}

function workerPlatform(config: Config, bindings: Bindings): Platform {
  return {
    runtime: 'workerd',
    clock: systemClock,
    ids: randomIds,
    hashing: sha256Hashing,
    outbound: createFetchOutbound((input, init) => fetch(input, init)),
    driver: workerDriver(config, bindings),
    env: readBinding(bindings),
    log: jsonLog(config.logLevel, console.log),
  }
}

/** Text bindings are the environment; a D1 database counts as a DATABASE_URL of its own scheme. */
function readBinding(bindings: Bindings): (name: string) => string | undefined {
  return (name) => {
    const value = Object.hasOwn(bindings, name) ? bindings[name] : undefined
    if (typeof value === 'string' && value !== '') return value
    const isD1 = name === 'DATABASE_URL' && d1Binding(bindings) !== null
    return isD1 ? `d1:${D1_BINDING}` : undefined
  }
}

function workerDriver(config: Config, bindings: Bindings): Driver {
  const { databaseUrl: url, databaseAuthToken: authToken } = config
  const d1 = d1Binding(bindings)
  if (url.startsWith('d1:') && d1 !== null) return createD1Driver(d1)
  return createHttpDriver({ url, ...(authToken === undefined ? {} : { authToken }) })
}

function d1Binding(bindings: Bindings): D1Binding | null {
  const value = bindings[D1_BINDING]
  if (typeof value !== 'object' || value === null) return null
  // The runtime makes the object; that it has these methods is what makes it a D1 database.
  return 'prepare' in value && 'batch' in value ? (value as D1Binding) : null
}

function factsOf(request: Request): RequestFacts {
  return {
    // Workers show the parsed URL only: dot segments and backslashes are already resolved.
    rawTarget: request.url.slice(new URL(request.url).origin.length),
    clientAddress: clientAddress(request),
    headerLines: [...request.headers],
    clientCertificate: clientCertificate(request),
  }
}

type TlsClientAuth = Readonly<Record<string, unknown>>

/**
 * From `cf`, which the edge writes (CA-09). `SUCCESS` is all that says that the client has proven its
 * key; any other word, and a certificate that Cloudflare knows to be revoked, proves nothing (MTLS-1).
 */
function clientCertificate(request: Request): UntrustedCertificate | null {
  const auth = tlsClientAuth(request)
  if (auth?.['certPresented'] !== '1') return null
  const leaf = certificatesIn(auth['certRFC9440'])
  if (leaf.length !== 1) return null
  return {
    // Left out by the edge where it is too large; the path then needs its intermediates in the policy.
    chain: [...leaf, ...certificatesIn(auth['certChainRFC9440'])],
    provenByPlatform: auth['certVerified'] === 'SUCCESS' && auth['certRevoked'] === '0',
  }
}

function tlsClientAuth(request: Request): TlsClientAuth | null {
  const cf: unknown = 'cf' in request ? request.cf : null
  if (typeof cf !== 'object' || cf === null || !('tlsClientAuth' in cf)) return null
  const { tlsClientAuth: auth } = cf
  // An object of the runtime's own making; its members are looked at one by one.
  return typeof auth === 'object' && auth !== null ? (auth as TlsClientAuth) : null
}

function certificatesIn(field: unknown): readonly Uint8Array[] {
  return typeof field === 'string' ? (decodeByteSequences(field) ?? []) : []
}

/**
 * The edge overwrites `cf-connecting-ip` on every request that comes from outside, and only those carry
 * `cf`. What another Worker sends over a service binding proves nothing about the client.
 */
function clientAddress(request: Request): string | null {
  const isFromEdge = 'cf' in request && request.cf !== undefined && request.cf !== null
  return isFromEdge ? request.headers.get('cf-connecting-ip') : null
}
