// A session that handed AWS credentials over ends, by whoever may end it: it is over here at once, AWS is told
// where a revoker role is configured, and everybody is told the truth where it is not.
import { afterEach, describe, expect, test } from 'vitest'
import { type AwsAccount, awsAccount } from '../fakes/aws-account.ts'
import { IDP, ISSUER, type InProcess, startInProcess } from '../faults/in-process.ts'

const ROLE = 'arn:aws:iam::123456789012:role/agents/reader'
const REVOKER = 'arn:aws:iam::123456789012:role/sallyport-revoker'
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const AUDIENCE = `${ISSUER}/events`

type Body = Record<string, unknown>
type Opened = { readonly id: string; readonly token: string }

let broker: InProcess
let aws: AwsAccount
afterEach(() => broker.app.close())

async function start(revoker: string | null = REVOKER): Promise<void> {
  aws = awsAccount({ nowSeconds: () => broker.clock.nowSeconds() })
  broker = await startInProcess({
    elsewhere: aws.outbound,
    method: { security_events: { audience: AUDIENCE } },
    targets: [
      {
        name: 'lake',
        type: 'aws-sts',
        config: {
          region: 'eu-central-1',
          role_arn: ROLE,
          ...(revoker === null ? {} : { revoker_role_arn: revoker }),
        },
      },
    ],
    bindings: [
      {
        name: 'support-lake',
        auth_method: 'ci',
        target: 'lake',
        delivery: 'credential',
        grants: [{ effects: ['read'], objects: ['arn:aws:s3:::lake/*'] }],
        ttl_seconds: 1800,
        may_outlive_subject: true,
        delegate_to: ['ci'],
      },
    ],
  })
}

async function open(sub = 'agent-7'): Promise<Opened> {
  const answer = await broker.exchange({
    audience: 'lake',
    requested_token_type: 'urn:sallyport:token-type:aws-credentials',
    subject_token: await broker.token({ sub }),
  })
  const body = (await answer.json()) as { access_token: string; session: { id: string } }
  if (!answer.ok) throw new Error(JSON.stringify(body))
  return { id: body.session.id, token: body.access_token }
}

const isDenied = ({ id }: Opened) => aws.isDenied('reader', id)
const revoke = ({ token }: Opened) =>
  broker.fetch('/revoke', { method: 'POST', body: new URLSearchParams({ token }) })
const admin = async (path: string, body: unknown = {}, method = 'POST') => {
  const answer = await broker.admin(method, path, body)
  return [answer.status, (await answer.json()) as Body] as const
}
const kill = (engaged: boolean) => admin('/kill-switch', { engaged, reason: 'drill' }, 'PUT')
const stateOf = async ({ id }: Opened) =>
  ((await (await broker.admin('GET', `/sessions/${id}`)).json()) as Body)['state']
const denials = async (): Promise<Body[]> => {
  const page = await broker.admin('GET', '/audit?type=revocation&limit=500')
  const { items } = (await page.json()) as { items: { action: Body | null }[] }
  return items.filter(({ action }) => action?.['operation'] === 'credentials.deny')
}
const endOf = (seconds: number) =>
  new Date((broker.clock.nowSeconds() + seconds) * 1000).toISOString().replace('.000', '')

async function pushRevoked(sub: string): Promise<Response> {
  const { alg, kid } = broker.keys
  const claims = {
    iss: IDP,
    aud: AUDIENCE,
    jti: `set-${sub}`,
    iat: broker.clock.nowSeconds(),
    sub_id: { format: 'iss_sub', iss: IDP, sub },
    events: { [`${CAEP}session-revoked`]: {} },
  }
  const header = JSON.stringify({ alg, kid, typ: 'secevent+jwt' })
  return broker.fetch('/events', {
    method: 'POST',
    body: await broker.keys.sign(JSON.stringify(claims), header),
    headers: { 'content-type': 'application/secevent+jwt' },
  })
}

describe('with a revoker role', () => {
  test('SC-10: POST /revoke by the credential has AWS deny that session, and no other', async () => {
    await start()
    const [mine, other] = [await open(), await open('agent-8')]
    expect(aws.calls.map(({ action }) => action)).toEqual(
      Array(2).fill('AssumeRoleWithWebIdentity'),
    )
    const answer = await revoke(mine)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ aws_honours_until: null })
    expect([isDenied(mine), isDenied(other)]).toEqual([true, false])
    expect(await stateOf(mine)).toBe('ended')
    expect(await denials()).toMatchObject([
      {
        session_id: mine.id,
        action: { target: 'lake', sessions: 1, everything: false },
        outcome: { result: 'applied', aws_honours_until: null },
      },
    ])
  })

  test('it is the revoker role that asks, in the region of IAM, as a subject of its own', async () => {
    await start()
    await revoke(await open())
    expect(aws.calls.slice(1)).toEqual([
      { action: 'AssumeRoleWithWebIdentity', by: 'sallyport-revoker:lake', region: '' },
      { action: 'GetRolePolicy', by: 'sallyport-revoker', region: 'us-east-1' },
      { action: 'PutRolePolicy', by: 'sallyport-revoker', region: 'us-east-1' },
    ])
    expect(aws.calls[0]?.by).toBe('sallyport:lake')
    expect([...aws.policies.keys()]).toEqual([
      expect.stringMatching(/^reader\/sallyport-ended-[0-9a-f]{12}-lake$/),
    ])
  })

  test('the mark is there before AWS is asked, and stays where AWS refuses', async () => {
    await start()
    const mine = await open()
    let state: unknown
    aws.before = async (action) => {
      if (action === 'PutRolePolicy') state = await stateOf(mine)
    }
    aws.faults.set('PutRolePolicy', [403, 'AccessDenied'])
    aws.before = async (action) => {
      if (action === 'GetRolePolicy') state = await stateOf(mine)
    }
    const [status, body] = await admin(`/sessions/${mine.id}/revoke`)
    expect([status, state]).toEqual([200, 'ended'])
    expect(body).toMatchObject({ revoked: 1, aws_honours_until: endOf(1800) })
    expect(await stateOf(mine)).toBe('ended')
    expect(isDenied(mine)).toBe(false)
    expect(await denials()).toMatchObject([
      {
        outcome: { result: 'failed', aws_honours_until: endOf(1800) },
        reason: 'aws_refused_AccessDenied',
      },
    ])
    aws.faults.clear()
    await broker.app.maintain()
    expect(isDenied(mine)).toBe(true)
  })

  test.each([
    ['AssumeRoleWithWebIdentity', 403, 'AccessDenied', 'aws_refused_AccessDenied'],
    [
      'AssumeRoleWithWebIdentity',
      400,
      'InvalidIdentityToken',
      'aws_token_rejected_InvalidIdentityToken',
    ],
    ['GetRolePolicy', 429, 'Throttling', 'aws_throttled_Throttling'],
    ['GetRolePolicy', 500, 'InternalFailure', 'aws_unavailable_InternalFailure'],
    ['PutRolePolicy', 404, 'NoSuchEntity', 'aws_not_found_NoSuchEntity'],
  ])('%s answered by %i %s is in the log by that name', async (action, status, code, reason) => {
    await start()
    const mine = await open()
    aws.faults.set(action, [status, code])
    expect((await revoke(mine)).status).toBe(200)
    expect(await denials()).toMatchObject([{ outcome: { result: 'failed' }, reason }])
  })

  test('an administrator ends many, one, or suspends and restores: AWS follows', async () => {
    await start()
    const [one, two, three] = [await open(), await open('agent-8'), await open('agent-9')]
    await admin(`/sessions/${three.id}/suspend`, { reason: 'look' })
    expect([one, two, three].map(isDenied)).toEqual([false, false, true])
    await admin(`/sessions/${three.id}/restore`)
    expect(aws.policies.size).toBe(0)
    const [, body] = await admin('/sessions/revoke', { target: 'lake', identity: 'ci:agent-7' })
    expect(body).toMatchObject({ revoked: 1, aws_honours_until: null })
    await admin(`/sessions/${two.id}/revoke`)
    expect([one, two, three].map(isDenied)).toEqual([true, true, false])
  })

  test('what a sub-agent holds goes with any session above it', async () => {
    await start()
    const idOf = (handle: string) => String(JSON.parse(atob(handle.split('.')[1] ?? '')).sid)
    const take = async (handle: string) => {
      const headers = { authorization: `Bearer ${handle}` }
      const answer = await broker.fetch('/t/lake/credentials', { headers })
      const { Token } = (await answer.json()) as Body
      return { id: idOf(handle), token: String(Token) }
    }
    const TT = 'urn:ietf:params:oauth:token-type:'
    const parent = await broker.handle({ audience: 'lake' })
    const below = {
      audience: 'lake',
      subject_token: parent,
      subject_token_type: `${TT}access_token`,
      actor_token: await broker.token({ sub: 'helper-1' }),
      actor_token_type: `${TT}jwt`,
    }
    const child = await take(await broker.handle(below))
    expect(isDenied(child)).toBe(false)
    await admin(`/sessions/${idOf(parent)}/suspend`, { reason: 'look' })
    expect(isDenied(child)).toBe(true)
    await admin(`/sessions/${idOf(parent)}/restore`)
    expect(isDenied(child)).toBe(false)
    const [, body] = await admin(`/sessions/${idOf(parent)}/revoke`)
    expect([isDenied(child), body['aws_honours_until']]).toEqual([true, null])
  })

  test('a security event denies its subject', async () => {
    await start()
    const [mine, other] = [await open(), await open('agent-8')]
    expect((await pushRevoked('agent-7')).status).toBe(202)
    expect([isDenied(mine), isDenied(other)]).toEqual([true, false])
  })

  test('the kill switch denies everybody, and its release only those who have ended', async () => {
    await start()
    const [mine, other] = [await open(), await open('agent-8')]
    await revoke(mine)
    expect(await kill(true)).toEqual([200, expect.objectContaining({ aws_honours_until: null })])
    expect([mine, other, { id: 'ses_anybody', token: '' }].map(isDenied)).toEqual([
      true,
      true,
      true,
    ])
    await kill(false)
    expect([isDenied(mine), isDenied(other)]).toEqual([true, false])
  })

  test('maintenance prunes what has expired, and asks for nothing where all is right', async () => {
    await start()
    const mine = await open()
    broker.clock.advance(600)
    const other = await open('agent-8')
    await revoke(mine)
    await revoke(other)
    broker.clock.advance(1300)
    await broker.app.maintain()
    expect([isDenied(mine), isDenied(other)]).toEqual([false, true])
    const before = aws.calls.length
    await broker.app.maintain()
    expect(aws.calls.slice(before).map(({ action }) => action)).toEqual([
      'AssumeRoleWithWebIdentity',
      'GetRolePolicy',
    ])
    broker.clock.advance(600)
    await broker.app.maintain()
    expect(aws.policies.size).toBe(0)
  })

  test('SC-10: more than there is room for is told, not hidden; the rest follows as others expire', async () => {
    await start()
    const own = JSON.stringify({ Statement: [], Pad: '' })
    const room = 330
    aws.policies.set(
      'reader/what-it-may',
      own.replace('""', `"${'x'.repeat(10_240 - room - own.length)}"`),
    )
    const first = await open()
    broker.clock.advance(60)
    const others = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((sub) => open(sub)))
    for (const one of [first, ...others]) await revoke(one)
    const denied = [first, ...others].map(isDenied)
    // The one that expires first is the one that there is no room for.
    expect(denied[0]).toBe(false)
    expect(denied).toContain(true)
    const told = (await denials()).at(-1)
    expect(told).toMatchObject({
      reason: 'deny_list_full',
      outcome: { left: denied.filter((one) => !one).length },
    })
  })

  test('no secret is in the log, and none is asked of IAM', async () => {
    await start()
    await revoke(await open())
    const audit = await (await broker.admin('GET', '/audit?limit=500')).text()
    for (const secret of ['s'.repeat(40), 'tokenASIA']) {
      expect([audit, ...broker.logged, ...aws.documents].join('\n')).not.toContain(secret)
    }
  })
})

describe('without one', () => {
  test('SC-10: the answer and the log say until when AWS honours the credential', async () => {
    await start(null)
    const mine = await open()
    const calls = aws.calls.length
    const [, body] = await admin(`/sessions/${mine.id}/revoke`)
    expect(body).toMatchObject({ aws_honours_until: endOf(1800) })
    expect(await denials()).toMatchObject([
      {
        session_id: mine.id,
        outcome: { result: 'off', aws_honours_until: endOf(1800) },
        reason: 'no_revoker',
      },
    ])
    expect(await (await revoke(await open('agent-8'))).json()).toMatchObject({
      aws_honours_until: endOf(1800),
    })
    expect(await kill(true)).toEqual([
      200,
      expect.objectContaining({ engaged: true, aws_honours_until: endOf(1800) }),
    ])
    expect(aws.calls.length).toBe(calls + 1)
  })

  test('what ends and holds nothing of AWS says nothing of it', async () => {
    await start()
    const handle = await broker.handle()
    const calls = aws.calls.length
    const answer = await broker.fetch('/revoke', {
      method: 'POST',
      body: new URLSearchParams({ token: handle }),
    })
    expect([answer.status, await answer.text()]).toEqual([200, ''])
    expect([await denials(), aws.calls.length]).toEqual([[], calls])
  })
})
