// What the broker signs for others, on every entry: ID-JAGs and transaction tokens under the keys of
// ISSUER/federation. The other end is real: a second broker redeems the ID-JAGs, and unmodified clients verify.
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProofKey, proofKey } from '../fakes/proof-key.ts'
import {
  applyPolicy,
  ENTRIES,
  policyOf,
  startWorld,
  TOKEN_EXCHANGE,
  TT,
  type World,
} from './world.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const LOGIN_CLIENT = 'chat-agent'

type Form = Readonly<Record<string, string | null>>
type Body = Readonly<Record<string, unknown>>
type Headers = Readonly<Record<string, string>>

/** `chat` is the other broker, `mesh` a trust domain; users sign in at the issuer as the agent's client. */
function policyOfIssuing(world: World, downstream: World) {
  const policy = policyOf(world)
  const login = { issuer: world.issuer.url, audiences: [LOGIN_CLIENT, 'other-client'] }
  const chat = {
    audience: downstream.url,
    client_id: 'agent-at-chat',
    subject_issuer: world.issuer.url,
    login_client_id: LOGIN_CLIENT,
    resource: `${downstream.url}/t/crm`,
    scopes: { read: 'read', write: 'write', delete: 'delete' },
  }
  const mesh = {
    audience: 'mesh.example',
    scopes: { 'orders.read': 'read', 'orders.pay': 'write' },
  }
  const handingOver = { auth_method: 'ci', delivery: 'credential', ttl_seconds: 200 }
  const users = { on_behalf_of: ['people'] }
  const onMesh = {
    ...handingOver,
    target: 'mesh',
    grants: [{ effects: ['read'], objects: ['orders.*'] }],
  }
  return {
    ...policy,
    auth_methods: [
      ...policy.auth_methods,
      { name: 'people', type: 'oidc', subject: 'user', config: login },
    ],
    targets: [
      ...policy.targets,
      { name: 'chat', type: 'id-jag', config: chat },
      { name: 'mesh', type: 'txn-token', config: mesh },
    ],
    bindings: [
      ...policy.bindings,
      {
        ...handingOver,
        ...users,
        name: 'people-chat',
        target: 'chat',
        grants: [{ effects: ['read'], objects: ['**'] }],
        delegate_to: ['ci'],
      },
      { ...onMesh, name: 'mesh' },
      { ...onMesh, ...users, name: 'people-mesh' },
    ],
  }
}

/** The other broker trusts the federation issuer of the first for its users. */
function policyOfDownstream(downstream: World, upstream: World) {
  const policy = policyOf(downstream)
  const [crm] = policy.bindings
  const config = {
    issuer: `${upstream.url}/federation`,
    audiences: ['nobody-signs-in-with-this'],
    id_jag: { clients: { 'agent-at-chat': 'ci:agent-7' } },
  }
  return {
    ...policy,
    auth_methods: [
      ...policy.auth_methods,
      { name: 'colleagues', type: 'oidc', subject: 'user', config },
    ],
    bindings: [{ ...crm, name: 'colleagues-crm', on_behalf_of: ['colleagues'] }],
  }
}

describe.each(ENTRIES)('issued tokens on the %s entry', (entry) => {
  let world: World
  let downstream: World
  let key: ProofKey
  beforeAll(async () => {
    ;[world, downstream] = await Promise.all([startWorld(entry), startWorld('node')])
    await applyPolicy(world, policyOfIssuing(world, downstream))
    await applyPolicy(downstream, policyOfDownstream(downstream, world))
    key = await proofKey()
  })
  afterAll(() => Promise.all([world?.stop(), downstream?.stop()]))

  const idToken = (claims: Body = {}) =>
    world.token({ sub: 'ada', aud: LOGIN_CLIENT, team: undefined, ...claims })

  async function ask(form: Form, headers: Headers = {}): Promise<Response> {
    const given = Object.entries({ grant_type: TOKEN_EXCHANGE, ...form })
    const pairs = given.filter((pair): pair is [string, string] => pair[1] !== null)
    return world.post(pairs, { headers })
  }

  async function askIdJag(over: Form = {}, headers: Headers = {}): Promise<Response> {
    const form = {
      requested_token_type: `${TT}id-jag`,
      subject_token: await idToken(),
      subject_token_type: `${TT}id_token`,
      actor_token: await world.token(),
      actor_token_type: `${TT}jwt`,
      audience: 'chat',
      ...over,
    }
    return ask(form, headers)
  }

  async function askTxnToken(over: Form = {}): Promise<Response> {
    return ask({
      requested_token_type: `${TT}txn_token`,
      subject_token: await world.token(),
      subject_token_type: `${TT}jwt`,
      audience: 'mesh',
      scope: 'read:orders.read',
      ...over,
    })
  }

  async function granted(response: Response): Promise<Body & { access_token: string }> {
    const body = (await response.json()) as Body & { access_token: string }
    expect({ status: response.status, body }).toMatchObject({ status: 200 })
    expect(response.headers.get('cache-control')).toBe('no-store')
    return body
  }

  async function refused(response: Response, error: string, status = 400): Promise<Body> {
    const body = (await response.json()) as Body
    expect({ status: response.status, body }).toMatchObject({ status, body: { error } })
    return body
  }

  const issue = async (over: Form = {}, headers: Headers = {}) =>
    (await granted(await askIdJag(over, headers))).access_token

  async function redeem(assertion: string, headers: Headers = {}, agent: Body = {}) {
    const form = {
      grant_type: JWT_BEARER,
      assertion,
      client_assertion: await downstream.token(agent),
      client_assertion_type: ASSERTION_TYPE,
    }
    return downstream.post(form, { headers })
  }

  async function eventsOf(decisionId: unknown): Promise<readonly Body[]> {
    const answer = await world.admin('GET', `/audit?decision=${String(decisionId)}`)
    return ((await answer.json()) as { items: Body[] }).items
  }

  const verified = async (token: string, typ: string, audience: string) => {
    const issuer = `${world.url}/federation`
    const found = await oauth.discoveryRequest(new URL(issuer), {
      [oauth.allowInsecureRequests]: true,
    })
    const metadata = await oauth.processDiscoveryResponse(new URL(issuer), found)
    const keys = createRemoteJWKSet(new URL(String(metadata.jwks_uri)))
    return jwtVerify(token, keys, { issuer, audience, typ, algorithms: ['ES256'] })
  }

  describe('the federation issuer', () => {
    const read = async (path: string) => fetch(`${world.url}/federation/.well-known/${path}`)

    test('publishes what a cloud needs to trust it, to be kept for a while', async () => {
      const response = await read('openid-configuration')
      expect(await response.json()).toEqual({
        issuer: `${world.url}/federation`,
        jwks_uri: `${world.url}/federation/.well-known/jwks.json`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
        claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti'],
      })
      expect(response.headers.get('content-type')).toMatch(/^application\/json/)
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
    })

    test('has keys of its own, of which the public members alone are shown', async () => {
      const response = await read('jwks.json')
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
      const { keys } = (await response.json()) as { keys: Body[] }
      const own = await fetch(`${world.url}/.well-known/jwks.json`)
      const handleKeys = ((await own.json()) as { keys: Body[] }).keys
      expect(keys.length).toBeGreaterThan(0)
      for (const jwk of keys) {
        expect(Object.keys(jwk).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
        expect(handleKeys.map(({ kid }) => kid)).not.toContain(jwk['kid'])
      }
    })

    test('is nothing else: no endpoint of the broker is below it', async () => {
      for (const path of ['oauth-authorization-server', 'jwks', 'openid-configuration/x']) {
        expect((await read(path)).status).toBe(404)
      }
      const posted = await fetch(`${world.url}/federation/token-exchange`, { method: 'POST' })
      expect(posted.status).toBe(404)
    })

    test('CA-01: the metadata of the broker names what can be asked for', async () => {
      const response = await fetch(`${world.url}/.well-known/oauth-authorization-server`)
      expect(await response.json()).toMatchObject({
        requested_token_types_supported: expect.arrayContaining([`${TT}id-jag`, `${TT}txn_token`]),
        identity_chaining_requested_token_types_supported: [`${TT}id-jag`],
      })
    })
  })

  describe('an ID-JAG', () => {
    test('is answered as RFC 8693 has it: no access token, and no refresh token', async () => {
      const body = await granted(await askIdJag({ intent: 'answer Ada' }))
      expect(body).toMatchObject({
        issued_token_type: `${TT}id-jag`,
        token_type: 'N_A',
        scope: 'read',
        authorization_details: [{ type: 'agent_intent', purpose: 'answer Ada' }],
      })
      expect(body).not.toHaveProperty('refresh_token')
      expect(body['expires_in']).toBeLessThanOrEqual(200)
      expect(body['expires_in']).toBeGreaterThan(150)
    })

    test('verifies with the published keys in unmodified clients, and says who acts for whom', async () => {
      const token = await issue()
      const { payload } = await verified(token, 'oauth-id-jag+jwt', downstream.url)
      expect(payload).toMatchObject({
        sub: 'ada',
        aud: downstream.url,
        client_id: 'agent-at-chat',
        resource: `${downstream.url}/t/crm`,
        scope: 'read',
        act: { iss: `${world.url}/federation`, sub: 'ci:agent-7' },
      })
      expect(payload.jti).toBeTypeOf('string')
      expect(payload).not.toHaveProperty('cnf')
    })

    test('is redeemed by another broker: the agent acts there for the user, within what was granted', async () => {
      const body = await granted(await redeem(await issue()))
      expect(body).toMatchObject({
        token_type: 'Bearer',
        session: { targets: { crm: expect.any(String) } },
      })
      const handle = decodeJwt(body.access_token)
      expect(handle).toMatchObject({ sub: 'colleagues:ada', client_id: 'ci' })
      expect((await downstream.call(body.access_token, 'crm/v1/customers/1')).status).toBe(200)
      const write = await downstream.call(body.access_token, 'crm/v1/notes', { method: 'POST' })
      expect(write.status).toBe(403)
    })

    test('is redeemed once, and by the agent alone that it was issued to', async () => {
      const token = await issue()
      await refused(await redeem(token, {}, { sub: 'agent-8' }), 'invalid_grant')
      await granted(await redeem(token))
      await refused(await redeem(token), 'invalid_grant')
    })

    test('DPoP: bound to the key of the request, it is redeemed with a proof by that key', async () => {
      const dpop = await key.proof({ url: `${world.url}/token-exchange` })
      const token = await issue({}, { dpop })
      expect(decodeJwt(token)).toMatchObject({ cnf: { jkt: key.jkt } })
      const there = { url: `${downstream.url}/token-exchange` }
      await refused(await redeem(token), 'invalid_grant')
      const other = await (await proofKey()).proof(there)
      await refused(await redeem(token, { dpop: other }), 'invalid_grant')
      const body = await granted(await redeem(token, { dpop: await key.proof(there) }))
      expect(body['token_type']).toBe('DPoP')
    })

    test('its scope is never wider than the grants, whatever is asked for', async () => {
      for (const scope of ['write', 'read:nothing', 'delete:delete']) {
        await refused(await askIdJag({ scope }), 'invalid_scope')
      }
      const token = await issue({ scope: 'read write delete:delete' })
      expect(decodeJwt(token)['scope']).toBe('read')
    })

    test('is asked for as its profile has it: by the issuer and the resource of the downstream', async () => {
      const resource = `${downstream.url}/t/crm`
      const form = { audience: downstream.url, resource, scope: 'read' }
      const token = await issue(form)
      expect(decodeJwt(token)).toMatchObject({ aud: downstream.url, resource, scope: 'read' })
      await granted(await redeem(token))
      await issue({ audience: null, resource })
      await refused(await askIdJag({ ...form, resource: `${resource}/x` }), 'invalid_target')
      await refused(await askIdJag({ ...form, audience: `${downstream.url}/` }), 'invalid_target')
      await refused(await askIdJag({ ...form, audience: 'crm' }), 'invalid_target')
    })

    test('is of a user: an agent alone, or a user alone, gets none', async () => {
      const alone = { actor_token: null, actor_token_type: null }
      const agent = { ...alone, subject_token: await world.token(), subject_token_type: `${TT}jwt` }
      await refused(await askIdJag(agent), 'invalid_target')
      await refused(await askIdJag(alone), 'invalid_target')
    })

    test('GHSA-7fpj-9hr8-28vh: an ID token that was issued to another client buys none, and the log says why', async () => {
      const other = await idToken({ aud: 'other-client' })
      const body = await refused(await askIdJag({ subject_token: other }), 'invalid_request')
      const events = await eventsOf(body['decision_id'])
      expect(events.map(({ type, reason }) => [type, reason])).toEqual([
        ['refusal', 'other_client'],
      ])
      const several = await idToken({ aud: [LOGIN_CLIENT, 'other-client'], azp: 'other-client' })
      await refused(await askIdJag({ subject_token: several }), 'invalid_request')
    })

    test.each(['id-jag', 'saml2', 'refresh_token', 'access_token', 'txn_token'])(
      'a subject of type %s buys none',
      async (type) => {
        const form = { subject_token: await issue(), subject_token_type: `${TT}${type}` }
        await refused(await askIdJag(form), 'invalid_request')
      },
    )

    test('buys no further hop where it is redeemed, and nothing where it was issued', async () => {
      const token = await issue()
      const form = { grant_type: JWT_BEARER, assertion: token, audience: 'crm' }
      const client = {
        client_assertion: await world.token(),
        client_assertion_type: ASSERTION_TYPE,
      }
      await refused(await world.post({ ...form, ...client }), 'invalid_grant')
      const hop = { ...form, ...client, requested_token_type: `${TT}id-jag` }
      await refused(await world.post(hop), 'invalid_request')
    })

    test('is asked for by its own type, for one target at a time', async () => {
      await refused(await askIdJag({ requested_token_type: `${TT}txn_token` }), 'invalid_target')
      await refused(await askIdJag({ audience: 'crm' }), 'invalid_target')
      const form = [
        ['grant_type', TOKEN_EXCHANGE],
        ['requested_token_type', `${TT}id-jag`],
        ['subject_token', await idToken()],
        ['subject_token_type', `${TT}id_token`],
        ['actor_token', await world.token()],
        ['actor_token_type', `${TT}jwt`],
        ['audience', 'chat'],
        ['audience', 'mesh'],
      ] as const
      const response = await world.post(form)
      expect(response.status).toBe(400)
    })

    test('AC-03: a sub-agent gets one for the user of its parent, and it names both agents', async () => {
      const parent = await granted(await askIdJag({ requested_token_type: `${TT}access_token` }))
      const below = {
        subject_token: parent.access_token,
        subject_token_type: `${TT}access_token`,
        actor_token: await world.token({ sub: 'agent-8' }),
      }
      const iss = `${world.url}/federation`
      expect(decodeJwt(await issue(below))).toMatchObject({
        sub: 'ada',
        scope: 'read',
        act: { iss, sub: 'ci:agent-8', act: { iss, sub: 'ci:agent-7' } },
      })
      await refused(await askIdJag({ ...below, scope: 'write' }), 'invalid_scope')
      const ended = new URLSearchParams({ token: parent.access_token })
      await fetch(`${world.url}/revoke`, { method: 'POST', body: ended })
      const late = { ...below, actor_token: await world.token({ sub: 'agent-8' }) }
      await refused(await askIdJag(late), 'invalid_request')
    })

    test('is recorded before and after, by its hash', async () => {
      const body = await granted(await askIdJag())
      const { decision_id: id } = body['session'] as Body
      const events = await eventsOf(id)
      expect(events.map(({ type }) => type)).toEqual(['decision', 'grant'])
      expect(events[0]).toMatchObject({
        action: { name: 'id_jag.issue', target: 'chat', audience: downstream.url, scope: 'read' },
      })
      const { header, signature } = parts(body.access_token)
      expect(JSON.stringify(events)).toContain(String(decodeJwt(body.access_token).jti))
      expect(JSON.stringify(events)).not.toContain(signature)
      expect(JSON.stringify(events)).not.toContain(header)
    })
  })

  describe('a transaction token', () => {
    test('verifies with the published keys, for the trust domain, for a minute, with no refresh token', async () => {
      const body = await granted(await askTxnToken({ intent: 'pay the order' }))
      expect(body).toMatchObject({ issued_token_type: `${TT}txn_token`, token_type: 'N_A' })
      expect(body).not.toHaveProperty('refresh_token')
      expect(body['expires_in']).toBeLessThanOrEqual(60)
      const { payload } = await verified(body.access_token, 'txntoken+jwt', 'mesh.example')
      const { id } = body['session'] as Body
      expect(payload).toMatchObject({
        txn: id,
        sub: 'ci:agent-7',
        req_wl: 'ci:agent-7',
        scope: 'orders.read',
        tctx: {
          session: id,
          declared: { purpose_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        },
        rctx: { auth_method: 'ci' },
      })
      expect(JSON.stringify(payload)).not.toContain('pay the order')
    })

    test('of a user names the user, and the workload that asks', async () => {
      const user = {
        subject_token: await idToken(),
        subject_token_type: `${TT}id_token`,
        actor_token: await world.token(),
        actor_token_type: `${TT}jwt`,
      }
      const { access_token: token } = await granted(await askTxnToken(user))
      expect(decodeJwt(token)).toMatchObject({ sub: 'people:ada', req_wl: 'ci:agent-7' })
    })

    test('scope escalation is refused, and so is a scope that nobody knows or none', async () => {
      for (const scope of [
        'write:orders.pay',
        'read:payroll',
        'read:orders.read read:orders.none',
      ]) {
        await refused(await askTxnToken({ scope }), 'invalid_scope')
      }
      await refused(await askTxnToken({ scope: null }), 'invalid_request')
      await refused(await askTxnToken({ scope: '' }), 'invalid_request')
    })

    test('is asked for as its profile has it: by trust domain, and its own scope', async () => {
      const form = { audience: 'mesh.example', scope: 'orders.read' }
      const { access_token: token } = await granted(await askTxnToken(form))
      expect(decodeJwt(token)).toMatchObject({ aud: 'mesh.example', scope: 'orders.read' })
      for (const scope of ['orders.pay', 'orders.read orders.pay', 'payroll', 'orders.*']) {
        await refused(await askTxnToken({ ...form, scope }), 'invalid_scope')
      }
    })

    test('wrong audience: a trust domain or a name that is no target, or that of another kind', async () => {
      for (const audience of ['other.example', 'elsewhere', 'MESH.example', downstream.url]) {
        await refused(await askTxnToken({ audience }), 'invalid_target')
      }
      const handle = { requested_token_type: null, audience: 'mesh.example' }
      await refused(await askTxnToken(handle), 'invalid_target')
    })

    test('is no subject: there are no replacement tokens, and no refresh token makes one', async () => {
      const { access_token: token } = await granted(await askTxnToken())
      const expired = await world.keys.sign(
        JSON.stringify({ ...decodeJwt(token), exp: 1 }),
        JSON.stringify(decodeProtectedHeader(token)),
      )
      for (const subject_token of [token, expired, 'rt_8f14e45fceea167a5a36dedd4bea2543']) {
        for (const type of ['txn_token', 'refresh_token', 'jwt', 'self_signed', 'unsigned_json']) {
          const form = { subject_token, subject_token_type: `${TT}${type}` }
          await refused(await askTxnToken(form), 'invalid_request')
        }
      }
    })

    test('request_context and request_details are not read: nothing of them is in it', async () => {
      const form = {
        request_context: '{"req_ip":"6.6.6.6"}',
        request_details: '{"approved":true}',
      }
      const { access_token: token } = await granted(await askTxnToken(form))
      expect(JSON.stringify(decodeJwt(token))).not.toMatch(/6\.6\.6\.6|approved/)
    })
  })

  test('targets that issue tokens have nothing below /t/, and no handle is of use there', async () => {
    const handle = await world.handle()
    for (const path of ['chat', 'chat/credentials', 'mesh/x']) {
      const response = await world.call(handle, path)
      expect(response.status).toBeGreaterThanOrEqual(401)
      expect(await response.text()).not.toContain('eyJ')
    }
  })
})

function parts(token: string) {
  const [header = '', , signature = ''] = token.split('.')
  return { header, signature }
}
