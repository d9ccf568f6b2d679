// States of sessions, security events and origins on the wire, against every entry as shipped.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applyPolicy, ENTRIES, policyOf, startWorld, type World } from './world.ts'

type Body = Record<string, unknown>
type Event = {
  type: string
  reason: string | null
  action: Body
  origin: { declared: Body | null; attested: Body | null }
}

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const AUDIENCE = 'sallyport-events'
const sidOf = (handle: string): string =>
  (JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as { sid: string })
    .sid
const intent = (origin: Body) =>
  JSON.stringify([{ type: 'agent_intent', purpose: 'help a customer', origin }])

describe.each(ENTRIES)('sessions on %s', (entry) => {
  let world: World

  beforeAll(async () => {
    world = await startWorld(entry)
    const policy = policyOf(world)
    const [ci] = policy.auth_methods
    if (ci === undefined) throw new Error('no method')
    await applyPolicy(world, {
      ...policy,
      auth_methods: [
        { ...ci, config: { ...ci.config, security_events: { audience: AUDIENCE } } },
        {
          ...ci,
          name: 'nightly',
          config: {
            ...ci.config,
            match: { team: 'nightly' },
            origin: {
              kind: 'schedule',
              when: { event_name: 'schedule' },
              id_claim: 'run_id',
              definition: { name: 'workflow_ref', version: 'ref', hash: 'workflow_sha' },
            },
          },
        },
      ],
      bindings: [
        ...policy.bindings,
        { ...policy.bindings[0], name: 'nightly-crm', auth_method: 'nightly' },
      ],
    })
  })
  afterAll(() => world.stop())

  const read = (handle: string, headers = {}) =>
    world.call(handle, 'crm/v1/customers/1', { headers })
  const write = (handle: string) =>
    world.call(handle, 'crm/v1/notes', { method: 'POST', body: '{}' })
  const session = async (handle: string) =>
    (await (await world.admin('GET', `/sessions/${sidOf(handle)}`)).json()) as Body
  const change = (handle: string, what: string, body: Body) =>
    world.admin('POST', `/sessions/${sidOf(handle)}/${what}`, body)
  const audit = async (query: string) => {
    const events: Event[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const next: string = cursor === '' ? '' : `&cursor=${cursor}`
      const page = await world.admin('GET', `/audit?limit=500&${query}${next}`)
      const body = (await page.json()) as { items: Event[]; next_cursor: string | null }
      events.push(...body.items)
      cursor = body.next_cursor
    }
    return events
  }

  async function set(event: string, payload: Body, sub: string, over: Body = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: world.issuer.url,
      aud: AUDIENCE,
      jti: crypto.randomUUID(),
      iat: now,
      sub_id: { format: 'iss_sub', iss: world.issuer.url, sub },
      events: { [`${CAEP}${event}`]: payload },
      ...over,
    }
    const header = { alg: 'ES256', kid: world.keys.kid, typ: 'secevent+jwt' }
    return world.keys.sign(JSON.stringify(claims), JSON.stringify(header))
  }
  const push = (token: string, type = 'application/secevent+jwt') =>
    fetch(`${world.url}/events`, {
      method: 'POST',
      body: token,
      headers: { 'content-type': type, accept: 'application/json' },
    })

  test('a narrowed session keeps what was not taken, a suspended one keeps nothing, a restored one all', async () => {
    const handle = await world.handle()
    expect((await change(handle, 'narrow', { effects: ['write'] })).status).toBe(200)
    expect((await read(handle)).status).toBe(200)
    const refusal = await write(handle)
    expect(refusal.status).toBe(403)
    expect(await refusal.json()).toMatchObject({
      code: 'not_granted',
      hint: expect.stringContaining('write was taken away') as string,
    })
    expect((await change(handle, 'suspend', { reason: 'look' })).status).toBe(200)
    expect((await read(handle)).status).toBe(403)
    const restored = await change(handle, 'restore', {})
    expect(await restored.json()).toMatchObject({ state: 'active', removed_effects: [] })
    expect((await write(handle)).status).toBe(200)
    await change(handle, 'revoke', {})
    expect((await change(handle, 'restore', {})).status).toBe(409)
  })

  test('ten refused actions leave a session reading, twenty leave it nothing', async () => {
    const handle = await world.handle()
    const refused = () => world.call(handle, 'crm/elsewhere')
    await Promise.all(Array.from({ length: 10 }, refused))
    expect((await read(handle)).status).toBe(200)
    expect((await write(handle)).status).toBe(403)
    await Promise.all(Array.from({ length: 10 }, refused))
    expect((await read(handle)).status).toBe(403)
    expect(await session(handle)).toMatchObject({
      state: 'suspended',
      state_change: { reason: 'repeated_denials' },
    })
  })

  test('RFC 8935: a security event is taken once, and ends the sessions of its subject alone', async () => {
    const agent = async (sub: string) => world.handle({ subject_token: await world.token({ sub }) })
    const mine = await agent('agent-r')
    const other = await agent('agent-o')
    const token = await set('session-revoked', {}, 'agent-r')
    const response = await push(token)
    expect([response.status, await response.text()]).toEqual([202, ''])
    expect((await read(mine)).status).toBe(401)
    expect((await read(other)).status).toBe(200)
    // What was issued until then opens no session any more.
    const old = await world.token({ sub: 'agent-r', iat: Math.floor(Date.now() / 1000) - 5 })
    expect((await world.exchange({ subject_token: old })).status).toBe(400)
    const later = { sub: 'agent-r', iat: Math.floor(Date.now() / 1000) + 10 }
    const again = await world.handle({ subject_token: await world.token(later) })
    expect((await push(token)).status).toBe(202)
    expect((await read(again)).status).toBe(200)
    expect((await push(await set('session-revoked', {}, 'nobody'))).status).toBe(202)
  })

  test('CAEP: a high risk suspends', async () => {
    const handle = await world.handle({ subject_token: await world.token({ sub: 'agent-risk' }) })
    await push(await set('risk-level-change', { current_level: 'HIGH' }, 'agent-risk'))
    expect((await read(handle)).status).toBe(403)
    expect(await session(handle)).toMatchObject({ state: 'suspended' })
  })

  test('RFC 8935 §2.4: refusals are 400 with err', async () => {
    const tries = [
      [await set('session-revoked', {}, 'x', { aud: 'other' }), 'invalid_audience'],
      [await set('session-revoked', {}, 'x', { iat: 1 }), 'invalid_request'],
      [
        await set('session-revoked', {}, 'x', { iss: 'https://evil.example' }),
        'authentication_failed',
      ],
      [await world.token(), 'invalid_request'],
      [await world.handle(), 'invalid_request'],
      ['nonsense', 'invalid_request'],
    ] as const
    for (const [token, err] of tries) {
      const response = await push(token)
      expect(response.status).toBe(400)
      expect(response.headers.get('content-type')).toContain('application/json')
      expect(await response.json()).toMatchObject({ err })
    }
    expect((await push(await set('session-revoked', {}, 'x'), 'text/plain')).status).toBe(415)
  })

  test('JB-07: a security event token is no attestation and no handle', async () => {
    const token = await set('session-revoked', {}, 'agent-7', {
      sub: 'agent-7',
      aud: 'sallyport',
      team: 'support',
      exp: Math.floor(Date.now() / 1000) + 300,
    })
    expect((await world.exchange({ subject_token: token })).status).toBe(400)
    expect((await read(token)).status).toBe(401)
  })

  test('the three look-alikes are told apart: the user asked, part of the task, the agent decided', async () => {
    const handle = await world.handle({
      authorization_details: intent({ kind: 'task', id: 'task-9' }),
    })
    await read(handle, { 'sallyport-action-origin': 'user', 'sallyport-action-ref': 'msg-1' })
    await read(handle)
    await read(handle, { 'sallyport-action-origin': 'agent' })
    for (const [kind, id] of [
      ['user', 'msg-1'],
      ['task', 'task-9'],
      ['agent', undefined],
    ] as const) {
      const found = (await audit(`session=${sidOf(handle)}&origin=${kind}`)).filter(
        ({ type }) => type === 'action',
      )
      expect(found).toHaveLength(1)
      expect(found[0]?.origin).toEqual({
        declared: { kind, ...(id === undefined ? {} : { id }) },
        attested: null,
      })
    }
    expect(await audit(`session=${sidOf(handle)}&origin_attested=user`)).toEqual([])
  })

  test('a scheduled run attests its schedule and the task that it runs; one that is not does not', async () => {
    const claims = {
      sub: 'repo:acme/jobs',
      team: 'nightly',
      run_id: '812',
      workflow_ref: 'acme/jobs/.github/workflows/nightly.yml@refs/heads/main',
      ref: 'refs/heads/main',
      workflow_sha: '9f2c1d',
    }
    const scheduled = await world.handle({
      subject_token: await world.token({ ...claims, event_name: 'schedule' }),
      authorization_details: intent({ kind: 'user', id: 'somebody' }),
    })
    const attested = {
      kind: 'schedule',
      id: '812',
      definition: { name: claims.workflow_ref, version: claims.ref, hash: claims.workflow_sha },
    }
    await read(scheduled)
    expect((await session(scheduled))['origin']).toEqual({
      declared: { kind: 'user', id: 'somebody' },
      attested,
    })
    const found = await audit('origin_attested=schedule&type=action')
    expect(found.map(({ origin }) => origin)).toEqual([
      { declared: { kind: 'user', id: 'somebody' }, attested },
    ])
    const pushed = await world.handle({
      subject_token: await world.token({ ...claims, event_name: 'push' }),
      authorization_details: intent({ kind: 'schedule', id: '813' }),
    })
    expect((await session(pushed))['origin']).toEqual({
      declared: { kind: 'schedule', id: '813' },
      attested: null,
    })
    expect((await world.admin('GET', '/audit?origin=nobody')).status).toBe(400)
  })
})
