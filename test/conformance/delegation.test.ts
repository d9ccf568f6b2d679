// Who acts for whom, black box on every entry: an agent for a user, sub-agents below an agent, and what
// neither of them may become.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { capabilities } from '../../functions/http/capabilities.ts'
import { DEEP, delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'
import { proofKey } from '../fakes/proof-key.ts'
import {
  ADMIN_TOKEN,
  applyPolicy,
  ENDLESS_PATH,
  ENTRIES,
  startWorld,
  TT,
  type World,
} from './world.ts'

type Body = Record<string, unknown>
type Fields = Readonly<Record<string, string | null>>

const PATH = 'crm/v1/customers/1'

describe.each(ENTRIES)('delegation on %s', (entry) => {
  let world: World
  beforeAll(async () => {
    world = await startWorld(entry)
    const { bindings: _, ...policy } = delegationPolicy(world.issuer.url, world.origin.url)
    const binding = (name: string, target: string, more: object) => ({
      name,
      auth_method: 'ci',
      target,
      grants: [
        { effects: ['read'], objects: ['GET /v1/customers/*'] },
        { effects: ['write'], objects: ['POST /v1/notes'] },
      ],
      ttl_seconds: 300,
      ...more,
    })
    const bindings = [
      binding('users', 'crm', { on_behalf_of: ['people'], delegate_to: ['helpers'] }),
      binding('agents', 'crm', { delegate_to: ['helpers', 'deep'], limits: { actions: 20 } }),
      binding('direct', 'billing', { auth_method: 'people', allow_impersonation: true }),
    ]
    await applyPolicy(world, { ...policy, bindings })
  })
  afterAll(() => world?.stop())

  const payloadOf = (handle: string) =>
    JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as Body

  async function behalf(tokens: { user?: object; agent?: object } = {}, fields: Fields = {}) {
    return world.exchange({
      subject_token: await world.token({ ...PEOPLE, ...tokens.user }),
      subject_token_type: `${TT}id_token`,
      actor_token: await world.token({ ...tokens.agent }),
      actor_token_type: `${TT}jwt`,
      ...fields,
    })
  }

  async function spawn(parent: string, agent: object = HELPER, fields: Fields = {}) {
    return world.exchange({
      subject_token: parent,
      subject_token_type: `${TT}access_token`,
      actor_token: await world.token({ ...agent }),
      actor_token_type: `${TT}jwt`,
      ...fields,
    })
  }

  async function handleOf(response: Response): Promise<string> {
    const body = (await response.json()) as Body
    if (typeof body['access_token'] !== 'string') throw new Error(JSON.stringify(body))
    return body['access_token']
  }

  async function refused(response: Response, error = 'invalid_request'): Promise<void> {
    const body = (await response.json()) as Body
    expect({ status: response.status, error: body['error'] }).toEqual({ status: 400, error })
  }

  const revoke = (handle: string) =>
    fetch(`${world.url}/revoke`, { method: 'POST', body: new URLSearchParams({ token: handle }) })

  const introspect = async (handle: string) =>
    (await (
      await fetch(`${world.url}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
        body: new URLSearchParams({ token: handle }),
      })
    ).json()) as Body

  test('AC-03, AC-08: an agent acts for a user, and introspection names both', async () => {
    const handle = await handleOf(await behalf())
    expect(payloadOf(handle)).toMatchObject({
      sub: 'people:ada',
      client_id: 'ci',
      act: { iss: world.url, sub: 'ci:agent-7' },
    })
    expect((await world.call(handle, PATH)).status).toBe(200)
    expect(await introspect(handle)).toMatchObject({
      active: true,
      sub: 'people:ada',
      act: { sub: 'ci:agent-7' },
    })
  })

  test('AC-08: a user alone opens what says so, and nothing else', async () => {
    const subject_token = await world.token(PEOPLE)
    await refused(await world.exchange({ subject_token }), 'invalid_target')
    const handle = await handleOf(await world.exchange({ subject_token, audience: 'billing' }))
    expect(payloadOf(handle)).not.toHaveProperty('act')
    const response = await world.admin('GET', `/sessions/${String(payloadOf(handle)['sid'])}`)
    expect(await response.json()).toMatchObject({ on_behalf_of: { relation: 'impersonation' } })
  })

  test('TX-07, AC-09: swapped, expired and foreign tokens are refused in either role', async () => {
    const user = await world.token(PEOPLE)
    const agent = await world.token()
    const tokens = (subject_token: string, actor_token: string) =>
      world.exchange({ subject_token, actor_token, actor_token_type: `${TT}jwt` })
    expect((await tokens(user, agent)).status).toBe(200)
    await refused(await tokens(agent, user))
    await refused(await tokens(agent, agent))
    await refused(await tokens(user, user))
    await refused(await behalf({ agent: { exp: 1 } }))
    await refused(await behalf({ user: { exp: 1 } }))
    await refused(await behalf({}, { actor_token_type: `${TT}saml2` }))
    await refused(await behalf({}, { actor_token_type: `${TT}access_token` }))
  })

  test('AC-04, AC-05, RB-05: may_act is matched on all its members', async () => {
    const named = (may_act: object) => behalf({ user: { may_act } })
    expect((await named({ iss: world.issuer.url, sub: 'agent-7' })).status).toBe(200)
    await refused(await named({ iss: 'https://other.example', sub: 'agent-7' }))
    await refused(await named({ sub: 'agent-8' }))
    await refused(await named({}))
  })

  test('AC-06, RB-05: an actor too many is refused', async () => {
    const chain = [...'abcde'].reduce<object | null>(
      (inner, sub) => ({ sub, ...(inner === null ? {} : { act: inner }) }),
      null,
    )
    await refused(await behalf({ user: { act: chain } }))
  })

  test('RS-05: the handle outlives neither attestation', async () => {
    const exp = Math.floor(Date.now() / 1000) + 30
    for (const tokens of [{ user: { exp } }, { agent: { exp } }]) {
      const { expires_in: seconds } = (await (await behalf(tokens)).json()) as Body
      expect(seconds).toBeLessThanOrEqual(30)
    }
  })

  test('TX-06: a parent’s handle is a subject only with an actor, and only one of this broker', async () => {
    const parent = await world.handle()
    await refused(
      await world.exchange({ subject_token: parent, subject_token_type: `${TT}access_token` }),
    )
    await refused(await spawn(await world.token()))
    await refused(await spawn(`${parent.slice(0, -4)}AAAA`))
    await refused(await spawn(parent, PEOPLE))
    expect((await spawn(parent)).status).toBe(200)
  })

  test('a sub-agent has less, never more, and is let in by name', async () => {
    const parent = await world.handle({ scope: 'read' })
    const child = await handleOf(await spawn(parent))
    expect(payloadOf(child)).toMatchObject({ sub: 'ci:agent-7', act: { sub: 'helpers:helper-1' } })
    expect((await world.call(child, PATH)).status).toBe(200)
    const write = { method: 'POST', body: '{}' }
    expect((await world.call(child, 'crm/v1/notes', write)).status).toBe(403)
    await refused(await spawn(parent, HELPER, { scope: 'write' }), 'invalid_scope')
    await refused(await spawn(parent, HELPER, { audience: 'billing' }), 'invalid_target')
    const forUser = await handleOf(await behalf())
    await refused(await spawn(forUser, DEEP), 'invalid_target')
    expect((await spawn(forUser, HELPER)).status).toBe(200)
  })

  test('RACE-2: two children spend their parent’s last actions, and no more', async () => {
    const details = [{ type: 'agent_intent', purpose: 'x', envelope: { limits: { actions: 4 } } }]
    const parent = await world.handle({ authorization_details: JSON.stringify(details) })
    const children = [await handleOf(await spawn(parent)), await handleOf(await spawn(parent))]
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => world.call(children[i % 2] ?? '', PATH)),
    )
    const statuses = answers.map((answer) => answer.status).toSorted()
    expect(statuses).toEqual([...Array<number>(4).fill(200), ...Array<number>(6).fill(429)])
    await Promise.all(answers.map((answer) => answer.text()))
    expect((await world.call(parent, PATH)).status).toBe(429)
  })

  test('REV-1: revoking a parent ends what is below it at the next action', async () => {
    const parent = await world.handle()
    const child = await handleOf(await spawn(parent))
    const deep = await handleOf(await spawn(child, DEEP))
    expect((await world.call(deep, PATH)).status).toBe(200)
    await revoke(parent)
    expect((await world.call(deep, PATH)).status).toBe(401)
    expect((await world.call(child, PATH)).status).toBe(401)
    expect(await introspect(deep)).toEqual({ active: false })
    await refused(await spawn(child, DEEP))
  })

  test('REV-6: an answer that a sub-agent is still reading ends with its parent', async () => {
    if (!capabilities[entry].responseStreaming) return
    const parent = await world.handle()
    const child = await handleOf(await spawn(parent))
    const response = await world.call(child, `crm${ENDLESS_PATH}`)
    expect(response.status).toBe(200)
    const over = response.text().then(
      () => 'ended',
      () => 'cut',
    )
    await revoke(parent)
    await vi.waitFor(async () => expect(await over).toBe('cut'), { timeout: 20_000 })
  })

  test('a handle that is bound to a key is a parent only with a proof by that key', async () => {
    const [key, thief] = await Promise.all([proofKey(), proofKey()])
    const url = `${world.url}/token-exchange`
    const post = async (form: Record<string, string>, by: typeof key | null) =>
      world.post(form, by === null ? {} : { headers: { dpop: await by.proof({ url }) } })
    const common = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: 'crm',
    }
    const parent = await handleOf(
      await post(
        {
          ...common,
          subject_token: await world.token(),
          subject_token_type: `${TT}jwt`,
        },
        key,
      ),
    )
    expect(payloadOf(parent)).toHaveProperty('cnf')
    const below = async () => ({
      ...common,
      subject_token: parent,
      subject_token_type: `${TT}access_token`,
      actor_token: await world.token(HELPER),
      actor_token_type: `${TT}jwt`,
    })
    await refused(await post(await below(), null))
    await refused(await post(await below(), thief))
    const child = await handleOf(await post(await below(), key))
    expect(payloadOf(child)['cnf']).toEqual(payloadOf(parent)['cnf'])
  })

  test('the tree is in the API and in the log', async () => {
    const parent = await world.handle()
    const child = await handleOf(await spawn(parent))
    const [root, sid] = [parent, child].map((handle) => String(payloadOf(handle)['sid']))
    const shown = (await (await world.admin('GET', `/sessions/${root}`)).json()) as Body
    expect(shown).toMatchObject({ parent: null, children: { items: [{ id: sid, parent: root }] } })
    const listed = (await (await world.admin('GET', `/sessions?root=${root}`)).json()) as Body
    expect(listed).toMatchObject({ items: [{ id: sid, root }] })
    const { items } = (await (await world.admin('GET', `/audit?session=${sid}`)).json()) as {
      items: Body[]
    }
    expect(items.length).toBeGreaterThan(0)
    for (const event of items) {
      expect(event).toMatchObject({
        identity: 'helpers:helper-1',
        agent: { attested: { lineage: { root, ancestors: [root] } } },
      })
    }
  })
})
