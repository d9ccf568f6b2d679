// Security events as a transmitter, or somebody who would like to be one, sends them (RFC 8935, SSF 1.0).
import { afterEach, expect, test } from 'vitest'
import { IDP, type InProcess, startInProcess } from '../faults/in-process.ts'
import { tokenIssuer } from '../fakes/token-issuer.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'
const AUDIENCE = 'https://broker.example/events'
const TT = 'urn:ietf:params:oauth:token-type:'

type Claims = Readonly<Record<string, unknown>>

let broker: InProcess
let n = 0

async function start(): Promise<InProcess> {
  broker = await startInProcess({ method: { security_events: { audience: AUDIENCE } } })
  return broker
}
afterEach(() => broker.app.close())

const subject = { format: 'iss_sub', iss: IDP, sub: 'agent-7' }

function claimsOf(event = 'session-revoked', payload: object = {}, over: Claims = {}): Claims {
  return {
    iss: IDP,
    aud: AUDIENCE,
    jti: `set-${n++}`,
    iat: broker.clock.nowSeconds(),
    sub_id: subject,
    events: { [event.includes(':') ? event : `${CAEP}${event}`]: payload },
    ...over,
  }
}

function sign(claims: Claims, header: Claims = {}): Promise<string> {
  const { alg, kid } = broker.keys
  return broker.keys.sign(
    JSON.stringify(claims),
    JSON.stringify({ alg, kid, typ: 'secevent+jwt', ...header }),
  )
}

function push(token: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return broker.fetch('/events', {
    method: 'POST',
    body: token,
    headers: { 'content-type': 'application/secevent+jwt', ...headers },
  })
}

const sessionOf = async (handle: string) => {
  const { sid } = JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as {
    sid: string
  }
  return (await (await broker.admin('GET', `/sessions/${sid}`)).json()) as Record<string, unknown>
}
const read = async (handle: string) => (await broker.call(handle, '/v1/a')).status
const write = async (handle: string) =>
  (await broker.call(handle, '/v1/a', { method: 'POST', body: '{}' })).status
const events = async (type: string) => {
  const page = await broker.admin('GET', `/audit?type=${type}&limit=500`)
  return ((await page.json()) as { items: Record<string, unknown>[] }).items
}

test('session-revoked ends every live session of its subject, and of nobody else', async () => {
  await start()
  const mine = [await broker.handle(), await broker.handle()]
  const other = await broker.handle({ subject_token: await broker.token({ sub: 'agent-8' }) })
  const response = await push(await sign(claimsOf()))
  expect([response.status, await response.text()]).toEqual([202, ''])
  for (const handle of mine) expect(await read(handle)).toBe(401)
  expect(await read(other)).toBe(200)
  expect(await sessionOf(mine[0] ?? '')).toMatchObject({
    state: 'ended',
    state_change: { reason: 'security_event', action: { event: 'session-revoked', issuer: IDP } },
  })
  expect(await events('revocation')).toMatchObject([
    { outcome: { by: 'transmitter' }, action: { subject, auth_methods: ['ci'] } },
  ])
})

const SUSPENDED = [403, 403, 'suspended']
const NARROWED = [200, 403, 'narrowed']
const UNCHANGED = [200, 200, 'active']

test.each([
  ['credential-change', { change_type: 'revoke' }, SUSPENDED],
  ['credential-change', { change_type: 'update' }, SUSPENDED],
  ['credential-change', { change_type: 'delete' }, SUSPENDED],
  ['credential-change', { change_type: 'create' }, NARROWED],
  ['credential-change', { change_type: 'stolen' }, SUSPENDED],
  ['token-claims-change', { claims: { role: 'guest' } }, SUSPENDED],
  ['device-compliance-change', { current_status: 'not-compliant' }, SUSPENDED],
  ['device-compliance-change', { current_status: 'compliant' }, UNCHANGED],
  ['risk-level-change', { current_level: 'HIGH' }, SUSPENDED],
  ['risk-level-change', { current_level: 'MEDIUM' }, NARROWED],
  ['risk-level-change', { current_level: 'LOW' }, UNCHANGED],
  ['assurance-level-change', { change_direction: 'decrease' }, NARROWED],
  ['assurance-level-change', { current_level: 'nist-aal1' }, NARROWED],
  ['assurance-level-change', { change_direction: 'increase' }, UNCHANGED],
  ['session-established', {}, UNCHANGED],
  [`${SSF}verification`, { state: 'x' }, UNCHANGED],
  [`${SSF}stream-updated`, { status: 'paused' }, UNCHANGED],
  ['urn:example:unknown', {}, UNCHANGED],
  ['https://schemas.openid.net/secevent/risc/event-type/account-disabled', {}, [401, 401, 'ended']],
] as const)(
  '%s %j is taken and does what it means',
  async (event, payload, [toRead, toWrite, state]) => {
    await start()
    const handle = await broker.handle()
    expect((await push(await sign(claimsOf(event, payload)))).status).toBe(202)
    expect(await read(handle)).toBe(toRead)
    expect(await write(handle)).toBe(toWrite)
    expect(await sessionOf(handle)).toMatchObject({ state })
    expect([...(await events('state')), ...(await events('revocation'))]).toHaveLength(1)
  },
)

test.each([
  ['session-revoked', {}],
  ['risk-level-change', { current_level: 'HIGH' }],
])(
  'RV after %s what was issued before opens no session, what is issued later does',
  async (event, payload) => {
    await start()
    const before = await broker.token({ exp: broker.clock.nowSeconds() + 3600 })
    const other = await broker.token({ sub: 'agent-8' })
    const undated = await broker.token({ iat: undefined })
    await push(await sign(claimsOf(event, payload)))
    broker.clock.advance(1)
    for (const subject_token of [before, undated]) {
      const refused = await broker.exchange({ subject_token })
      expect(refused.status).toBe(400)
      expect(await refused.json()).toMatchObject({ error: 'invalid_request' })
    }
    expect(await events('refusal')).toMatchObject([{ reason: 'revoked' }, { reason: 'revoked' }])
    expect((await broker.exchange({ subject_token: other })).status).toBe(200)
    expect((await broker.exchange()).status).toBe(200)
  },
)

test('RV an exchange that an event overtakes is refused, and the latest event counts', async () => {
  await start()
  await push(await sign(claimsOf()))
  broker.clock.advance(100)
  const between = await broker.token()
  expect((await broker.exchange({ subject_token: between })).status).toBe(200)
  broker.clock.advance(100)
  await push(await sign(claimsOf()))
  // An older event that arrives late takes nothing back.
  await push(await sign(claimsOf('session-revoked', {}, { iat: broker.clock.nowSeconds() - 1000 })))
  expect((await broker.exchange({ subject_token: between })).status).toBe(400)
})

test('what only narrows leaves attestations as they are', async () => {
  await start()
  const subject_token = await broker.token()
  await push(await sign(claimsOf('risk-level-change', { current_level: 'MEDIUM' })))
  expect((await broker.exchange({ subject_token })).status).toBe(200)
})

test('a better level gives nothing back that a worse one took', async () => {
  await start()
  const handle = await broker.handle()
  await push(await sign(claimsOf('risk-level-change', { current_level: 'HIGH' })))
  await push(await sign(claimsOf('risk-level-change', { current_level: 'LOW' })))
  expect(await sessionOf(handle)).toMatchObject({ state: 'suspended' })
})

test.each([
  ['opaque', { format: 'opaque', id: 'agent-7' }],
  ['complex', { format: 'complex', user: subject, device: { format: 'opaque', id: 'd' } }],
])('a subject may be %s', async (_, sub_id) => {
  await start()
  const handle = await broker.handle()
  expect((await push(await sign(claimsOf('session-revoked', {}, { sub_id })))).status).toBe(202)
  expect(await read(handle)).toBe(401)
})

test.each([
  [
    'the same sub of another issuer',
    { format: 'iss_sub', iss: 'https://evil.example', sub: 'agent-7' },
  ],
  ['a subject that nobody knows', { format: 'iss_sub', iss: IDP, sub: 'nobody' }],
  ['a sub that differs in case', { format: 'iss_sub', iss: IDP, sub: 'AGENT-7' }],
])('%s is answered alike, and touches nobody', async (_, sub_id) => {
  await start()
  const handle = await broker.handle()
  const response = await push(await sign(claimsOf('session-revoked', {}, { sub_id })))
  expect([response.status, await response.text()]).toEqual([202, ''])
  expect(await read(handle)).toBe(200)
})

test('RB-06 a token that comes twice is taken twice and acts once', async () => {
  await start()
  const set = await sign(claimsOf())
  expect((await push(set)).status).toBe(202)
  broker.clock.advance(1)
  const handle = await broker.handle()
  const again = await Promise.all(Array.from({ length: 20 }, () => push(set)))
  expect(again.map(({ status }) => status)).toEqual(Array(20).fill(202))
  expect(await read(handle)).toBe(200)
  expect(await events('revocation')).toHaveLength(1)
})

test('RB-06 a forged token does not burn the id of a real one', async () => {
  await start()
  const handle = await broker.handle()
  const stranger = await tokenIssuer('ES256')
  const claims = claimsOf()
  const header = JSON.stringify({ alg: 'ES256', kid: broker.keys.kid, typ: 'secevent+jwt' })
  const forged = await stranger.sign(JSON.stringify(claims), header)
  expect((await push(forged)).status).toBe(400)
  expect((await push(await sign(claims))).status).toBe(202)
  expect(await read(handle)).toBe(401)
})

test.each([
  ['another audience', { aud: 'https://other.example' }, 'invalid_audience'],
  ['no audience', { aud: undefined }, 'invalid_audience'],
  ['no jti', { jti: undefined }, 'invalid_request'],
  ['an empty jti', { jti: '' }, 'invalid_request'],
  ['an endless jti', { jti: 'x'.repeat(3000) }, 'invalid_request'],
  ['no iat', { iat: undefined }, 'invalid_request'],
  ['iat as text', { iat: '1800000000' }, 'invalid_request'],
  ['iat in the future', { iat: 4_000_000_000 }, 'invalid_request'],
  ['iat older than any session', { iat: 1_000_000_000 }, 'invalid_request'],
  ['exp, which no event has', { exp: 4_000_000_000 }, 'invalid_request'],
  ['sub, which no event has', { sub: 'agent-7' }, 'invalid_request'],
  ['no events', { events: undefined }, 'invalid_request'],
  ['an empty set of events', { events: {} }, 'invalid_request'],
  ['two events', { events: { [`${CAEP}a`]: {}, [`${CAEP}b`]: {} } }, 'invalid_request'],
  ['an event that is no object', { events: { [`${CAEP}session-revoked`]: 1 } }, 'invalid_request'],
  ['no subject', { sub_id: undefined }, 'invalid_request'],
  ['an address as subject', { sub_id: { format: 'email', email: 'a@b.c' } }, 'invalid_request'],
  ['a subject without sub', { sub_id: { format: 'iss_sub', iss: IDP } }, 'invalid_request'],
  ['a subject of numbers', { sub_id: { format: 'opaque', id: 7 } }, 'invalid_request'],
  ['a level that is no text', { events: { [`${CAEP}risk-level-change`]: {} } }, 'invalid_request'],
] as const)(
  '%s: a signed token that is refused, ends nothing and is recorded',
  async (_, over, err) => {
    await start()
    const handle = await broker.handle()
    const response = await push(await sign(claimsOf('session-revoked', {}, over)))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ err })
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await read(handle)).toBe(200)
    expect(await events('refusal')).toHaveLength(1)
  },
)

test.each([
  'JWT',
  undefined,
  'at+jwt',
  'SECEVENT+JWT',
  'application/secevent+jwt',
  'logout+jwt',
  7,
])('JB-06 JB-07 typ %s is no security event token', async (typ) => {
  await start()
  const handle = await broker.handle()
  const response = await push(await sign(claimsOf(), { typ }))
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ err: 'invalid_request' })
  expect(await read(handle)).toBe(200)
})

test('ER-09 JW-01 strangers get one body whatever is configured, cause no call and leave no event', async () => {
  await start()
  const stranger = await tokenIssuer('ES256')
  const header = (over: Claims) =>
    JSON.stringify({ alg: 'ES256', kid: broker.keys.kid, typ: 'secevent+jwt', ...over })
  const tokens = [
    await stranger.sign(JSON.stringify(claimsOf()), header({})),
    await stranger.sign(JSON.stringify(claimsOf()), header({ kid: 'other' })),
    await stranger.sign(JSON.stringify(claimsOf()), header({ alg: 'none' })),
    await stranger.sign(JSON.stringify(claimsOf()), header({ jwk: stranger.publicJwk })),
    await stranger.sign(
      JSON.stringify(claimsOf('x', {}, { iss: 'https://evil.example' })),
      header({}),
    ),
    await stranger.sign(
      JSON.stringify(claimsOf('x', {}, { iss: 'https://broker.example' })),
      header({}),
    ),
  ]
  const bodies = await Promise.all(
    tokens.map(async (token) => {
      const response = await push(token)
      return `${response.status} ${await response.text()}`
    }),
  )
  expect(new Set(bodies).size).toBe(1)
  expect(bodies[0]).toContain('authentication_failed')
  expect(await events('refusal')).toEqual([])
})

test('a method that does not name a transmitter believes its own issuer no events', async () => {
  broker = await startInProcess()
  const handle = await broker.handle()
  expect((await push(await sign(claimsOf()))).status).toBe(400)
  expect(await read(handle)).toBe(200)
})

test('JB-07 GHSA-7fpj-9hr8-28vh a security event token buys nothing, whatever it is announced as', async () => {
  await start()
  const now = broker.clock.nowSeconds()
  const whole = { sub: 'agent-7', team: 'support', exp: now + 600, aud: 'sallyport' }
  const sets = [
    await sign(claimsOf()),
    await sign({ ...claimsOf(), ...whole }),
    // Everything of an attestation but the kind.
    await sign({ ...claimsOf(), ...whole }, { typ: 'JWT' }),
    await sign({ ...claimsOf(), ...whole, events: undefined }),
  ]
  for (const token of sets) {
    for (const type of ['jwt', 'id_token', 'access_token']) {
      const subjectToken = { subject_token: token, subject_token_type: `${TT}${type}` }
      expect((await broker.exchange(subjectToken)).status).toBe(400)
      const actorToken = { actor_token: token, actor_token_type: `${TT}${type}` }
      expect((await broker.exchange(actorToken)).status).toBe(400)
    }
    const assertion = {
      client_assertion: token,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    }
    expect((await broker.exchange(assertion)).ok).toBe(false)
    expect(await read(token)).toBe(401)
    const asAdmin = await broker.fetch('/admin/v1/sessions', {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(asAdmin.status).toBe(401)
    const grant = await broker.fetch('/token-exchange', {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: token,
        audience: 'crm',
      }),
    })
    expect(grant.status).toBe(400)
  }
})

test('JB-07 nothing but a security event token is taken for one', async () => {
  await start()
  const handle = await broker.handle()
  const others = [
    handle,
    await broker.token(),
    await broker.token({ aud: AUDIENCE, jti: 'x', sub_id: subject, events: claimsOf()['events'] }),
    await sign(claimsOf(), { typ: 'dpop+jwt' }),
    '{}',
    '',
    'x'.repeat(20_000),
  ]
  for (const token of others) expect([400, 413]).toContain((await push(token)).status)
  expect(await read(handle)).toBe(200)
})

test('the form of the request is held to, and floods of one source are shed', async () => {
  await start()
  const set = await sign(claimsOf())
  expect((await push(set, { 'content-type': 'application/jwt' })).status).toBe(415)
  expect((await broker.fetch('/events')).status).toBe(405)
  const statuses = new Set<number>()
  for (let i = 0; i < 250; i++) statuses.add((await push('x')).status)
  expect([...statuses].sort()).toEqual([400, 429])
  // Agents of the same source are not held up by it.
  expect((await broker.exchange()).status).toBe(200)
})

test('a method that was removed is listened to no longer, a kill switch does not stop what tightens', async () => {
  await start()
  const handle = await broker.handle()
  await broker.admin('PUT', '/kill-switch', { engaged: true, reason: 'drill' })
  expect((await push(await sign(claimsOf()))).status).toBe(202)
  await broker.admin('PUT', '/kill-switch', { engaged: false, reason: 'over' })
  expect(await read(handle)).toBe(401)
  const stored = await (await broker.admin('GET', '/auth-methods/ci')).json()
  const { config } = stored as { config: Claims }
  await broker.admin('PUT', '/auth-methods/ci', {
    name: 'ci',
    type: 'oidc',
    config: { ...config, security_events: undefined },
  })
  expect((await push(await sign(claimsOf()))).status).toBe(400)
})

test('a mistake in security_events is told with all the others', async () => {
  await start()
  const put = await broker.admin('POST', '/auth-methods/validate', {
    name: 'other',
    type: 'oidc',
    config: {
      issuer: IDP,
      audiences: ['sallyport'],
      security_events: { issuer: 'https://broker.example/x', jwks: 1 },
      origin: {
        kind: 'agent',
        id_claim: 7,
        definition: { names: 'x' },
        when: { a: { glob: '*' } },
      },
    },
  })
  expect(put.status).toBe(422)
  const { errors } = (await put.json()) as { errors: { path: string; code: string }[] }
  expect(errors.map(({ path, code }) => `${path} ${code}`).sort()).toEqual([
    '/config/origin/definition/names unknown_member',
    '/config/origin/id_claim type',
    '/config/origin/kind value',
    '/config/origin/when/a unsafe',
    '/config/security_events/audience required',
    '/config/security_events/issuer unsafe',
    '/config/security_events/jwks unknown_member',
    '/config/security_events/jwks_uri required',
  ])
})
