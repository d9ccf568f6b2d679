// A credential is handed over only when both its decision and its grant are recorded, and whoever mints was
// asked in between (architecture.md, Failure): each of the three fails in turn, on both ways to a credential.
import { describe, expect, test } from 'vitest'
import type { Failure } from '../../functions/core/failure.ts'
import { fail } from '../../functions/core/result.ts'
import { CANARY, type FakeMint, fakeMint } from '../fakes/minting-target.ts'
import { type InProcess, type InProcessOptions, startInProcess } from './in-process.ts'

type Body = Record<string, unknown>

const AWS = 'urn:sallyport:token-type:aws-credentials'
const BUCKET = 'arn:aws:s3:::reports'
const DOWN: Failure = { kind: 'unavailable', reason: 'sts_status_500', retryAfterSeconds: 7 }

const failOn = (type: string) =>
  `CREATE TRIGGER fault BEFORE INSERT ON audit_event WHEN NEW.type = '${type}'
   BEGIN SELECT RAISE(ABORT, 'fault'); END`

async function start(
  options: InProcessOptions & { readonly s3?: Readonly<Record<string, unknown>> } = {},
): Promise<InProcess & { readonly fake: FakeMint }> {
  const fake = fakeMint()
  const broker = await startInProcess({
    plugins: [fake.type],
    targets: [{ name: 's3', type: 'fake-sts', config: {} }],
    ...options,
    bindings: [
      {
        name: 'agents-s3',
        auth_method: 'ci',
        target: 's3',
        delivery: 'credential',
        grants: [
          { effects: ['read'], objects: [`${BUCKET}/*`, BUCKET] },
          { effects: ['write'], objects: [`${BUCKET}/in/*`] },
        ],
        ttl_seconds: 600,
        ...options.s3,
      },
      ...(options.bindings ?? []),
    ],
  })
  return { ...broker, fake }
}

const mint = (broker: InProcess, over: Readonly<Record<string, string>> = {}) =>
  broker.exchange({ audience: 's3', requested_token_type: AWS, ...over })

const credentials = (broker: InProcess, authorization: string, query = '') =>
  broker.fetch(`/t/s3/credentials${query}`, { headers: { authorization } })

async function events(broker: InProcess): Promise<Body[]> {
  const rows = await broker.sql('SELECT draft FROM audit_event ORDER BY seq')
  return rows.map(([draft]) => JSON.parse(String(draft)) as Body)
}

const bodyOf = async (response: Response) => (await response.json()) as Body

describe('an exchange for a credential', () => {
  test('AUD-4: records the decision, mints, records the grant, and answers with the credential', async () => {
    const broker = await start()
    const response = await mint(broker)
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const body = await bodyOf(response)
    expect(body).toMatchObject({
      access_token: `${CANARY}-token-1`,
      issued_token_type: AWS,
      token_type: 'N_A',
      expires_in: 600,
      scope: `read:${BUCKET} read:${BUCKET}/* write:${BUCKET}/in/*`,
      aws_credentials: { Version: 1, SecretAccessKey: `${CANARY}-secret-1` },
      session: { delivery: 'credential', credential: { honoured_until_expiry: true } },
    })
    const { id } = body['session'] as { id: string }
    const [decision, grant] = (await events(broker)).slice(-2)
    expect(decision).toMatchObject({
      type: 'decision',
      session_id: id,
      action: { name: 'aws.assume', target: 's3', effects: ['read', 'write'], role: 'fake' },
      outcome: { verdict: 'allow' },
    })
    expect(grant).toMatchObject({
      type: 'grant',
      session_id: id,
      action: { name: 'aws.assume', target: 's3' },
      outcome: {
        verdict: 'granted',
        delivery: 'credential',
        credential_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        credential: { target: 's3', honoured_until_expiry: true },
      },
    })
    const session = await bodyOf(await broker.admin('GET', `/sessions/${id}`))
    expect(session).toMatchObject({ delivery: 'credential', usage: { actions: 1, writes: 1 } })
  })

  test('architecture: one read, and two writes around the mint', async () => {
    const broker = await start()
    await mint(broker)
    const { counters } = broker.driver
    const before = { ...counters }
    expect((await mint(broker)).status).toBe(200)
    expect(counters.reads - before.reads).toBe(1)
    expect(counters.writes - before.writes).toBe(2)
  })

  test('F9: nobody is asked when the decision cannot be recorded', async () => {
    const broker = await start()
    await broker.sql(failOn('decision'))
    const response = await mint(broker)
    expect(response.status).toBe(503)
    expect(broker.fake.minted).toHaveLength(0)
    expect(await broker.sql('SELECT * FROM session')).toHaveLength(0)
  })

  test('F9: a credential whose grant cannot be recorded is never returned', async () => {
    const broker = await start()
    await broker.sql(failOn('grant'))
    const response = await mint(broker)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.text()).not.toContain(CANARY)
    expect(broker.fake.minted).toHaveLength(1)
    expect(await broker.sql('SELECT * FROM session')).toHaveLength(0)
    expect(await broker.sql('SELECT * FROM session_credential')).toHaveLength(0)
  })

  test('whoever mints being down is a 503, and the reason stands in the session of the decision', async () => {
    const broker = await start()
    broker.fake.answer = async () => fail(DOWN)
    const response = await mint(broker)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('7')
    expect(await bodyOf(response)).toMatchObject({ error: 'temporarily_unavailable' })
    const [decision, refusal, ...more] = (await events(broker)).slice(-2)
    expect(more).toEqual([])
    expect(refusal).toMatchObject({
      type: 'refusal',
      session_id: decision?.['session_id'],
      decision_id: decision?.['decision_id'],
      reason: 'sts_status_500',
      outcome: { verdict: 'deny', failure: 'unavailable' },
    })
    expect(await broker.sql('SELECT * FROM session')).toHaveLength(0)
  })

  test('what cannot be expressed is refused before anybody is asked, with a hint', async () => {
    const broker = await start()
    broker.fake.refusal = { kind: 'mint_refused', reason: 'policy_too_large', hint: 'ask for less' }
    const response = await mint(broker)
    expect(response.status).toBe(400)
    const body = await bodyOf(response)
    expect(body['error']).toBe('invalid_request')
    expect(body['error_description']).toContain('ask for less')
    expect(broker.fake.minted).toHaveLength(0)
    expect((await events(broker)).at(-1)).toMatchObject({
      type: 'refusal',
      reason: 'policy_too_large',
    })
  })

  test('RB-06: of 20 parallel exchanges of one single-use token one is minted', async () => {
    const broker = await start({ method: { single_use: true } })
    const subject_token = await broker.token()
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => mint(broker, { subject_token })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(broker.fake.minted).toHaveLength(1)
  })

  test('a single-use token is burnt by the decision, so a mint that fails does not give it back', async () => {
    const broker = await start({ method: { single_use: true } })
    broker.fake.answer = async () => fail(DOWN)
    const subject_token = await broker.token()
    expect((await mint(broker, { subject_token })).status).toBe(503)
    broker.fake.answer = null
    expect((await mint(broker, { subject_token })).status).toBe(400)
  })
})

describe('what is asked for', () => {
  test.each([
    ['two targets', { resource: 'https://broker.example/t/crm' }, 'invalid_request'],
    ['a target that hands over nothing', { audience: 'crm' }, 'invalid_target'],
    [
      'a target that hands over something else',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:txn_token' },
      'invalid_target',
    ],
    ['a type that nobody knows', { requested_token_type: 'urn:x' }, 'invalid_request'],
    ['a target that is not there', { audience: 'nowhere' }, 'invalid_target'],
  ])('%s is refused, and nothing is minted', async (_, over, error) => {
    const broker = await start()
    const response = await mint(broker, over)
    expect(response.status).toBe(400)
    expect(await bodyOf(response)).toMatchObject({ error })
    expect(broker.fake.minted).toHaveLength(0)
  })

  test('scope narrows what is planned, and nothing left of it is refused', async () => {
    const broker = await start()
    const narrowed = await mint(broker, { scope: `read:${BUCKET}/2026/*` })
    expect(await bodyOf(narrowed)).toMatchObject({ scope: `read:${BUCKET}/2026/*` })
    expect(broker.fake.planned.at(-1)?.grants).toEqual([
      { effects: ['read'], objects: [`${BUCKET}/2026/*`] },
    ])
    const nothing = await mint(broker, { scope: 'read:arn:aws:s3:::payroll/*' })
    expect(await bodyOf(nothing)).toMatchObject({ error: 'invalid_scope' })
    expect(broker.fake.minted).toHaveLength(1)
  })

  const intent = (envelope: unknown) =>
    JSON.stringify([{ type: 'agent_intent', purpose: 'count', envelope }])

  test('the declared envelope narrows what is planned; what it leaves nothing of is refused', async () => {
    const broker = await start()
    const within = await mint(broker, {
      authorization_details: intent({ effects: ['read'], objects: [`${BUCKET}/in/*`] }),
    })
    expect(await bodyOf(within)).toMatchObject({ scope: `read:${BUCKET}/in/*` })
    const nothing = await mint(broker, { authorization_details: intent({ effects: ['delete'] }) })
    expect(nothing.status).toBe(400)
    expect(broker.fake.minted).toHaveLength(1)
  })

  test('log_only lets pass what the envelope would stop, and records that it would have', async () => {
    const broker = await start({ s3: { mode: 'log_only' } })
    const passed = await mint(broker, { authorization_details: intent({ effects: ['read'] }) })
    expect(passed.status).toBe(200)
    expect(broker.fake.planned.at(-1)?.grants).toHaveLength(2)
    const decision = (await events(broker)).findLast(({ type }) => type === 'decision')
    expect(decision).toMatchObject({
      outcome: { would_have: 'deny', would_reason: 'effect_outside_envelope' },
    })
  })

  test('an approval fits one planned credential, once, and no wider one', async () => {
    const broker = await start({
      s3: { intent: { policy: 'careful', required: false, on_review: 'approval' } },
      intentPolicies: [
        { name: 'careful', rules: [{ id: 'ask', text: 'Ask first.', effect: 'review' }] },
      ],
    })
    const pending = await bodyOf(await mint(broker))
    expect(pending['error']).toBe('authorization_pending')
    const { id } = pending['approval'] as { id: string }
    expect(await bodyOf(await broker.admin('GET', `/approvals/${id}`))).toMatchObject({
      subject: { action: { name: 'aws.assume', effects: ['read', 'write'] } },
    })
    expect(broker.fake.minted).toHaveLength(0)
    await broker.admin('POST', `/approvals/${id}/approve`, {})
    // A handle, or less, is not what was approved.
    expect((await bodyOf(await broker.exchange({ audience: 's3' })))['error']).toBe(
      'authorization_pending',
    )
    expect((await mint(broker)).status).toBe(200)
    expect((await bodyOf(await mint(broker)))['error']).toBe('authorization_pending')
  })

  test('an approval does not fit what the bindings have grown to meanwhile', async () => {
    const s3 = {
      intent: { policy: 'careful', required: false, on_review: 'approval' },
      grants: [{ effects: ['read'], objects: [`${BUCKET}/*`] }],
    }
    const broker = await start({
      s3,
      intentPolicies: [
        { name: 'careful', rules: [{ id: 'ask', text: 'Ask first.', effect: 'review' }] },
      ],
    })
    const pending = await bodyOf(await mint(broker))
    const { id } = pending['approval'] as { id: string }
    await broker.admin('POST', `/approvals/${id}/approve`, {})
    const binding = await bodyOf(await broker.admin('GET', '/bindings/agents-s3'))
    const wider = [{ effects: ['read', 'delete'], objects: ['*'] }]
    const { name, auth_method, target, delivery, intent: review, ttl_seconds } = binding
    const put = await broker.admin('PUT', '/bindings/agents-s3', {
      name,
      auth_method,
      target,
      delivery,
      intent: review,
      ttl_seconds,
      grants: wider,
    })
    expect(put.status).toBe(200)
    const again = await bodyOf(await mint(broker))
    expect(again['error']).toBe('authorization_pending')
    expect((again['approval'] as { id: string }).id).not.toBe(id)
    expect(broker.fake.minted).toHaveLength(0)
  })

  test('it ends with the attestation, unless every binding lets it work for longer', async () => {
    const short = await start()
    const exp = short.clock.nowSeconds() + 120
    const subject_token = await short.token({ exp })
    expect(await bodyOf(await mint(short, { subject_token }))).toMatchObject({ expires_in: 120 })
    const long = await start({ s3: { may_outlive_subject: true } })
    const answer = await mint(long, { subject_token: await long.token({ exp }) })
    expect(await bodyOf(answer)).toMatchObject({ expires_in: 600 })
    const handle = await long.exchange({
      audience: 's3',
      subject_token: await long.token({ exp }),
    })
    expect(await bodyOf(handle)).toMatchObject({ expires_in: 120 })
  })

  test('the kill switch and SALLYPORT_KILL stop it before anybody is asked', async () => {
    const broker = await start()
    const engaged = await broker.admin('PUT', '/kill-switch', { engaged: true, reason: 'test' })
    expect(engaged.ok).toBe(true)
    expect((await mint(broker)).status).toBe(503)
    expect((await credentials(broker, await broker.token())).status).toBe(503)
    broker.env['SALLYPORT_KILL'] = '1'
    expect((await mint(broker)).status).toBe(503)
    expect((await credentials(broker, await broker.token())).status).toBe(503)
    expect(broker.fake.minted).toHaveLength(0)
  })
})

describe('GET /t/{target}/credentials', () => {
  test.each(['', 'Bearer ', 'bearer '])('an attestation behind %j mints', async (scheme) => {
    const broker = await start()
    const response = await credentials(broker, `${scheme}${await broker.token()}`, '?purpose=count')
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('sallyport-decision')).toMatch(/^dec_/)
    expect(await bodyOf(response)).toEqual({
      AccessKeyId: `${CANARY}-id-1`,
      SecretAccessKey: `${CANARY}-secret-1`,
      Token: `${CANARY}-token-1`,
      Expiration: expect.stringMatching(/Z$/) as string,
    })
    expect((await events(broker)).at(-1)).toMatchObject({
      type: 'grant',
      intent: { purpose: 'count' },
    })
  })

  test('a handle mints by an action in its session, with its budget and its outcome', async () => {
    const broker = await start({ s3: { limits: { actions: 2 } } })
    const handle = await broker.handle({ audience: 's3' })
    expect(broker.fake.minted).toHaveLength(0)
    const { counters } = broker.driver
    const before = { ...counters }
    const response = await credentials(broker, handle)
    expect(response.status).toBe(200)
    expect(await bodyOf(response)).toMatchObject({ Token: `${CANARY}-token-1` })
    expect(counters.reads - before.reads).toBe(1)
    expect(counters.writes - before.writes).toBe(2)
    const [action, outcome] = (await events(broker)).slice(-2)
    expect(action).toMatchObject({ type: 'action', action: { name: 'aws.assume', target: 's3' } })
    expect(outcome).toMatchObject({
      type: 'outcome',
      outcome: { result: 'completed', credential: { target: 's3', honoured_until_expiry: true } },
    })
    expect((await credentials(broker, `Bearer ${handle}`)).status).toBe(200)
    const exhausted = await credentials(broker, handle)
    expect(exhausted.status).toBe(429)
    expect(await bodyOf(exhausted)).toMatchObject({
      code: 'budget_exhausted',
      message: expect.any(String) as string,
    })
    expect(broker.fake.minted).toHaveLength(2)
  })

  test('a handle for it is good for nothing else, and its credential ends with the session', async () => {
    const broker = await start()
    const handle = await broker.handle({ audience: 's3' })
    const get = (path: string, init: RequestInit = {}) =>
      broker.fetch(`/t/s3${path}`, { ...init, headers: { authorization: `Bearer ${handle}` } })
    expect((await get('/')).status).toBe(404)
    expect((await get('/credentials/')).status).toBe(404)
    for (const method of ['POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const refused = await get('/credentials', { method })
      expect([method, refused.status]).toEqual([method, 405])
      expect(refused.headers.get('allow')).toBe('GET')
    }
    broker.clock.advance(400)
    const { Expiration } = await bodyOf(await get('/credentials'))
    expect(Date.parse(String(Expiration)) / 1000).toBe(broker.clock.nowSeconds() + 200)
    expect(broker.fake.minted).toHaveLength(1)
  })

  test('AUD-4: a handle gets nothing when the action or its outcome is not recorded', async () => {
    const broker = await start()
    const handle = await broker.handle({ audience: 's3' })
    await broker.sql(failOn('action'))
    expect((await credentials(broker, handle)).status).toBe(503)
    expect(broker.fake.minted).toHaveLength(0)
    await broker.sql('DROP TRIGGER fault')
    await broker.sql(failOn('outcome'))
    const response = await credentials(broker, handle)
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain(CANARY)
    expect(await broker.sql('SELECT * FROM session_credential')).toHaveLength(0)
  })

  test('whoever mints being down is a 503 on both ways, and is recorded', async () => {
    const broker = await start()
    const handle = await broker.handle({ audience: 's3' })
    broker.fake.answer = async () => fail(DOWN)
    const byHandle = await credentials(broker, handle)
    expect(byHandle.status).toBe(503)
    expect(await bodyOf(byHandle)).toMatchObject({ code: 'temporarily_unavailable' })
    expect((await events(broker)).at(-1)).toMatchObject({
      type: 'outcome',
      outcome: { result: 'upstream_error', reason: 'sts_status_500' },
    })
    const byToken = await credentials(broker, await broker.token())
    expect(byToken.status).toBe(503)
    expect(byToken.headers.get('retry-after')).toBe('7')
    expect((await events(broker)).at(-1)).toMatchObject({
      type: 'refusal',
      reason: 'sts_status_500',
    })
  })

  test.each([
    ['an unknown member', '?role_arn=arn:aws:iam::1:role/admin', 400],
    ['a repeated one', '?purpose=a&purpose=b', 400],
    ['a broken escape', '?purpose=%zz', 400],
    ['a method that is no name', '?auth_method=A%20B', 400],
    ['a scope that is none', '?scope=fly', 400],
    ['a scope that is not granted', '?scope=delete', 403],
  ])('%s in the query is refused', async (_, query, status) => {
    const broker = await start()
    const response = await credentials(broker, await broker.token(), query)
    expect(response.status).toBe(status)
    expect(await bodyOf(response)).toMatchObject({
      code: expect.any(String) as string,
      message: expect.any(String) as string,
    })
    const handle = await broker.handle({ audience: 's3' })
    expect((await credentials(broker, handle, query)).status).toBe(400)
    expect((await credentials(broker, handle, '?purpose=other')).status).toBe(400)
    expect(broker.fake.minted).toHaveLength(0)
  })

  test('ER-09: strangers are answered alike, whatever is there', async () => {
    const broker = await start()
    const other = await broker.token({ team: 'other' })
    const tokens = ['x', 'a.b.c', 'tls', other, 'no token', '%%']
    const presented = [
      null,
      'Bearer',
      ...tokens.flatMap((token) =>
        ['', 'Bearer ', 'DPoP ', 'Basic '].map((scheme) => scheme + token),
      ),
    ]
    const answers = await Promise.all(
      ['s3', 'crm', 'nowhere', 'crm', 's3'].flatMap((target, i) =>
        presented.map(async (authorization) => {
          const query = i < 3 ? '' : '?purpose=x'
          const response = await broker.fetch(`/t/${target}/credentials${query}`, {
            headers: authorization === null ? {} : { authorization },
          })
          const { decision_id: _, ...body } = await bodyOf(response)
          const challenge = response.headers.get('www-authenticate')?.replace(target, '')
          return JSON.stringify({ status: response.status, body, challenge })
        }),
      ),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toContain('"status":401')
  })

  test("an http target's own path of that name is the gateway's", async () => {
    const broker = await start({ binding: { grants: [{ effects: ['read'], objects: ['**'] }] } })
    const handle = await broker.handle()
    const response = await broker.call(handle, '/credentials')
    expect(response.status).toBe(200)
    expect(broker.reached).toHaveLength(1)
    const attested = await broker.call(await broker.token(), '/credentials')
    expect(attested.status).toBe(403)
    expect(broker.reached).toHaveLength(1)
  })

  test('a target that was made a moment ago is found', async () => {
    const broker = await start()
    await credentials(broker, await broker.token())
    const put = await broker.admin('PUT', '/targets/late', { type: 'fake-sts', config: {} })
    expect(put.ok).toBe(true)
    await broker.admin('PUT', '/bindings/late', {
      auth_method: 'ci',
      target: 'late',
      delivery: 'credential',
      grants: [{ effects: ['read'], objects: ['*'] }],
    })
    const response = await broker.fetch('/t/late/credentials', {
      headers: { authorization: await broker.token() },
    })
    expect(response.status).toBe(200)
  })

  test('a target that became another a moment ago is what it is now', async () => {
    const broker = await start()
    const before = await credentials(broker, await broker.token())
    expect(before.status).toBe(200)
    const put = await broker.admin('PUT', '/targets/later', {
      type: 'http',
      config: { base_url: 'https://crm.example' },
    })
    expect(put.ok).toBe(true)
    const at = async () =>
      broker.fetch('/t/later/credentials', { headers: { authorization: await broker.token() } })
    expect((await at()).status).toBe(403)
    await broker.admin('PUT', '/targets/later', { type: 'fake-sts', config: {} })
    await broker.admin('PUT', '/bindings/later', {
      auth_method: 'ci',
      target: 'later',
      delivery: 'credential',
      grants: [{ effects: ['read'], objects: ['*'] }],
    })
    expect((await at()).status).toBe(200)
  })

  test('a flood is held off by the limits of the exchange', async () => {
    const broker = await start()
    let limited = 0
    for (let i = 0; i < 400 && limited === 0; i++) {
      const response = await credentials(broker, 'a.b.c')
      if (response.status === 429) limited += 1
    }
    expect(limited).toBe(1)
  })
})

describe('POST /revoke', () => {
  const revoke = (broker: InProcess, token: string) =>
    broker.fetch('/revoke', { method: 'POST', body: new URLSearchParams({ token }) })

  test('RFC 7009: the credential itself ends its session, and what still works is said', async () => {
    const broker = await start()
    const body = await bodyOf(await mint(broker))
    const { id } = body['session'] as { id: string }
    const revoked = await revoke(broker, String(body['access_token']))
    expect(revoked.status).toBe(200)
    const answer = await bodyOf(revoked)
    expect(answer).toMatchObject({
      session: { id, state: 'ended' },
      credentials: [{ target: 's3', honoured_until_expiry: true }],
    })
    expect(JSON.stringify(answer)).not.toContain(CANARY)
    expect(await broker.sql(`SELECT state FROM session WHERE id = '${id}'`)).toEqual([['ended']])
    expect((await events(broker)).at(-1)).toMatchObject({
      type: 'revocation',
      session_id: id,
      outcome: { verdict: 'revoked', by: 'holder', credentials: [{ honoured_until_expiry: true }] },
    })
    expect((await revoke(broker, String(body['access_token']))).status).toBe(200)
    expect((await revoke(broker, 'unknown')).status).toBe(200)
  })

  test('a credential that a handle got ends the session of the handle', async () => {
    const broker = await start()
    const handle = await broker.handle({ audience: 's3' })
    const { Token } = await bodyOf(await credentials(broker, handle))
    expect((await revoke(broker, String(Token))).status).toBe(200)
    expect((await credentials(broker, handle)).status).toBe(401)
  })

  test('a handle whose session handed something over says so when it is revoked', async () => {
    const broker = await start()
    const handle = await broker.handle({ audience: 's3' })
    await credentials(broker, handle)
    const revoked = await bodyOf(await revoke(broker, handle))
    expect(revoked).toMatchObject({ credentials: [{ target: 's3' }] })
  })
})

test('LEAK: what whoever mints throws is a 503, and its text is nowhere', async () => {
  const broker = await start()
  const handle = await broker.handle({ audience: 's3' })
  broker.fake.answer = () => Promise.reject(new TypeError(`bad header ${CANARY}`))
  const answers = [
    await mint(broker),
    await credentials(broker, handle),
    await credentials(broker, await broker.token()),
  ]
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
  const texts = await Promise.all(answers.map((answer) => answer.text()))
  const recorded = await events(broker)
  expect([...texts, ...broker.logged, JSON.stringify(recorded)].join('\n')).not.toContain(CANARY)
  expect(recorded.filter(({ type }) => type === 'refusal')).toMatchObject([
    { reason: 'mint_threw', outcome: { facts: { got: 'TypeError' } } },
    { reason: 'mint_threw' },
  ])
  expect(recorded.filter(({ type }) => type === 'outcome')).toMatchObject([
    { outcome: { result: 'upstream_error', reason: 'mint_threw' } },
  ])
})

test('SC: no secret of a credential is in an event, a log line, a refusal or the store', async () => {
  const broker = await start()
  await mint(broker)
  const handle = await broker.handle({ audience: 's3' })
  const { Token } = await bodyOf(await credentials(broker, handle))
  const texts: string[] = [...broker.logged]
  const revoked = await broker.fetch('/revoke', {
    method: 'POST',
    body: new URLSearchParams({ token: String(Token) }),
  })
  texts.push(await revoked.text())
  for (const table of ['audit_event', 'session', 'session_credential', 'approval', 'single_use']) {
    texts.push(JSON.stringify(await broker.sql(`SELECT * FROM ${table}`)))
  }
  for (const path of ['/sessions', '/audit?limit=100', '/policy']) {
    texts.push(await (await broker.admin('GET', path)).text())
  }
  expect(texts.join('\n')).not.toContain(CANARY)
})
