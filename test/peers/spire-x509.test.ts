// X509-SVIDs from a real SPIRE agent over real TLS: the broker ends TLS itself and takes the roots from
// the bundle endpoint of the real server.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProtectedApi, startProtectedApi } from '../../functions/cli/quickstart-world.ts'
import { LEAF, opensslLab } from '../fakes/openssl.ts'
import { buildSpire, canRunSpire, type Spire, startSpire } from './spire.ts'
import { BY_TLS, byJwt, startTlsBroker, subjectOf, type TlsBroker, validNow } from './tls-broker.ts'

const TRUST_DOMAIN = 'agents.example'
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/support/summariser`
const BUILD_TIMEOUT_MS = 30 * 60_000

const isAbsent = !(await canRunSpire()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)(
  'SPIRE 1.15 X.509 (needs go or .cache/bin/spire-server, and openssl)',
  () => {
    const lab = opensslLab()
    let spire: Spire
    let api: ProtectedApi
    let broker: TlsBroker

    beforeAll(async () => {
      await buildSpire()
      ;[spire, api] = await Promise.all([startSpire(TRUST_DOMAIN, SPIFFE_ID), startProtectedApi()])
      broker = await startTlsBroker({
        env: { NODE_EXTRA_CA_CERTS: spire.caFile },
        secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
        policy: (url) => policyOf(url, spire, api),
      })
    }, BUILD_TIMEOUT_MS)

    afterAll(async () => {
      await Promise.all([broker?.stop(), spire?.stop(), api?.close()])
      lab.close()
    })

    test('SP-09 SP-04: one workload, by X509-SVID and by JWT-SVID, is one identity', async () => {
      const byCertificate = await broker.exchange(BY_TLS, await spire.fetchX509Svid())
      expect(byCertificate.body).toMatchObject({ token_type: 'Bearer' })
      const byToken = await broker.exchange(byJwt(await spire.fetchJwtSvid(broker.url)))
      expect(subjectOf(byCertificate)).toBe(`x509:${SPIFFE_ID}`)
      expect(subjectOf(byToken)).toBe(`jwt:${SPIFFE_ID}`)
    })

    test('SP-06: the same SPIFFE ID by a CA outside the bundle opens nothing', async () => {
      const root = lab.make({ ...validNow(), name: 'root' })
      const forged = lab.make({
        ...validNow(),
        name: 'forged',
        issuer: root,
        extensions: [...LEAF, `subjectAltName=URI:${SPIFFE_ID}`],
      })
      const client = { cert: `${forged.pem}${root.pem}`, key: forged.keyPem }
      const refused = { status: 400, body: { error: 'invalid_request' } }
      expect(await broker.exchange(BY_TLS, client)).toMatchObject(refused)
      expect(await broker.exchange(BY_TLS)).toMatchObject(refused)
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
