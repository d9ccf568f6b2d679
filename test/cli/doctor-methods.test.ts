// `sallyport doctor` of each kind of Auth Method: what it finds wrong, and how to mend it.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { methodChecks, type SealedSecrets } from '../../functions/cli/doctor-methods.ts'
import { type MadeCertificate, type OpensslLab, opensslLab } from '../fakes/openssl.ts'
import { cli } from './rig.ts'

let lab: OpensslLab
let root: MadeCertificate
let ended: MadeCertificate
let server: Server
let url: string

beforeAll(async () => {
  lab = opensslLab()
  root = lab.make({ name: 'root' })
  ended = lab.make({ name: 'ended', notAfter: '20260201000000Z' })
  server = createServer((request, response) => {
    if (request.url === '/late') response.setHeader('date', 'Wed, 01 Jan 2020 00:00:00 GMT')
    response.statusCode = request.url === '/down' ? 503 : 302
    response.end('{}')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  // A listening TCP server has an AddressInfo.
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  lab?.close()
  server?.close()
})

const NOW_MS = Date.parse('2026-11-01T00:00:00Z')

function check(
  type: string,
  config: Readonly<Record<string, unknown>>,
  secrets: SealedSecrets | null = new Map(),
) {
  const io = { ...cli().io(() => undefined), nowMs: () => NOW_MS }
  return methodChecks({ name: 'm', type, config }, { secrets, io })
}

function x5c(...made: readonly MadeCertificate[]) {
  return { keys: made.map(({ der }) => ({ x5c: [Buffer.from(der).toString('base64')] })) }
}

describe('roots', () => {
  test('mtls: good, ending, ended', async () => {
    expect(await check('mtls', { ca: root.pem })).toMatchObject([{ status: 'OK' }])
    expect(await check('mtls', { ca: root.pem + ended.pem })).toMatchObject([
      { status: 'WARN', detail: expect.stringContaining('2 roots') },
    ])
    const [found] = await check('mtls', { ca: ended.pem })
    expect(found).toMatchObject({ status: 'FAIL', fix: expect.stringContaining('new roots') })
    expect(await check('mtls', { fingerprints: ['x'] })).toMatchObject([{ status: 'OK' }])
  })

  test('spiffe-x509: the roots of an inline bundle', async () => {
    expect(await check('spiffe-x509', { bundle: x5c(root) })).toMatchObject([{ status: 'OK' }])
    expect(await check('spiffe-x509', { bundle: x5c(ended) })).toMatchObject([{ status: 'FAIL' }])
    expect(await check('spiffe-x509', { bundle: {} })).toMatchObject([{ status: 'FAIL' }])
    const spiffe = { bundle_profile: 'https_spiffe', bundle: x5c(root) }
    expect(await check('spiffe-x509', spiffe)).toMatchObject([{ status: 'WARN' }])
  })
})

describe('authorities', () => {
  test('STS: any answer, an error, no answer', async () => {
    expect(await check('aws-iam', { sts_endpoint: url })).toMatchObject([{ status: 'OK' }])
    expect(await check('aws-iam', { sts_endpoint: `${url}/down` })).toMatchObject([
      { status: 'FAIL', detail: expect.stringContaining('503') },
    ])
    const [gone] = await check('aws-iam', { sts_endpoint: 'http://127.0.0.1:9' })
    expect(gone).toMatchObject({ status: 'FAIL', fix: expect.stringContaining('the way from') })
    expect(await check('aws-iam', { sts_endpoint: `${url}/late` })).toMatchObject([
      { status: 'WARN', fix: expect.stringContaining('clocks') },
    ])
  })

  test('introspection: endpoint and secret', async () => {
    const config = { introspection_endpoint: `${url}/introspect`, secret: 'sealed:idp' }
    expect(await check('oauth-introspection', config)).toMatchObject([
      { status: 'OK' },
      { status: 'FAIL', fix: `sallyport secrets set idp --allowed-origin ${url}` },
    ])
    const elsewhere = new Map([['sealed:idp', ['https://other.example']]])
    expect(await check('oauth-introspection', config, elsewhere)).toMatchObject([
      {},
      { status: 'FAIL', detail: expect.stringContaining('may not be sent') },
    ])
    const right = new Map([['sealed:idp', [url]]])
    expect(await check('oauth-introspection', config, right)).toMatchObject([
      { status: 'OK' },
      { status: 'OK' },
    ])
    expect(await check('oauth-introspection', config, null)).toMatchObject([{}, { status: 'WARN' }])
  })

  test('TokenReview: the API server instead of keys', async () => {
    const config = { issuer: 'https://k8s.example', token_review: { url, secret: 'env:K8S' } }
    expect(await check('kubernetes', config)).toMatchObject([
      { check: 'auth method m: TokenReview', status: 'OK' },
    ])
  })
})

test('keys that cannot be had are said, with what to look at', async () => {
  const [found] = await check('oidc', { jwks_uri: 'http://127.0.0.1:9/jwks' })
  expect(found).toMatchObject({ status: 'FAIL', fix: expect.stringContaining('issuer') })
})
