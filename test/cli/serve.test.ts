import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../../functions/cli/quickstart-world.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const NODE = join(ROOT, 'node_modules/.bin/node')

function serve(env: Readonly<Record<string, string>>) {
  const args = ['functions/cli/main.ts', 'serve', '--json']
  const child = spawn(NODE, args, { cwd: ROOT, env: { PATH: process.env['PATH'] ?? '', ...env } })
  const said = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => void (said.out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => void (said.err += chunk.toString()))
  return { child, said, ended: once(child, 'exit') }
}

test('serve answers, and ends in order with 0 when it is told to', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-serve-'))
  const { child, said, ended } = serve({
    PORT: String(await freePort()),
    DATABASE_URL: `file:${join(folder, 'x.db')}`,
    LOG_LEVEL: 'error',
  })
  try {
    await once(child.stdout, 'data')
    const { url } = JSON.parse(said.out)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  } finally {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
})

test('serve names every bad setting at once and ends with 2', async () => {
  const { said, ended } = serve({
    PORT: 'eighty',
    DATABASE_URL: 'file:/dev/null/x.db',
    SALLYPORT_KEK: 'canary-kek',
    SALLYPORT_ADMIN_TOKEN: 'canary token',
  })
  expect(await ended).toEqual([2, null])
  expect(JSON.parse(said.out).errors.map((one: { setting: string }) => one.setting)).toEqual(
    expect.arrayContaining(['PORT', 'SALLYPORT_KEK', 'SALLYPORT_ADMIN_TOKEN']),
  )
  expect(said.out + said.err).not.toContain('canary')
})
