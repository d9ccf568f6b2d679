// moto, which answers as AWS does: installed into .cache/venv when it is missing, started on loopback.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../functions/cli/quickstart-world.ts'
import { stopChild } from './broker-process.ts'

const run = promisify(execFile)
const CACHE = resolve(import.meta.dirname, '../../.cache')
const SERVER = join(CACHE, 'venv/bin/moto_server')
const PACKAGE = 'moto[server]==5.2.5'
const START_TIMEOUT_MS = 60_000

export type Moto = { readonly url: string; stop(): Promise<void> }

/** Whether moto is there or can be installed. */
export async function canRunMoto(): Promise<boolean> {
  if (existsSync(SERVER)) return true
  return run('python3', ['-c', 'import venv, ensurepip']).then(
    () => true,
    () => false,
  )
}

export async function installMoto(): Promise<void> {
  if (existsSync(SERVER)) return
  await mkdir(CACHE, { recursive: true })
  await run('python3', ['-m', 'venv', join(CACHE, 'venv')])
  const pip = join(CACHE, 'venv/bin/pip')
  await run(pip, ['install', '--quiet', '--disable-pip-version-check', PACKAGE], {
    maxBuffer: 16 * 1024 * 1024,
  })
}

export async function startMoto(): Promise<Moto> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(SERVER, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  child.once('error', () => undefined)
  const deadline = Date.now() + START_TIMEOUT_MS
  while ((await fetch(`${url}/moto-api/`).catch(() => null))?.ok !== true) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stopChild(child)
      throw new Error('moto does not answer')
    }
    await sleep(100)
  }
  return { url, stop: () => stopChild(child) }
}
