// RFC 7523 as clients that know nothing of this broker do it: openid-client and oauth4webapi, unmodified, with a
// workload's JWT (MCP SEP-1933) and with an ID-JAG. The runner of MCP (@modelcontextprotocol/conformance, as of
// 0.2.0-alpha.12) has both only as tests of clients, with itself as the server (`auth/wif-jwt-bearer`,
// `auth/enterprise-managed-authorization`); what it has for servers needs a browser and an authorization endpoint.
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPeer, type Peer } from '../conformance/world.ts'
import { startProtectedApi, type ProtectedApi } from '../../functions/cli/quickstart-world.ts'
import { type TokenIssuer, tokenIssuer } from '../fakes/token-issuer.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

let keys: TokenIssuer
let issuer: Peer
let api: ProtectedApi
let broker: BrokerProcess

beforeAll(async () => {
  keys = await tokenIssuer('ES256')
  api = await startProtectedApi()
  issuer = await startPeer((request, response, peer) => {
    const body =
      request.url === '/jwks'
        ? { keys: [keys.publicJwk] }
        : { issuer: peer.url, jwks_uri: `${peer.url}/jwks` }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  const binding = {
    auth_method: 'runtime',
    target: 'crm',
    grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
    owner: 'tests',
  }
  broker = await startBrokerProcess({
    secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
    policy: (url) => ({
      auth_methods: [
        {
          name: 'runtime',
          type: 'oidc',
          config: { issuer: issuer.url, audiences: [url], match: { sub: 'pod/bot' } },
        },
        {
          name: 'people',
          type: 'oidc',
          subject: 'user',
          config: {
            issuer: issuer.url,
            audiences: ['portal'],
            id_jag: { clients: { 'revenue-bot': 'runtime:pod/bot' } },
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
        { ...binding, name: 'bot-crm' },
        { ...binding, name: 'people-crm', on_behalf_of: ['people'] },
      ],
    }),
  })
})
afterAll(async () => {
  await Promise.all([broker?.stop(), issuer?.close(), api?.close()])
})

function sign(typ: string, claims: Readonly<Record<string, unknown>>): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const payload = { iss: issuer.url, iat: now, exp: now + 300, ...claims }
  const { alg, kid } = keys
  return keys.sign(JSON.stringify(payload), JSON.stringify({ alg, kid, typ }))
}

const workload = (claims: Readonly<Record<string, unknown>> = {}) =>
  sign('JWT', { aud: broker.url, sub: 'pod/bot', ...claims })

const idJag = () =>
  sign('oauth-id-jag+jwt', {
    aud: broker.url,
    sub: 'ada',
    client_id: 'revenue-bot',
    jti: crypto.randomUUID(),
    resource: `${broker.url}/t/crm`,
  })

async function read(handle: string): Promise<number> {
  const headers = { authorization: `Bearer ${handle}` }
  return (await fetch(`${broker.url}/t/crm/v1/customers/42`, { headers })).status
}

describe('openid-client', () => {
  const discover = (auth: openid.ClientAuth = openid.None()) =>
    openid.discovery(new URL(broker.url), 'revenue-bot', undefined, auth, {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    })

  test('SEP-1933: a workload is granted a handle for its own JWT', async () => {
    const config = await discover()
    expect(config.serverMetadata().grant_types_supported).toContain(JWT_BEARER)
    const granted = await openid.genericGrantRequest(config, JWT_BEARER, {
      assertion: await workload(),
      resource: `${broker.url}/t/crm`,
    })
    expect(granted).toMatchObject({ token_type: 'bearer', scope: 'read:GET%20/v1/customers/*' })
    expect(await read(granted.access_token)).toBe(200)
  })

  test('C1: reads a refusal as invalid_grant, and others as what they are', async () => {
    const config = await discover()
    const refused = (form: Readonly<Record<string, string>>) =>
      openid.genericGrantRequest(config, JWT_BEARER, form).then(
        () => 'granted',
        (error: unknown) => (error instanceof openid.ResponseBodyError ? error.error : error),
      )
    const assertion = await workload()
    expect(await refused({ assertion: 'a.b.c', audience: 'crm' })).toBe('invalid_grant')
    const expired = await workload({ exp: 1 })
    expect(await refused({ assertion: expired, audience: 'crm' })).toBe('invalid_grant')
    expect(await refused({ assertion, audience: 'nowhere' })).toBe('invalid_target')
    expect(await refused({ assertion: await idJag() })).toBe('invalid_client')
  })

  test('ID-JAG §5: redeems what an identity provider issued for it', async () => {
    const attestation = await workload()
    const config = await discover((_as, _client, body) => {
      body.set('client_assertion_type', ASSERTION_TYPE)
      body.set('client_assertion', attestation)
    })
    const assertion = await idJag()
    const granted = await openid.genericGrantRequest(config, JWT_BEARER, { assertion })
    expect(await read(granted.access_token)).toBe(200)
    await expect(
      openid.genericGrantRequest(config, JWT_BEARER, { assertion }),
    ).rejects.toMatchObject({ error: 'invalid_grant' })
  })
})

describe('oauth4webapi', () => {
  const client: oauth.Client = { client_id: 'revenue-bot' }
  const insecure = { [oauth.allowInsecureRequests]: true }

  test('SEP-1933, DP-06: a workload is granted a bound handle for its own JWT', async () => {
    const discovered = await oauth.discoveryRequest(new URL(broker.url), {
      algorithm: 'oauth2',
      ...insecure,
    })
    const as = await oauth.processDiscoveryResponse(new URL(broker.url), discovered)
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      oauth.None(),
      JWT_BEARER,
      { assertion: await workload(), audience: 'crm' },
      { ...insecure, DPoP },
    )
    const granted = await oauth.processGenericTokenEndpointResponse(as, client, response)
    expect(granted.token_type).toBe('dpop')
    expect(await read(granted.access_token)).toBe(401)
  })
})
