// Clients that know nothing of this broker: what openid-client and oauth4webapi, unmodified, accept.
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

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

let issuer: Issuer
let api: ProtectedApi
let broker: BrokerProcess

beforeAll(async () => {
  ;[issuer, api] = await Promise.all([startIssuer(), startProtectedApi()])
  broker = await startBrokerProcess({
    secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
    policy: (url) => ({
      auth_methods: [
        {
          name: 'runtime',
          type: 'oidc',
          config: { issuer: issuer.url, audiences: [url], match: { sub: 'pod/bot' } },
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
          name: 'bot-crm',
          auth_method: 'runtime',
          target: 'crm',
          grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
          ttl_seconds: 120,
          owner: 'tests',
        },
      ],
    }),
  })
})

afterAll(async () => {
  await Promise.all([broker?.stop(), issuer?.close(), api?.close()])
})

const parameters = async (over: Readonly<Record<string, string>> = {}) => ({
  subject_token: await issuer.workloadToken({ aud: broker.url, sub: 'pod/bot' }),
  subject_token_type: JWT,
  audience: 'crm',
  ...over,
})

async function read(handle: string): Promise<number> {
  const headers = { authorization: `Bearer ${handle}` }
  return (await fetch(`${broker.url}/t/crm/v1/customers/42`, { headers })).status
}

/** There are no registered clients; an introspector shows the handle itself (design: IN-01). */
const bearing =
  (handle: string): openid.ClientAuth =>
  (_as, _client, _body, headers) =>
    headers.set('authorization', `Bearer ${handle}`)

describe('openid-client', () => {
  const discover = (auth: openid.ClientAuth = openid.None()) =>
    openid.discovery(new URL(broker.url), 'revenue-bot', undefined, auth, {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    })

  test('MD-01 RS-01..04: discovers, exchanges, calls, introspects and revokes', async () => {
    const config = await discover()
    expect(config.serverMetadata().issuer).toBe(broker.url)
    const granted = await openid.genericGrantRequest(config, GRANT, await parameters())
    expect(granted).toMatchObject({
      token_type: 'bearer',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      scope: 'read:GET%20/v1/customers/*',
    })
    expect(granted.expires_in).toBeLessThanOrEqual(120)
    expect(await read(granted.access_token)).toBe(200)

    const own = await discover(bearing(granted.access_token))
    const seen = await openid.tokenIntrospection(own, granted.access_token)
    expect(seen).toMatchObject({ active: true, iss: broker.url, client_id: 'runtime' })

    await openid.tokenRevocation(config, granted.access_token)
    expect(await read(granted.access_token)).toBe(401)
  })

  test('reads a refusal as the OAuth error it is', async () => {
    const config = await discover()
    const refused = async (over: Readonly<Record<string, string>>) => {
      const body = await parameters(over)
      return openid.genericGrantRequest(config, GRANT, body).then(
        () => 'granted',
        (error: unknown) => (error instanceof openid.ResponseBodyError ? error.error : error),
      )
    }
    expect(await refused({ audience: 'nowhere' })).toBe('invalid_target')
    expect(await refused({ scope: 'delete' })).toBe('invalid_scope')
    expect(await refused({ subject_token: 'a.b.c' })).toBe('invalid_request')
    const other = await issuer.workloadToken({ aud: broker.url, sub: 'pod/other' })
    expect(await refused({ subject_token: other })).toBe('invalid_request')
  })
})

describe('oauth4webapi', () => {
  const client: oauth.Client = { client_id: 'revenue-bot' }
  const insecure = { [oauth.allowInsecureRequests]: true }

  async function discover(): Promise<oauth.AuthorizationServer> {
    const url = new URL(broker.url)
    const response = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure })
    return oauth.processDiscoveryResponse(url, response)
  }

  async function exchange(as: oauth.AuthorizationServer): Promise<oauth.TokenEndpointResponse> {
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      oauth.None(),
      GRANT,
      await parameters({ intent: 'Summarise customer 42' }),
      insecure,
    )
    return oauth.processGenericTokenEndpointResponse(as, client, response)
  }

  test('MD-01 RS-01..04: discovers, exchanges, calls, introspects and revokes', async () => {
    const as = await discover()
    const granted = await exchange(as)
    expect(granted.token_type).toBe('bearer')
    expect(await read(granted.access_token)).toBe(200)

    const auth = bearing(granted.access_token)
    const introspection = await oauth.introspectionRequest(
      as,
      client,
      auth,
      granted.access_token,
      insecure,
    )
    const seen = await oauth.processIntrospectionResponse(as, client, introspection)
    expect(seen).toMatchObject({ active: true, scope: granted.scope })

    const revocation = await oauth.revocationRequest(
      as,
      client,
      oauth.None(),
      granted.access_token,
      insecure,
    )
    await oauth.processRevocationResponse(revocation)
    expect(await read(granted.access_token)).toBe(401)
  })

  test('MD-04: finds the broker from the URL of a target (RFC 9728)', async () => {
    const resource = new URL(`${broker.url}/t/crm`)
    const response = await oauth.resourceDiscoveryRequest(resource, insecure)
    const found = await oauth.processResourceDiscoveryResponse(resource, response)
    expect(found.authorization_servers).toEqual([broker.url])
  })

  test('a resource server validates the handle with the published keys (RFC 9068)', async () => {
    const as = await discover()
    const granted = await exchange(as)
    const request = new Request(`${broker.url}/t/crm/v1/customers/42`, {
      headers: { authorization: `Bearer ${granted.access_token}` },
    })
    const claims = await oauth.validateJwtAccessToken(as, request, `${broker.url}/t/crm`, insecure)
    expect(claims).toMatchObject({ iss: broker.url, sub: 'runtime:pod/bot', client_id: 'runtime' })
  })
})
