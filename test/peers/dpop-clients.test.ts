// DPoP as clients that know nothing of this broker do it: openid-client and oauth4webapi, unmodified,
// with a nonce demanded of every proof and without.
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { proofKey } from '../fakes/proof-key.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

describe.each([
  ['without a nonce', {}],
  ['with a nonce in every proof', { SALLYPORT_DPOP_NONCE: '1' }],
])('DPoP %s', (_, env) => {
  let issuer: Issuer
  let api: ProtectedApi
  let broker: BrokerProcess
  const wantsNonce = 'SALLYPORT_DPOP_NONCE' in env

  beforeAll(async () => {
    ;[issuer, api] = await Promise.all([startIssuer(), startProtectedApi()])
    broker = await startBrokerProcess({
      env,
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
            require_proof: 'dpop',
            owner: 'tests',
          },
        ],
      }),
    })
  })
  afterAll(async () => {
    await Promise.all([broker?.stop(), issuer?.close(), api?.close()])
  })

  const parameters = async () => ({
    subject_token: await issuer.workloadToken({ aud: broker.url, sub: 'pod/bot' }),
    subject_token_type: JWT,
    audience: 'crm',
  })
  const customer = () => new URL(`${broker.url}/t/crm/v1/customers/42`)

  test('DP-01..DP-06, ER-08: openid-client exchanges and calls', async () => {
    const config = await openid.discovery(new URL(broker.url), 'bot', undefined, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    })
    const bare = openid.genericGrantRequest(config, GRANT, await parameters())
    await expect(bare).rejects.toMatchObject({ error: 'invalid_dpop_proof' })

    const pair = await openid.randomDPoPKeyPair('ES256')
    const DPoP = openid.getDPoPHandle(config, pair)
    const granted = await openid.genericGrantRequest(config, GRANT, await parameters(), { DPoP })
    expect(granted.token_type).toBe('dpop')
    const call = (dpop?: openid.DPoPHandle) =>
      openid.fetchProtectedResource(
        config,
        granted.access_token,
        customer(),
        'GET',
        null,
        new Headers(),
        dpop === undefined ? {} : { DPoP: dpop },
      )
    for (let n = 0; n < 3; n++) expect((await call(DPoP)).status).toBe(200)
    // It has seen no nonce yet, learns one from the refusal and calls again by itself.
    expect((await call(openid.getDPoPHandle(config, pair))).status).toBe(200)
    await expect(call()).rejects.toMatchObject({ status: 401 })
    const stolen = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
    await expect(call(stolen)).rejects.toMatchObject({ status: 401 })
  })

  test.each(['ES256', 'PS256', 'RS256', 'Ed25519'])(
    'DP-01..DP-06, ER-08: oauth4webapi exchanges and calls with %s',
    async (alg) => {
      const client: oauth.Client = { client_id: 'bot' }
      const insecure = { [oauth.allowInsecureRequests]: true }
      const discovered = await oauth.discoveryRequest(new URL(broker.url), {
        algorithm: 'oauth2',
        ...insecure,
      })
      const as = await oauth.processDiscoveryResponse(new URL(broker.url), discovered)
      const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg))
      let nonces = 0
      /** As its documentation says: once more with the nonce that came. */
      async function onceMore<T>(run: () => Promise<T>): Promise<T> {
        try {
          return await run()
        } catch (error) {
          if (!oauth.isDPoPNonceError(error)) throw error
          nonces += 1
          return run()
        }
      }
      const body = await parameters()
      const granted = await onceMore(async () => {
        const options = { DPoP, ...insecure }
        const auth = oauth.None()
        const sent = oauth.genericTokenEndpointRequest(as, client, auth, GRANT, body, options)
        return oauth.processGenericTokenEndpointResponse(as, client, await sent)
      })
      expect(granted.token_type).toBe('dpop')
      expect(nonces).toBe(wantsNonce ? 1 : 0)
      const call = () =>
        oauth.protectedResourceRequest(
          granted.access_token,
          'GET',
          customer(),
          new Headers(),
          null,
          { DPoP, ...insecure },
        )
      // The nonce came with the answer to the exchange.
      for (let n = 0; n < 2; n++) expect((await call()).status).toBe(200)
      expect(nonces).toBe(wantsNonce ? 1 : 0)
    },
  )

  if (wantsNonce) {
    test('ER-08: asks for its nonce once, in one uncacheable header', async () => {
      const key = await proofKey()
      const at = async (path: string, init: RequestInit, nonce?: string, token?: string) => {
        const url = `${broker.url}${path}`
        const headers = {
          ...(token === undefined ? {} : { authorization: `DPoP ${token}` }),
          dpop: await key.proof({
            url,
            method: init.method ?? 'GET',
            ...(token === undefined ? {} : { token }),
            claims: { nonce },
          }),
        }
        const response = await fetch(url, { ...init, headers })
        expect(response.headers.get('dpop-nonce')).toMatch(/^[\w-]{43}$/)
        expect(response.headers.get('cache-control')).toBe('no-store')
        const body = (await response.json()) as Readonly<Record<string, unknown>>
        return { status: response.status, headers: response.headers, body }
      }
      const form = { grant_type: GRANT, ...(await parameters()) }
      const post = { method: 'POST', body: new URLSearchParams(form) }
      const asked = await at('/token-exchange', post)
      expect(asked).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
      const nonce = String(asked.headers.get('dpop-nonce'))
      const wrong = await at('/token-exchange', post, `${nonce.slice(0, -1)}A`)
      expect(wrong).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
      const granted = await at('/token-exchange', post, nonce)
      expect(granted).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
      const token = String(granted.body['access_token'])
      const path = '/t/crm/v1/customers/42'
      const refused = await at(path, {}, undefined, token)
      expect(refused).toMatchObject({ status: 401, body: { code: 'use_dpop_nonce' } })
      expect(refused.headers.get('www-authenticate')).toMatch(
        /^DPoP error="use_dpop_nonce", algs="/,
      )
      expect((await at(path, {}, nonce, token)).status).toBe(200)
    })
  }

  test('RFC 9449 §7: a resource server finds the handle bound as it must be', async () => {
    const client: oauth.Client = { client_id: 'bot' }
    const insecure = { [oauth.allowInsecureRequests]: true }
    const url = new URL(broker.url)
    const discovered = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure })
    const as = await oauth.processDiscoveryResponse(url, discovered)
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    const body = await parameters()
    const exchange = () =>
      oauth.genericTokenEndpointRequest(as, client, oauth.None(), GRANT, body, {
        DPoP,
        ...insecure,
      })
    let response = await exchange()
    if (wantsNonce) {
      const failing = oauth.processGenericTokenEndpointResponse(as, client, response)
      await expect(failing).rejects.toMatchObject({ error: 'use_dpop_nonce' })
      response = await exchange()
    }
    const granted = await oauth.processGenericTokenEndpointResponse(as, client, response)
    let shown: Request | null = null
    const capture = (
      url_: string,
      { method, headers }: { method: string; headers: Record<string, string> },
    ) => {
      shown = new Request(url_, { method, headers })
      return Promise.resolve(new Response('{}'))
    }
    const options = { DPoP, ...insecure, [oauth.customFetch]: capture }
    const { access_token: token } = granted
    await oauth.protectedResourceRequest(token, 'GET', customer(), new Headers(), null, options)
    if (shown === null) throw new Error('nothing was sent')
    const checks = { requireDPoP: true, ...insecure }
    const claims = await oauth.validateJwtAccessToken(as, shown, `${broker.url}/t/crm`, checks)
    expect(claims.cnf?.jkt).toMatch(/^[\w-]{43}$/)
  })
})
