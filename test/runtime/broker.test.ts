// The shipped bundles with the broker in them: each runtime migrates its store, says that it is ready, and
// refuses to run half configured.
import { spawn } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHranaServer } from '../fakes/hrana-server.ts'
import type { HranaServer } from '../fakes/hrana-server.ts'
import { freePort } from './listen.ts'
import { startLambda, startNode, startWorkerd } from './rig.ts'
import type { Running } from './rig.ts'

type Start = (env: Readonly<Record<string, string>>) => Promise<Running>

const runtimes: readonly (readonly [string, Start])[] = [
  ['node', async (env) => startNode({ env })],
  ['workerd', async (env) => startWorkerd({ env })],
  ['lambda-url', async (env) => startLambda('url', { env, environments: 1 })],
  ['lambda-url-streaming', async (env) => startLambda('url-streaming', { env, environments: 1 })],
  ['lambda-apigw-v1', async (env) => startLambda('apigw-v1', { env, environments: 1 })],
  ['lambda-apigw-v2', async (env) => startLambda('apigw-v2', { env, environments: 1 })],
]

describe.each(runtimes)('the broker on %s', (_name, start) => {
  let store: HranaServer
  const started: Running[] = []
  beforeAll(async () => {
    store = await startHranaServer()
  })
  afterAll(async () => {
    await Promise.all(started.map(async ({ stop }) => stop()))
    await store.close()
  })

  async function run(env: Readonly<Record<string, string>>): Promise<Running> {
    const running = await start(env)
    started.push(running)
    return running
  }

  const kek = Buffer.alloc(32, 3).toString('base64url')

  test('migrates an empty libSQL store and is ready', async () => {
    const { baseUrl } = await run({ DATABASE_URL: store.url, SALLYPORT_KEK: kek })
    expect((await fetch(`${baseUrl}/healthz`)).status).toBe(200)
    expect((await fetch(`${baseUrl}/readyz`)).status).toBe(200)
    const metadata = await fetch(`${baseUrl}/.well-known/oauth-authorization-server`)
    expect(await metadata.json()).toMatchObject({ issuer: baseUrl })
    const { keys } = (await (await fetch(`${baseUrl}/.well-known/jwks.json`)).json()) as {
      keys: unknown[]
    }
    expect(keys.length).toBeGreaterThan(0)
  })

  test('stays up without its store, and is not ready', async () => {
    const { baseUrl } = await run({
      DATABASE_URL: `http://127.0.0.1:${await freePort()}`,
      SALLYPORT_KEK: kek,
    })
    expect((await fetch(`${baseUrl}/healthz`)).status).toBe(200)
    expect((await fetch(`${baseUrl}/readyz`)).status).toBe(503)
  })
})

test('the Worker keeps its store in D1 when it has no other', async () => {
  const running = await startWorkerd()
  try {
    expect((await fetch(`${running.baseUrl}/readyz`)).status).toBe(200)
  } finally {
    await running.stop()
  }
})

test.each([
  ['workerd', async () => startWorkerd({ env: { SALLYPORT_KEK: 'short' } })],
  ['lambda-url', async () => startLambda('url', { env: { SALLYPORT_KEK: 'short' } })],
] as const)('%s answers 503 to everything while a setting is refused', async (_name, start) => {
  const running = await start()
  try {
    const answer = await fetch(`${running.baseUrl}/healthz`)
    expect(answer.status).toBe(503)
    expect(await answer.text()).not.toContain('SALLYPORT_KEK')
  } finally {
    await running.stop()
  }
})

async function runServer(env: Readonly<Record<string, string>>, untilText: string | null) {
  const cwd = await mkdtemp(join(tmpdir(), 'sallyport-start-'))
  const child = spawn(process.execPath, [resolve('dist/node/server.js')], {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    if (untilText !== null && stderr.includes(untilText)) child.kill('SIGTERM')
  })
  const code = await new Promise<number | null>((done) => child.on('exit', done))
  return { code, stderr }
}

test('the Node server refuses to start with every bad setting named', async () => {
  const { code, stderr } = await runServer(
    { PORT: 'x', SALLYPORT_ISSUER: 'http://broker.example', LOG_LEVEL: 'loud' },
    null,
  )
  expect(code).toBe(1)
  expect(stderr).toContain('PORT ')
  expect(stderr).toContain('SALLYPORT_ISSUER ')
  expect(stderr).toContain('LOG_LEVEL ')
})

test('the Node server ends in order on SIGTERM', async () => {
  const { code } = await runServer({ PORT: String(await freePort()) }, '"message":"listening"')
  expect(code).toBe(0)
})
