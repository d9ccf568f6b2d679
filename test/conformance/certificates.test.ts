// Client certificates, black box on every entry: whom the platform vouches for gets in, and what a
// client merely says gets nobody in.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EntryKind } from '../../functions/http/capabilities.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import { proofKey } from '../fakes/proof-key.ts'
import { CLIENT_CERT_HEADER } from '../runtime/lambda-events.ts'
import { applyPolicy, policyOf, startWorld, TOKEN_EXCHANGE, TT, type World } from './world.ts'

const JWT = `${TT}jwt`

const ALL = 'node,workerd,lambda-url,lambda-apigw-v1,lambda-apigw-v2'
const ENTRIES = (process.env['SALLYPORT_TEST_ENTRIES'] ?? ALL).split(',') as readonly EntryKind[]

const lab = opensslLab()
const year = new Date().getUTCFullYear()
const times = { notBefore: `${year - 1}0101000000Z`, notAfter: `${year + 2}0101000000Z` }
const make: typeof lab.make = (request) => lab.make({ ...times, ...request })
const san = (names: string) => [...LEAF, `subjectAltName=${names}`]

const server = make({ name: 'server', extensions: san('IP:127.0.0.1') })
const root = make({ name: 'root' })
const ca = make({ name: 'ca', issuer: root, extensions: CA })
const agent = make({ name: 'agent', issuer: root, extensions: san('DNS:a.agents.example') })
const below = make({ name: 'below', issuer: ca, extensions: san('DNS:b.agents.example') })
const SPIFFE_ID = 'spiffe://prod.example/agents/a1'
const svid = make({ name: 'svid', issuer: root, extensions: san(`URI:${SPIFFE_ID}`) })
const strangerRoot = make({ name: 'root' })
const stranger = make({
  name: 'agent',
  issuer: strangerRoot,
  extensions: san('DNS:a.agents.example'),
})
const expired = make({
  name: 'agent',
  issuer: root,
  extensions: san('DNS:a.agents.example'),
  notAfter: `${year - 1}0201000000Z`,
})

const folder = mkdtempSync(join(tmpdir(), 'sallyport-tls-'))
const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
writeFileSync(files.cert, server.pem)
writeFileSync(files.key, server.keyPem)
const TLS_ENV = { SALLYPORT_TLS_CERT: files.cert, SALLYPORT_TLS_KEY: files.key }

beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), server.pem]))
afterAll(() => {
  lab.close()
  rmSync(folder, { recursive: true, force: true })
})

function withCertificates(world: World, ca_: string) {
  const policy = policyOf(world)
  const [binding] = policy.bindings
  const x5c = [Buffer.from(root.der).toString('base64')]
  const methods = [
    { name: 'agents', type: 'mtls', config: { ca: ca_, sans: { dns: ['*.agents.example'] } } },
    {
      name: 'spire',
      type: 'spiffe-x509',
      config: {
        trust_domain: 'prod.example',
        spiffe_ids: ['/agents/*'],
        bundle: { keys: [{ use: 'x509-svid', kty: 'EC', x5c }] },
      },
    },
  ]
  const bound = methods.map(({ name }) => ({ ...binding, name: `${name}-crm`, auth_method: name }))
  return {
    ...policy,
    auth_methods: [...policy.auth_methods, ...methods],
    bindings: [...policy.bindings, ...bound],
  }
}

const CUSTOMER = '/t/crm/v1/customers/42'

type Exchange = {
  readonly headers?: Record<string, string>
  readonly cf?: object
  readonly form?: Record<string, string>
}
type Sent = {
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | null
}
type Answer = { readonly status: number; readonly body: Record<string, unknown> }

/** Headers by which an attacker says that he has a certificate. */
const FORGED = {
  'client-cert': `:${Buffer.from(agent.der).toString('base64')}:`,
  'x-forwarded-client-cert': `Hash=x;Cert="${encodeURIComponent(agent.pem)}"`,
  'x-client-cert': encodeURIComponent(agent.pem),
  'x-ssl-client-cert': encodeURIComponent(agent.pem),
  'cf-client-cert-der-base64': Buffer.from(agent.der).toString('base64'),
  'cf-client-cert-verified': 'true',
  'x-amzn-mtls-clientcert': encodeURIComponent(agent.pem),
  'x-amzn-mtls-clientcert-leaf': encodeURIComponent(agent.pem),
  'x-amzn-request-context': JSON.stringify({
    identity: { clientCert: { clientCertPem: agent.pem } },
  }),
}

describe.each(ENTRIES)('client certificates on the %s entry', (entry) => {
  let world: World
  const keepAlive = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 })
  beforeAll(async () => {
    world = await startWorld(entry, { env: entry === 'node' ? TLS_ENV : {} })
    await applyPolicy(world, withCertificates(world, root.pem))
  })
  afterAll(async () => {
    keepAlive.destroy()
    await world?.stop()
  })

  /** An exchange over a connection with this chain, as this platform shows it to the broker. */
  async function exchange(
    chain: readonly MadeCertificate[],
    { headers = {}, cf = {}, form = {} }: Exchange = {},
  ): Promise<Answer> {
    const body = new URLSearchParams({
      grant_type: TOKEN_EXCHANGE,
      subject_token: 'tls',
      subject_token_type: 'urn:sallyport:token-type:mtls',
      audience: 'crm',
      ...form,
    }).toString()
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    const request = { path: '/token-exchange', headers: { ...type, ...headers }, body }
    return send(chain, request, cf)
  }

  /** A GET of `crm` with the handle, over a connection with this chain. */
  function act(chain: readonly MadeCertificate[], handle: string, proof?: string): Promise<Answer> {
    const scheme = proof === undefined ? 'Bearer' : 'DPoP'
    const headers = { authorization: `${scheme} ${handle}`, ...(proof && { dpop: proof }) }
    return send(chain, { path: CUSTOMER, headers, body: null })
  }

  async function send(
    chain: readonly MadeCertificate[],
    { path, headers, body }: Sent,
    cf: object = {},
  ): Promise<Answer> {
    const sent = { ...headers, ...shownBy(chain, cf) }
    if (entry === 'node') return overTls(chain, { path, headers: sent, body })
    const method = body === null ? 'GET' : 'POST'
    const response = await fetch(`${world.url}${path}`, { method, headers: sent, body })
    return { status: response.status, body: (await response.json()) as Answer['body'] }
  }

  function shownBy(chain: readonly MadeCertificate[], cf: object): Record<string, string> {
    const [leaf, ...others] = chain
    if (leaf === undefined || entry === 'node') return {}
    if (entry !== 'workerd') return { [CLIENT_CERT_HEADER]: encodeURIComponent(leaf.pem) }
    const item = ({ der }: MadeCertificate) => `:${Buffer.from(der).toString('base64')}:`
    const tlsClientAuth = {
      certPresented: '1',
      certVerified: 'SUCCESS',
      certRevoked: '0',
      certRFC9440: item(leaf),
      certRFC9440TooLarge: false,
      certChainRFC9440: others.map(item).join(', '),
      certChainRFC9440TooLarge: false,
      ...cf,
    }
    // How workerd's own development front is told what the edge would say.
    return { 'mf-cf-blob': JSON.stringify({ tlsClientAuth }) }
  }

  function overTls(
    chain: readonly MadeCertificate[],
    { path, headers, body }: Sent,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const [leaf] = chain
      const cert = leaf && { cert: chain.map(({ pem }) => pem).join('\n'), key: leaf.keyPem }
      const request = httpsRequest(
        `${world.url}${path}`,
        {
          method: body === null ? 'GET' : 'POST',
          ca: server.pem,
          agent: keepAlive,
          headers,
          ...cert,
        },
        (response) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] }),
          )
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }

  const subjectOf = ({ body }: Answer): unknown => {
    const [, payload = ''] = String(body['access_token']).split('.')
    return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub?: unknown }).sub
  }

  test('CA-09 MTLS-1 without a certificate, and with every header that claims one: refused', async () => {
    const bare = await exchange([])
    const forged = await exchange([], { headers: FORGED })
    expect(bare).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const { decision_id: _, ...body } = bare.body
    expect(forged).toMatchObject({ status: 400, body })
  })

  if (entry === 'lambda-url') {
    test('a Function URL carries no certificate', async () => {
      expect(await exchange([agent])).toMatchObject({ status: 400 })
    })
    return
  }

  test('CA-08 MTLS-3 a certificate of the CA opens a session under the name that was verified', async () => {
    const answer = await exchange([agent], { headers: FORGED })
    expect(answer).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
    expect(subjectOf(answer)).toBe('agents:a.agents.example')
    const handle = String(answer.body['access_token'])
    expect((await world.call(handle, 'crm/v1/customers/42')).status).toBe(200)
  })

  test('SP-09 CA-10 an X509-SVID opens a session under its SPIFFE ID', async () => {
    const answer = await exchange([svid])
    expect(answer.status).toBe(200)
    expect(subjectOf(answer)).toBe(`spire:${SPIFFE_ID}`)
  })

  test('RB-15 every other certificate gets the one refusal', async () => {
    const { decision_id: _, ...body } = (await exchange([])).body
    for (const chain of [[stranger, strangerRoot], [expired], [below], [root], [ca]]) {
      expect(await exchange(chain)).toMatchObject({ status: 400, body })
    }
  })

  test('intermediates arrive where the platform hands them on', async () => {
    const answer = await exchange([below, ca])
    expect(answer.status).toBe(entry === 'node' || entry === 'workerd' ? 200 : 400)
  })

  /** Every binding asks for the certificate; one more for a DPoP proof besides. */
  const withProofs = (dpop: boolean) => {
    const policy = withCertificates(world, root.pem)
    const bindings = policy.bindings.map((one) => ({ ...one, require_proof: 'mtls' }))
    const more = { ...bindings[0], name: 'also-dpop', require_proof: 'dpop' }
    return { ...policy, bindings: dpop ? [...bindings, more] : bindings }
  }
  const tokenForm = async () => ({ subject_token: await world.token(), subject_token_type: JWT })
  const cnfOf = ({ body }: Answer): unknown => {
    const [, payload = ''] = String(body['access_token']).split('.')
    return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { cnf?: unknown }).cnf
  }
  const x5tOf = ({ der }: MadeCertificate) => createHash('sha256').update(der).digest('base64url')

  test('MT-01 MT-02 a handle that is bound to a certificate is worth nothing over another one', async () => {
    await applyPolicy(world, withProofs(false))
    // Any certificate binds: it is no attestation here, and nobody has to have signed it.
    const opened = await exchange([stranger], { form: await tokenForm() })
    expect(opened).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
    expect(cnfOf(opened)).toEqual({ 'x5t#S256': x5tOf(stranger) })
    const handle = String(opened.body['access_token'])
    expect((await act([stranger], handle)).status).toBe(200)
    const refusals = [await act([agent], handle), await act([], handle)]
    for (const refused of refusals) {
      expect(refused).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
    }
    const without = await exchange([], { form: await tokenForm(), headers: FORGED })
    expect(without).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    await applyPolicy(world, withCertificates(world, root.pem))
  })

  test('MT-01 DP-05 asked for both, a handle is bound to both and needs both', async () => {
    await applyPolicy(world, withProofs(true))
    const key = await proofKey()
    const dpop = await key.proof({ url: `${world.url}/token-exchange` })
    const [form, headers] = [await tokenForm(), { dpop }]
    expect((await exchange([agent], { form })).body).toMatchObject({ error: 'invalid_dpop_proof' })
    expect((await exchange([], { form, headers })).body).toMatchObject({ error: 'invalid_request' })
    const opened = await exchange([agent], { form, headers })
    expect(opened).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    expect(cnfOf(opened)).toEqual({ jkt: key.jkt, 'x5t#S256': x5tOf(agent) })
    const token = String(opened.body['access_token'])
    const proof = () => key.proof({ url: `${world.url}${CUSTOMER}`, method: 'GET', token })
    expect((await act([agent], token, await proof())).status).toBe(200)
    expect((await act([agent], token)).status).toBe(401)
    expect((await act([stranger], token, await proof())).status).toBe(401)
    expect((await act([], token, await proof())).status).toBe(401)
    await applyPolicy(world, withCertificates(world, root.pem))
  })

  if (entry === 'workerd') {
    test.each([
      { certVerified: 'FAILED:self signed certificate' },
      { certVerified: 'NONE' },
      { certVerified: 'success' },
      { certPresented: '0' },
      { certRevoked: '1' },
      { certRFC9440: '' },
      { certRFC9440: '::' },
    ])('MTLS-1 %j proves nothing', async (cf) => {
      expect(await exchange([agent], { cf })).toMatchObject({ status: 400 })
    })
  }

  test('MTLS-2 the next request is refused once the CA is gone, and so is the open session', async () => {
    const opened = await exchange([agent])
    expect(opened.status).toBe(200)
    await applyPolicy(world, withCertificates(world, strangerRoot.pem))
    expect(await exchange([agent])).toMatchObject({ status: 400 })
    const handle = String(opened.body['access_token'])
    expect((await world.call(handle, 'crm/v1/customers/42')).status).toBe(403)
    await applyPolicy(world, withCertificates(world, root.pem))
    expect((await exchange([agent])).status).toBe(200)
  })
})
