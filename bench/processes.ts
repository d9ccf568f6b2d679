// The processes that a benchmark starts, and the sum of how they are stopped.
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from '../test/runtime/listen.ts'

export type Peer = { readonly url: string; readonly child: ChildProcess; stop(): Promise<void> }

/** Forks a file of this folder that sends its port once it listens. */
export async function startPeer(
  file: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Peer> {
  const child = fork(new URL(file, import.meta.url), {
    env: { ...process.env, ...env },
    serialization: 'advanced',
  })
  const { port } = await nextMessage<{ port: number }>(child)
  return {
    url: `http://127.0.0.1:${port}`,
    child,
    stop: async () => {
      const gone = ended(child)
      child.disconnect()
      await gone
    },
  }
}

/** The answer to what was just sent, of the type that the peer sends. */
export function nextMessage<T>(child: ChildProcess): Promise<T> {
  return new Promise((done, failed) => {
    const onExit = (code: number | null) => failed(new Error(`a peer ended with ${code}`))
    child.once('exit', onExit)
    child.once('message', (message) => {
      child.off('exit', onExit)
      // Both ends are in this folder.
      done(message as T)
    })
  })
}

export type NodeBroker = {
  readonly url: string
  readonly pid: number
  readonly child: ChildProcess
  /** From the start of the process to its first answer. */
  readonly startMs: number
  stop(): Promise<void>
}

/** The shipped Node bundle, with a new database file in a folder of its own; `options` are Node's. */
export async function startNodeBroker(
  env: Readonly<Record<string, string>>,
  options: readonly string[] = profileOptions(),
): Promise<NodeBroker> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
  const started = performance.now()
  const child = spawn(process.execPath, [...options, resolve(NODE_BUNDLE)], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env['PATH'] ?? '',
      PORT: String(port),
      SALLYPORT_ISSUER: url,
      SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
      LOG_LEVEL: 'warn',
      ...env,
    },
  })
  await firstAnswer(`${url}/healthz`, child)
  return {
    url,
    pid: child.pid ?? 0,
    child,
    startMs: performance.now() - started,
    stop: async () => {
      const gone = ended(child)
      child.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const NODE_BUNDLE = 'dist/node/server.js'

/** For a profile: BENCH_NODE_OPTIONS="--cpu-prof --cpu-prof-dir=/tmp/profile". */
function profileOptions(): readonly string[] {
  return (process.env['BENCH_NODE_OPTIONS'] ?? '').split(' ').filter((option) => option !== '')
}

const POLL_MS = 2
const START_DEADLINE_MS = 20_000

async function firstAnswer(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS
  for (;;) {
    try {
      const answer = await fetch(url)
      await answer.arrayBuffer()
      if (answer.ok) return
    } catch (error) {
      if (child.exitCode !== null || performance.now() > deadline) throw error
    }
    await new Promise((done) => setTimeout(done, POLL_MS))
  }
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((done) => child.once('exit', () => done()))
}
