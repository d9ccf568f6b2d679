// The CLI as a process: what really goes to standard output, what a command of `exec` really gets, how
// signals and exit codes travel. `program.ts` is tested without a process in exchange.test.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type BrokerStub, startBrokerStub } from './broker-stub.ts'

const DOCUMENT = {
  Version: 1,
  AccessKeyId: 'ASIAEXAMPLE0000000',
  SecretAccessKey: 'canary+secret',
  SessionToken: 'canary/token==',
  Expiration: '2026-11-22T10:15:00Z',
}
const SESSION = { id: 'ses_1', targets: { s3: 'http://broker/t/s3' } }
const MINTED = { access_token: 'canary/token==', session: SESSION, aws_credentials: DOCUMENT }

let broker: BrokerStub
let folder: string

beforeAll(async () => {
  ;[broker, folder] = await Promise.all([
    startBrokerStub(),
    mkdtemp(join(tmpdir(), 'sallyport-cli-')),
  ])
  await writeFile(join(folder, 'token'), 'an.attestation.token')
})
afterAll(async () => {
  await broker?.close()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => {
  broker.seen.length = 0
  broker.answers = [{ body: MINTED }]
})

type Ended = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}
type Running = { readonly child: ChildProcess; readonly ended: Promise<Ended> }

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, ['functions/cli/main.ts', ...args], {
    env: { PATH: process.env['PATH'] ?? '', SALLYPORT_URL: broker.url, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise<Ended>((done) => {
    child.once('close', (code, signal) => done({ code, signal, out, err }))
  })
  return { child, ended }
}

const asked = () => ['--audience', 's3', '--subject-token-file', join(folder, 'token')]

test('SC-10: credential_process gets its document and nothing else, on either stream', async () => {
  const { ended } = start(['exchange', ...asked(), '--format', 'credential-process'])
  expect(await ended).toEqual({
    code: 0,
    signal: null,
    out: `${JSON.stringify(DOCUMENT)}\n`,
    err: '',
  })
})

describe('exec', () => {
  const exec = (more: readonly string[], script: string, env?: Record<string, string>) =>
    start(['exec', ...asked(), ...more, '--', 'sh', '-c', script], env)

  test('the command has the credential and not what the operator has; its exit code is the end', async () => {
    const env = { AWS_PROFILE: 'mine', SALLYPORT_ADMIN_TOKEN: 'canary-admin', KEPT: 'kept' }
    const { ended } = exec(['--delivery', 'credential'], 'env; exit 7', env)
    const { code, out } = await ended
    expect(code).toBe(7)
    expect(out).toContain(`AWS_SECRET_ACCESS_KEY=${DOCUMENT.SecretAccessKey}\n`)
    expect(out).toContain('KEPT=kept')
    expect(out).not.toMatch(/AWS_PROFILE|SALLYPORT_ADMIN_TOKEN|canary-admin/)
    expect(broker.seen.map(({ path }) => path)).toEqual(['/token-exchange', '/revoke'])
  })

  test('a signal reaches the command, and what it makes of it is the end', async () => {
    const { child, ended } = exec([], 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done')
    child.stdout?.once('data', () => child.kill('SIGTERM'))
    expect(await ended).toMatchObject({ code: 9 })
    expect(broker.seen.at(-1)?.path).toBe('/revoke')
  })

  test('a command that a signal ends, ends with 128 and its number', async () => {
    expect(await exec([], 'kill -KILL $$').ended).toMatchObject({ code: 137 })
    expect(broker.seen.at(-1)?.path).toBe('/revoke')
  })

  test('a command that is not there is said by name, and the session is revoked', async () => {
    const { ended } = start(['exec', ...asked(), '--', join(folder, 'missing')])
    const { code, err } = await ended
    expect(code).toBe(2)
    expect(err).toContain('missing cannot be run (ENOENT)')
    expect(broker.seen.at(-1)?.path).toBe('/revoke')
  })
})
