// An agent on behalf of a user, with everything that somebody might try to gain from it: only the actor
// authorises, only for the users that a binding names, and only as long as both are vouched for.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { IDP, CRM, ISSUER, startInProcess, type InProcess } from '../faults/in-process.ts'
import { delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const PATH = '/v1/customers/1'

type Body = Record<string, unknown>
type Over = Parameters<typeof delegationPolicy>[2]

async function world(over: Over = { binding: { on_behalf_of: ['people'] } }): Promise<InProcess> {
  const broker = await startInProcess()
  await apply(broker, over)
  return broker
}

async function apply(broker: InProcess, over: Over): Promise<void> {
  const applied = await broker.admin('POST', '/policy/apply', delegationPolicy(IDP, CRM, over))
  if (!applied.ok) throw new Error(await applied.text())
}

async function behalf(
  broker: InProcess,
  tokens: { readonly user?: object; readonly agent?: object } = {},
  over: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return broker.exchange({
    subject_token: await broker.token({ ...PEOPLE, ...tokens.user }),
    subject_token_type: `${TT}id_token`,
    actor_token: await broker.token({ ...tokens.agent }),
    actor_token_type: `${TT}jwt`,
    ...over,
  })
}

async function handleOf(response: Response): Promise<string> {
  const body = (await response.json()) as Body
  if (typeof body['access_token'] !== 'string') throw new Error(JSON.stringify(body))
  return body['access_token']
}

function payloadOf(handle: string): Body {
  return JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as Body
}

async function refused(response: Response, error = 'invalid_request'): Promise<void> {
  const body = (await response.json()) as Body
  expect({ status: response.status, error: body['error'] }).toEqual({ status: 400, error })
}

async function events(broker: InProcess, type: string): Promise<Body[]> {
  const response = await broker.admin('GET', `/audit?type=${type}&limit=100`)
  return ((await response.json()) as { items: Body[] }).items
}

describe('an agent on behalf of a user', () => {
  test('AC-03 AC-08: acts, and handle and events keep the two apart', async () => {
    const broker = await world()
    const handle = await handleOf(await behalf(broker))
    expect(payloadOf(handle)).toMatchObject({
      sub: 'people:ada',
      client_id: 'ci',
      act: { iss: ISSUER, sub: 'ci:agent-7' },
    })
    const answer = await broker.call(handle, PATH)
    expect(answer.status).toBe(200)
    await answer.text()
    for (const type of ['decision', 'grant', 'action', 'outcome']) {
      const [event] = (await events(broker, type)).slice(-1)
      expect(event).toMatchObject({
        identity: 'ci:agent-7',
        agent: {
          attested: {
            auth_method: 'ci',
            subject: 'agent-7',
            relation: 'delegation',
            on_behalf_of: { identity: 'people:ada', auth_method: 'people', subject: 'ada' },
          },
        },
      })
    }
  })

  test('only where a binding names the method of the user', async () => {
    await refused(await behalf(await world({})), 'invalid_target')
    const broker = await world({ binding: { on_behalf_of: ['guests'] } })
    await refused(await behalf(broker), 'invalid_target')
    expect((await behalf(broker, { user: { aud: 'sallyport-guests' } })).status).toBe(200)
  })

  test('a binding for users opens nothing to the agent alone', async () => {
    const broker = await world()
    await refused(await broker.exchange(), 'invalid_target')
  })

  test('a deny holds for everybody, or for the users that it names', async () => {
    const deny = { name: 'no', auth_method: 'ci', target: 'crm', effect: 'deny' }
    const binding = { on_behalf_of: ['people', 'guests'] }
    await refused(await behalf(await world({ binding, bindings: [deny] })), 'invalid_target')
    const some = { ...deny, on_behalf_of: ['guests'] }
    const broker = await world({ binding, bindings: [some] })
    expect((await behalf(broker)).status).toBe(200)
    const guest = { user: { aud: 'sallyport-guests' } }
    await refused(await behalf(broker, guest), 'invalid_target')
  })

  test('a condition sees the user as `subject`, and an empty one when there is none', async () => {
    const mine = 'subject.email == "ada@example.com" && claims.sub == "agent-7"'
    const broker = await world({ binding: { on_behalf_of: ['people'], condition: mine } })
    expect((await behalf(broker)).status).toBe(200)
    await refused(await behalf(broker, { user: { email: 'eve@example.com' } }), 'invalid_target')
    await refused(await behalf(broker, { agent: { sub: 'agent-8' } }), 'invalid_target')
    const absent = await world({ binding: { condition: '!has(subject.email)' } })
    expect((await absent.exchange()).status).toBe(200)
    const needed = await world({ binding: { condition: 'subject.email != "eve@example.com"' } })
    await refused(await needed.exchange(), 'invalid_target')
  })

  test('TX-07 AC-09: each token is held to its own rules, in its own role', async () => {
    const broker = await world()
    const user = await broker.token(PEOPLE)
    const agent = await broker.token()
    const tokens = (subject_token: string, actor_token: string) =>
      broker.exchange({ subject_token, actor_token, actor_token_type: `${TT}jwt` })
    expect((await tokens(user, agent)).status).toBe(200)
    await refused(await tokens(agent, user))
    await refused(await tokens(user, user))
    await refused(await tokens(agent, agent))
    await refused(await tokens(agent, await broker.token(HELPER)))
    await refused(await tokens(user, await broker.token({ exp: 1 })))
    await refused(await tokens(await broker.token({ ...PEOPLE, exp: 1 }), agent))
    await refused(await tokens(user, await broker.token({ aud: 'elsewhere' })))
    await refused(await tokens(user, `${agent.slice(0, -4)}AAAA`))
    const [last] = (await events(broker, 'refusal')).slice(-1)
    expect(last).toMatchObject({ outcome: { facts: { role: 'actor' } } })
  })

  test('RB-15: whose token was refused, and why, is the same answer', async () => {
    const broker = await world()
    const bodies = await Promise.all(
      [
        behalf(broker, { user: { exp: 1 } }),
        behalf(broker, { agent: { exp: 1 } }),
        behalf(broker, { user: { may_act: { sub: 'other' } } }),
        behalf(broker, { user: { aud: 'sallyport', team: 'support' } }),
      ].map(async (response) => {
        const { decision_id: _, ...body } = (await (await response).json()) as Body
        return body
      }),
    )
    for (const body of bodies) expect(body).toEqual(bodies[0])
  })

  test('TX-04: actor_token and its type come together; a handle is no attestation', async () => {
    const broker = await world({})
    const actor_token = await broker.handle()
    const type = `${TT}access_token`
    await refused(await broker.exchange({ actor_token, actor_token_type: type }))
    await refused(await broker.exchange({ actor_token }))
    await refused(await broker.exchange({ actor_token_type: type }))
    await refused(await behalf(broker, {}, { actor_token_type: `${TT}saml2` }))
  })

  test('AC-04: may_act is held to, and the same sub under another iss is somebody else', async () => {
    const broker = await world()
    const named = (may_act: object) => behalf(broker, { user: { may_act } })
    expect((await named({ sub: 'agent-7' })).status).toBe(200)
    expect((await named({ sub: 'agent-7', iss: IDP })).status).toBe(200)
    await refused(await named({ sub: 'agent-7', iss: 'https://other.example' }))
    await refused(await named({ sub: 'agent-8' }))
  })

  test('AC-02 RB-05: a privileged actor inside the chain grants nothing', async () => {
    const condition = 'has(claims.act) && claims.act.sub == "root"'
    const broker = await world({ binding: { on_behalf_of: ['people'], condition } })
    const act = { sub: 'nobody', act: { sub: 'root' } }
    await refused(await behalf(broker, { user: { act }, agent: { act } }), 'invalid_target')
  })

  test('AC-01 AC-03: earlier actors are nested, without what means nothing in them', async () => {
    const broker = await world()
    const act = { sub: 'b', exp: 1, aud: 'x', act: { sub: 'a', nbf: 9e9 } }
    const handle = await handleOf(await behalf(broker, { user: { act } }))
    const { act: carried } = payloadOf(handle)
    expect(carried).toEqual({
      iss: ISSUER,
      sub: 'ci:agent-7',
      act: { iss: IDP, sub: 'b', act: { iss: IDP, sub: 'a' } },
    })
  })

  test('AC-06: an actor more than are carried is refused', async () => {
    const broker = await world()
    const chain = (depth: number) =>
      Array.from({ length: depth }, (_, i) => i).reduce<object | undefined>(
        (inner, i) => ({ sub: `a${i}`, ...(inner === undefined ? {} : { act: inner }) }),
        undefined,
      )
    expect((await behalf(broker, { user: { act: chain(4) } })).status).toBe(200)
    await refused(await behalf(broker, { user: { act: chain(5) } }))
    await refused(await behalf(broker, { user: { act: chain(500) } }))
  })

  test('AC-07: nobody writes an actor into a request', async () => {
    const broker = await world()
    const handle = await handleOf(
      await behalf(broker, {}, { act: '{"sub":"root"}', may_act: '{"sub":"root"}' }),
    )
    expect(JSON.stringify(payloadOf(handle))).not.toContain('root')
    const details = JSON.stringify([{ type: 'agent_intent', purpose: 'x', act: { sub: 'root' } }])
    const answer = await behalf(broker, {}, { authorization_details: details })
    await refused(answer, 'invalid_authorization_details')
  })

  test('RS-05: the handle outlives neither token', async () => {
    const broker = await world()
    const soon = broker.clock.nowSeconds() + 30
    for (const tokens of [{ user: { exp: soon } }, { agent: { exp: soon } }]) {
      const body = (await (await behalf(broker, tokens)).json()) as Body
      expect(body['expires_in']).toBe(30)
    }
  })

  test('RB-06: a single-use token of either is used once, together or not at all', async () => {
    const broker = await world()
    const policy = delegationPolicy(IDP, CRM, { binding: { on_behalf_of: ['people'] } })
    const auth_methods = policy.auth_methods.map((method) => ({
      ...method,
      config: { ...method.config, single_use: true },
    }))
    await broker.admin('POST', '/policy/apply', { ...policy, auth_methods })
    const user = await broker.token(PEOPLE)
    const agent = await broker.token()
    const tokens = (subject_token: string, actor_token: string) =>
      broker.exchange({ subject_token, actor_token, actor_token_type: `${TT}jwt` })
    expect((await tokens(user, agent)).status).toBe(200)
    const fresh = await broker.token()
    await refused(await tokens(user, fresh))
    await refused(await tokens(await broker.token(PEOPLE), agent))
    // The refused exchange has not burnt the token that was presented with the used one.
    expect((await tokens(await broker.token(PEOPLE), fresh)).status).toBe(200)
  })

  test('an exchange that is refused for its target burns neither token (workers-oauth-provider 771a207)', async () => {
    const broker = await world()
    const policy = delegationPolicy(IDP, CRM, { binding: { on_behalf_of: ['people'] } })
    const auth_methods = policy.auth_methods.map((method) => ({
      ...method,
      config: { ...method.config, single_use: true },
    }))
    await broker.admin('POST', '/policy/apply', { ...policy, auth_methods })
    const tokens = {
      subject_token: await broker.token(PEOPLE),
      actor_token: await broker.token(),
      actor_token_type: `${TT}jwt`,
    }
    await refused(await broker.exchange({ ...tokens, audience: 'billing' }), 'invalid_target')
    expect((await broker.exchange(tokens)).status).toBe(200)
  })

  test('a disabled method of the user, or of the agent, accepts nobody (Keycloak CVE-2026-1486)', async () => {
    const broker = await world()
    const policy = delegationPolicy(IDP, CRM, { binding: { on_behalf_of: ['people'] } })
    for (const disabled of ['people', 'ci']) {
      const auth_methods = policy.auth_methods.map((method) => ({
        ...method,
        enabled: method.name !== disabled,
      }))
      await broker.admin('POST', '/policy/apply', { ...policy, auth_methods })
      await refused(await behalf(broker))
    }
  })

  test('Keycloak CVE-2022-1245: the client_id of somebody else opens nothing of theirs', async () => {
    const theirs = {
      name: 'helpers-billing',
      auth_method: 'helpers',
      target: 'billing',
      grants: [{ effects: ['read'], objects: ['*'] }],
    }
    const broker = await world({ binding: { on_behalf_of: ['people'] }, bindings: [theirs] })
    const fields = { client_id: 'helpers', audience: 'billing' }
    await refused(await behalf(broker, {}, fields), 'invalid_target')
    const handle = await handleOf(await behalf(broker, {}, { client_id: 'helpers' }))
    expect(payloadOf(handle)['client_id']).toBe('ci')
  })

  test('Casdoor CVE-2026-9094: the same user by another method is somebody else', async () => {
    const broker = await world({
      binding: { on_behalf_of: ['people', 'guests'], condition: 'subject.sub == "ada"' },
      bindings: [
        {
          name: 'no-guests',
          auth_method: 'ci',
          target: 'crm',
          effect: 'deny',
          on_behalf_of: ['guests'],
        },
      ],
    })
    expect((await behalf(broker)).status).toBe(200)
    await refused(await behalf(broker, { user: { aud: 'sallyport-guests' } }), 'invalid_target')
  })

  test('REV-2: what the user’s method or the binding no longer says ends the session', async () => {
    const binding = { on_behalf_of: ['people'] }
    const broker = await world()
    const handle = await handleOf(await behalf(broker))
    await apply(broker, {
      binding: { ...binding, condition: 'subject.email == "eve@example.com"' },
    })
    expect((await broker.call(handle, PATH)).status).toBe(403)
    await apply(broker, { binding })
    expect((await broker.call(handle, PATH)).status).toBe(200)
    await apply(broker, { binding: { on_behalf_of: ['guests'] } })
    expect((await broker.call(handle, PATH)).status).toBe(403)
    await apply(broker, { binding })
    await broker.admin('PUT', '/auth-methods/people', {
      name: 'people',
      type: 'oidc',
      subject: 'user',
      config: { issuer: IDP, audiences: ['sallyport-people'], match: { email: 'eve@example.com' } },
    })
    expect((await broker.call(handle, PATH)).status).toBe(403)
  })
})

describe('a user alone', () => {
  const grants = [{ effects: ['read'], objects: ['GET /v1/customers/*'] }]
  const direct = { name: 'direct', auth_method: 'people', target: 'crm', grants }

  test('opens nothing', async () => {
    const broker = await world({ bindings: [direct] })
    await refused(
      await broker.exchange({ subject_token: await broker.token(PEOPLE) }),
      'invalid_target',
    )
  })

  test('AC-08: opens what a binding says, and the log calls it an impersonation', async () => {
    const broker = await world({ bindings: [{ ...direct, allow_impersonation: true }] })
    const subject_token = await broker.token(PEOPLE)
    const handle = await handleOf(await broker.exchange({ subject_token }))
    expect(payloadOf(handle)).toMatchObject({ sub: 'people:ada', client_id: 'people' })
    expect(payloadOf(handle)).not.toHaveProperty('act')
    expect((await broker.call(handle, PATH)).status).toBe(200)
    const [event] = (await events(broker, 'action')).slice(-1)
    expect(event).toMatchObject({
      identity: 'people:ada',
      agent: { attested: { relation: 'impersonation', subject: 'ada' } },
    })
    // An agent that comes along gains nothing from what the user alone may do.
    await refused(await behalf(broker), 'invalid_target')
  })
})

test.each([
  ['on_behalf_of/0', { on_behalf_of: ['nobody'] }, 'unknown_reference'],
  ['on_behalf_of/0', { on_behalf_of: ['helpers'] }, 'value'],
  ['on_behalf_of', { on_behalf_of: [] }, null],
  ['delegate_to/0', { delegate_to: ['nobody'] }, 'unknown_reference'],
  ['delegate_to/0', { delegate_to: ['people'] }, 'value'],
  ['allow_impersonation', { allow_impersonation: true }, 'value'],
  ['delegate_to', { effect: 'deny', grants: [], delegate_to: ['helpers'] }, 'value'],
])('a binding with a mistake at %s is refused', async (path, binding, code) => {
  const broker = await world({})
  const policy = delegationPolicy(IDP, CRM, { binding })
  const answer = await broker.admin('POST', '/policy/apply', policy)
  expect(answer.status).toBe(422)
  const { errors } = (await answer.json()) as { errors: Body[] }
  expect(errors).toContainEqual(
    expect.objectContaining({
      path: `/bindings/0/${path}`,
      ...(code === null ? {} : { code }),
    }),
  )
})

test('the policy of docs/delegation.md can be applied as it is printed', async () => {
  const page = readFileSync(new URL('../../docs/delegation.md', import.meta.url), 'utf8')
  const [, printed = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? []
  const { auth_methods, bindings } = parse(printed) as Record<string, Body[]>
  const broker = await startInProcess()
  const { targets, auth_methods: others } = delegationPolicy(IDP, CRM)
  const researchers = { ...others[0], name: 'researchers' }
  const policy = { auth_methods: [...(auth_methods ?? []), researchers], targets, bindings }
  const answer = await broker.admin('POST', '/policy/apply', { ...policy, intent_policies: [] })
  expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)])
})
