// RFC 7523 on the wire, on every entry: a workload's own JWT as the grant (MCP SEP-1933), and ID-JAGs that a
// user's identity provider issued for one agent. Every fault of the assertion has the one answer.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProofKey, proofKey } from '../fakes/proof-key.ts'
import { applyPolicy, ENTRIES, policyOf, startWorld, TT, type World } from './world.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const ID_JAG = 'oauth-id-jag+jwt'

type Body = Readonly<Record<string, unknown>>
type Form = Readonly<Record<string, string | null>>
type Part = Readonly<Record<string, unknown>>

/** `people` has ID-JAGs for agents of `ci`; what those open for a user they do not open alone. */
function policyWithPeople(world: World) {
  const policy = policyOf(world)
  const [crm, billing] = policy.bindings
  const config = { issuer: world.issuer.url, audiences: ['people'] }
  const people = {
    name: 'people',
    type: 'oidc',
    subject: 'user',
    config: { ...config, id_jag: {} },
  }
  const users = { on_behalf_of: ['people'] }
  return {
    ...policy,
    auth_methods: [...policy.auth_methods, people],
    bindings: [
      crm,
      billing,
      { ...crm, ...users, name: 'people-crm' },
      { ...billing, ...users, name: 'people-billing' },
    ],
  }
}

describe.each(ENTRIES)('jwt-bearer on the %s entry', (entry) => {
  let world: World
  let key: ProofKey
  beforeAll(async () => {
    world = await startWorld(entry)
    await applyPolicy(world, policyWithPeople(world))
    key = await proofKey()
  })
  afterAll(() => world?.stop())

  const seconds = () => Math.floor(Date.now() / 1000)

  /** An ID-JAG as the identity provider would make it; undefined removes. */
  function idJag(claims: Part = {}, header: Part = {}): Promise<string> {
    const now = seconds()
    return world.keys.sign(
      JSON.stringify({
        iss: world.issuer.url,
        sub: 'ada',
        aud: world.url,
        client_id: 'ci:agent-7',
        jti: crypto.randomUUID(),
        iat: now,
        exp: now + 300,
        resource: `${world.url}/t/crm`,
        ...claims,
      }),
      JSON.stringify({ alg: world.keys.alg, kid: world.keys.kid, typ: ID_JAG, ...header }),
    )
  }

  function send(form: Form, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const given = Object.entries({ grant_type: JWT_BEARER, ...form })
    const pairs = given.filter((pair): pair is [string, string] => pair[1] !== null)
    return world.post(pairs, { headers })
  }

  async function bearer(form: Form = {}): Promise<Response> {
    return send({ assertion: await world.token(), audience: 'crm', ...form })
  }

  async function redeem(
    jag: Part = {},
    form: Form = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const parts = {
      assertion: await idJag(jag),
      client_assertion: await world.token(),
      client_assertion_type: ASSERTION_TYPE,
      ...form,
    }
    return send(parts, headers)
  }

  async function granted(response: Response): Promise<Body & { access_token: string }> {
    const body = (await response.json()) as Body & { access_token: string }
    expect({ status: response.status, error: body['error'] }).toEqual({ status: 200 })
    return body
  }

  async function refused(response: Response, error = 'invalid_grant', status = 400): Promise<Body> {
    const body = (await response.json()) as Body
    expect({ status: response.status, error: body['error'] }).toEqual({ status, error })
    expect(response.headers.get('cache-control')).toBe('no-store')
    return body
  }

  /** What a caller can tell refusals apart by. */
  const told = (body: Body) => JSON.stringify({ ...body, decision_id: null })

  const claimsOf = (handle: string) =>
    JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as Body

  async function eventOf(decisionId: unknown, type: string): Promise<Body | undefined> {
    const answer = await world.admin('GET', `/audit?decision=${String(decisionId)}`)
    const { items } = (await answer.json()) as { items: Body[] }
    return items.find((event) => event['type'] === type)
  }

  describe('a workload by its own JWT (MCP SEP-1933)', () => {
    test('is granted what a token exchange would grant it, in the form of RFC 6749 §5.1', async () => {
      const resource = `${world.url}/t/crm`
      const response = await bearer({ audience: null, resource, scope: 'read', intent: 'look up' })
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('pragma')).toBe('no-cache')
      const body = await granted(response)
      expect(body).toMatchObject({
        token_type: 'Bearer',
        expires_in: 300,
        scope: 'read:GET%20/v1/customers read:GET%20/v1/customers/*',
        authorization_details: [{ type: 'agent_intent', purpose: 'look up' }],
        session: { targets: { crm: resource } },
      })
      expect(body).not.toHaveProperty('issued_token_type')
      expect(body).not.toHaveProperty('refresh_token')
      expect(claimsOf(body.access_token)).toMatchObject({ sub: 'ci:agent-7', client_id: 'ci' })
      expect((await world.call(body.access_token, 'crm/v1/customers/1')).status).toBe(200)
    })

    test('DP-06: a proof binds the handle, as at a token exchange', async () => {
      const dpop = await key.proof({ url: `${world.url}/token-exchange` })
      const form = { assertion: await world.token(), audience: 'crm' }
      const body = await granted(await send(form, { dpop }))
      expect(body['token_type']).toBe('DPoP')
      expect(claimsOf(body.access_token)).toMatchObject({ cnf: { jkt: key.jkt } })
    })

    test('C1, ER-09, RB-15: every fault of the assertion has the one answer, invalid_grant', async () => {
      const other = 'https://issuer.example'
      const faults = [
        'a.b.c',
        'opaque',
        `${await world.token()} ${await world.token()}`,
        `${(await world.token()).slice(0, -8)}AAAAAAAA`,
        await world.token({ exp: 1 }),
        await world.token({ aud: 'elsewhere' }),
        await world.token({ iss: other }),
        await world.token({ team: 'sales' }),
        await world.token({ sub: undefined }),
        await world.handle(),
      ]
      const bodies = await Promise.all(
        faults.map(async (assertion) => refused(await bearer({ assertion }))),
      )
      expect(new Set(bodies.map(told)).size).toBe(1)
    })

    test('C1: the same fault is invalid_request at a token exchange', async () => {
      const response = await world.exchange({ subject_token: await world.token({ exp: 1 }) })
      await refused(response, 'invalid_request')
    })

    test('everything else has the codes of a token exchange', async () => {
      await refused(await bearer({ assertion: null }), 'invalid_request')
      await refused(await bearer({ assertion: '' }), 'invalid_request')
      await refused(await bearer({ audience: null }), 'invalid_target')
      await refused(await bearer({ audience: 'nowhere' }), 'invalid_target')
      await refused(await bearer({ audience: 'ghost' }), 'invalid_target')
      await refused(await bearer({ scope: 'delete' }), 'invalid_scope')
      await refused(await bearer({ authorization_details: '{' }), 'invalid_authorization_details')
      await refused(await bearer({ client_secret: 'x' }), 'invalid_client', 401)
      await refused(await bearer({ min_policy_revision: '9999' }), 'temporarily_unavailable', 503)
    })

    test('exactly one assertion, and nothing of the other grant beside it', async () => {
      const token = await world.token()
      const twice = [
        ['grant_type', JWT_BEARER],
        ['assertion', token],
        ['assertion', token],
        ['audience', 'crm'],
      ] as const
      await refused(await world.post(twice), 'invalid_request')
      for (const foreign of [
        { subject_token: token },
        { subject_token_type: `${TT}jwt` },
        { actor_token: token },
        { actor_token_type: `${TT}jwt` },
        { requested_token_type: `${TT}id-jag` },
      ]) {
        await refused(await bearer(foreign), 'invalid_request')
      }
      await refused(await world.exchange({ assertion: token }), 'invalid_request')
      expect((await bearer({ foo: 'bar' })).status).toBe(200)
    })

    test('auth_method restricts who may accept it', async () => {
      expect((await bearer({ auth_method: 'ci' })).status).toBe(200)
      await refused(await bearer({ auth_method: 'people' }))
    })

    test('a user alone is nobody’s agent', async () => {
      const assertion = await world.token({ aud: 'people', sub: 'ada' })
      await refused(await bearer({ assertion }), 'invalid_target')
      const client = {
        client_assertion: await world.token(),
        client_assertion_type: ASSERTION_TYPE,
      }
      await refused(await bearer({ assertion, ...client }), 'invalid_target')
    })
  })

  describe('an ID-JAG', () => {
    test('AC-03, AC-08: is redeemed by the agent that it was issued to, for its user', async () => {
      const act = { sub: 'portal', iss: 'https://portal.example' }
      const { access_token: handle, ...body } = await granted(await redeem({ act }))
      expect(body).toMatchObject({
        token_type: 'Bearer',
        session: { targets: { crm: `${world.url}/t/crm` } },
      })
      expect(claimsOf(handle)).toMatchObject({
        aud: [`${world.url}/t/crm`],
        sub: 'people:ada',
        client_id: 'ci',
        act: { iss: world.url, sub: 'ci:agent-7', act },
      })
      expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(200)
      const { decision_id: decisionId } = body['session'] as Body
      expect(await eventOf(decisionId, 'grant')).toMatchObject({
        identity: 'ci:agent-7',
        agent: {
          attested: { relation: 'delegation', on_behalf_of: { identity: 'people:ada' } },
        },
      })
    })

    test('`aud` is this broker and nobody else, as a text or as a list of one', async () => {
      await granted(await redeem({ aud: [world.url] }))
      for (const aud of [
        [world.url, 'https://elsewhere.example'],
        [world.url, world.url],
        `${world.url}/`,
        `${world.url}/token-exchange`,
        'people',
        [],
        undefined,
      ]) {
        await refused(await redeem({ aud }))
      }
    })

    test('`client_id` is the name of the agent that redeems it, and of no other', async () => {
      for (const client_id of ['agent-7', 'ci', 'ci:agent-8', 'people:ada', '', 7, undefined]) {
        await refused(await redeem({ client_id }))
      }
      const other = await world.token({ sub: 'agent-8' })
      await refused(await redeem({}, { client_assertion: other }))
      await granted(await redeem({ client_id: 'ci:agent-8' }, { client_assertion: other }))
    })

    test('CVE-2022-1245: the form parameter `client_id` makes nobody the client', async () => {
      const other = await world.token({ sub: 'agent-8' })
      const claimed = { client_assertion: other, client_id: 'ci:agent-7' }
      await refused(await redeem({}, claimed))
      await granted(await redeem({}, { client_id: 'ci:agent-8' }))
    })

    test('a token exchange issues none for a target that has none, and no transaction token', async () => {
      for (const type of ['id-jag', 'txn_token']) {
        const response = await world.exchange({ requested_token_type: `${TT}${type}` })
        await refused(response, 'invalid_target')
      }
    })

    test('CA-04: without an attested agent it is worth nothing', async () => {
      const none = { client_assertion: null, client_assertion_type: null }
      await refused(await redeem({}, none), 'invalid_client', 401)
      const expired = await world.token({ exp: 1 })
      const unattested = await redeem({}, { client_assertion: expired })
      const { decision_id: decisionId } = await refused(unattested, 'invalid_client', 401)
      expect(await eventOf(decisionId, 'refusal')).toMatchObject({ reason: 'expired' })
      const user = await world.token({ aud: 'people', sub: 'ci:agent-7' })
      await refused(await redeem({}, { client_assertion: user }))
      await refused(await redeem({}, { client_assertion: await idJag() }), 'invalid_client', 401)
    })

    test.each([
      ['missing jti', { jti: undefined }],
      ['missing iat', { iat: undefined }],
      ['missing exp', { exp: undefined }],
      ['missing sub', { sub: undefined }],
      ['another issuer', { iss: 'https://issuer.example' }],
      ['a life of more than five minutes', { exp: 2 ** 31 }],
      ['a key that this broker cannot check', { cnf: { kid: 'x' } }],
      ['rich details that nobody here reads', { authorization_details: [{ type: 'x' }] }],
      ['a resource that is no text', { resource: 7 }],
      ['a scope of another language', { scope: 'chat.read' }],
      ['may_act of another agent', { may_act: { sub: 'agent-8' } }],
    ])('C1: is refused with %s', async (_, claims) => {
      await refused(await redeem(claims))
    })

    test('C1, ER-09: the answers are alike whatever is wrong with it', async () => {
      const faults = [{ exp: 1 }, { aud: 'x' }, { client_id: 'x' }, { cnf: { jkt: key.jkt } }]
      const bodies = await Promise.all(faults.map(async (claims) => refused(await redeem(claims))))
      bodies.push(await refused(await bearer({ assertion: 'a.b.c' })))
      expect(new Set(bodies.map(told)).size).toBe(1)
    })

    test('RB-06: counts once, and only once something was granted for it', async () => {
      const assertion = await idJag()
      // workers-oauth-provider 771a207: a wrong target must not use it up.
      await refused(await redeem({}, { assertion, audience: 'ghost' }), 'invalid_target')
      await granted(await redeem({}, { assertion }))
      await refused(await redeem({}, { assertion }))
      const racing = await idJag()
      const all = await Promise.all(
        Array.from({ length: 5 }, () => redeem({}, { assertion: racing })),
      )
      expect(all.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400])
    })

    test('742e222: one with some seconds left is good for those', async () => {
      const body = await granted(await redeem({ exp: seconds() + 10 }))
      expect(body['expires_in']).toBeLessThanOrEqual(10)
    })

    test('`resource` covers every target, or the request is refused; it stands for what was not asked', async () => {
      const both = [`${world.url}/t/crm`, `${world.url}/t/billing`]
      const body = await granted(await redeem({ resource: both }))
      expect(Object.keys((body['session'] as { targets: Body }).targets)).toEqual([
        'crm',
        'billing',
      ])
      await granted(await redeem({ resource: both }, { audience: 'billing' }))
      await refused(await redeem({}, { audience: 'billing' }), 'invalid_target')
      for (const resource of [
        'https://elsewhere.example/t/crm',
        world.url,
        `${world.url}/t/crm/x`,
      ]) {
        await refused(await redeem({ resource }, { audience: 'crm' }), 'invalid_target')
        await refused(await redeem({ resource }), 'invalid_target')
      }
      await refused(await redeem({ resource: undefined }), 'invalid_target')
      await granted(await redeem({ resource: undefined }, { audience: 'billing' }))
    })

    test('f0f5dc0: its `scope` is the most that it gives', async () => {
      const scope = 'read:GET%20/v1/customers/*'
      expect(await granted(await redeem({ scope }))).toMatchObject({ scope })
      const asked = 'read write'
      expect(await granted(await redeem({ scope }, { scope: asked }))).toMatchObject({ scope })
      const one = 'read:GET%20/v1/customers/1'
      expect(await granted(await redeem({ scope }, { scope: one }))).toMatchObject({ scope: one })
      expect(await granted(await redeem({ scope: 'read' }, { scope: one }))).toMatchObject({
        scope: one,
      })
      await refused(await redeem({ scope }, { scope: 'write' }), 'invalid_scope')
      await refused(await redeem({ scope: 'delete' }), 'invalid_scope')
    })

    test('`cnf.jkt` demands a proof by that key, and the handle is bound to it', async () => {
      const bound = { cnf: { jkt: key.jkt } }
      const url = `${world.url}/token-exchange`
      await refused(await redeem(bound))
      const thief = await proofKey()
      await refused(await redeem(bound, {}, { dpop: await thief.proof({ url }) }))
      const body = await granted(await redeem(bound, {}, { dpop: await key.proof({ url }) }))
      expect(body['token_type']).toBe('DPoP')
      expect(claimsOf(body.access_token)).toMatchObject({ cnf: { jkt: key.jkt } })
    })

    test('opens only what a binding gives on behalf of its user', async () => {
      const policy = policyWithPeople(world)
      try {
        await applyPolicy(world, { ...policy, bindings: policy.bindings.slice(0, 2) })
        await refused(await redeem(), 'invalid_target')
      } finally {
        await applyPolicy(world, policyWithPeople(world))
      }
    })

    test('a method that no longer takes ID-JAGs ends what they opened', async () => {
      const { access_token: handle } = await granted(await redeem())
      const policy = policyWithPeople(world)
      const methods = policy.auth_methods.map((method) =>
        method.name === 'people'
          ? { ...method, config: { issuer: world.issuer.url, audiences: ['people'] } }
          : method,
      )
      try {
        await applyPolicy(world, { ...policy, auth_methods: methods })
        expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(403)
        await refused(await redeem())
      } finally {
        await applyPolicy(world, policy)
      }
      expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(200)
    })
  })

  test('MD-05: discovery names the grant and its profile, and no issuer', async () => {
    const response = await fetch(`${world.url}/.well-known/oauth-authorization-server`)
    const metadata = (await response.json()) as Body
    expect(metadata).toMatchObject({
      grant_types_supported: expect.arrayContaining([JWT_BEARER]),
      authorization_grant_profiles_supported: ['urn:ietf:params:oauth:grant-profile:id-jag'],
    })
    expect(JSON.stringify(metadata)).not.toContain(world.issuer.url)
  })
})
