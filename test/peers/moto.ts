// moto, which answers as AWS does: installed into .cache/venv when it is missing, started on loopback.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../functions/cli/quickstart-world.ts'
import { stopChild } from './broker-process.ts'

const run = promisify(execFile)
const CACHE = resolve(import.meta.dirname, '../../.cache')
const SERVER = join(CACHE, 'venv/bin/moto_server')
/** moto, and the clients of AWS beside it: they share botocore, and one folder. */
const PACKAGES = ['moto[server]==5.2.5', 'awscli==1.46.3', 'boto3==1.44.5'].join('\n')
const INSTALLED = join(CACHE, 'venv/packages.txt')
const LOCK = join(CACHE, 'venv.lock')
/** So old a lock is that of a run that was killed. */
const INSTALL_TIMEOUT_MS = 10 * 60_000
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
  if (await isInstalled()) return
  await mkdir(CACHE, { recursive: true })
  await locked(async () => {
    if (await isInstalled()) return
    if (!existsSync(SERVER)) await run('python3', ['-m', 'venv', join(CACHE, 'venv')])
    const pip = join(CACHE, 'venv/bin/pip')
    const quiet = ['--quiet', '--disable-pip-version-check']
    await run(pip, ['install', ...quiet, ...PACKAGES.split('\n')], { maxBuffer: 16 * 1024 * 1024 })
    await writeFile(INSTALLED, PACKAGES)
  })
}

async function isInstalled(): Promise<boolean> {
  return (await readFile(INSTALLED, 'utf8').catch(() => '')) === PACKAGES
}

/** Test files run beside each other; a folder is made by one of them. */
async function locked(install: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await mkdir(LOCK)
      break
    } catch {
      const { mtimeMs } = await stat(LOCK).catch(() => ({ mtimeMs: Date.now() }))
      if (Date.now() - mtimeMs > INSTALL_TIMEOUT_MS)
        await rm(LOCK, { recursive: true, force: true })
      await sleep(200)
    }
  }
  try {
    await install()
  } finally {
    await rm(LOCK, { recursive: true, force: true })
  }
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
