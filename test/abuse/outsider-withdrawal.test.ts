// What an ended session holds of AWS is denied wherever it holds it, however somebody arranged to have it left
// out, and asking for it again and again is no way to wear AWS out.
import { afterEach, describe, expect, test } from 'vitest'
import { type AwsAccount, awsAccount } from '../fakes/aws-account.ts'
import { type InProcess, startInProcess } from '../faults/in-process.ts'

const ACCOUNT = 'arn:aws:iam::123456789012:role'
const REVOKER = `${ACCOUNT}/sallyport-revoker`

let broker: InProcess
let aws: AwsAccount
afterEach(() => broker.app.close())

const target = (name: string, over: Readonly<Record<string, unknown>> = {}) => ({
  name,
  type: 'aws-sts',
  config: {
    region: 'eu-central-1',
    role_arn: `${ACCOUNT}/agents/${name}`,
    revoker_role_arn: REVOKER,
  },
  ...over,
})

const binding = (name: string) => ({
  name: `support-${name}`,
  auth_method: 'ci',
  target: name,
  delivery: 'credential',
  grants: [{ effects: ['read'], objects: [`arn:aws:s3:::${name}/*`] }],
  ttl_seconds: 1800,
  may_outlive_subject: true,
})

const options = (names: readonly string[]) => ({
  elsewhere: aws.outbound,
  targets: names.map((name) => target(name) as never),
  bindings: names.map(binding),
})

async function start(names: readonly string[] = ['lake', 'reports']): Promise<void> {
  aws = awsAccount({ nowSeconds: () => broker.clock.nowSeconds() })
  broker = await startInProcess(options(names))
}

async function open(audience = 'lake'): Promise<{ id: string; token: string }> {
  const answer = await broker.exchange({
    audience,
    requested_token_type: 'urn:sallyport:token-type:aws-credentials',
  })
  const body = (await answer.json()) as { access_token: string; session: { id: string } }
  if (!answer.ok) throw new Error(JSON.stringify(body))
  return { id: body.session.id, token: body.access_token }
}

const revoke = (token: string) =>
  broker.fetch('/revoke', { method: 'POST', body: new URLSearchParams({ token }) })

describe('a session that ends is denied wherever it holds something', () => {
  test('SC-10: also where it took so much of one target that an answer names nothing else', async () => {
    await start()
    const form = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await broker.token(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    })
    form.append('audience', 'lake')
    form.append('audience', 'reports')
    const opened = await broker.fetch('/token-exchange', { method: 'POST', body: form })
    const { access_token: handle, session } = (await opened.json()) as {
      access_token: string
      session: { id: string }
    }
    const take = async (name: string) => {
      const headers = { authorization: `Bearer ${handle}` }
      return (await broker.fetch(`/t/${name}/credentials`, { headers })).status
    }
    expect(await take('reports')).toBe(200)
    for (let i = 0; i < 50; i += 1) expect(await take('lake')).toBe(200)
    // As a sub-agent's do, whose session is shorter.
    await broker.sql(
      `UPDATE session_credential SET expires_at = expires_at - 60 WHERE target = 'reports'`,
    )
    expect((await revoke(handle)).status).toBe(200)
    expect(aws.isDenied('lake', session.id)).toBe(true)
    expect(aws.isDenied('reports', session.id)).toBe(true)
  })

  test('SC-10: also at a target that was disabled meanwhile', async () => {
    await start()
    const [mine, other] = [await open(), await open()]
    const put = await broker.admin('PUT', '/targets/lake', target('lake', { enabled: false }))
    expect(put.status).toBe(200)
    // This isolate knows of it.
    await broker.exchange()
    const answer = await revoke(mine.token)
    expect(await answer.json()).toMatchObject({ aws_honours_until: null })
    expect(aws.isDenied('lake', mine.id)).toBe(true)
    await broker.admin('PUT', '/kill-switch', { engaged: true, reason: 'drill' })
    expect(aws.isDenied('lake', other.id)).toBe(true)
    await broker.admin('PUT', '/kill-switch', { engaged: false, reason: 'drill' })
    expect([mine, other].map(({ id }) => aws.isDenied('lake', id))).toEqual([true, false])
  })

  test('SC-10: also by an isolate that has not heard of the target yet', async () => {
    await start(['lake'])
    const other = await startInProcess({ ...options(['lake']), driver: broker.driver })
    expect((await other.exchange()).status).toBe(200)
    for (const [path, body] of [
      ['/targets/reports', target('reports')],
      ['/bindings/support-reports', binding('reports')],
    ] as const) {
      expect((await broker.admin('PUT', path, body)).status).toBe(201)
    }
    const mine = await open('reports')
    const form = new URLSearchParams({ token: mine.token })
    const answer = await other.fetch('/revoke', { method: 'POST', body: form })
    expect(await answer.json()).toMatchObject({ aws_honours_until: null })
    expect(aws.isDenied('reports', mine.id)).toBe(true)
  })

  test('SC-10: what was handed over under another role than the target has now is not said to be denied', async () => {
    await start()
    const mine = await open()
    const moved = { ...target('lake').config, role_arn: `${ACCOUNT}/agents/elsewhere` }
    await broker.admin('PUT', '/targets/lake', target('lake', { config: moved }))
    await broker.exchange()
    const end = new Date((broker.clock.nowSeconds() + 1800) * 1000).toISOString()
    const until = { aws_honours_until: end.replace('.000', '') }
    expect(await (await revoke(mine.token)).json()).toMatchObject(until)
    const kill = { engaged: true, reason: 'drill' }
    const killed = await broker.admin('PUT', '/kill-switch', kill)
    expect(await killed.json()).toMatchObject(until)
    const page = await broker.admin('GET', '/audit?type=revocation&limit=500')
    const { items } = (await page.json()) as { items: { reason: string | null }[] }
    expect(items.map(({ reason }) => reason)).toContain('held_elsewhere')
  })

  test('SC-10: whoever ends a session is told until when its own credentials work, not what others hold', async () => {
    await start()
    const config = { region: 'eu-central-1', role_arn: `${ACCOUNT}/agents/lake` }
    await broker.admin('PUT', '/targets/lake', target('lake', { config }))
    const [mine, endsAt] = [await open(), broker.clock.nowSeconds() + 1800]
    broker.clock.advance(600)
    await revoke((await open()).token)
    const answer = (await (await revoke(mine.token)).json()) as { aws_honours_until: string }
    expect(Date.parse(answer.aws_honours_until) / 1000).toBe(endsAt)
  })

  test('one holder who revokes again and again does not have AWS asked each time', async () => {
    await start()
    const mine = await open()
    await revoke(mine.token)
    const before = aws.calls.length
    for (let i = 0; i < 100; i += 1) await revoke(mine.token)
    expect(aws.calls.length - before).toBeLessThan(40)
  })
})
