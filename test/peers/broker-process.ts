// The broker in a process of its own, as `npm start` runs it, with a policy applied over its own API.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../functions/cli/quickstart-world.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const START_TIMEOUT_MS = 30_000

export type BrokerProcess = {
  readonly url: string
  readonly adminToken: string
  /** Calls /admin/v1; rejects unless it answers 2xx. */
  admin(method: string, path: string, body?: unknown): Promise<unknown>
  stop(): Promise<void>
}

export type BrokerProcessOptions = {
  readonly env?: Readonly<Record<string, string>>
  readonly secrets?: readonly { name: string; value: string; origins: readonly string[] }[]
  /** It is told the origin that the broker will have. */
  readonly policy: (issuer: string) => unknown
}

export async function startBrokerProcess(options: BrokerProcessOptions): Promise<BrokerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-peer-'))
  const port = await freePort()
  const scheme = options.env?.['SALLYPORT_TLS_CERT'] === undefined ? 'http' : 'https'
  const url = `${scheme}://127.0.0.1:${port}`
  const adminToken = randomBytes(32).toString('base64url')
  const child = spawn(join(ROOT, 'node_modules/.bin/node'), ['functions/node.ts'], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'] ?? '',
      PORT: String(port),
      DATABASE_URL: `file:${join(folder, 'sallyport.db')}`,
      SALLYPORT_ADMIN_TOKEN: adminToken,
      SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
      LOG_LEVEL: 'warn',
      ...options.env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  const stop = async () => {
    await stopChild(child)
    await rm(folder, { recursive: true, force: true })
  }
  const admin = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}\n${log}`)
    return text === '' ? null : (JSON.parse(text) as unknown)
  }
  try {
    await untilReady(url, child, () => log)
    for (const { name, value, origins } of options.secrets ?? []) {
      await admin('PUT', `/secrets/${name}`, { value, allowed_origins: origins })
    }
    await admin('POST', '/policy/apply', options.policy(url))
  } catch (error) {
    await stop()
    throw error
  }
  return { url, adminToken, admin, stop }
}

export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(timer)
}

async function untilReady(url: string, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the broker ended: ${log()}`)
    const response = await fetch(`${url}/readyz`).catch(() => null)
    if (response?.ok === true) return
    if (Date.now() > deadline) throw new Error(`the broker is not ready: ${log()}`)
    await sleep(50)
  }
}
