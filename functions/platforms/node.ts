// The Node process: environment to config, config to platform, platform to app, app to a socket, and an
// orderly end. What Node has and no other runtime has stays in this folder.
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { createNodeOutbound } from '../net/node-outbound.ts'
import { databaseFilePath, isLoopbackHost, readConfig } from '../config.ts'
import type { Config, SettingError } from '../config.ts'
import { fail, ok } from '../core/result.ts'
import type { Result } from '../core/result.ts'
import type { Platform, RequestFacts } from '../platform.ts'
import { createFileDriver } from '../store/file-driver.ts'
import { createHttpDriver } from '../store/http-driver.ts'
import { awsSdk } from './aws-sdk.ts'
import { loadOrCreateKek } from './node-kek.ts'
import { createNodeServer } from './node-server.ts'
import type { ServerTls } from './node-tls.ts'
import { maintain, MAINTENANCE_INTERVAL_MS, migratesOnce } from './served-app.ts'
import type { CreateApp, ServedApp } from './served-app.ts'
import { jsonLog, randomIds, sha256Hashing, systemClock } from './system.ts'

type Env = (name: string) => string | undefined

/** What load balancers and orchestrators wait for after SIGTERM is 30 s; the rest is for the store. */
const SHUTDOWN_GRACE_MS = 20_000

export type RunningNode = { readonly url: string; stop(): Promise<void> }

/** Serves until a signal ends the process; refuses to start with every bad setting named. */
export async function runNode(createApp: CreateApp): Promise<void> {
  const starting = startNode(createApp, (name) => process.env[name])
  // Before the first request can be taken: an early signal waits for the start and then ends it in order.
  stopOnSignals(async () => {
    const started = await starting
    if (started.ok) await started.value.stop()
  })
  const started = await starting
  if (started.ok) return
  for (const { setting, message } of started.failure) console.error(`${setting} ${message}`)
  process.exit(1)
}

/** Listens once the app is there; also what the CLI and the quickstart start. */
export async function startNode(
  createApp: CreateApp,
  env: Env,
): Promise<Result<RunningNode, readonly SettingError[]>> {
  const read = readConfig(env, { runtime: 'node', generateKek: loadOrCreateKek })
  if (!read.ok) return read
  const config = read.value
  const tls = readTlsFiles(config)
  if (!tls.ok) return tls
  const platform = nodePlatform(config, env)
  const app = await createApp(platform, config)
  const migrate = migratesOnce(app, platform)
  await migrate()
  const mistakes = await applyPolicyFile(app, config)
  if (mistakes.length > 0) {
    await app.close()
    return fail(mistakes)
  }
  const serve = async (request: Request, facts: RequestFacts) => {
    await migrate()
    return app.fetch(request, facts)
  }
  const { server, drain } = createNodeServer(serve, platform.log, { tls: tls.value })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: config.port, host: listenHost(config.issuer) }, () => resolve())
  })
  platform.log('info', 'listening', { issuer: config.issuer, port: config.port })
  const maintenance = setInterval(() => void maintain(app, platform.log), MAINTENANCE_INTERVAL_MS)
  void maintain(app, platform.log)
  return ok({
    url: config.issuer,
    stop: async () => {
      clearInterval(maintenance)
      await drain(SHUTDOWN_GRACE_MS)
      await app.close()
    },
  })
}

/** Every mistake of the file named by SALLYPORT_POLICY; none when there is no such setting. */
async function applyPolicyFile(app: ServedApp, config: Config): Promise<readonly SettingError[]> {
  if (config.policyFile === null) return []
  const refused = (message: string) => ({ setting: 'SALLYPORT_POLICY', message })
  let text: string
  try {
    text = readFileSync(config.policyFile, 'utf8')
  } catch {
    return [refused(`names a file that cannot be read: ${config.policyFile}`)]
  }
  const { parsePolicyYaml } = await import('../policy/yaml.ts')
  const document = parsePolicyYaml(text)
  const applied = document.ok ? await app.applyPolicy(document.value) : document
  if (applied.ok) return []
  return applied.failure.map(({ path, message }) =>
    refused(`${config.policyFile}${path}: ${message}`),
  )
}

/** Null where something in front ends TLS. Read once: a renewed certificate takes a restart. */
function readTlsFiles({ tls }: Config): Result<ServerTls | null, readonly SettingError[]> {
  if (tls === undefined) return ok(null)
  const mistakes: SettingError[] = []
  const read = (setting: string, file: string): string => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      mistakes.push({ setting, message: `names a file that cannot be read: ${file}` })
      return ''
    }
  }
  const cert = read('SALLYPORT_TLS_CERT', tls.certFile)
  const key = read('SALLYPORT_TLS_KEY', tls.keyFile)
  if (mistakes.length > 0) return fail(mistakes)
  try {
    createSecureContext({ cert, key })
  } catch {
    // The library's own text may quote the file.
    const message = 'and SALLYPORT_TLS_KEY are no PEM certificate and its key'
    return fail([{ setting: 'SALLYPORT_TLS_CERT', message }])
  }
  return ok({ cert, key })
}

export function nodePlatform(config: Config, env: Env): Platform {
  return {
    runtime: 'node',
    clock: systemClock,
    ids: randomIds,
    hashing: sha256Hashing,
    outbound: createNodeOutbound(),
    driver: nodeDriver(config),
    awsSdk,
    env,
    log: jsonLog(config.logLevel, (line) => process.stderr.write(`${line}\n`)),
  }
}

/** An embedded file or libSQL over HTTP, by the scheme of DATABASE_URL alone. */
function nodeDriver(config: Config): Platform['driver'] {
  const path = databaseFilePath(config.databaseUrl)
  if (path !== null) return createFileDriver({ path })
  const { databaseUrl: url, databaseAuthToken: authToken } = config
  return createHttpDriver({ url, ...(authToken === undefined ? {} : { authToken }) })
}

/** Without TLS in front (a loopback issuer) nobody else on the network is to reach the socket. */
function listenHost(issuer: string): string | undefined {
  const { hostname } = new URL(issuer)
  if (!isLoopbackHost(hostname)) return undefined
  return hostname === '[::1]' ? '::1' : hostname
}

function stopOnSignals(stop: () => Promise<void>): void {
  let isStopping = false
  const onSignal = () => {
    // A second signal is an order, not a request.
    if (isStopping) process.exit(1)
    isStopping = true
    void stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}
