// Secrets that AWS keeps, attacked: an editor who wants one sent to a place of his own, a viewer who wants to
// know which there are, an agent who wants the broker to hammer AWS, and whatever looks for what leaked.
import { beforeEach, describe, expect, test } from 'vitest'
import { ADMIN_TOKEN, CRM, type InProcess, startInProcess } from '../faults/in-process.ts'
import type { OutboundRequest, OutboundResponse } from '../../functions/net/outbound.ts'

const VALUE = 'canary-value-of-aws-5f1e'
const KEYS = {
  AccessKeyId: 'ASIACANARYKEYID00001',
  SecretAccessKey: 'canarySecretAccessKey/+0000000000000',
  SessionToken: 'canarySessionToken==',
}
const REFERENCE = 'aws-secrets-manager:crm'

let broker: InProcess
let secretsAsked: OutboundRequest[]
let stsAsked: OutboundRequest[]
let upstreamStatus: number
let secretAnswer: () => OutboundResponse
let stsAnswer: () => OutboundResponse

const answerOf = (status: number, type: string, body: string): OutboundResponse => ({
  status,
  headers: [['content-type', type]],
  body: new Response(body).body,
})
const json = (status: number, value: unknown) =>
  answerOf(status, 'application/x-amz-json-1.1', JSON.stringify(value))

function granted(): OutboundResponse {
  const expiration = new Date((broker.clock.nowSeconds() + 3600) * 1000).toISOString()
  const members = Object.entries({ ...KEYS, Expiration: expiration })
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('')
  return answerOf(
    200,
    'text/xml',
    `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>
<AssumedRoleUser><AssumedRoleId>AROAEXAMPLE0000000000:sallyport-secrets</AssumedRoleId>
<Arn>arn:aws:sts::123456789012:assumed-role/r/sallyport-secrets</Arn></AssumedRoleUser>
<Credentials>${members}</Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`,
  )
}

const as = (token: string, method: string, path: string, body?: unknown) =>
  broker.fetch(`/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const target = (base = CRM, secret = REFERENCE, rest: object = {}) => ({
  type: 'http',
  config: { base_url: base },
  credential: { inject: 'bearer', secret },
  ...rest,
})

async function handleOf(role: 'editor' | 'viewer'): Promise<string> {
  const bound = await as(ADMIN_TOKEN, 'PUT', `/bindings/${role}s`, {
    auth_method: 'ci',
    target: 'sallyport-admin',
    grants: [{ effects: ['admin'], objects: [role] }],
  })
  expect(bound.status).toBe(201)
  return broker.handle({ audience: 'sallyport-admin' })
}

beforeEach(async () => {
  secretsAsked = []
  stsAsked = []
  upstreamStatus = 200
  secretAnswer = () => json(200, { SecretString: VALUE })
  stsAnswer = granted
  broker = await startInProcess({
    config: {
      awsRoleArn: 'arn:aws:iam::123456789012:role/sallyport-secrets',
      awsRegion: 'eu-central-1',
    },
    origin: async () => json(upstreamStatus, {}),
    async elsewhere(request) {
      const isSts = request.url.hostname.startsWith('sts.')
      const asked = isSts ? stsAsked : secretsAsked
      asked.push(request)
      return isSts ? stsAnswer() : secretAnswer()
    },
  })
})

describe('an editor', () => {
  const TRIES: readonly (readonly [string, string, string, object])[] = [
    ['names a secret', 'PUT', '/targets/steal', target('https://evil.example')],
    ['names a parameter', 'PUT', '/targets/steal', target('https://evil.example', 'aws-ssm:/crm')],
    ['names it for its own origin', 'PUT', '/targets/crm', target()],
    ['redirects the one that is named', 'PUT', '/targets/aws', target('https://evil.example')],
    ['names another member', 'PUT', '/targets/aws', target(CRM, `${REFERENCE}#other`)],
    ['names another version', 'PUT', '/targets/aws', target(CRM, `${REFERENCE}?stage=AWSPREVIOUS`)],
    [
      'has a second address take it',
      'PUT',
      '/targets/aws',
      { ...target(), config: { base_url: CRM, url: 'https://evil.example' } },
    ],
    [
      'has a judge take it',
      'PUT',
      '/intent-policies/judge',
      { rules: [], judge: { type: 'authzen', url: 'https://evil.example', secret: REFERENCE } },
    ],
    [
      'has an introspection endpoint take it',
      'PUT',
      '/auth-methods/saas',
      {
        type: 'oauth-introspection',
        config: {
          introspection_endpoint: 'https://evil.example',
          secret: REFERENCE,
          match: { sub: 'x' },
        },
      },
    ],
  ]

  test.each(TRIES)('%s: refused, and AWS is not asked', async (_, method, path, body) => {
    expect((await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())).status).toBe(201)
    const handle = await handleOf('editor')
    const before = await (await as(handle, 'GET', '/policy')).text()
    secretsAsked.length = 0
    expect((await as(handle, method, path, body)).status).toBe(403)
    expect(await (await as(handle, 'GET', '/policy')).text()).toBe(before)
    expect(secretsAsked).toEqual([])
  })

  test('applies no document in which one goes elsewhere', async () => {
    expect((await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())).status).toBe(201)
    const handle = await handleOf('editor')
    const text = await (await as(handle, 'GET', '/policy')).text()
    secretsAsked.length = 0
    const document = JSON.parse(text) as { targets: { name: string; config: object }[] }
    const moved = document.targets.map((one) =>
      one.name === 'aws' ? { ...one, config: { base_url: 'https://evil.example' } } : one,
    )
    const applied = await as(handle, 'POST', '/policy/apply', { ...document, targets: moved })
    expect(applied.status).toBe(403)
    expect(secretsAsked).toEqual([])
  })

  test('changes what is not its destination, also while AWS is down', async () => {
    expect((await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())).status).toBe(201)
    const handle = await handleOf('editor')
    secretAnswer = () => json(500, {})
    const masked = target(CRM, REFERENCE, { mask: [{ json_path: '$..ssn' }] })
    expect((await as(handle, 'PUT', '/targets/aws', masked)).status).toBe(200)
    expect((await as(handle, 'DELETE', '/targets/aws')).status).toBe(200)
  })
})

describe('a viewer', () => {
  test('learns from no check which secrets there are, and has AWS asked by none', async () => {
    const handle = await handleOf('viewer')
    const policy = JSON.parse(await (await as(handle, 'GET', '/policy')).text()) as {
      targets: object[]
    }
    const answers: string[] = []
    for (const found of [true, false]) {
      secretAnswer = () =>
        found
          ? json(200, { SecretString: VALUE })
          : json(400, { __type: 'ResourceNotFoundException' })
      const one = { name: 'x', ...target() }
      const validated = await as(handle, 'POST', '/targets/validate', one)
      expect(validated.status).toBe(200)
      const planned = await as(handle, 'POST', '/policy/plan', {
        ...policy,
        targets: [...policy.targets, one],
      })
      expect(planned.status).toBe(200)
      answers.push((await validated.text()) + (await planned.text()))
    }
    expect(answers[0]).toBe(answers[1])
    expect(answers[0]).toContain('"secret_unread"')
    expect(secretsAsked).toEqual([])
    expect(stsAsked).toEqual([])
  })

  test('is told the mistakes that can be told without AWS', async () => {
    const handle = await handleOf('viewer')
    const one = { name: 'x', ...target(CRM, 'aws-ssm:no/slash') }
    const validated = await as(handle, 'POST', '/targets/validate', one)
    expect(validated.status).toBe(422)
    expect(await validated.text()).toContain('"malformed"')
  })
})

describe('an admin', () => {
  test.each([
    ['missing', () => json(400, { __type: 'ResourceNotFoundException' }), 'unknown_secret'],
    ['denied', () => json(400, { __type: 'AccessDeniedException' }), 'unknown_secret'],
  ])('is told by reference that a secret is %s', async (_, answer, code) => {
    secretAnswer = answer
    const saved = await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())
    expect(saved.status).toBe(422)
    const { errors } = (await saved.json()) as { errors: unknown[] }
    expect(errors).toMatchObject([{ path: '/credential/secret', code }])
    expect(JSON.stringify(errors)).toContain(REFERENCE)
  })

  test('is told that the broker’s role is not given to it', async () => {
    stsAnswer = () =>
      answerOf(
        403,
        'text/xml',
        '<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>',
      )
    const saved = await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())
    expect(saved.status).toBe(422)
    expect(await saved.text()).toContain('no AWS credentials')
    expect(secretsAsked).toEqual([])
  })

  test('saves while AWS does not answer, and is warned', async () => {
    secretAnswer = () => json(500, {})
    const saved = await as(ADMIN_TOKEN, 'PUT', '/targets/aws', target())
    expect(saved.status).toBe(201)
    expect(await saved.text()).toContain('"secret_unread"')
  })
})

describe('an agent', () => {
  const act = async (handle: string) => {
    const response = await broker.call(handle, '/v1/x')
    // Its outcome is known when the answer is over.
    await response.text()
    return response.status
  }
  beforeEach(async () => {
    expect((await as(ADMIN_TOKEN, 'PUT', '/targets/crm', target())).status).toBe(200)
  })

  test('has AWS asked once a minute, and STS once an hour', async () => {
    const handle = await broker.handle()
    for (let i = 0; i < 40; i++) {
      expect(await act(handle)).toBe(200)
      broker.clock.advance(3)
    }
    expect(secretsAsked.length).toBeLessThanOrEqual(4)
    expect(stsAsked).toHaveLength(1)
  })

  test('whose calls the upstream refuses has AWS asked once in five seconds at most', async () => {
    upstreamStatus = 401
    const handle = await broker.handle()
    secretsAsked.length = 0
    const before = broker.reached.length
    for (let i = 0; i < 50; i++) {
      expect(await act(handle)).toBe(401)
      broker.clock.advance(1)
    }
    expect(secretsAsked.length).toBeLessThanOrEqual(10)
    // Each was sent once: a refused request is never sent again.
    expect(broker.reached.length - before).toBe(50)
  })

  test('DEP-5: gets the new secret at the call after the refused one', async () => {
    const handle = await broker.handle()
    expect(await act(handle)).toBe(200)
    secretAnswer = () => json(200, { SecretString: 'rotated-value' })
    broker.clock.advance(6)
    upstreamStatus = 401
    expect(await act(handle)).toBe(401)
    upstreamStatus = 200
    expect(await act(handle)).toBe(200)
    const sent = broker.reached.at(-1)?.headers.find(([name]) => name === 'authorization')?.[1]
    expect(sent).toBe('Bearer rotated-value')
  })

  test('DEP-8: gets 503 while AWS is down, once the minute is over, and never an older value', async () => {
    const handle = await broker.handle()
    expect(await act(handle)).toBe(200)
    secretAnswer = () => json(500, { __type: 'InternalServiceError', message: VALUE })
    broker.clock.advance(61)
    const reached = broker.reached.length
    const response = await broker.call(handle, '/v1/x')
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).not.toBeNull()
    expect(await response.text()).not.toContain('aws')
    expect(broker.reached).toHaveLength(reached)
  })

  test('DEP-8: gets 503 while STS gives no keys, and one region is asked', async () => {
    broker.clock.advance(3600)
    const handle = await broker.handle()
    stsAnswer = () => answerOf(503, 'text/html', '<p>')
    stsAsked.length = 0
    secretsAsked.length = 0
    expect(await act(handle)).toBe(503)
    expect(stsAsked.map(({ url }) => url.hostname)).toEqual(['sts.eu-central-1.amazonaws.com'])
    expect(secretsAsked).toEqual([])
  })
})

test('LEAK-1 LEAK-2: nothing of it is in a log line, a row of the store, or an answer of the broker', async () => {
  const answers: string[] = []
  const keep = async (response: Response | Promise<Response>) =>
    void answers.push(await (await response).text())
  await keep(as(ADMIN_TOKEN, 'PUT', '/targets/crm', target()))
  const handle = await broker.handle()
  await keep(broker.call(handle, '/v1/x'))
  const document = JSON.stringify({ password: VALUE, lines: `${VALUE}\n` })
  const faults: readonly (() => OutboundResponse)[] = [
    () => json(200, { SecretString: document }),
    () => json(200, { SecretBinary: VALUE }),
    () => json(400, { __type: VALUE, message: VALUE }),
    () => json(400, { __type: 'AccessDeniedException', Message: VALUE }),
    () => answerOf(200, 'text/html', VALUE),
    () => answerOf(200, 'application/x-amz-json-1.1', `{"SecretString":"${VALUE}`),
  ]
  for (const fault of faults) {
    secretAnswer = fault
    broker.clock.advance(61)
    await keep(broker.call(handle, '/v1/x'))
    await keep(as(ADMIN_TOKEN, 'PUT', '/targets/other', target(CRM, `${REFERENCE}#lines`)))
    await keep(as(ADMIN_TOKEN, 'POST', '/targets/validate', { name: 'x', ...target() }))
  }
  for (const path of ['/policy', '/targets', '/audit', '/secrets', '/sessions']) {
    await keep(as(ADMIN_TOKEN, 'GET', path))
  }
  const tables = await broker.sql("SELECT name FROM sqlite_master WHERE type = 'table'")
  for (const [table] of tables) {
    answers.push(JSON.stringify(await broker.sql(`SELECT * FROM "${String(table)}"`)))
  }
  const shown = [...answers, ...broker.logged].join('\n')
  expect(shown).toContain('a secret was not read')
  for (const canary of [VALUE, KEYS.SecretAccessKey, KEYS.SessionToken]) {
    expect(shown).not.toContain(canary)
  }
})
