// The action path on the wire, against every entry as shipped: what is granted passes with the real
// credential injected, everything else is refused and recorded, and the credential never comes back.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { capabilities } from '../../functions/http/capabilities.ts'
import {
  API_KEY,
  applyPolicy,
  ENDLESS_PATH,
  ENTRIES,
  policyOf,
  startWorld,
  type World,
} from './world.ts'

type Body = Record<string, unknown> & { code?: string }
type Event = Record<string, unknown> & { type: string; hash: string; prev_hash: string | null }

const details = (envelope: object) =>
  JSON.stringify([{ type: 'agent_intent', purpose: 'help a customer', envelope }])

describe.each(ENTRIES)('gateway on %s', (entry) => {
  let world: World
  beforeAll(async () => {
    world = await startWorld(entry)
  })
  afterAll(() => world.stop())

  async function denied(response: Response, status: number, code: string): Promise<Body> {
    const body = (await response.json()) as Body
    expect({ status: response.status, code: body.code }).toEqual({ status, code })
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(body['decision_id']).toMatch(/^dec_/)
    expect(response.headers.get('sallyport-decision')).toBe(body['decision_id'])
    return body
  }

  async function eventsOf(handle: string): Promise<Event[]> {
    const { sid } = JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as {
      sid: string
    }
    const response = await world.admin('GET', `/audit?session=${sid}&limit=100`)
    return ((await response.json()) as { items: Event[] }).items
  }

  test('a granted call reaches the target with the real credential and none of the agent’s', async () => {
    const handle = await world.handle()
    const before = world.origin.seen.length
    const response = await world.call(handle, 'crm/v1/customers/42?fields=name&fields=id', {
      headers: { 'x-upstream-authorization': 'mine', cookie: 'a=b', accept: 'application/json' },
    })
    expect(response.status).toBe(200)
    expect(response.headers.get('sallyport-decision')).toMatch(/^dec_/)
    expect(await response.json()).toMatchObject({ path: '/v1/customers/42?fields=name&fields=id' })
    const [seen] = world.origin.seen.slice(before)
    expect(seen?.headers['authorization']).toBe(`Bearer ${API_KEY}`)
    expect(seen?.headers).not.toHaveProperty('x-upstream-authorization')
    expect(seen?.headers).not.toHaveProperty('cookie')
  })

  test('a body goes through as it was sent', async () => {
    const handle = await world.handle()
    const body = JSON.stringify({ text: 'naïve – 🦊'.repeat(1000) })
    const response = await world.call(handle, 'crm/v1/notes', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status).toBe(200)
    expect(world.origin.seen.at(-1)?.body).toBe(body)
  })

  test('what is not granted is refused, says what is, and leaves nothing', async () => {
    const handle = await world.handle()
    const before = world.origin.seen.length
    const body = await denied(
      await world.call(handle, 'crm/v1/customers/42', { method: 'DELETE' }),
      403,
      'not_granted',
    )
    expect(body['hint']).toContain('read:GET%20/v1/customers/*')
    await denied(await world.call(handle, 'crm/v1/customers/42/notes'), 403, 'not_granted')
    expect(world.origin.seen.length).toBe(before)
  })

  test('the scope asked for narrows what the session may do', async () => {
    const handle = await world.handle({ scope: 'read:GET%20/v1/customers/7' })
    expect((await world.call(handle, 'crm/v1/customers/7')).status).toBe(200)
    await denied(await world.call(handle, 'crm/v1/customers/8'), 403, 'not_granted')
  })

  test('the declared envelope holds: effects, objects, destinations', async () => {
    const open = (envelope: object) => world.handle({ authorization_details: details(envelope) })
    const post = { method: 'POST', body: '{}' }
    const readOnly = await open({ effects: ['read'] })
    await denied(await world.call(readOnly, 'crm/v1/notes', post), 403, 'envelope_exceeded')
    expect((await world.call(readOnly, 'crm/v1/customers/1')).status).toBe(200)
    const oneObject = await open({ objects: ['GET /v1/customers/1'] })
    await denied(await world.call(oneObject, 'crm/v1/customers/2'), 403, 'envelope_exceeded')
    const elsewhere = await open({ destinations: ['crm.elsewhere.example'] })
    await denied(await world.call(elsewhere, 'crm/v1/customers/1'), 403, 'envelope_exceeded')
  })

  test('RACE-2: an action budget is exact under concurrency', async () => {
    const handle = await world.handle({
      authorization_details: details({ limits: { actions: 5 } }),
    })
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => world.call(handle, `crm/v1/customers/${i}`)),
    )
    const statuses = answers.map((answer) => answer.status).sort()
    expect(statuses).toEqual([...Array(5).fill(200), ...Array(7).fill(429)])
    const refusal = answers.find((answer) => answer.status === 429)
    expect(await refusal?.json()).toMatchObject({ code: 'budget_exhausted', limit: 'actions' })
  })

  test.each([
    ['no handle', null],
    ['garbage', 'garbage'],
    ['a workload token', 'TOKEN'],
    ['a changed handle', 'FORGED'],
  ])('401 without a valid handle: %s', async (_, kind) => {
    const handle = await world.handle()
    const value =
      kind === 'TOKEN'
        ? await world.token()
        : kind === 'FORGED'
          ? `${handle.slice(0, -3)}abc`
          : kind
    const response = await fetch(`${world.url}/t/crm/v1/customers/1`, {
      headers: value === null ? {} : { authorization: `Bearer ${value}` },
    })
    expect(response.headers.get('www-authenticate')).toContain(
      `resource_metadata="${world.url}/.well-known/oauth-protected-resource/t/crm"`,
    )
    await denied(response, 401, 'invalid_token')
  })

  test('MC-04, AT-02: a handle for one target is nothing at another, known or not', async () => {
    const handle = await world.handle()
    await denied(await world.call(handle, 'billing/v1/invoices/1'), 401, 'invalid_token')
    await denied(await world.call(handle, 'nowhere/x'), 401, 'invalid_token')
  })

  test('schemes other than Bearer, and two values at once, are refused', async () => {
    const handle = await world.handle()
    for (const authorization of [`Basic ${handle}`, `DPoP ${handle}`, handle]) {
      const response = await fetch(`${world.url}/t/crm/v1/customers/1`, {
        headers: { authorization },
      })
      expect([400, 401]).toContain(response.status)
    }
    const twice = await fetch(`${world.url}/t/crm/v1/customers/1`, {
      headers: { authorization: `Bearer ${handle}, Bearer ${handle}` },
    })
    await denied(twice, 400, 'invalid_request')
  })

  test.each([
    'crm/v1/customers/%2e%2e/admin',
    'crm/v1/customers/..%2fadmin',
    'crm/v1/customers/%5cadmin',
    'crm/v1/customers/1;v=1',
    'crm/v1//customers/1',
    'crm/v1/customers/%252e%252e',
    'crm/v1/customers/%00',
  ])('G-5: a path that cannot be agreed on is refused: %s', async (path) => {
    const handle = await world.handle()
    const before = world.origin.seen.length
    const response = await world.call(handle, path)
    // An entry that parses paths before the broker sees them leaves another path: not granted, or not there.
    expect([400, 403, 404]).toContain(response.status)
    expect(world.origin.seen.length).toBe(before)
  })

  test('G-6: method override headers are refused', async () => {
    const handle = await world.handle()
    for (const name of ['x-http-method-override', 'x-method-override', 'x-http-method']) {
      const response = await world.call(handle, 'crm/v1/customers/1', {
        headers: { [name]: 'DELETE' },
      })
      await denied(response, 400, 'action_malformed')
    }
  })

  test('RV-02, IN-02: a revoked handle is dead at the next call, and inactive', async () => {
    const handle = await world.handle()
    expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(200)
    const revoke = (token: string) =>
      fetch(`${world.url}/revoke`, { method: 'POST', body: new URLSearchParams({ token }) })
    expect((await revoke(handle)).status).toBe(200)
    await denied(await world.call(handle, 'crm/v1/customers/1'), 401, 'invalid_token')
    expect((await revoke(handle)).status).toBe(200)
    expect((await revoke('random')).status).toBe(200)
  })

  test('IN-01..IN-04: a handle introspects itself, a viewer anything, nobody else’s anything', async () => {
    const handle = await world.handle({ intent: 'look up' })
    const other = await world.handle()
    const introspect = async (token: string, caller: string | null) => {
      const response = await fetch(`${world.url}/introspect`, {
        method: 'POST',
        body: new URLSearchParams({ token, token_type_hint: 'refresh_token' }),
        headers: caller === null ? {} : { authorization: `Bearer ${caller}` },
      })
      return { status: response.status, body: (await response.json()) as Body }
    }
    const own = await introspect(handle, handle)
    expect(own.body).toMatchObject({
      active: true,
      sub: 'ci:agent-7',
      client_id: 'ci',
      token_type: 'Bearer',
      authorization_details: [{ purpose: 'look up' }],
    })
    expect((await introspect(handle, other)).body).toEqual({ active: false })
    expect((await introspect('random', other)).body).toEqual({ active: false })
    expect((await introspect(handle, null)).status).toBe(401)
    expect((await introspect(handle, 'random')).status).toBe(401)
    const viewer = await introspect(handle, 'conformance-admin-token-0123456789abcdef')
    expect(viewer.body).toMatchObject({ active: true })
  })

  test('MD-01..MD-04, C6: discovery says what is there', async () => {
    const get = async (path: string) => (await (await fetch(`${world.url}${path}`)).json()) as Body
    const server = await get('/.well-known/oauth-authorization-server')
    expect(server).toMatchObject({
      issuer: world.url,
      token_endpoint: `${world.url}/token-exchange`,
      grant_types_supported: [
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
      ],
      response_types_supported: ['none'],
      authorization_details_types_supported: ['agent_intent'],
    })
    const resource = await get('/.well-known/oauth-protected-resource/t/crm')
    expect(resource).toMatchObject({
      resource: `${world.url}/t/crm`,
      authorization_servers: [world.url],
    })
    const jwks = await get('/.well-known/jwks.json')
    expect(JSON.stringify(jwks)).not.toMatch(/"(d|p|q|dp|dq|qi|k)":/)
    // The same for a name that no target has, so that nobody learns which there are.
    const unknown = await get('/.well-known/oauth-protected-resource/t/nowhere')
    expect(unknown).toEqual({ ...resource, resource: `${world.url}/t/nowhere` })
    const invalid = await fetch(`${world.url}/.well-known/oauth-protected-resource/t/No_Name`)
    expect(invalid.status).toBe(404)
  })

  const endless = () => {
    async function open(init: RequestInit = {}) {
      const handle = await world.handle()
      const { body } = await world.call(handle, `crm${ENDLESS_PATH}`, init)
      const reader = body?.getReader()
      expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('data: 1\n\n')
      const toTheEnd = async () => {
        while ((await reader?.read())?.done === false);
      }
      return { handle, toTheEnd }
    }
    const outcomeOf = (handle: string) =>
      vi.waitFor(
        async () => {
          const last = (await eventsOf(handle)).find(({ type }) => type === 'outcome')
          expect(last?.['outcome']).toMatchObject({ result: 'aborted', status: 200 })
        },
        { timeout: 20_000, interval: 200 },
      )

    test('REV-6: is cut when its handle is revoked, and recorded', async () => {
      const { handle, toTheEnd } = await open()
      const body = new URLSearchParams({ token: handle })
      await fetch(`${world.url}/revoke`, { method: 'POST', body })
      await expect(toTheEnd()).rejects.toThrow()
      await outcomeOf(handle)
    }, 30_000)

    test('G-10: is recorded when the client leaves', async () => {
      const leaving = new AbortController()
      const { handle } = await open({ signal: leaving.signal })
      leaving.abort()
      await outcomeOf(handle)
    }, 30_000)
  }
  // Without response streaming there is no answer to see before it has ended.
  if (capabilities[entry].responseStreaming) describe('an answer that does not end', endless)

  test('the audit trail tells the whole story, chained, without a secret in it', async () => {
    const subject_token = await world.token()
    const handle = await world.handle({
      subject_token,
      authorization_details: JSON.stringify([
        {
          type: 'agent_intent',
          purpose: 'help customer 42',
          agent: { name: 'helper', version: '3.2.0' },
          origin: { kind: 'user', id: 'run-1' },
        },
      ]),
    })
    await (
      await world.call(handle, 'crm/v1/customers/42', {
        headers: { 'sallyport-action-origin': 'agent', 'sallyport-action-ref': 'step-3' },
      })
    ).text()
    await world.call(handle, 'crm/v1/customers/42', { method: 'DELETE' })
    const events = await eventsOf(handle)
    expect(events.map((event) => event.type)).toEqual([
      'decision',
      'grant',
      'action',
      'outcome',
      'refusal',
    ])
    for (const [i, event] of events.entries()) {
      expect(event.prev_hash).toBe(i === 0 ? null : events[i - 1]?.hash)
      expect(event).toMatchObject({
        identity: 'ci:agent-7',
        agent: { declared: { name: 'helper', version: '3.2.0' }, attested: { auth_method: 'ci' } },
        intent: { purpose: 'help customer 42' },
      })
    }
    expect(events[2]).toMatchObject({
      origin: { declared: { kind: 'agent', id: 'step-3' }, attested: null },
      action: { target: 'crm', effects: ['read'], objects: ['GET /v1/customers/42'] },
    })
    expect(events[3]).toMatchObject({ outcome: { result: 'completed', status: 200 } })
    const log = JSON.stringify(events)
    for (const secret of [API_KEY, handle, subject_token]) expect(log).not.toContain(secret)
  })

  test('REV-2, RACE-5, JW-13: a tightened policy is in force at the next request', async () => {
    const handle = await world.handle()
    expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(200)
    const policy = policyOf(world)
    const narrower = policy.bindings.map((binding) =>
      binding.name === 'support-crm'
        ? { ...binding, grants: [{ effects: ['read'], objects: ['GET /v1/customers/2'] }] }
        : binding,
    )
    await applyPolicy(world, { ...policy, bindings: narrower })
    await denied(await world.call(handle, 'crm/v1/customers/1'), 403, 'not_granted')
    expect((await world.call(handle, 'crm/v1/customers/2')).status).toBe(200)
    const disabled = policy.auth_methods.map((method) => ({ ...method, enabled: false }))
    await applyPolicy(world, { ...policy, auth_methods: disabled })
    await denied(await world.call(handle, 'crm/v1/customers/2'), 403, 'not_granted')
    expect((await world.exchange()).status).toBe(400)
    const min_policy_revision = String(await applyPolicy(world, policy))
    expect((await world.exchange({ min_policy_revision })).status).toBe(200)
  })
})
