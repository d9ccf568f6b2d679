// `sallyport exchange --dpop` against a broker that verifies: with a nonce demanded of every proof.
import { mkdtemp, readFile, rm, stat, writeFile, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { calculateJwkThumbprint } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { proofKey } from '../../functions/cli/proof-key.ts'
import {
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { startBrokerStub } from './broker-stub.ts'
import { type BrokerRig, type Cli, cli, startBroker } from './rig.ts'

let issuer: Issuer
let api: ProtectedApi
let broker: BrokerRig
let folder: string
let sallyport: Cli

beforeAll(async () => {
  ;[issuer, api, broker] = await Promise.all([
    startIssuer(),
    startProtectedApi(),
    startBroker({ SALLYPORT_DPOP_NONCE: '1' }),
  ])
  const admin = cli(broker.env)
  admin.files['-'] = api.key
  await admin.run('secrets', 'set', 'crm-token', '--allowed-origin', api.url)
  admin.files['policy.yaml'] = `
auth_methods:
  - name: runtime
    type: oidc
    config: { issuer: "${issuer.url}", audiences: ["${broker.url}"], match: { sub: pod/bot } }
targets:
  - name: crm
    type: http
    config: { base_url: "${api.url}" }
    credential: { inject: bearer, secret: "sealed:crm-token" }
bindings:
  - name: bot-crm
    auth_method: runtime
    target: crm
    grants: [{ effects: [read], objects: ["GET /v1/customers/*"] }]
    require_proof: dpop
    owner: tests
`
  expect(await admin.run('apply', 'policy.yaml', '--yes')).toMatchObject({ exitCode: 0 })
})
afterAll(async () => {
  await Promise.all([issuer?.close(), api?.close(), broker?.close()])
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-key-'))
  sallyport = cli({ SALLYPORT_URL: broker.url, HOME: folder })
  sallyport.files['token.jwt'] = await issuer.workloadToken({ aud: broker.url, sub: 'pod/bot' })
  return () => rm(folder, { recursive: true, force: true })
})

const ASKED = ['exchange', '--audience', 'crm', '--subject-token-file', 'token.jwt']

describe('--dpop', () => {
  test('DP-01: makes a key for its owner alone, and the handle is bound to it', async () => {
    const ran = await sallyport.run(...ASKED, '--dpop')
    expect(ran.exitCode, ran.err).toBe(0)
    const path = join(folder, '.config/sallyport/dpop-key.json')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const jwk = JSON.parse(await readFile(path, 'utf8'))
    const jkt = await calculateJwkThumbprint(jwk)
    const claims = JSON.parse(Buffer.from(ran.out.split('.')[1] ?? '', 'base64url').toString())
    expect(claims.cnf).toEqual({ jkt })
    expect(ran.err).toContain(`DPoP  (key ${jkt})`)
    expect(ran.err).toContain(path)
    expect(ran.out + ran.err).not.toContain(jwk.d)
  })

  test('uses the key again, wherever it is told that it lies', async () => {
    const path = join(folder, 'keys', 'one.json')
    const first = await sallyport.run(...ASKED, '--dpop', path)
    const second = await sallyport.run(...ASKED, '--json', '--dpop', path)
    expect(second.exitCode, second.err).toBe(0)
    const [, jkt = ''] = /key ([\w-]{43})/.exec(first.err) ?? []
    expect(second.err).toContain(jkt)
    expect(JSON.parse(second.out)).toMatchObject({ token_type: 'DPoP' })
  })

  test('two commands that start at once end with one key', async () => {
    const path = join(folder, 'key.json')
    const io = sallyport.io(() => undefined)
    const keys = await Promise.all(Array.from({ length: 8 }, () => proofKey(path, io)))
    expect(new Set(keys.map(({ thumbprint }) => thumbprint)).size).toBe(1)
  })

  test('a key that others can read, or that is none, is refused and not repeated', async () => {
    const path = join(folder, 'key.json')
    await proofKey(
      path,
      sallyport.io(() => undefined),
    )
    await chmod(path, 0o640)
    const open = await sallyport.run(...ASKED, '--dpop', path)
    expect(open).toMatchObject({ exitCode: 2, out: '' })
    expect(open.err).toContain(`chmod 600 ${path}`)
    const coordinate = 'A'.repeat(43)
    const canary = {
      kty: 'EC',
      crv: 'P-256',
      x: coordinate,
      y: coordinate,
      d: `canary${coordinate}`,
    }
    for (const text of ['canary', '{}', JSON.stringify(canary), '{"kty":"oct","k":"canary"}']) {
      await writeFile(path, text)
      await chmod(path, 0o600)
      const ran = await sallyport.run(...ASKED, '--dpop', path)
      expect(ran).toMatchObject({ exitCode: 2, out: '' })
      expect(ran.err).not.toContain('canary')
    }
  })

  test('without it a binding that wants a proof refuses', async () => {
    const ran = await sallyport.run(...ASKED)
    expect(ran).toMatchObject({ exitCode: 1, out: '' })
    expect(ran.err).toContain('invalid_dpop_proof')
    expect(ran.err).toContain('--dpop')
  })

  test('a nonce is fetched once: a server that asks again is not obeyed again', async () => {
    const stub = await startBrokerStub()
    try {
      stub.answers = [
        { status: 400, headers: { 'dpop-nonce': 'n1' }, body: { error: 'use_dpop_nonce' } },
      ]
      sallyport.env['SALLYPORT_URL'] = stub.url
      expect(await sallyport.run(...ASKED, '--dpop')).toMatchObject({ exitCode: 1 })
      const proofs = stub.seen.map(({ headers }) => String(headers['dpop']).split('.'))
      const claims = proofs.map(([, payload = '']) =>
        JSON.parse(Buffer.from(payload, 'base64url').toString()),
      )
      expect(claims).toMatchObject([{}, { nonce: 'n1' }])
      expect(claims[0].nonce).toBe(undefined)
      expect(claims[0].jti).not.toBe(claims[1].jti)
    } finally {
      await stub.close()
    }
  })
})
