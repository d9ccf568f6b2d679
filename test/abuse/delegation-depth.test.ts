// How deep a tree of sub-agents may get, and how long a chain of actors: what the deployment says, and what
// a binding says of its own sessions. Neither can be widened from below.
import { describe, expect, test } from 'vitest'
import { CRM, IDP, type InProcess, startInProcess } from '../faults/in-process.ts'
import { DEEP, delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const PATH = '/v1/customers/1'
const METHODS = ['helpers', 'deep']

type Body = Record<string, unknown>
type Over = Parameters<typeof delegationPolicy>[2]

async function world(over: Over, maxDelegationDepth = 4): Promise<InProcess> {
  const broker = await startInProcess({ config: { maxDelegationDepth } })
  await apply(broker, over)
  return broker
}

async function apply(broker: InProcess, over: Over): Promise<void> {
  const applied = await broker.admin('POST', '/policy/apply', delegationPolicy(IDP, CRM, over))
  if (!applied.ok) throw new Error(await applied.text())
}

async function spawn(
  broker: InProcess,
  parent: string,
  agent: object = HELPER,
  fields: Readonly<Record<string, string>> = {},
): Promise<Body> {
  const answer = await broker.exchange({
    subject_token: parent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token({ ...agent }),
    actor_token_type: `${TT}jwt`,
    ...fields,
  })
  return (await answer.json()) as Body
}

/** The handles of a tree without branches, as deep as it gets, and the refusal that it ends with. */
async function descend(broker: InProcess, atMost: number) {
  const handles = [await broker.handle()]
  for (let generation = 1; generation <= atMost; generation += 1) {
    const body = await spawn(broker, handles.at(-1) ?? '')
    if (typeof body['access_token'] !== 'string') return { handles, refusal: body }
    handles.push(body['access_token'])
  }
  return { handles, refusal: null }
}

async function lastReason(broker: InProcess): Promise<unknown> {
  const answer = await broker.admin('GET', '/audit?type=refusal&limit=200')
  const { items } = (await answer.json()) as { items: Body[] }
  return items.at(-1)?.['reason']
}

const status = async (answer: Promise<Response>) => {
  const { status: code } = await answer.then(async (one) => (await one.text(), one))
  return code
}

describe('SALLYPORT_MAX_DELEGATION_DEPTH', () => {
  test.each([1, 2, 4])('AC-06: %i generations, and not one more', async (depth) => {
    const broker = await world({ binding: { delegate_to: METHODS } }, depth)
    const { handles, refusal } = await descend(broker, depth + 1)
    expect(handles).toHaveLength(depth + 1)
    expect(refusal).toMatchObject({ error: 'invalid_request' })
    expect(await lastReason(broker)).toBe('chain_too_long')
    expect(await status(broker.call(handles.at(-1) ?? '', PATH))).toBe(200)
  })

  test('AC-06: sixteen generations act, spend and end as one tree', async () => {
    const limits = { actions: 2 }
    const broker = await world({ binding: { delegate_to: METHODS, limits } }, 16)
    const { handles } = await descend(broker, 17)
    expect(handles).toHaveLength(17)
    const [root = '', leaf = ''] = [handles[0], handles[16]]
    expect(await status(broker.call(leaf, PATH))).toBe(200)
    expect(await status(broker.call(handles[8] ?? '', PATH))).toBe(200)
    expect(await status(broker.call(leaf, PATH))).toBe(429)
    const sid = String(JSON.parse(atob(root.split('.')[1] ?? '')).sid)
    await broker.admin('POST', `/sessions/${sid}/revoke`, {})
    expect(await status(broker.call(leaf, PATH))).toBe(401)
  })

  test("AC-06: counts the actors of a user's token too", async () => {
    const users = { binding: { on_behalf_of: ['people'] } }
    const open = async (broker: InProcess, levels: number) => {
      let act: object | undefined
      for (let i = 0; i < levels; i += 1) act = { sub: `a${i}`, ...(act ? { act } : {}) }
      const answer = await broker.exchange({
        subject_token: await broker.token({ ...PEOPLE, ...(act ? { act } : {}) }),
        actor_token: await broker.token(),
        actor_token_type: `${TT}jwt`,
      })
      return answer.status
    }
    const shallow = await world(users, 1)
    expect([await open(shallow, 1), await open(shallow, 2)]).toEqual([200, 400])
    expect(await lastReason(shallow)).toBe('chain_too_long')
    const deep = await world(users, 16)
    expect([await open(deep, 16), await open(deep, 17)]).toEqual([200, 400])
  })

  test('AC-06: names that would make the handle too long for a header are refused', async () => {
    const broker = await world({ binding: { delegate_to: METHODS } }, 16)
    let parent = await broker.handle()
    const outcomes: unknown[] = []
    for (let generation = 1; generation <= 16; generation += 1) {
      const body = await spawn(broker, parent, { ...HELPER, sub: `h${'x'.repeat(1000)}` })
      outcomes.push(body['error'] ?? 'granted')
      if (typeof body['access_token'] !== 'string') break
      parent = body['access_token']
    }
    expect(outcomes.at(-1)).toBe('invalid_request')
    expect(await lastReason(broker)).toBe('chain_too_long')
    expect(parent.length).toBeLessThan(16_000)
    expect(await status(broker.call(parent, PATH))).toBe(200)
  })
})

describe('max_depth', () => {
  const bound = (max_depth: number, more: object = {}) => ({
    binding: { delegate_to: METHODS, max_depth, ...more },
  })

  test('RB-05: of the binding holds below the depth of the deployment', async () => {
    const broker = await world(bound(1))
    const { handles, refusal } = await descend(broker, 2)
    expect(handles).toHaveLength(2)
    expect(refusal).toMatchObject({ error: 'invalid_target' })
    expect(await lastReason(broker)).toBe('too_deep')
    const above = await world(bound(16), 2)
    expect((await descend(above, 3)).handles).toHaveLength(3)
  })

  test("RB-05: the smallest of the root's bindings holds, the other one's being larger", async () => {
    const second = {
      name: 'support-crm-too',
      auth_method: 'ci',
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/orders'] }],
      delegate_to: METHODS,
      max_depth: 3,
    }
    const broker = await world({ ...bound(1), bindings: [second] })
    expect((await descend(broker, 2)).handles).toHaveLength(2)
  })

  test('RB-05: a binding of a method further down lends no generations', async () => {
    const generous = {
      name: 'helpers-crm',
      auth_method: 'helpers',
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/**'] }],
      delegate_to: METHODS,
      max_depth: 16,
    }
    const broker = await world({ ...bound(1), bindings: [generous] })
    expect((await descend(broker, 2)).handles).toHaveLength(2)
  })

  test('RB-05: made smaller, it stops at once who is further down, and nobody else', async () => {
    const broker = await world(bound(2))
    const { handles } = await descend(broker, 2)
    const answers = () => Promise.all(handles.map((handle) => status(broker.call(handle, PATH))))
    expect(await answers()).toEqual([200, 200, 200])
    await apply(broker, bound(1))
    expect(await answers()).toEqual([200, 200, 403])
    await apply(broker, bound(2))
    expect(await answers()).toEqual([200, 200, 200])
  })

  test('is counted from the root, whichever method acts', async () => {
    const broker = await world(bound(1))
    const child = await spawn(broker, await broker.handle(), DEEP)
    const below = await spawn(broker, String(child['access_token']), HELPER)
    expect(below).toMatchObject({ error: 'invalid_target' })
  })

  test.each([
    [{ max_depth: 2 }, 'value'],
    [{ delegate_to: METHODS, max_depth: 0 }, expect.any(String)],
    [{ delegate_to: METHODS, max_depth: 17 }, expect.any(String)],
    [{ delegate_to: METHODS, max_depth: 1.5 }, expect.any(String)],
    [{ delegate_to: METHODS, max_depth: '2' }, expect.any(String)],
  ])('%o is refused', async (binding, code) => {
    const broker = await startInProcess()
    const policy = delegationPolicy(IDP, CRM, { binding })
    const answer = await broker.admin('POST', '/policy/apply', policy)
    expect(answer.status).toBe(422)
    const { errors } = (await answer.json()) as { errors: Body[] }
    expect(errors).toContainEqual(expect.objectContaining({ path: '/bindings/0/max_depth', code }))
  })
})
