// Credentials that are handed over, as somebody attacks them who has read the source: what happens between
// decision and hand-over, what an approval is taken for, what a request may cost.
import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { ok } from '../../functions/core/result.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { CRM, IDP, type InProcess, startInProcess } from '../faults/in-process.ts'
import { delegationPolicy, HELPER } from '../fakes/delegation-policy.ts'
import { CANARY, type FakeMint, fakeMint, mintedFor } from '../fakes/minting-target.ts'

const TT = 'urn:ietf:params:oauth:token-type:'
const AWS = 'urn:sallyport:token-type:aws-credentials'
const BUCKET = 'arn:aws:s3:::reports'

type Part = Readonly<Record<string, unknown>>
type Fields = Readonly<Record<string, string>>
type World = InProcess & { readonly fake: FakeMint }

async function world(s3: Part = {}, more: Part = {}): Promise<World> {
  const fake = fakeMint()
  const broker = await startInProcess({ plugins: [fake.type] })
  const started = { ...broker, fake }
  await apply(started, s3, more)
  return started
}

async function apply(broker: World, s3: Part, more: Part = {}): Promise<void> {
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
    ],
  })
  const targets = [...policy.targets, { name: 's3', type: 'fake-sts', config: {} }]
  const applied = await broker.admin('POST', '/policy/apply', { ...policy, targets, ...more })
  if (!applied.ok) throw new Error(await applied.text())
}

const mint = (broker: World, fields: Fields = {}) =>
  broker.exchange({ audience: 's3', requested_token_type: AWS, ...fields })

async function below(parent: string, broker: World): Promise<Fields> {
  return {
    subject_token: parent,
    subject_token_type: `${TT}access_token`,
    actor_token: await broker.token({ ...HELPER }),
    actor_token_type: `${TT}jwt`,
  }
}

const credentials = (broker: World, authorization: string) =>
  broker.fetch('/t/s3/credentials', { headers: { authorization } })

function sidOf(handle: string): string {
  const [, payload = ''] = handle.split('.')
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sid: string }).sid
}

describe('what is taken away while it is minted', () => {
  const narrowWhileMinted = (broker: World, handle: string, effects: readonly string[]) => {
    broker.fake.answer = async (plan) => {
      const path = `/sessions/${sidOf(handle)}/narrow`
      const narrowed = await broker.admin('POST', path, { effects, reason: 'meanwhile' })
      expect(narrowed.status).toBe(200)
      return ok(mintedFor(plan, 1))
    }
  }

  test('is not handed over: a session that lost an effect has no credential with it', async () => {
    const broker = await world()
    const handle = await broker.handle({ audience: 's3' })
    narrowWhileMinted(broker, handle, ['write'])
    const response = await credentials(broker, handle)
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain(CANARY)
    expect(await broker.sql('SELECT * FROM session_credential')).toEqual([])
    const [outcome] = await broker.sql("SELECT draft FROM audit_event WHERE type = 'outcome'")
    expect(JSON.parse(String(outcome?.[0]))).toMatchObject({
      outcome: { result: 'aborted', reason: 'not_handed_over' },
    })
  })

  test('is not handed over to a sub-agent either, whose parent lost it', async () => {
    const broker = await world()
    const parent = await broker.handle({ audience: 's3' })
    narrowWhileMinted(broker, parent, ['write'])
    const response = await mint(broker, await below(parent, broker))
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain(CANARY)
    expect(await broker.sql('SELECT * FROM session_credential')).toEqual([])
  })

  test('takes nothing else away', async () => {
    const broker = await world()
    const handle = await broker.handle({ audience: 's3' })
    narrowWhileMinted(broker, handle, ['delete'])
    expect((await credentials(broker, handle)).status).toBe(200)
    const parent = await broker.handle({ audience: 's3' })
    narrowWhileMinted(broker, parent, ['delete'])
    broker.fake.minted.length = 0
    expect((await mint(broker, { ...(await below(parent, broker)), scope: 'read' })).status).toBe(
      200,
    )
  })
})

test('a change of the policy that takes nothing away leaves a handle what it had', async () => {
  const broker = await world()
  const handle = await broker.handle({ audience: 's3' })
  expect((await credentials(broker, handle)).status).toBe(200)
  await apply(broker, { ttl_seconds: 599 })
  expect((await credentials(broker, handle)).status).toBe(200)
})

test('an approval of one role is none of another that the target was given meanwhile', async () => {
  const rules = [{ id: 'ask', text: 'Ask first.', effect: 'review' }]
  const intent_policies = [{ name: 'careful', rules }]
  const s3 = { intent: { policy: 'careful', required: false, on_review: 'approval' } }
  const broker = await world(s3, { intent_policies })
  broker.fake.role = 'reader'
  const pending = (await (await mint(broker)).json()) as { approval: { id: string } }
  await broker.admin('POST', `/approvals/${pending.approval.id}/approve`, {})
  broker.fake.role = 'owner'
  expect((await mint(broker)).status).toBe(400)
  expect(broker.fake.minted).toHaveLength(0)
  broker.fake.role = 'reader'
})

test('AUD-4: what was minted and not handed over stands in the chain as such, on the exchange too', async () => {
  const broker = await world()
  broker.fake.answer = async (plan) => {
    await broker.admin('PUT', '/kill-switch', { engaged: true, reason: 'meanwhile' })
    return ok(mintedFor(plan, 1))
  }
  const response = await mint(broker)
  expect(response.status).toBe(503)
  const rows = await broker.sql("SELECT draft FROM audit_event WHERE type <> 'admin' ORDER BY seq")
  const [decision, refusal] = rows.map(([draft]) => JSON.parse(String(draft)) as Part).slice(-2)
  expect(decision).toMatchObject({ type: 'decision', outcome: { verdict: 'allow' } })
  expect(refusal).toMatchObject({
    type: 'refusal',
    session_id: decision?.['session_id'],
    action: { name: 'aws.assume' },
    reason: 'not_handed_over',
  })
})

describe('the endpoint of the AWS SDKs', () => {
  const cold = async (env: Readonly<Record<string, string>>) => {
    const file = createFileDriver({ path: ':memory:' })
    let isDown = false
    const whenUp =
      <A extends readonly unknown[], T>(call: (...args: A) => Promise<T>) =>
      (...args: A): Promise<T> =>
        isDown ? Promise.reject(new StoreUnavailable('down')) : call(...args)
    const driver: Driver = Object.assign(Object.create(file) as Driver, {
      read: whenUp((...args: Parameters<Driver['read']>) => file.read(...args)),
      write: whenUp((...args: Parameters<Driver['write']>) => file.write(...args)),
    })
    const broker = await startInProcess({ driver, env })
    isDown = true
    return broker
  }

  test.each([
    ['the store is down', {}],
    ['SALLYPORT_KILL is set, without the store', { SALLYPORT_KILL: '1' }],
  ])('says what its clients read when %s', async (_what, env) => {
    const broker = await cold(env)
    const response = await broker.fetch('/t/s3/credentials?auth_method=ci', {
      headers: { authorization: await broker.token() },
    })
    expect(response.status).toBe(503)
    expect(response.headers.get('sallyport-decision')).toMatch(/^dec_/)
    expect(await response.json()).toMatchObject({ message: expect.any(String) as string })
  })
})
