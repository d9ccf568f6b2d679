// States, security events and origins where somebody acts for somebody: a user's agent, and its sub-agents.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CRM, IDP, type InProcess, startInProcess } from '../faults/in-process.ts'
import { delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const AUDIENCE = 'https://broker.example/events'

type Body = Record<string, unknown>

let broker: InProcess
/** Of ada's agent, of its sub-agent, and of the same agent for nobody. */
let agent: string
let helper: string
let alone: string

beforeEach(async () => {
  broker = await startInProcess()
  const policy = delegationPolicy(IDP, CRM, {
    binding: { on_behalf_of: ['people'], delegate_to: ['helpers'] },
    bindings: [
      {
        name: 'alone-crm',
        auth_method: 'helpers',
        target: 'crm',
        grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
        ttl_seconds: 300,
      },
    ],
  })
  const auth_methods = policy.auth_methods.map((method) =>
    method.name === 'people'
      ? { ...method, config: { ...method.config, security_events: { audience: AUDIENCE } } }
      : method,
  )
  const applied = await broker.admin('POST', '/policy/apply', { ...policy, auth_methods })
  if (!applied.ok) throw new Error(await applied.text())
  agent = await handleOf({
    subject_token: await broker.token(PEOPLE),
    subject_token_type: `${TT}id_token`,
    actor_token: await broker.token(),
  })
  helper = await handleOf({
    subject_token: agent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token(HELPER),
  })
  // The same words as the user's name, by another method.
  alone = await handleOf({ subject_token: await broker.token({ ...HELPER, sub: 'ada' }) })
})
afterEach(() => broker.app.close())

async function handleOf(form: Readonly<Record<string, string>>): Promise<string> {
  const actor = form['actor_token'] === undefined ? {} : { actor_token_type: `${TT}jwt` }
  return broker.handle({ ...actor, ...form })
}

const sidOf = (handle: string): string =>
  (JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as { sid: string })
    .sid
const session = async (handle: string) =>
  (await (await broker.admin('GET', `/sessions/${sidOf(handle)}`)).json()) as Body
const change = (handle: string, what: string, body: Body) =>
  broker.admin('POST', `/sessions/${sidOf(handle)}/${what}`, body)
const read = async (handle: string, headers = {}) =>
  (await broker.call(handle, '/v1/customers/1', { headers })).status
const write = (handle: string) => broker.call(handle, '/v1/notes', { method: 'POST', body: '{}' })

async function event(name: string, payload: Body, sub = 'ada'): Promise<number> {
  const claims = {
    iss: IDP,
    aud: AUDIENCE,
    jti: crypto.randomUUID(),
    iat: broker.clock.nowSeconds(),
    sub_id: { format: 'iss_sub', iss: IDP, sub },
    events: { [`https://schemas.openid.net/secevent/caep/event-type/${name}`]: payload },
  }
  const { alg, kid } = broker.keys
  const header = JSON.stringify({ alg, kid, typ: 'secevent+jwt' })
  const response = await broker.fetch('/events', {
    method: 'POST',
    body: await broker.keys.sign(JSON.stringify(claims), header),
    headers: { 'content-type': 'application/secevent+jwt' },
  })
  return response.status
}

test('what is taken from a session is taken from those below it, and from no other', async () => {
  expect((await write(helper)).status).toBe(200)
  await change(agent, 'narrow', { effects: ['write'] })
  const refusal = await write(helper)
  expect(refusal.status).toBe(403)
  expect(((await refusal.json()) as Body)['hint']).toContain('write was taken away')
  expect(await read(helper)).toBe(200)
  await change(agent, 'suspend', { reason: 'x' })
  expect([await read(agent), await read(helper), await read(alone)]).toEqual([403, 403, 200])
  await change(agent, 'restore', {})
  expect([await read(agent), await read(helper)]).toEqual([200, 200])
})

test('what is taken from a sub-agent is not taken from its parent', async () => {
  await change(helper, 'suspend', { reason: 'x' })
  expect([await read(agent), await read(helper)]).toEqual([200, 403])
})

test('the refusals of a sub-agent do not suspend its parent', async () => {
  for (let n = 0; n < 20; n++) await broker.call(helper, '/elsewhere')
  expect(await session(helper)).toMatchObject({ state: 'suspended' })
  expect(await session(agent)).toMatchObject({ state: 'active', denials: 0 })
})

test('an event about a user ends what acts for them and what is below, and nobody of the same name', async () => {
  expect(await event('session-revoked', {})).toBe(202)
  expect([await read(agent), await read(helper), await read(alone)]).toEqual([401, 401, 200])
})

test('an event about a user suspends what acts for them', async () => {
  expect(await event('risk-level-change', { current_level: 'HIGH' })).toBe(202)
  expect([await read(agent), await read(helper), await read(alone)]).toEqual([403, 403, 200])
})

test('a method that names no transmitter has nothing said about its agents', async () => {
  expect(await event('session-revoked', {}, 'agent-7')).toBe(202)
  expect([await read(agent), await read(helper)]).toEqual([200, 200])
})

test('a user’s token attests the user, a parent’s handle the parent, whatever is declared', async () => {
  expect(await session(agent)).toMatchObject({
    origin: {
      declared: null,
      attested: { kind: 'user', id: 'people:ada', relation: 'delegation' },
    },
  })
  expect(await session(helper)).toMatchObject({
    origin: { attested: { kind: 'upstream', id: sidOf(agent), root: sidOf(agent) } },
  })
  await read(agent, { 'sallyport-action-origin': 'agent' })
  await read(agent, { 'sallyport-action-origin': 'user' })
  const page = await broker.admin('GET', '/audit?type=action&origin=agent&origin_attested=user')
  const { items } = (await page.json()) as { items: Body[] }
  expect(items).toMatchObject([
    { origin: { declared: { kind: 'agent' }, attested: { kind: 'user', id: 'people:ada' } } },
  ])
  const upstream = await broker.admin('GET', '/audit?type=grant&origin_attested=upstream')
  expect(((await upstream.json()) as { items: Body[] }).items).toHaveLength(1)
})
