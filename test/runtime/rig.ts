// Starts the shipped bundles the way their platforms do and gives each a base URL, so that one black-box
// suite can be pointed at all of them. With `app: 'echo'` the echo app stands in for the broker.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { capabilities } from '../../functions/http/capabilities.ts'
import type { Capabilities, EntryKind } from '../../functions/http/capabilities.ts'
import { OFFLINE_WRANGLER } from '../../scripts/bundles.ts'
import { startLambdaEmulator } from './lambda-emulator.ts'
import type { LambdaKind } from './lambda-events.ts'
import { forward, freePort } from './listen.ts'

export type Running = {
  readonly entry: EntryKind
  readonly baseUrl: string
  readonly capabilities: Capabilities
  stop(): Promise<void>
}

export type RigOptions = {
  readonly app?: 'broker' | 'echo'
  /** Settings besides the issuer and, where nothing else is said, a key and a store. */
  readonly env?: Readonly<Record<string, string>>
}

/** A key for tests only. */
const TEST_KEK = Buffer.alloc(32, 7).toString('base64url')

const bundles = {
  broker: { node: 'dist/node/server.js', lambda: 'dist/lambda/index.mjs', worker: 'dist/worker' },
  echo: { node: '.cache/rig/node/server.js', lambda: '.cache/rig/lambda/index.mjs', worker: null },
} as const

/** The Node bundle in a process and a directory of its own. */
export async function startNode({ app = 'broker', env = {} }: RigOptions = {}): Promise<Running> {
  const bundle = requireBundle(bundles[app].node)
  const port = await freePort()
  const scheme = env['SALLYPORT_TLS_CERT'] === undefined ? 'http' : 'https'
  const baseUrl = `${scheme}://127.0.0.1:${port}`
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-node-'))
  const child = spawn(process.execPath, [bundle], {
    cwd: directory,
    stdio: ['ignore', 'inherit', 'pipe'],
    env: {
      ...(process.env.PATH === undefined ? {} : { PATH: process.env.PATH }),
      PORT: String(port),
      SALLYPORT_ISSUER: baseUrl,
      ...env,
    },
  })
  await untilListening(child)
  return {
    entry: 'node',
    baseUrl,
    capabilities: capabilities.node,
    stop: async () => {
      await stopped(child)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The Worker bundle in workerd, as `wrangler` configures it; the store is the local D1 unless told. */
export async function startWorkerd({
  app = 'broker',
  env = {},
}: RigOptions = {}): Promise<Running> {
  Object.assign(process.env, OFFLINE_WRANGLER)
  const { createTestHarness } = await import('wrangler')
  const port = await freePort()
  const baseUrl = `http://127.0.0.1:${port}`
  const vars = { SALLYPORT_ISSUER: baseUrl, SALLYPORT_KEK: TEST_KEK, ...env }
  const harness = createTestHarness({
    workers: [app === 'echo' ? echoWorker(vars) : brokerWorker(vars)],
  })
  const { url } = await harness.listen()
  const front = await forward(port, Number(url.port))
  return {
    entry: 'workerd',
    baseUrl,
    capabilities: capabilities.workerd,
    stop: async () => {
      await front()
      await harness.close()
    },
  }
}

/** As secrets the settings go before those that `npm run dev` keeps in .dev.vars. */
function brokerWorker(vars: Readonly<Record<string, string>>) {
  return { configPath: './wrangler.jsonc', prebuiltWorkerDir: bundles.broker.worker, secrets: vars }
}

function echoWorker(vars: Readonly<Record<string, string>>) {
  return {
    config: {
      name: 'echo',
      main: 'test/runtime/echo-worker.ts',
      compatibility_date: '2026-10-01',
      compatibility_flags: ['nodejs_compat'],
      d1_databases: [{ binding: 'DB', database_name: 'sallyport' }],
      vars,
    },
  }
}

/** The Lambda bundle behind one kind of front. A remote store has to be given as DATABASE_URL. */
export async function startLambda(
  kind: LambdaKind,
  { app = 'broker', env = {}, environments = 2 }: RigOptions & { environments?: number } = {},
): Promise<Running> {
  const bundle = requireBundle(bundles[app].lambda)
  const port = await freePort()
  const { baseUrl, stop } = await startLambdaEmulator(port, {
    kind,
    bundle,
    environments,
    timeoutMs: 30_000,
    env: {
      SALLYPORT_ISSUER: `http://127.0.0.1:${port}`,
      SALLYPORT_KEK: TEST_KEK,
      DATABASE_URL: 'http://127.0.0.1:9',
      ...env,
    },
  })
  const entry: EntryKind = `lambda-${kind}`
  return { entry, baseUrl, capabilities: capabilities[entry], stop }
}

function requireBundle(path: string): string {
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm run build first`)
  return resolve(path)
}

async function untilListening(child: ChildProcess): Promise<void> {
  let seen = ''
  await new Promise<void>((done, failed) => {
    child.once('exit', (code) =>
      failed(new Error(`exited with ${code} before listening:\n${seen}`)),
    )
    child.stderr?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      if (process.env.RIG_LOGS !== undefined) process.stderr.write(chunk)
      if (seen.includes('"message":"listening"')) done()
    })
  })
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = new Promise<void>((done) => child.once('exit', () => done()))
  child.kill('SIGTERM')
  await gone
}
