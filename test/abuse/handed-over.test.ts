// Credentials that are handed over, with everything that might make one wider, longer or more than was granted:
// by trees of agents, by users, by sessions that lost something, by what happens while it is being minted.
import { describe, expect, test } from 'vitest'
import { ok } from '../../functions/core/result.ts'
import { CRM, IDP, type InProcess, startInProcess } from '../faults/in-process.ts'
import { DEEP, delegationPolicy, HELPER, PEOPLE } from '../fakes/delegation-policy.ts'
import { CANARY, type FakeMint, fakeMint, mintedFor } from '../fakes/minting-target.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const AWS = 'urn:sallyport:token-type:aws-credentials'
const BUCKET = 'arn:aws:s3:::reports'

type Body = Record<string, unknown>
type Part = Readonly<Record<string, unknown>>
type Fields = Readonly<Record<string, string>>
type World = InProcess & { readonly fake: FakeMint }

async function world(s3: Part = {}, bindings: readonly Part[] = []): Promise<World> {
  const fake = fakeMint()
  const broker = await startInProcess({ plugins: [fake.type] })
  const started = { ...broker, fake }
  await apply(started, s3, bindings)
  return started
}

async function apply(broker: World, s3: Part, bindings: readonly Part[] = []): Promise<void> {
  const policy = delegationPolicy(IDP, CRM, {
    binding: { delegate_to: ['helpers', 'deep'] },
    bindings: [
      {
        name: 'agents-s3',
        auth_method: 'ci',
        target: 's3',
        delivery: 'credential',
        delegate_to: ['helpers', 'deep'],
        grants: [
          { effects: ['read'], objects: [`${BUCKET}/*`] },
          { effects: ['write'], objects: [`${BUCKET}/in/*`] },
        ],
        ttl_seconds: 600,
        ...s3,
      },
      ...bindings,
    ],
  })
  const targets = [...policy.targets, { name: 's3', type: 'fake-sts', config: {} }]
  const applied = await broker.admin('POST', '/policy/apply', { ...policy, targets })
  if (!applied.ok) throw new Error(await applied.text())
}

const mint = (broker: World, fields: Fields = {}) =>
  broker.exchange({ audience: 's3', requested_token_type: AWS, ...fields })

async function below(parent: string, broker: World, agent: object = HELPER): Promise<Fields> {
  return {
    subject_token: parent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token({ ...agent }),
    actor_token_type: `${TT}jwt`,
  }
}

const credentials = (broker: World, authorization: string) =>
  broker.fetch('/t/s3/credentials', { headers: { authorization } })

const bodyOf = async (response: Response) => (await response.json()) as Body

async function refused(response: Promise<Response>, error: string): Promise<void> {
  const answer = await response
  const { error: got } = await bodyOf(answer)
  expect({ status: answer.status, error: got }).toEqual({ status: 400, error })
}

function sidOf(handle: string): string {
  const [, payload = ''] = handle.split('.')
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sid: string }).sid
}

const usage = async (broker: World, handle: string) =>
  (await bodyOf(await broker.admin('GET', `/sessions/${sidOf(handle)}`)))['usage']

describe('a sub-agent', () => {
  test('is handed no more than its parent holds, for no longer, and in its place of the tree', async () => {
    const broker = await world()
    const parent = await broker.handle({ audience: 's3', scope: `read:${BUCKET}/2026/*` })
    broker.clock.advance(500)
    const body = await bodyOf(await mint(broker, await below(parent, broker)))
    expect(body).toMatchObject({ scope: `read:${BUCKET}/2026/*`, expires_in: 100 })
    expect(broker.fake.planned.at(-1)).toMatchObject({
      identity: 'helpers:helper-1',
      lineage: { ancestors: [sidOf(parent)], actors: [{ identity: 'ci:agent-7' }] },
      attestedOrigin: { kind: 'upstream', id: sidOf(parent) },
    })
    await refused(
      mint(broker, { ...(await below(parent, broker)), scope: `write:${BUCKET}/in/*` }),
      'invalid_scope',
    )
  })

  test('spends the budget of all above it with each credential, at once', async () => {
    const broker = await world({ limits: { actions: 3 } })
    const parent = await broker.handle({ audience: 's3' })
    const child = await bodyOf(
      await broker.exchange({ audience: 's3', ...(await below(parent, broker)) }),
    )
    const handle = String(child['access_token'])
    expect((await mint(broker, await below(handle, broker, DEEP))).status).toBe(200)
    expect(await usage(broker, parent)).toMatchObject({ actions: 1, writes: 1 })
    expect(await usage(broker, handle)).toMatchObject({ actions: 1, writes: 1 })
    const asked = await Promise.all(
      Array.from({ length: 8 }, async () => mint(broker, await below(handle, broker, DEEP))),
    )
    expect(asked.filter(({ status }) => status === 200)).toHaveLength(2)
    expect(await usage(broker, parent)).toMatchObject({ actions: 3 })
    expect(broker.fake.minted).toHaveLength(3)
    await refused(mint(broker, await below(parent, broker)), 'access_denied')
    expect((await credentials(broker, parent)).status).toBe(429)
  })

  test('with a budget for no writes is handed nothing that writes', async () => {
    const broker = await world({ limits: { writes: 1 } })
    const parent = await broker.handle({ audience: 's3' })
    expect((await mint(broker, await below(parent, broker))).status).toBe(200)
    await refused(mint(broker, await below(parent, broker)), 'access_denied')
    const reading = { ...(await below(parent, broker)), scope: 'read' }
    expect((await mint(broker, reading)).status).toBe(200)
  })

  test('is handed nothing below a session that has ended, is suspended, or has lost the effect', async () => {
    const broker = await world()
    const parent = await broker.handle({ audience: 's3' })
    const path = `/sessions/${sidOf(parent)}`
    await broker.admin('POST', `${path}/narrow`, { effects: ['write'], reason: 'test' })
    const narrowed = await bodyOf(await mint(broker, await below(parent, broker)))
    expect(narrowed['scope'] ?? narrowed).toBe(`read:${BUCKET}/*`)
    await broker.admin('POST', `${path}/suspend`, { reason: 'test' })
    await refused(mint(broker, await below(parent, broker)), 'invalid_request')
    await broker.admin('POST', `${path}/revoke`, { reason: 'test' })
    await refused(mint(broker, await below(parent, broker)), 'invalid_request')
    expect(broker.fake.minted).toHaveLength(1)
  })

  test('is not handed what it would have got, when its parent ends while it is minted', async () => {
    const broker = await world()
    const parent = await broker.handle({ audience: 's3' })
    broker.fake.answer = async (plan) => {
      await broker.admin('POST', `/sessions/${sidOf(parent)}/revoke`, { reason: 'meanwhile' })
      return ok(mintedFor(plan, 1))
    }
    const response = await mint(broker, await below(parent, broker))
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain(CANARY)
    expect(await broker.sql('SELECT * FROM session_credential')).toEqual([])
  })
})

describe('for a user', () => {
  test('a credential is planned with the user beside the agent, where the binding names the user', async () => {
    const broker = await world({
      on_behalf_of: ['people'],
      grants: [
        {
          effects: ['read'],
          objects: [`${BUCKET}/\${subject.sub}/*`, `${BUCKET}/\${claims.team}/*`],
        },
      ],
    })
    await refused(mint(broker), 'invalid_target')
    const forUser = await bodyOf(
      await mint(broker, {
        subject_token: await broker.token(PEOPLE),
        actor_token: await broker.token(),
        actor_token_type: `${TT}jwt`,
      }),
    )
    expect(forUser['scope'] ?? forUser).toBe(`read:${BUCKET}/ada/* read:${BUCKET}/support/*`)
    expect(broker.fake.planned.at(-1)).toMatchObject({
      onBehalfOf: { relation: 'delegation', identity: 'people:ada' },
      attestedOrigin: { kind: 'user', id: 'people:ada' },
    })
  })

  test('impersonation has to be allowed', async () => {
    const guests = {
      name: 'guests-s3',
      auth_method: 'guests',
      target: 's3',
      delivery: 'credential',
      grants: [{ effects: ['read'], objects: [`${BUCKET}/public/*`] }],
    }
    const guest = { aud: 'sallyport-guests', sub: 'guest-1', team: null }
    const broker = await world({}, [guests])
    await refused(mint(broker, { subject_token: await broker.token(guest) }), 'invalid_target')
    await apply(broker, {}, [{ ...guests, allow_impersonation: true }])
    const answer = await mint(broker, { subject_token: await broker.token(guest) })
    expect(answer.status).toBe(200)
  })
})

describe('claims in objects', () => {
  const named = { grants: [{ effects: ['read'], objects: [`${BUCKET}/\${claims.dir}/*`] }] }

  test.each([
    ['*', `${BUCKET}/\${*}/*`],
    ['a?', `${BUCKET}/a\${?}/*`],
    ['${*}', `${BUCKET}/\${$}{\${*}}/*`],
  ])('SC-04: a claim %j is a name and no pattern', async (dir, object) => {
    const broker = await world(named)
    const body = await bodyOf(await mint(broker, { subject_token: await broker.token({ dir }) }))
    expect(broker.fake.planned.at(-1)?.grants ?? body).toEqual([
      { effects: ['read'], objects: [object] },
    ])
  })

  test.each([
    ['a/b'],
    ['a:b'],
    ['"'],
    ["'"],
    ['\\'],
    ['\u0000'],
    [''],
    [7],
    [null],
    ['x'.repeat(2000)],
  ])('SC-04: a claim %j names nothing, and nothing is handed over', async (dir) => {
    const broker = await world(named)
    const subject_token = await broker.token({ dir })
    await refused(mint(broker, { subject_token }), 'invalid_scope')
    expect((await credentials(broker, subject_token)).status).toBe(403)
    expect(broker.fake.minted).toHaveLength(0)
  })

  test('a changed binding is read with the claims that the session was opened with', async () => {
    const broker = await world(named)
    const handle = await broker.handle({
      audience: 's3',
      subject_token: await broker.token({ dir: 'mine' }),
    })
    await apply(broker, {
      grants: [
        { effects: ['read'], objects: [`${BUCKET}/\${claims.dir}/2026/*`, `${BUCKET}/all/*`] },
      ],
    })
    expect((await credentials(broker, handle)).status).toBe(200)
    expect(broker.fake.planned.at(-1)?.grants).toEqual([
      { effects: ['read'], objects: [`${BUCKET}/mine/2026/*`] },
    ])
  })
})

describe('a session with a handle', () => {
  test('that was narrowed is handed what it has left, and nothing when that is nothing', async () => {
    const broker = await world()
    const handle = await broker.handle({ audience: 's3' })
    const path = `/sessions/${sidOf(handle)}`
    await broker.admin('POST', `${path}/narrow`, { effects: ['write'], reason: 'test' })
    expect((await credentials(broker, handle)).status).toBe(200)
    expect(broker.fake.planned.at(-1)?.grants).toEqual([
      { effects: ['read'], objects: [`${BUCKET}/*`] },
    ])
    await broker.admin('POST', `${path}/narrow`, { effects: ['read'], reason: 'test' })
    const refusal = await credentials(broker, handle)
    expect(refusal.status).toBe(403)
    expect(await bodyOf(refusal)).toMatchObject({ code: 'not_granted' })
    await broker.admin('POST', `${path}/suspend`, { reason: 'test' })
    expect((await credentials(broker, handle)).status).toBe(403)
    expect(broker.fake.minted).toHaveLength(1)
  })

  test('is handed what today’s bindings grant, for as long as they do', async () => {
    const broker = await world()
    const handle = await broker.handle({ audience: 's3' })
    await apply(broker, {
      grants: [{ effects: ['read', 'write'], objects: [`${BUCKET}/in/*`, 'arn:aws:s3:::other/*'] }],
      ttl_seconds: 60,
    })
    expect((await credentials(broker, handle)).status).toBe(200)
    const { grants, now, endsAt } = broker.fake.planned.at(-1) ?? {}
    expect(grants).toEqual([
      { effects: ['read'], objects: [`${BUCKET}/in/*`] },
      { effects: ['write'], objects: [`${BUCKET}/in/*`] },
    ])
    expect((endsAt ?? 0) - (now ?? 0)).toBe(60)
    broker.clock.advance(61)
    expect((await credentials(broker, handle)).status).toBe(401)
    expect(broker.fake.minted).toHaveLength(1)
  })

  test.each([
    [
      'its session is revoked',
      (b: World, h: string) =>
        b.admin('POST', `/sessions/${sidOf(h)}/revoke`, { reason: 'meanwhile' }),
    ],
    [
      'its session is suspended',
      (b: World, h: string) =>
        b.admin('POST', `/sessions/${sidOf(h)}/suspend`, { reason: 'meanwhile' }),
    ],
    [
      'the kill switch is engaged',
      (b: World) => b.admin('PUT', '/kill-switch', { engaged: true, reason: 'meanwhile' }),
    ],
  ] as const)('is handed nothing when %s while it is minted', async (_, happen) => {
    const broker = await world()
    const handle = await broker.handle({ audience: 's3' })
    broker.fake.answer = async (plan) => {
      const happened = await happen(broker, handle)
      expect(happened.status).toBe(200)
      return ok(mintedFor(plan, 1))
    }
    const response = await credentials(broker, handle)
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain(CANARY)
    expect(await broker.sql('SELECT * FROM session_credential')).toEqual([])
    const outcomes = await broker.sql("SELECT draft FROM audit_event WHERE type = 'outcome'")
    expect(outcomes).toHaveLength(1)
    expect(JSON.parse(String(outcomes[0]?.[0]))).toMatchObject({
      outcome: { result: 'aborted', reason: 'not_handed_over' },
    })
  })

  test('an approval lets one repetition pass, whatever the clock says by then', async () => {
    const broker = await world()
    const reviewed = { policy: 'careful', required: false, on_review: 'approval' }
    const rules = [{ id: 'ask', text: 'Ask first.', effect: 'review' }]
    const handle = await broker.handle({ audience: 's3' })
    expect((await broker.admin('PUT', '/intent-policies/careful', { rules })).status).toBe(201)
    await broker.admin('PUT', '/bindings/agents-s3', {
      auth_method: 'ci',
      target: 's3',
      delivery: 'credential',
      grants: [{ effects: ['read'], objects: [`${BUCKET}/*`] }],
      ttl_seconds: 600,
      intent: reviewed,
    })
    const pending = await credentials(broker, handle)
    expect(pending.status).toBe(403)
    const { code, approval } = (await bodyOf(pending)) as { code: string; approval: { id: string } }
    expect(code).toBe('approval_required')
    broker.clock.advance(30)
    await broker.admin('POST', `/approvals/${approval.id}/approve`, {})
    expect((await credentials(broker, handle)).status).toBe(200)
    expect((await credentials(broker, handle)).status).toBe(403)
    expect(broker.fake.minted).toHaveLength(1)
  })
})

describe('policy', () => {
  const saved = async (binding: Part) => {
    const broker = await world()
    const base = { auth_method: 'ci', grants: [{ effects: ['read'], objects: ['*'] }] }
    const response = await broker.admin('PUT', '/bindings/new', { ...base, ...binding })
    const { errors = [] } = (await bodyOf(response)) as {
      errors?: { path: string; code: string }[]
    }
    return [response.status, ...errors.map(({ path, code }) => `${path} ${code}`)]
  }

  test.each([
    [{ target: 's3', delivery: 'credential', may_outlive_subject: true }, [201]],
    [{ target: 's3' }, [422, '/delivery unsupported']],
    [
      { target: 's3', delivery: 'session', may_outlive_subject: true },
      [422, '/delivery unsupported'],
    ],
    [
      { target: 's3', delivery: 'credential', limits: { actions: 3, writes: 1, per_minute: 2 } },
      [201],
    ],
    [
      { target: 's3', delivery: 'credential', limits: { rows: 5, bytes: 5 } },
      [422, '/limits/rows unsupported', '/limits/bytes unsupported'],
    ],
    [{ target: 'crm' }, [201]],
    [{ target: 'crm', delivery: 'credential' }, [422, '/delivery unsupported']],
    [{ target: 'crm', may_outlive_subject: false }, [422, '/may_outlive_subject unsupported']],
    [{ target: 's3', effect: 'deny', grants: [] }, [201]],
    [{ target: 's3', effect: 'deny', grants: [], delivery: 'credential' }, [201]],
    [
      { target: 'crm', effect: 'deny', grants: [], delivery: 'credential' },
      [422, '/delivery unsupported'],
    ],
    [
      {
        target: 'sallyport-admin',
        delivery: 'credential',
        grants: [{ effects: ['admin'], objects: ['viewer'] }],
      },
      [422, '/delivery unsupported'],
    ],
  ])('POL-9: %j answers %j', async (binding, expected) => {
    expect(await saved(binding)).toEqual(expected)
  })

  test('a deny at the target wins', async () => {
    const broker = await world({}, [
      { name: 'no', auth_method: 'ci', target: 's3', effect: 'deny' },
    ])
    await refused(mint(broker), 'invalid_target')
    expect((await credentials(broker, await broker.token())).status).toBe(403)
  })
})
