// Attacks on approvals: what was approved is changed before it is sent, a denial is buried under new
// requests, an approval is used by somebody else or too late.
import { describe, expect, test } from 'vitest'
import { type InProcess, startInProcess } from '../faults/in-process.ts'

type Body = { code?: string; access_token?: string; approval?: { id: string } }

const POLICY = {
  binding: { intent: { policy: 'careful', on_review: 'approval' } },
  intentPolicies: [{ name: 'careful', rules: [{ id: 'r', text: 'be nice', effect: 'review' }] }],
} as const

async function reviewed(): Promise<InProcess> {
  return startInProcess(POLICY)
}

async function decide(broker: InProcess, body: Body, to: 'approve' | 'deny'): Promise<void> {
  const decided = await broker.admin('POST', `/approvals/${body.approval?.id}/${to}`, {})
  if (!decided.ok) throw new Error(await decided.text())
}

/** A session whose opening was approved. */
async function opened(broker: InProcess, purpose = 'pay'): Promise<string> {
  await decide(
    broker,
    (await (await broker.exchange({ intent: purpose })).json()) as Body,
    'approve',
  )
  return broker.handle({ intent: purpose })
}

type Change = { path?: string; body?: string; headers?: Record<string, string> }

async function pay(broker: InProcess, handle: string, change: Change = {}) {
  const { path = '/v1/pay', body = '{"to":"a"}', headers = {} } = change
  const response = await broker.call(handle, path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', 'if-match': '"1"', ...headers },
  })
  return { status: response.status, body: (await response.json()) as Body }
}

describe('an approval', () => {
  test.each<[string, Change]>([
    ['another body', { body: '{"to":"b"}' }],
    ['another media type', { headers: { 'content-type': 'application/vnd.x+json' } }],
    ['another condition', { headers: { 'if-match': '*' } }],
    ['another query', { path: '/v1/pay?to=b' }],
    ['another path', { path: '/v1/pay2' }],
  ])('does not fit %s', async (_, change) => {
    const broker = await reviewed()
    const handle = await opened(broker)
    await decide(broker, (await pay(broker, handle)).body, 'approve')
    expect((await pay(broker, handle, change)).body.code).toBe('approval_required')
    expect((await pay(broker, handle)).status).toBe(200)
    expect(broker.reached).toHaveLength(1)
  })

  test('fits once, also for many at once', async () => {
    const broker = await reviewed()
    const handle = await opened(broker)
    await decide(broker, (await pay(broker, handle)).body, 'approve')
    const all = await Promise.all(Array.from({ length: 10 }, () => pay(broker, handle)))
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(broker.reached).toHaveLength(1)
  })

  test('does not fit the same action of another session, and not a day later', async () => {
    const broker = await startInProcess({
      ...POLICY,
      binding: { ...POLICY.binding, ttl_seconds: 43_200 },
      method: { max_lifetime_seconds: 86_400 },
    })
    const token = { exp: broker.clock.nowSeconds() + 43_200 }
    const open = async (purpose: string) => {
      const subject_token = await broker.token(token)
      const first = await broker.exchange({ intent: purpose, subject_token })
      await decide(broker, (await first.json()) as Body, 'approve')
      return broker.handle({ intent: purpose, subject_token: await broker.token(token) })
    }
    const [mine, other] = [await open('pay'), await open('pay more')]
    await decide(broker, (await pay(broker, mine)).body, 'approve')
    expect((await pay(broker, other)).body.code).toBe('approval_required')
    broker.clock.advance(3601)
    expect((await pay(broker, mine)).body.code).toBe('approval_required')
    expect(broker.reached).toHaveLength(0)
  })
})

test('RACE-3: a denial is not forgotten behind the requests that come after it', async () => {
  const broker = await reviewed()
  const handle = await opened(broker)
  await decide(broker, (await pay(broker, handle)).body, 'deny')
  expect((await pay(broker, handle)).body.code).toBe('intent_denied')
  await Promise.all(
    Array.from({ length: 30 }, (_, i) => pay(broker, handle, { path: `/v1/x${i}` })),
  )
  for (let i = 30; i < 70; i++) await pay(broker, handle, { path: `/v1/x${i}` })
  expect((await pay(broker, handle)).body.code).toBe('intent_denied')
})

test('a session cannot keep people busy without end', async () => {
  const broker = await reviewed()
  const handle = await opened(broker)
  const codes = new Set<string | undefined>()
  for (let i = 0; i < 60; i++)
    codes.add((await pay(broker, handle, { path: `/v1/x${i}` })).body.code)
  expect([...codes]).toEqual(['approval_required', 'intent_denied'])
  const [[count] = []] = await broker.sql(
    'SELECT count(*) FROM approval WHERE session_id IS NOT NULL',
  )
  expect(count).toBe(50)
})
