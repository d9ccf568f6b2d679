// RFC 8693 on the wire: request (TX), answer (RS), errors (ER) and the conflict decisions (C1-C10) of
// the standards checklist, against every entry as shipped.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENTRIES, startPeer, startWorld, TOKEN_EXCHANGE, TT, type World } from './world.ts'

type Body = Record<string, unknown> & { error?: string; error_description?: string }

async function bodyOf(response: Response): Promise<Body> {
  return (await response.json()) as Body
}

describe.each(ENTRIES)('token exchange on %s', (entry) => {
  let world: World
  beforeAll(async () => {
    world = await startWorld(entry)
  })
  afterAll(() => world.stop())

  async function refused(response: Response, status: number, error: string): Promise<Body> {
    const body = await bodyOf(response)
    expect({ status: response.status, error: body.error }).toEqual({ status, error })
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(String(body.error_description)).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/)
    return body
  }

  test('RS-01..RS-06, RS-09, C5: a granted exchange answers as RFC 8693 §2.2.1 says', async () => {
    const response = await world.exchange({ scope: 'read', intent: 'look a customer up' })
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('pragma')).toBe('no-cache')
    const body = await bodyOf(response)
    expect(body).toMatchObject({
      issued_token_type: `${TT}access_token`,
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'read:GET%20/v1/customers read:GET%20/v1/customers/*',
      authorization_details: [{ type: 'agent_intent', purpose: 'look a customer up' }],
      session: { targets: { crm: `${world.url}/t/crm` } },
    })
    expect(body).not.toHaveProperty('refresh_token')
    expect(typeof body['expires_in']).toBe('number')
  })

  test('AT-01: the handle is an RFC 9068 access token with its targets as audience', async () => {
    const handle = await world.handle()
    const [header = '', payload = ''] = handle.split('.')
    const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Body
    expect(decode(header)).toMatchObject({ typ: 'at+jwt', alg: 'ES256' })
    const claims = decode(payload)
    expect(claims).toMatchObject({
      iss: world.url,
      aud: [`${world.url}/t/crm`],
      sub: 'ci:agent-7',
      client_id: 'ci',
    })
    for (const name of ['sid', 'jti', 'iat', 'exp', 'scope']) expect(claims).toHaveProperty(name)
    expect(JSON.stringify(claims)).not.toContain('purpose')
  })

  test('RS-05: a handle never outlives the token that bought it', async () => {
    const now = Math.floor(Date.now() / 1000)
    const token = await world.token({ exp: now + 30 })
    const body = await bodyOf(await world.exchange({ subject_token: token }))
    expect(body['expires_in']).toBeLessThanOrEqual(30)
  })

  test('TX-01: grant_type is required, and only token exchange is supported', async () => {
    await refused(await world.exchange({ grant_type: null }), 400, 'invalid_request')
    await refused(await world.exchange({ grant_type: 'foo' }), 400, 'unsupported_grant_type')
  })

  test('TX-02: only a POSTed form is read, and nothing in the query', async () => {
    const get = await fetch(`${world.url}/token-exchange`)
    expect(get.status).toBe(405)
    expect(get.headers.get('allow')).toBe('POST')
    const json = await world.post(
      {},
      { body: '{"grant_type":"x"}', headers: { 'content-type': 'application/json' } },
    )
    await refused(json, 400, 'invalid_request')
    const query = new URLSearchParams({ scope: 'read' })
    const inQuery = await fetch(`${world.url}/token-exchange?${query}`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: TOKEN_EXCHANGE }),
    })
    await refused(inQuery, 400, 'invalid_request')
  })

  test('TX-03: subject_token and subject_token_type are required', async () => {
    await refused(await world.exchange({ subject_token: '' }), 400, 'invalid_request')
    await refused(await world.exchange({ subject_token_type: null }), 400, 'invalid_request')
  })

  test('TX-04: actor_token and actor_token_type come together or not at all', async () => {
    await refused(await world.exchange({ actor_token: 'x' }), 400, 'invalid_request')
    await refused(await world.exchange({ actor_token_type: `${TT}jwt` }), 400, 'invalid_request')
  })

  test.each([
    ['TX-05 unknown', 'urn:example:whatever'],
    ['TX-06 a foreign token is no access token of ours', `${TT}access_token`],
    ['TX-07 saml2', `${TT}saml2`],
    ['TX-05 refresh', `${TT}refresh_token`],
    ['ER-02 odd characters', 'é"\n'],
  ])('the token type is taken at its word: %s', async (_, type) => {
    await refused(await world.exchange({ subject_token_type: type }), 400, 'invalid_request')
  })

  test('TX-07: an actor_token that does not verify refuses a good subject', async () => {
    const expired = await world.token({ exp: 1 })
    const over = { actor_token: expired, actor_token_type: `${TT}jwt` }
    await refused(await world.exchange(over), 400, 'invalid_request')
  })

  test('TX-08: an empty parameter is an absent one', async () => {
    const body = await bodyOf(await world.exchange({ scope: '', requested_token_type: '' }))
    expect(body['scope']).toContain('write')
    await refused(
      await world.exchange({ actor_token: '', actor_token_type: `${TT}jwt` }),
      400,
      'invalid_request',
    )
  })

  test('TX-09, AC-07: unknown parameters are ignored and never read', async () => {
    const response = await world.exchange({ foo: 'bar', 'scope[]': 'write', act: '{"sub":"root"}' })
    expect(response.status).toBe(200)
    const { access_token } = await bodyOf(response)
    const payload = Buffer.from(String(access_token).split('.')[1] ?? '', 'base64url').toString()
    expect(payload).not.toContain('root')
  })

  test.each([
    'grant_type',
    'subject_token',
    'subject_token_type',
    'scope',
    'client_id',
    'requested_token_type',
    'foo',
  ])('TX-10, C4, RB-10: %s twice is refused even with one value', async (name) => {
    const form: [string, string][] = [
      ['grant_type', TOKEN_EXCHANGE],
      ['subject_token', await world.token()],
      ['subject_token_type', `${TT}jwt`],
      ['audience', 'crm'],
    ]
    const value = form.find(([other]) => other === name)?.[1] ?? ''
    const once = form.some(([other]) => other === name) ? form : [...form, [name, value] as const]
    await refused(await world.post([...once, [name, value]]), 400, 'invalid_request')
  })

  test('RB-10: a repeated parameter is found under another spelling of its name', async () => {
    const form = new URLSearchParams({
      grant_type: TOKEN_EXCHANGE,
      subject_token: await world.token(),
      subject_token_type: `${TT}jwt`,
      audience: 'crm',
      scope: 'read',
    })
    const response = await world.post(
      {},
      {
        body: `${form}&%73cope=write`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
    )
    await refused(response, 400, 'invalid_request')
  })

  test.each([['api'], ['https://elsewhere.example/t/crm'], ['FRAGMENT'], ['TRAILING'], ['NESTED']])(
    'TX-11, TG-03, C3: resource %s is no target',
    async (resource) => {
      const value = resource
        .replace('FRAGMENT', `${world.url}/t/crm#x`)
        .replace('TRAILING', `${world.url}/t/crm/`)
        .replace('NESTED', `${world.url}/x/t/crm`)
      await refused(
        await world.exchange({ audience: null, resource: value }),
        400,
        'invalid_target',
      )
    },
  )

  test('TX-11, C3: resource may carry a query, and names the same target', async () => {
    const response = await world.exchange({ audience: null, resource: `${world.url}/t/crm?a=b` })
    expect(response.status).toBe(200)
  })

  test('TX-11: audience and resource may repeat and mix, and one handle is for all of them', async () => {
    const response = await world.post([
      ['grant_type', TOKEN_EXCHANGE],
      ['subject_token', await world.token()],
      ['subject_token_type', `${TT}id_token`],
      ['audience', 'crm'],
      ['resource', `${world.url}/t/billing`],
    ])
    const body = await bodyOf(response)
    expect(body['session']).toMatchObject({
      targets: { crm: `${world.url}/t/crm`, billing: `${world.url}/t/billing` },
    })
    expect(body['expires_in']).toBe(120)
  })

  test('TX-12: a scope of one target is never granted at another', async () => {
    const response = await world.post([
      ['grant_type', TOKEN_EXCHANGE],
      ['subject_token', await world.token()],
      ['subject_token_type', `${TT}jwt`],
      ['audience', 'crm'],
      ['audience', 'billing'],
      ['scope', 'write'],
    ])
    await refused(response, 400, 'invalid_scope')
  })

  test.each(['READ', 'read:a"b', 'read  write', 'fly'])(
    'TX-13: scope %s is refused',
    async (scope) => {
      await refused(await world.exchange({ scope }), 400, 'invalid_scope')
    },
  )

  test('TX-14: an unsupported requested_token_type is refused', async () => {
    await refused(
      await world.exchange({ requested_token_type: `${TT}saml2` }),
      400,
      'invalid_request',
    )
  })

  test('TX-15: a token may be exchanged twice unless its method says otherwise', async () => {
    const subject_token = await world.token()
    expect((await world.exchange({ subject_token })).status).toBe(200)
    expect((await world.exchange({ subject_token })).status).toBe(200)
  })

  test('ER-03, ER-09, RB-15, C1: every fault of a token has one answer', async () => {
    const now = Math.floor(Date.now() / 1000)
    const good = await world.token()
    const forged = `${good.slice(0, -4)}AAAA`
    const faults = {
      'bad signature': forged,
      expired: await world.token({ exp: now - 3600 }),
      'wrong audience': await world.token({ aud: 'somebody-else' }),
      'unknown issuer': await world.token({ iss: 'https://unknown.example' }),
      'claim mismatch': await world.token({ team: 'sales' }),
      'no audience': await world.token({ aud: undefined }),
      garbage: 'not-a-token',
      'a handle as attestation': await world.handle(),
    }
    const bodies = new Set<string>()
    for (const [fault, subject_token] of Object.entries(faults)) {
      const response = await world.exchange({ subject_token })
      expect({ fault, status: response.status }).toEqual({ fault, status: 400 })
      const { decision_id, ...body } = await bodyOf(response)
      expect(decision_id).toMatch(/^dec_/)
      bodies.add(JSON.stringify(body))
    }
    expect([...bodies]).toHaveLength(1)
    expect([...bodies][0]).toContain('"invalid_request"')
  })

  test('JW-01, RB-03: nothing leaves for an issuer that is not configured', async () => {
    const canary = await startPeer((_request, response) => response.end('{}'))
    const subject_token = await world.token({ iss: canary.url })
    await refused(await world.exchange({ subject_token }), 400, 'invalid_request')
    expect(canary.seen).toHaveLength(0)
    await canary.close()
  })

  test('ER-04: an unknown target and one without a binding have one answer', async () => {
    const bodies = new Set<string>()
    for (const audience of ['nowhere', 'ghost', 'Not A Name']) {
      const body = await refused(await world.exchange({ audience }), 400, 'invalid_target')
      delete body['decision_id']
      bodies.add(JSON.stringify(body))
    }
    expect(bodies.size).toBe(1)
  })

  test('TG-02: an exchange names its target', async () => {
    await refused(await world.exchange({ audience: null }), 400, 'invalid_target')
  })

  test('ER-05: client credentials are refused, with a challenge when they came as a header', async () => {
    await refused(await world.exchange({ client_secret: 'x' }), 401, 'invalid_client')
    const response = await world.post(
      { grant_type: TOKEN_EXCHANGE },
      { headers: { authorization: `Basic ${btoa('a:b')}` } },
    )
    expect(response.headers.get('www-authenticate')).toMatch(/^Basic/)
    await refused(response, 401, 'invalid_client')
  })

  test('client_id is recorded and otherwise ignored; a client_assertion is an attestation', async () => {
    expect((await world.exchange({ client_id: 'whoever' })).status).toBe(200)
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
    const good = { client_assertion: await world.token(), client_assertion_type: type }
    expect((await world.exchange(good)).status).toBe(200)
    const bad = { client_assertion: 'x.y.z', client_assertion_type: type }
    await refused(await world.exchange(bad), 401, 'invalid_client')
  })

  test.each([
    ['no JSON', 'x'],
    ['an object', '{}'],
    ['two', '[{"type":"agent_intent","purpose":"a"},{"type":"agent_intent","purpose":"b"}]'],
    ['unknown type', '[{"type":"payment","purpose":"a"}]'],
    ['unknown member', '[{"type":"agent_intent","purpose":"a","admin":true}]'],
    ['wrong JSON type', '[{"type":"agent_intent","purpose":7}]'],
    ['bad value', '[{"type":"agent_intent","purpose":"a","envelope":{"effects":["fly"]}}]'],
    ['missing member', '[{"type":"agent_intent"}]'],
    ['duplicate member', '[{"type":"agent_intent","purpose":"a","purpose":"b"}]'],
    ['too long', JSON.stringify([{ type: 'agent_intent', purpose: 'x'.repeat(4001) }])],
  ])('ER-07, RA-01, RA-02: authorization_details that are %s are refused', async (_, details) => {
    const response = await world.exchange({ authorization_details: details })
    await refused(response, 400, 'invalid_authorization_details')
  })

  test('intent and authorization_details at once are refused', async () => {
    const over = {
      intent: 'a',
      authorization_details: '[{"type":"agent_intent","purpose":"a"}]',
    }
    await refused(await world.exchange(over), 400, 'invalid_request')
  })

  test('RS-08: the granted intent comes back as declared', async () => {
    const details = [
      {
        type: 'agent_intent',
        purpose: 'Summarise "Q3" – naïve <b>\u2028',
        origin: { kind: 'user', id: 'run-812', prompt: 'please' },
        agent: { name: 'revenue-bot', version: '3.2.0' },
        envelope: { effects: ['read'], limits: { actions: 20 } },
        expected_seconds: 120,
      },
    ]
    const response = await world.exchange({ authorization_details: JSON.stringify(details) })
    expect((await bodyOf(response))['authorization_details']).toEqual(details)
  })

  test('min_policy_revision: an older policy is not answered from', async () => {
    expect((await world.exchange({ min_policy_revision: '1' })).status).toBe(200)
    const response = await world.exchange({ min_policy_revision: '999999' })
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    await refused(response, 503, 'temporarily_unavailable')
    await refused(await world.exchange({ min_policy_revision: 'x' }), 400, 'invalid_request')
  })

  test('C10, AC-01..AC-03, AC-06: the act chain is carried, cleaned and capped', async () => {
    const act = { sub: 'b', exp: 1, aud: 'x', act: { sub: 'a', nbf: 9e9 } }
    const handle = await world.handle({ subject_token: await world.token({ act }) })
    const payload = Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()
    expect(JSON.parse(payload)).toMatchObject({ act: { sub: 'b', act: { sub: 'a' } } })
    expect(payload).not.toContain('nbf')
    const deep = [...'abcdef'].reduce<object>((inner, sub) => ({ sub, act: inner }), { sub: 'z' })
    const subject_token = await world.token({ act: deep })
    await refused(await world.exchange({ subject_token }), 400, 'invalid_request')
  })

  test('AUTH-6: a comma in Authorization or DPoP is refused', async () => {
    const post = (headers: Readonly<Record<string, string>>) =>
      world.post({ grant_type: TOKEN_EXCHANGE }, { headers })
    await refused(await post({ authorization: 'Bearer a, Bearer b' }), 400, 'invalid_request')
    await refused(await post({ dpop: 'a.b.c, d.e.f' }), 400, 'invalid_dpop_proof')
  })

  test('G-9: an oversized or odd body is refused and nothing breaks', async () => {
    const large = await world.post({ grant_type: 'x'.repeat(400_000) })
    expect([400, 413]).toContain(large.status)
    const broken = await world.post(
      {},
      {
        body: 'grant_type=%ff%fe',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
    )
    await refused(broken, 400, 'invalid_request')
  })
})
