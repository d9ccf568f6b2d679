// What an outsider found in delegation: what is meant for a user, or for a chain of agents, reaches all of it.
import { describe, expect, test } from 'vitest'
import { CRM, IDP, ISSUER, startInProcess, type InProcess } from '../faults/in-process.ts'
import { delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const PATH = '/v1/customers/1'

type Body = Record<string, unknown>
type Policy = Parameters<InProcess['admin']>[2]

async function apply(broker: InProcess, policy: Policy): Promise<void> {
  const applied = await broker.admin('POST', '/policy/apply', policy)
  if (!applied.ok) throw new Error(await applied.text())
}

const forAda = async (broker: InProcess) =>
  broker.handle({
    subject_token: await broker.token(PEOPLE),
    actor_token: await broker.token(),
    actor_token_type: `${TT}jwt`,
  })

const below = async (
  broker: InProcess,
  parent: string,
  over: Readonly<Record<string, string>> = {},
) =>
  broker.exchange({
    subject_token: parent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token(HELPER),
    actor_token_type: `${TT}jwt`,
    ...over,
  })

async function handleOf(response: Response): Promise<string> {
  const body = (await response.json()) as Body
  if (typeof body['access_token'] !== 'string') throw new Error(JSON.stringify(body))
  return body['access_token']
}

async function status(broker: InProcess, handle: string): Promise<number> {
  const answer = await broker.call(handle, PATH)
  await answer.text()
  return answer.status
}

describe('a revocation of many sessions', () => {
  for (const [name, selection] of [
    ['a user', { identity: 'people:ada' }],
    ['the method of a user', { method: 'people' }],
    ['the issuer of a user', { issuer: IDP, method: 'people' }],
  ] as const) {
    test(`by ${name} ends the sessions of agents that act for that user, and what is below`, async () => {
      const broker = await startInProcess()
      await apply(
        broker,
        delegationPolicy(IDP, CRM, {
          binding: { on_behalf_of: ['people', 'guests'], delegate_to: ['helpers'] },
        }),
      )
      const agent = await forAda(broker)
      const helper = await handleOf(await below(broker, agent))
      const other = await broker.handle({
        subject_token: await broker.token({ ...PEOPLE, aud: 'sallyport-guests' }),
        actor_token: await broker.token(),
        actor_token_type: `${TT}jwt`,
      })
      const revoked = await broker.admin('POST', '/sessions/revoke', selection)
      expect(revoked.status).toBe(200)
      expect([await status(broker, agent), await status(broker, helper)]).toEqual([401, 401])
      expect(await status(broker, other)).toBe(200)
    })
  }
})

describe('a sub-agent that declares another purpose than its parent', () => {
  const ROOT = { delegate_to: ['helpers'] }

  test('REV-2: does not outlive what its parent lost by a changed binding, and nobody opens below', async () => {
    const broker = await startInProcess()
    await apply(broker, delegationPolicy(IDP, CRM, { binding: ROOT }))
    const parent = await broker.handle({ intent: 'pay' })
    const child = await handleOf(await below(broker, parent, { intent: 'look' }))
    expect([await status(broker, parent), await status(broker, child)]).toEqual([200, 200])
    const changed = { ...ROOT, condition: 'request.purpose != "pay"' }
    await apply(broker, delegationPolicy(IDP, CRM, { binding: changed }))
    expect(await status(broker, parent)).toBe(403)
    expect(await status(broker, child)).toBe(403)
    expect((await below(broker, parent, { intent: 'look' })).status).toBe(400)
  })

  test('REV-2: a new deny of the purpose that it all began with holds for it', async () => {
    const broker = await startInProcess()
    await apply(broker, delegationPolicy(IDP, CRM, { binding: ROOT }))
    const parent = await broker.handle({ intent: 'pay' })
    const child = await handleOf(await below(broker, parent, { intent: 'look' }))
    const deny = {
      name: 'no',
      auth_method: 'ci',
      target: 'crm',
      effect: 'deny',
      condition: 'request.purpose == "pay"',
    }
    await apply(broker, delegationPolicy(IDP, CRM, { binding: ROOT, bindings: [deny] }))
    expect([await status(broker, parent), await status(broker, child)]).toEqual([403, 403])
    expect((await below(broker, parent, { intent: 'look' })).status).toBe(400)
  })

  test('stays under the intent policies of its parent when the policy changes', async () => {
    const broker = await startInProcess()
    const policy = (rules: readonly object[]) =>
      delegationPolicy(IDP, CRM, {
        binding: ROOT,
        bindings: [
          {
            name: 'careful',
            auth_method: 'ci',
            target: 'crm',
            condition: 'request.purpose == "pay"',
            grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
            intent: { policy: 'strict', on_review: 'deny' },
            ttl_seconds: 300,
          },
        ],
        policies: [{ name: 'strict', rules }],
      })
    await apply(broker, policy([]))
    const parent = await broker.handle({ intent: 'pay' })
    const child = await handleOf(await below(broker, parent, { intent: 'look' }))
    expect([await status(broker, parent), await status(broker, child)]).toEqual([200, 200])
    await apply(broker, policy([{ id: 'no', effect: 'deny', text: 'Nothing.' }]))
    expect([await status(broker, parent), await status(broker, child)]).toEqual([403, 403])
  })
})

test('REV-2: the session of a workload ends when its method vouches for users from now on', async () => {
  const broker = await startInProcess()
  const policy = delegationPolicy(IDP, CRM, { binding: { delegate_to: ['helpers'] } })
  await apply(broker, policy)
  const parent = await broker.handle()
  const child = await handleOf(await below(broker, parent))
  expect(await status(broker, parent)).toBe(200)
  const auth_methods = policy.auth_methods.map((method) =>
    method.name === 'ci' ? { ...method, subject: 'user' } : method,
  )
  await apply(broker, { ...policy, auth_methods })
  expect((await broker.exchange()).status).toBe(400)
  expect([await status(broker, parent), await status(broker, child)]).toEqual([403, 403])
  expect((await below(broker, parent)).status).toBe(400)
})

test('AC-08: below a user who came alone, the log says for whom the sub-agent acts and calls it no impersonation', async () => {
  const broker = await startInProcess()
  const direct = {
    name: 'direct',
    auth_method: 'people',
    target: 'crm',
    grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
    ttl_seconds: 300,
    allow_impersonation: true,
    delegate_to: ['helpers'],
  }
  await apply(broker, delegationPolicy(IDP, CRM, { bindings: [direct] }))
  const parent = await broker.handle({ subject_token: await broker.token(PEOPLE) })
  const child = await handleOf(await below(broker, parent))
  expect([await status(broker, parent), await status(broker, child)]).toEqual([200, 200])
  const page = await broker.admin('GET', '/audit?type=action')
  const { items } = (await page.json()) as { items: Body[] }
  expect(items.map(({ agent }) => (agent as { attested: Body }).attested)).toEqual([
    expect.objectContaining({ auth_method: 'people', relation: 'impersonation' }),
    expect.objectContaining({
      auth_method: 'helpers',
      relation: 'delegation',
      on_behalf_of: expect.objectContaining({ identity: 'people:ada' }) as unknown,
    }),
  ])
})

test('introspection tells a sub-agent what is gone with a session above it', async () => {
  const broker = await startInProcess()
  await apply(broker, delegationPolicy(IDP, CRM, { binding: { delegate_to: ['helpers'] } }))
  const parent = await broker.handle()
  const child = await handleOf(await below(broker, parent))
  const [, payload = ''] = parent.split('.')
  const { sid } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sid: string }
  await broker.admin('POST', `/sessions/${sid}/narrow`, { effects: ['write'] })
  const answer = await broker.fetch('/introspect', {
    method: 'POST',
    headers: { authorization: `Bearer ${child}` },
    body: new URLSearchParams({ token: child }),
  })
  expect(await answer.json()).toMatchObject({
    active: true,
    session: { state: 'narrowed', removed_effects: ['write'] },
  })
})

test('the handle below one that is bound to a certificate is bound to it, whatever its target asks for', async () => {
  const broker = await startInProcess()
  const grants = [{ effects: ['read'], objects: ['GET /v1/customers/*'] }]
  const billing = {
    name: 'billing',
    auth_method: 'ci',
    target: 'billing',
    grants,
    ttl_seconds: 300,
  }
  await apply(
    broker,
    delegationPolicy(IDP, CRM, {
      binding: { delegate_to: ['helpers'], require_proof: 'mtls' },
      bindings: [{ ...billing, delegate_to: ['helpers'] }],
    }),
  )
  const overTls = async (fields: readonly (readonly [string, string])[]) => {
    const body = new URLSearchParams(fields.map(([name, value]): [string, string] => [name, value]))
    const request = new Request(`${ISSUER}/token-exchange`, { method: 'POST', body })
    return handleOf(
      await broker.app.fetch(request, {
        rawTarget: '/token-exchange',
        clientAddress: '203.0.113.7',
        headerLines: [...request.headers],
        clientCertificate: { chain: [new Uint8Array([1, 2, 3])], provenByPlatform: true },
      }),
    )
  }
  const grant = ['grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'] as const
  const parent = await overTls([
    grant,
    ['subject_token', await broker.token()],
    ['subject_token_type', `${TT}jwt`],
    ['audience', 'crm'],
    ['audience', 'billing'],
  ])
  const child = await overTls([
    grant,
    ['subject_token', parent],
    ['subject_token_type', `${TT}access_token`],
    ['actor_token', await broker.token(HELPER)],
    ['actor_token_type', `${TT}jwt`],
    ['audience', 'billing'],
  ])
  const answer = await broker.fetch(`/t/billing${PATH}`, {
    headers: { authorization: `Bearer ${child}` },
  })
  expect(answer.status).toBe(401)
})

test('AC-08: the refusal of a sub-agent names the tree and the user that it asked to act in', async () => {
  const broker = await startInProcess()
  await apply(broker, delegationPolicy(IDP, CRM, { binding: { on_behalf_of: ['people'] } }))
  const parent = await forAda(broker)
  expect((await below(broker, parent)).status).toBe(400)
  const page = await broker.admin('GET', '/audit?type=refusal')
  const { items } = (await page.json()) as { items: Body[] }
  expect(items.at(-1)).toMatchObject({
    identity: 'helpers:helper-1',
    reason: 'not_delegated',
    agent: {
      attested: {
        on_behalf_of: { identity: 'people:ada' },
        lineage: { identities: ['ci:agent-7'] },
      },
    },
  })
})
