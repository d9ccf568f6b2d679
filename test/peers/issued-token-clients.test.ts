// An ID-JAG from one broker to another as clients that know of neither do it: openid-client asks the first for it
// and redeems it at the second, oauth4webapi reads the answer, jose verifies with what is published.
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

let issuer: Issuer
let api: ProtectedApi
let first: BrokerProcess
let second: BrokerProcess

beforeAll(async () => {
  ;[issuer, api] = await Promise.all([startIssuer(), startProtectedApi()])
  const agents = (url: string) => ({
    name: 'agents',
    type: 'oidc',
    config: { issuer: issuer.url, audiences: [url], match: { sub: 'pod/bot' } },
  })
  const binding = { auth_method: 'agents', on_behalf_of: ['people'], ttl_seconds: 120 }
  const people = (config: object) => ({ name: 'people', type: 'oidc', subject: 'user', config })
  // Each has to know the other's origin: the second gets its policy when the first is there.
  second = await startBrokerProcess({
    secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
    policy: () => ({ auth_methods: [], targets: [], bindings: [] }),
  })
  first = await startBrokerProcess({
    policy: (url) => ({
      auth_methods: [agents(url), people({ issuer: issuer.url, audiences: ['portal'] })],
      targets: [
        {
          name: 'second',
          type: 'id-jag',
          config: {
            audience: second.url,
            client_id: 'bot-at-second',
            subject_issuer: issuer.url,
            login_client_id: 'portal',
            resource: `${second.url}/t/crm`,
            scopes: { read: 'read' },
          },
        },
      ],
      bindings: [
        {
          ...binding,
          name: 'second',
          target: 'second',
          delivery: 'credential',
          grants: [{ effects: ['read'], objects: ['read'] }],
        },
      ],
    }),
  })
  await second.admin('POST', '/policy/apply', {
    auth_methods: [
      agents(second.url),
      people({
        issuer: `${first.url}/federation`,
        audiences: ['nobody'],
        id_jag: { clients: { 'bot-at-second': 'agents:pod/bot' } },
      }),
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
        ...binding,
        name: 'crm',
        target: 'crm',
        grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
      },
    ],
  })
})

afterAll(async () => {
  await Promise.all([first?.stop(), second?.stop(), issuer?.close(), api?.close()])
})

const attestation = ({ url }: BrokerProcess) => issuer.workloadToken({ aud: url, sub: 'pod/bot' })

const request = async () => ({
  requested_token_type: `${TT}id-jag`,
  subject_token: await issuer.workloadToken({ aud: 'portal', sub: 'ada' }),
  subject_token_type: `${TT}id_token`,
  actor_token: await attestation(first),
  actor_token_type: `${TT}jwt`,
  // As ID-JAG §4.3 has it: nothing of it is this broker's own.
  audience: second.url,
  resource: `${second.url}/t/crm`,
  scope: 'read',
})

const discover = ({ url }: BrokerProcess, auth: openid.ClientAuth = openid.None()) =>
  openid.discovery(new URL(url), 'bot-at-second', undefined, auth, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  })

describe('ID-JAG from broker to broker', () => {
  test('openid-client asks for it, redeems it, and acts for the user', async () => {
    const asked = await discover(first)
    const issued = await openid.genericGrantRequest(asked, TOKEN_EXCHANGE, await request())
    expect(issued).toMatchObject({ token_type: 'n_a', issued_token_type: `${TT}id-jag` })
    expect(issued.refresh_token).toBe(undefined)

    const own = await attestation(second)
    const redeemed = await discover(second, (_as, _client, body) => {
      body.set('client_assertion_type', ASSERTION_TYPE)
      body.set('client_assertion', own)
    })
    const granted = await openid.genericGrantRequest(redeemed, JWT_BEARER, {
      assertion: issued.access_token,
    })
    const headers = { authorization: `Bearer ${granted.access_token}` }
    const answer = await fetch(`${second.url}/t/crm/v1/customers/42`, { headers })
    expect(answer.status).toBe(200)
    const sessions = (await second.admin('GET', '/sessions')) as { items: object[] }
    expect(sessions.items[0]).toMatchObject({ on_behalf_of: { identity: 'people:ada' } })
  })

  test('oauth4webapi reads the answer, and finds the federation issuer by its own discovery', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const broker = new URL(first.url)
    const found = await oauth.discoveryRequest(broker, { algorithm: 'oauth2', ...insecure })
    const as = await oauth.processDiscoveryResponse(broker, found)
    const client = { client_id: 'bot-at-second' }
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      oauth.None(),
      TOKEN_EXCHANGE,
      await request(),
      insecure,
    )
    const issued = await oauth.processGenericTokenEndpointResponse(as, client, response, {
      recognizedTokenTypes: { n_a: () => undefined },
    })

    const issuerUrl = new URL(`${first.url}/federation`)
    const configuration = await oauth.discoveryRequest(issuerUrl, insecure)
    const { jwks_uri: uri } = await oauth.processDiscoveryResponse(issuerUrl, configuration)
    const keys = createRemoteJWKSet(new URL(String(uri)))
    const { payload } = await jwtVerify(issued.access_token, keys, {
      issuer: issuerUrl.href,
      audience: second.url,
      typ: 'oauth-id-jag+jwt',
      requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp'],
    })
    expect(payload['client_id']).toBe('bot-at-second')
  })
})
