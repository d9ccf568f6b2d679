// Sub-agents, with everything that a tree of them might be used for: to get more than the parent has, to
// outlive it, to spend its budget twice, or to borrow the rights of somebody who has more (confused deputy).
import { describe, expect, test } from 'vitest'
import {
  ADMIN_TOKEN,
  CRM,
  IDP,
  ISSUER,
  startInProcess,
  type InProcess,
} from '../faults/in-process.ts'
import { DEEP, delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const PATH = '/v1/customers/1'
const DELEGATING = { delegate_to: ['helpers', 'deep'] }

type Body = Record<string, unknown>
type Over = Parameters<typeof delegationPolicy>[2]
type Fields = Readonly<Record<string, string>>

async function world(over: Over = { binding: DELEGATING }): Promise<InProcess> {
  const broker = await startInProcess()
  await apply(broker, over)
  return broker
}

async function apply(broker: InProcess, over: Over): Promise<void> {
  const applied = await broker.admin('POST', '/policy/apply', delegationPolicy(IDP, CRM, over))
  if (!applied.ok) throw new Error(await applied.text())
}

/** A sub-agent asks with its parent's handle. */
async function spawn(
  broker: InProcess,
  parent: string,
  fields: Fields = {},
  agent: object = HELPER,
): Promise<Response> {
  return broker.exchange({
    subject_token: parent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token({ ...agent }),
    actor_token_type: `${TT}jwt`,
    ...fields,
  })
}

async function handleOf(response: Response | Promise<Response>): Promise<string> {
  const body = (await (await response).json()) as Body
  if (typeof body['access_token'] !== 'string') throw new Error(JSON.stringify(body))
  return body['access_token']
}

function payloadOf(handle: string): Body & { sid: string } {
  const [, payload = ''] = handle.split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Body & { sid: string }
}

async function refused(response: Promise<Response>, error = 'invalid_request'): Promise<void> {
  const answer = await response
  const body = (await answer.json()) as Body
  expect({ status: answer.status, error: body['error'] }).toEqual({ status: 400, error })
}

async function denied(response: Promise<Response>, status: number, code: string): Promise<void> {
  const answer = await response
  const body = (await answer.json()) as Body
  expect({ status: answer.status, code: body['code'] }).toEqual({ status, code })
}

/** Reads the answer to its end, so that its outcome is recorded. */
async function ok(response: Promise<Response>): Promise<void> {
  const answer = await response
  const text = await answer.text()
  expect([answer.status, text]).toEqual([200, expect.any(String)])
}

const intent = (purpose: string, envelope?: object) =>
  JSON.stringify([
    { type: 'agent_intent', purpose, ...(envelope === undefined ? {} : { envelope }) },
  ])

const revoke = (broker: InProcess, handle: string) =>
  broker.admin('POST', `/sessions/${payloadOf(handle).sid}/revoke`, {})

describe('a sub-agent', () => {
  test('AC-03: acts below its parent: the subject stays, the child is the current actor', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const child = await handleOf(spawn(broker, parent))
    expect(payloadOf(child)).toMatchObject({
      sub: 'ci:agent-7',
      client_id: 'helpers',
      act: { iss: ISSUER, sub: 'helpers:helper-1' },
    })
    await ok(broker.call(child, PATH))
    const deep = await handleOf(spawn(broker, child, {}, DEEP))
    expect(payloadOf(deep)).toMatchObject({
      sub: 'ci:agent-7',
      act: { sub: 'deep:deep-1', act: { sub: 'helpers:helper-1' } },
    })
    await ok(broker.call(deep, PATH))
  })

  test('AC-08: of an agent for a user acts for the same user', async () => {
    const broker = await world({ binding: { ...DELEGATING, on_behalf_of: ['people'] } })
    const parent = await handleOf(
      broker.exchange({
        subject_token: await broker.token(PEOPLE),
        actor_token: await broker.token(),
        actor_token_type: `${TT}jwt`,
      }),
    )
    const child = await handleOf(spawn(broker, parent))
    expect(payloadOf(child)).toMatchObject({
      sub: 'people:ada',
      act: { sub: 'helpers:helper-1', act: { sub: 'ci:agent-7' } },
    })
    await ok(broker.call(child, PATH))
    const { items } = (await (await broker.admin('GET', '/audit?type=action')).json()) as {
      items: Body[]
    }
    expect(items.at(-1)).toMatchObject({
      identity: 'helpers:helper-1',
      agent: {
        attested: {
          auth_method: 'helpers',
          on_behalf_of: { identity: 'people:ada' },
          lineage: { root: payloadOf(parent).sid, identities: ['ci:agent-7'] },
        },
      },
    })
  })

  test('below a user who came alone acts for that user, by the user’s own binding', async () => {
    const direct = {
      name: 'direct',
      auth_method: 'people',
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
      allow_impersonation: true,
      delegate_to: ['helpers'],
    }
    const deny = { name: 'no', auth_method: 'helpers', target: 'crm', effect: 'deny' }
    const broker = await world({ bindings: [direct] })
    const parent = await broker.handle({ subject_token: await broker.token(PEOPLE) })
    const child = await handleOf(spawn(broker, parent))
    expect(payloadOf(child)).toMatchObject({ sub: 'people:ada', act: { sub: 'helpers:helper-1' } })
    await ok(broker.call(child, PATH))
    await apply(broker, { bindings: [direct], binding: { limits: { actions: 9 } } })
    await ok(broker.call(child, PATH))
    await apply(broker, { bindings: [direct, { ...deny, on_behalf_of: ['guests'] }] })
    await ok(broker.call(child, PATH))
    await apply(broker, { bindings: [direct, { ...deny, on_behalf_of: ['people'] }] })
    await denied(broker.call(child, PATH), 403, 'not_granted')
    await refused(spawn(broker, parent), 'invalid_target')
  })

  test('AC-04: of a user who says who may act is one of those, or nobody', async () => {
    const broker = await world({ binding: { ...DELEGATING, on_behalf_of: ['people'] } })
    const parent = await handleOf(
      broker.exchange({
        subject_token: await broker.token({ ...PEOPLE, may_act: { sub: 'agent-7' } }),
        actor_token: await broker.token(),
        actor_token_type: `${TT}jwt`,
      }),
    )
    await refused(spawn(broker, parent))
    expect((await spawn(broker, parent, {}, { ...HELPER, sub: 'agent-7' })).status).toBe(200)
  })

  test('is let in only where the binding of the root names its method, and all between', async () => {
    const none = await world({})
    await refused(spawn(none, await none.handle()), 'invalid_target')
    const broker = await world({ binding: { delegate_to: ['helpers'] } })
    const child = await handleOf(spawn(broker, await broker.handle()))
    await refused(spawn(broker, await broker.handle(), {}, DEEP), 'invalid_target')
    await refused(spawn(broker, child, {}, DEEP), 'invalid_target')
  })

  test('TX-04 TX-06 TX-07: comes with a live handle of this broker and an attestation of its own', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const agent = await broker.token(HELPER)
    const type = `${TT}access_token`
    const asked = (fields: Fields) => broker.exchange({ subject_token_type: type, ...fields })
    await refused(asked({ subject_token: parent }))
    await refused(asked({ subject_token: parent, actor_token: agent }))
    const acting = { actor_token: agent, actor_token_type: `${TT}jwt` }
    await refused(asked({ subject_token: agent, ...acting }))
    await refused(asked({ subject_token: `${parent.slice(0, -4)}AAAA`, ...acting }))
    await refused(broker.exchange({ subject_token: parent, ...acting }))
    await refused(asked({ subject_token: agent, actor_token: parent, actor_token_type: type }))
    await refused(asked({ subject_token: parent, actor_token: parent, actor_token_type: type }))
    await refused(spawn(broker, parent, {}, { ...HELPER, exp: 1 }))
    await refused(spawn(broker, parent, {}, PEOPLE))
    expect((await asked({ subject_token: parent, ...acting })).status).toBe(200)
  })

  test('a client assertion beside the handle of the parent is verified, not ignored', async () => {
    const broker = await world()
    const answer = await spawn(broker, await broker.handle(), {
      client_assertion: await broker.token({ exp: 1 }),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
    expect(answer.status).toBe(401)
  })

  test('has at most what its parent has: scope, targets, time (workers-oauth-provider f0f5dc0)', async () => {
    const own = {
      name: 'helpers-all',
      auth_method: 'helpers',
      target: 'billing',
      grants: [{ effects: ['read', 'delete'], objects: ['*'] }],
    }
    const broker = await world({ binding: DELEGATING, bindings: [own] })
    const parent = await broker.handle({ scope: 'read:GET%20/v1/customers/*' })
    broker.clock.advance(100)
    const answer = await spawn(broker, parent)
    const body = (await answer.json()) as Body
    expect(body).toMatchObject({ scope: 'read:GET%20/v1/customers/*', expires_in: 200 })
    await refused(spawn(broker, parent, { scope: 'write' }), 'invalid_scope')
    await refused(spawn(broker, parent, { audience: 'billing' }), 'invalid_target')
    const narrow = await handleOf(spawn(broker, parent, { scope: 'read:GET%20/v1/customers/1' }))
    await ok(broker.call(narrow, PATH))
    await denied(broker.call(narrow, '/v1/customers/2'), 403, 'not_granted')
    await denied(broker.call(narrow, '/v1/notes', { method: 'POST' }), 403, 'not_granted')
  })

  test('gets of several bindings only what those grant that delegate', async () => {
    const more = {
      name: 'support-more',
      auth_method: 'ci',
      target: 'crm',
      grants: [{ effects: ['delete'], objects: ['DELETE /v1/customers/*'] }],
    }
    const broker = await world({ binding: DELEGATING, bindings: [more] })
    const parent = await broker.handle()
    await ok(broker.call(parent, PATH, { method: 'DELETE' }))
    const child = await handleOf(spawn(broker, parent))
    await denied(broker.call(child, PATH, { method: 'DELETE' }), 403, 'not_granted')
  })

  test('is held to a deny of its own method', async () => {
    const deny = { name: 'no', auth_method: 'helpers', target: 'crm', effect: 'deny' }
    const broker = await world({
      binding: DELEGATING,
      bindings: [{ ...deny, condition: 'claims.sub == "helper-2"' }],
    })
    const parent = await broker.handle()
    await refused(spawn(broker, parent, {}, { ...HELPER, sub: 'helper-2' }), 'invalid_target')
    expect((await spawn(broker, parent)).status).toBe(200)
  })

  test('spends what its parent has left, and its parent’s with it', async () => {
    const broker = await world({ binding: { ...DELEGATING, limits: { actions: 3 } } })
    const parent = await broker.handle()
    await ok(broker.call(parent, PATH))
    const child = await handleOf(spawn(broker, parent))
    const deep = await handleOf(spawn(broker, child, {}, DEEP))
    const { limits } = (await (
      await broker.admin('GET', `/sessions/${payloadOf(deep).sid}`)
    ).json()) as Body
    expect(limits).toMatchObject({ actions: 2 })
    await ok(broker.call(deep, PATH))
    await ok(broker.call(child, PATH))
    for (const handle of [deep, child, parent]) {
      await denied(broker.call(handle, PATH), 429, 'budget_exhausted')
    }
  })

  test('RACE-2: children that act at once spend what is there and no more', async () => {
    const broker = await world({ binding: { ...DELEGATING, limits: { actions: 5 } } })
    const parent = await broker.handle()
    const children = await Promise.all([1, 2, 3].map(() => handleOf(spawn(broker, parent))))
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => broker.call(children[n % 3] ?? parent, PATH)),
    )
    const granted = answers.filter(({ status }) => status === 200)
    expect(granted).toHaveLength(5)
    expect(broker.reached).toHaveLength(5)
  })

  test('AC-06: five generations are one too many', async () => {
    const broker = await world()
    let handle = await broker.handle()
    for (let generation = 1; generation <= 4; generation += 1) {
      handle = await handleOf(spawn(broker, handle))
    }
    await ok(broker.call(handle, PATH))
    await refused(spawn(broker, handle))
  })

  test('REV-1: ends with any session above it, at its next action', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const child = await handleOf(spawn(broker, parent))
    const deep = await handleOf(spawn(broker, child, {}, DEEP))
    await ok(broker.call(deep, PATH))
    await revoke(broker, parent)
    await denied(broker.call(deep, PATH), 401, 'invalid_token')
    await denied(broker.call(child, PATH), 401, 'invalid_token')
    await refused(spawn(broker, child, {}, DEEP))
    const introspect = await broker.fetch('/introspect', {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
      body: new URLSearchParams({ token: deep }),
    })
    expect(await introspect.json()).toEqual({ active: false })
  })

  test('REV-1: a suspended parent suspends, a narrowed one takes from all below', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const child = await handleOf(spawn(broker, parent))
    const { sid } = payloadOf(parent)
    const post = { method: 'POST', body: '{}' }
    await ok(broker.call(child, '/v1/notes', post))
    await broker.sql(
      `UPDATE session SET state = 'narrowed', removed_effects = '["write"]' WHERE id = '${sid}'`,
    )
    await denied(broker.call(child, '/v1/notes', post), 403, 'not_granted')
    await ok(broker.call(child, PATH))
    const later = await handleOf(spawn(broker, parent))
    expect(payloadOf(later)['scope']).not.toContain('write')
    await broker.sql(`UPDATE session SET state = 'suspended' WHERE id = '${sid}'`)
    await denied(broker.call(child, PATH), 403, 'intent_denied')
    await refused(spawn(broker, parent))
  })

  test('REV-2: what the root’s binding, or the method of anybody above it, no longer says holds at once', async () => {
    const broker = await world()
    const child = await handleOf(spawn(broker, await broker.handle()))
    const deep = await handleOf(spawn(broker, child, {}, DEEP))
    const holds = () =>
      broker.call(deep, PATH).then(async (answer) => {
        await answer.text()
        return answer.status
      })
    expect(await holds()).toBe(200)
    await apply(broker, { binding: { delegate_to: ['helpers'] } })
    expect(await holds()).toBe(403)
    await apply(broker, { binding: { delegate_to: ['deep'] } })
    expect(await holds()).toBe(403)
    await apply(broker, { binding: DELEGATING })
    expect(await holds()).toBe(200)
    await apply(broker, { binding: { ...DELEGATING, condition: 'claims.sub == "agent-7"' } })
    expect(await holds()).toBe(200)
    await apply(broker, { binding: { ...DELEGATING, condition: 'claims.sub == "deep-1"' } })
    expect(await holds()).toBe(403)
    const deny = { name: 'no', auth_method: 'helpers', target: 'crm', effect: 'deny' }
    await apply(broker, { binding: DELEGATING, bindings: [deny] })
    expect(await holds()).toBe(403)
    await apply(broker, { binding: { ...DELEGATING, ttl_seconds: 1 } })
    broker.clock.advance(2)
    expect(await holds()).toBe(401)
  })

  test('limits that a changed policy made smaller hold for the whole tree', async () => {
    const broker = await world({ binding: { ...DELEGATING, limits: { actions: 10 } } })
    const parent = await broker.handle()
    const child = await handleOf(spawn(broker, parent))
    await ok(broker.call(parent, PATH))
    await ok(broker.call(child, PATH))
    await apply(broker, { binding: { ...DELEGATING, limits: { actions: 3 } } })
    const late = await handleOf(spawn(broker, parent))
    await ok(broker.call(late, PATH))
    for (const handle of [late, child, parent]) {
      await denied(broker.call(handle, PATH), 429, 'budget_exhausted')
    }
  })

  test('costs no more round trips than any session, at any depth', async () => {
    const broker = await world()
    const counted = async (work: () => Promise<unknown>) => {
      const { reads, writes } = broker.driver.counters
      await work()
      return [broker.driver.counters.reads - reads, broker.driver.counters.writes - writes]
    }
    let handle = await broker.handle()
    for (let generation = 1; generation <= 3; generation += 1) {
      const agent = await broker.token(HELPER)
      const parent = handle
      const spent = await counted(async () => {
        handle = await handleOf(spawn(broker, parent, { actor_token: agent }))
      })
      expect(spent).toEqual([1, 1])
    }
    expect(await counted(() => ok(broker.call(handle, PATH)))).toEqual([1, 2])
  })

  test('gets nothing below a parent whose own handle is no longer enough', async () => {
    const broker = await world()
    const parent = await broker.handle()
    await apply(broker, { binding: { ...DELEGATING, require_proof: 'dpop' } })
    await refused(spawn(broker, parent))
  })

  test('administration is not delegated', async () => {
    const broker = await world()
    const binding = {
      name: 'ops',
      auth_method: 'ci',
      target: 'sallyport-admin',
      grants: [{ effects: ['admin'], objects: ['viewer'] }],
      delegate_to: ['helpers'],
    }
    const answer = await broker.admin('PUT', '/bindings/ops', binding)
    expect(answer.status).toBe(422)
  })
})

describe('the intent of a tree', () => {
  test('every envelope above holds, and its own', async () => {
    const broker = await world()
    const parent = await broker.handle({
      authorization_details: intent('read customer 1', { objects: ['GET /v1/customers/1'] }),
    })
    const wide = { authorization_details: intent('everything', { objects: ['*'] }) }
    const child = await handleOf(spawn(broker, parent, wide))
    const deep = await handleOf(spawn(broker, child, {}, DEEP))
    for (const handle of [child, deep]) {
      await ok(broker.call(handle, PATH))
      await denied(broker.call(handle, '/v1/customers/2'), 403, 'envelope_exceeded')
    }
    const own = { authorization_details: intent('nothing', { effects: ['write'] }) }
    const narrow = await handleOf(spawn(broker, parent, own))
    await denied(broker.call(narrow, PATH), 403, 'envelope_exceeded')
  })

  test('a limit of its envelope holds for the sub-agent, and not for its parent', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const own = { authorization_details: intent('one look', { limits: { actions: 1 } }) }
    const child = await handleOf(spawn(broker, parent, own))
    await ok(broker.call(child, PATH))
    await denied(broker.call(child, PATH), 429, 'budget_exhausted')
    await ok(broker.call(parent, PATH))
  })

  test('a required intent is the root’s, whether or not the sub-agent declares one', async () => {
    const broker = await world({ binding: { ...DELEGATING, intent: { required: true } } })
    const parent = await broker.handle({ intent: 'look a customer up' })
    const child = await handleOf(spawn(broker, parent))
    await ok(broker.call(child, PATH))
  })

  test('confused deputy: who has more does it for somebody with less only as far as that one could', async () => {
    const asked: Body[] = []
    const judge = { type: 'authzen', url: `${CRM}/judge` }
    const policies = [
      {
        name: 'judged',
        judge,
        rules: [{ id: 'on-purpose', text: 'Stay on purpose.', effect: 'deny' }],
      },
    ]
    const mighty = {
      name: 'helpers-crm',
      auth_method: 'helpers',
      target: 'crm',
      grants: [{ effects: ['read', 'delete'], objects: ['*'] }],
    }
    const broker = await startInProcess({
      origin: async (request) => {
        const isJudge = request.url.pathname === '/judge'
        if (isJudge) asked.push(JSON.parse(await new Response(request.body).text()) as Body)
        const { action, context } = (asked.at(-1) ?? {}) as Record<string, Record<string, Body>>
        const { root_intent: root, intent: own } = context ?? {}
        const isOnPurpose = String((root ?? own)?.['purpose']).includes('customer')
        const decision = isOnPurpose || String(action?.['name']) === 'session.open'
        return {
          status: 200,
          headers: [['content-type', 'application/json']],
          body: new Response(JSON.stringify(isJudge ? { decision } : { ok: true })).body,
        }
      },
    })
    const binding = { ...DELEGATING, intent: { policy: 'judged', required: true } }
    await apply(broker, { binding, bindings: [mighty], policies })
    const mightyItself = await handleOf(
      broker.exchange({ subject_token: await broker.token(HELPER) }),
    )
    await ok(broker.call(mightyItself, PATH, { method: 'DELETE' }))

    const customer = await broker.handle({ intent: 'look a customer up' })
    const cover = {
      authorization_details: intent('clean the customer list up, as its owner wants'),
    }
    const deputy = await handleOf(spawn(broker, customer, cover))
    // Its own binding would let it: not on behalf of somebody who may not.
    await denied(broker.call(deputy, PATH, { method: 'DELETE' }), 403, 'not_granted')
    await ok(broker.call(deputy, PATH))
    expect(asked.at(-1)?.['context']).toMatchObject({
      intent: { purpose: 'clean the customer list up, as its owner wants' },
      root_intent: { purpose: 'look a customer up' },
    })
    // What is granted is judged by what it began with, not by what the deputy makes of it.
    const visitor = await broker.handle({ intent: 'tell a visitor our opening hours' })
    const misled = await handleOf(spawn(broker, visitor, { intent: 'look a customer up' }))
    const before = broker.reached.length
    await denied(broker.call(misled, PATH), 403, 'intent_denied')
    expect(broker.reached.slice(before).map(({ url }) => url.pathname)).toEqual(['/judge'])
    const lent = await handleOf(spawn(broker, customer))
    await ok(broker.call(lent, PATH))
  })
})

describe('the tree', () => {
  test('is shown: parent, root, ancestors and a page of children', async () => {
    const broker = await world()
    const parent = await broker.handle()
    const children = [await handleOf(spawn(broker, parent)), await handleOf(spawn(broker, parent))]
    const deep = await handleOf(spawn(broker, children[0] ?? '', {}, DEEP))
    const show = async (path: string) =>
      (await (await broker.admin('GET', `/sessions${path}`)).json()) as Body
    const idOf = (handle: string | undefined) => payloadOf(handle ?? '').sid
    const [root, first, second, last] = [parent, ...children, deep].map(idOf)
    expect(await show(`/${root}?limit=1`)).toMatchObject({
      root: null,
      parent: null,
      ancestors: [],
      children: { items: [{ id: second, parent: root }], next_cursor: expect.any(String) },
    })
    expect(await show(`/${last}`)).toMatchObject({
      root,
      parent: first,
      ancestors: [
        { id: root, identity: 'ci:agent-7', state: 'active', removed_effects: [] },
        { id: first, identity: 'helpers:helper-1', state: 'active', removed_effects: [] },
      ],
      children: { items: [], next_cursor: null },
    })
    const { items } = (await show(`?root=${root}`)) as { items: Body[] }
    expect(items.map(({ id }) => id)).toEqual([last, second, first])
  })
})
