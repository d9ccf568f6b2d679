// A JWT-SVID from a real SPIRE agent, verified through the bundle endpoint of its real server.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { buildSpire, canRunSpire, type Spire, startSpire } from './spire.ts'

const TRUST_DOMAIN = 'agents.example'
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/support/summariser`
const BUILD_TIMEOUT_MS = 30 * 60_000

const isAbsent = !(await canRunSpire()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)('SPIRE 1.15 (needs go or .cache/bin/spire-server, and openssl)', () => {
  let spire: Spire
  let api: ProtectedApi
  let broker: BrokerProcess

  beforeAll(async () => {
    await buildSpire()
    ;[spire, api] = await Promise.all([startSpire(TRUST_DOMAIN, SPIFFE_ID), startProtectedApi()])
    broker = await startBrokerProcess({
      env: { NODE_EXTRA_CA_CERTS: spire.caFile },
      secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
      policy: (url) => policyOf(url, spire, api),
    })
  }, BUILD_TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all([broker?.stop(), spire?.stop(), api?.close()])
  })

  const exchange = async (token: string) => {
    const response = await fetch(`${broker.url}/token-exchange`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        audience: 'crm',
        intent: 'Summarise customer 42',
      }),
    })
    const body = (await response.json()) as Record<string, unknown>
    return { status: response.status, body }
  }

  test('SP-04 SP-06 SP-08: a JWT-SVID opens a session and reaches the target', async () => {
    const svid = await spire.fetchJwtSvid(broker.url)
    const { status, body } = await exchange(svid)
    expect(body).toMatchObject({ token_type: 'Bearer' })
    expect(status).toBe(200)
    const handle = String(body['access_token'])
    const claims = JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString())
    expect(claims).toMatchObject({ sub: `spire:${SPIFFE_ID}`, client_id: 'spire' })
    const answer = await fetch(`${broker.url}/t/crm/v1/customers/42`, {
      headers: { authorization: `Bearer ${handle}` },
    })
    expect(answer.status).toBe(200)
    expect(api.served).toContain('GET /v1/customers/42')
  })

  test('SP-04: a JWT-SVID for another audience opens nothing', async () => {
    const svid = await spire.fetchJwtSvid('https://other.example')
    expect(await exchange(svid)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  test('SP-06: a token of the same SPIFFE ID by a key outside the bundle opens nothing', async () => {
    const stranger = await startIssuer()
    try {
      const forged = await stranger.workloadToken({ sub: SPIFFE_ID, aud: [broker.url] })
      const refused = { status: 400, body: { error: 'invalid_request' } }
      expect(await exchange(forged)).toMatchObject(refused)
    } finally {
      await stranger.close()
    }
  })
})

function policyOf(url: string, spire: Spire, api: ProtectedApi): unknown {
  return {
    auth_methods: [
      {
        name: 'spire',
        type: 'spiffe-jwt',
        config: {
          trust_domain: TRUST_DOMAIN,
          spiffe_ids: ['/support/*'],
          audiences: [url],
          bundle_endpoint_url: spire.bundleUrl,
          bundle_profile: 'https_web',
        },
      },
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: api.url },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
      },
    ],
    bindings: [
      {
        name: 'summariser-crm',
        auth_method: 'spire',
        target: 'crm',
        grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
        ttl_seconds: 120,
        owner: 'tests',
      },
    ],
  }
}
