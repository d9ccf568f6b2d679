// X509-SVIDs from a real SPIRE agent over real TLS: the broker ends TLS itself and takes the roots from
// the bundle endpoint of the real server.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProtectedApi, startProtectedApi } from '../../functions/cli/quickstart-world.ts'
import { LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { buildSpire, canRunSpire, type Spire, startSpire } from './spire.ts'

const TRUST_DOMAIN = 'agents.example'
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/support/summariser`
const BUILD_TIMEOUT_MS = 30 * 60_000

const isAbsent = !(await canRunSpire()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)(
  'SPIRE 1.15 X.509 (needs go or .cache/bin/spire-server, and openssl)',
  () => {
    const lab = opensslLab()
    const year = new Date().getUTCFullYear()
    const times = { notBefore: `${year - 1}0101000000Z`, notAfter: `${year + 2}0101000000Z` }
    const folder = mkdtempSync(join(tmpdir(), 'spire-x509-'))
    let server: MadeCertificate
    let spire: Spire
    let api: ProtectedApi
    let broker: BrokerProcess

    beforeAll(async () => {
      await buildSpire()
      server = lab.make({
        ...times,
        name: 'broker',
        extensions: [...LEAF, 'subjectAltName=IP:127.0.0.1'],
      })
      setDefaultCACertificates([...getCACertificates('default'), server.pem])
      const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
      writeFileSync(cert, server.pem)
      writeFileSync(key, server.keyPem)
      ;[spire, api] = await Promise.all([startSpire(TRUST_DOMAIN, SPIFFE_ID), startProtectedApi()])
      broker = await startBrokerProcess({
        env: {
          NODE_EXTRA_CA_CERTS: spire.caFile,
          SALLYPORT_TLS_CERT: cert,
          SALLYPORT_TLS_KEY: key,
        },
        secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
        policy: (url) => policyOf(url, spire, api),
      })
    }, BUILD_TIMEOUT_MS)

    afterAll(async () => {
      await Promise.all([broker?.stop(), spire?.stop(), api?.close()])
      lab.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const exchange = (
      parameters: Readonly<Record<string, string>>,
      client: { readonly cert?: string; readonly key?: string } = {},
    ) =>
      new Promise<{ status: number; body: Record<string, unknown> }>((resolve, reject) => {
        const request = httpsRequest(
          `${broker.url}/token-exchange`,
          {
            method: 'POST',
            agent: false,
            ...client,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
          },
          (response) => {
            let text = ''
            response.on('data', (chunk: Buffer) => (text += chunk.toString()))
            response.on('end', () =>
              resolve({
                status: response.statusCode ?? 0,
                body: JSON.parse(text) as Record<string, unknown>,
              }),
            )
          },
        )
        request.on('error', reject)
        request.end(
          new URLSearchParams({
            grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
            audience: 'crm',
            ...parameters,
          }).toString(),
        )
      })

    const BY_TLS = {
      subject_token: 'tls',
      subject_token_type: 'urn:sallyport:token-type:mtls',
    }
    const subjectOf = (body: Record<string, unknown>): string => {
      const payload = String(body['access_token']).split('.')[1] ?? ''
      return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string }).sub
    }

    test('SP-09 SP-04: one workload, by X509-SVID and by JWT-SVID, is one identity', async () => {
      const byCertificate = await exchange(BY_TLS, await spire.fetchX509Svid())
      expect(byCertificate.body).toMatchObject({ token_type: 'Bearer' })
      const byToken = await exchange({
        subject_token: await spire.fetchJwtSvid(broker.url),
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      })
      expect(subjectOf(byCertificate.body)).toBe(`x509:${SPIFFE_ID}`)
      expect(subjectOf(byToken.body)).toBe(`jwt:${SPIFFE_ID}`)
    })

    test('SP-06: the same SPIFFE ID by a CA outside the bundle opens nothing', async () => {
      const root = lab.make({ ...times, name: 'root' })
      const forged = lab.make({
        ...times,
        name: 'forged',
        issuer: root,
        extensions: [...LEAF, `subjectAltName=URI:${SPIFFE_ID}`],
      })
      const client = { cert: `${forged.pem}${root.pem}`, key: forged.keyPem }
      const refused = { status: 400, body: { error: 'invalid_request' } }
      expect(await exchange(BY_TLS, client)).toMatchObject(refused)
      expect(await exchange(BY_TLS)).toMatchObject(refused)
    })
  },
)

function policyOf(url: string, spire: Spire, api: ProtectedApi): unknown {
  const bundle = {
    trust_domain: TRUST_DOMAIN,
    spiffe_ids: ['/support/*'],
    bundle_endpoint_url: spire.bundleUrl,
    bundle_profile: 'https_web',
  }
  const methods = [
    { name: 'x509', type: 'spiffe-x509', config: bundle },
    { name: 'jwt', type: 'spiffe-jwt', config: { ...bundle, audiences: [url] } },
  ]
  return {
    auth_methods: methods,
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: api.url },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
      },
    ],
    bindings: methods.map(({ name }) => ({
      name: `${name}-crm`,
      auth_method: name,
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
      ttl_seconds: 120,
    })),
  }
}
