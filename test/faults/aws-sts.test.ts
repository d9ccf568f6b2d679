// The whole broker with a target of type `aws-sts`, and STS as somebody who can break: by either adapter, on
// both ways to a credential. Asked once; recorded whatever comes of it; no secret anywhere but in the answer.
import { afterEach, describe, expect, test } from 'vitest'
import { createStsSdk } from '../../functions/aws/sts-sdk.ts'
import { Secret } from '../../functions/core/credential.ts'
import { ok } from '../../functions/core/result.ts'
import {
  OutboundError,
  type OutboundRequest,
  type OutboundResponse,
} from '../../functions/net/outbound.ts'
import type { Platform } from '../../functions/platform.ts'
import { ISSUER, type InProcess, startInProcess } from './in-process.ts'

const AWS = 'urn:sallyport:token-type:aws-credentials'
const ROLE = 'arn:aws:iam::123456789012:role/agents/reader'
/** In every secret field that there is. */
const CANARY = 'Canary'
const KEYS = {
  accessKeyId: 'ASIABROKER0000000001',
  secretAccessKey: new Secret(`broker${CANARY}Secret+/aaaaaaaaaaaaaaaaaaaa`, null),
  sessionToken: new Secret(`broker${CANARY}Token==`, null),
}
const ISSUED = {
  SecretAccessKey: `issued${CANARY}Secret+/aaaaaaaaaaaaaaaaaaaa`,
  SessionToken: `issued${CANARY}Token+/==`,
}

const sdk: NonNullable<Platform['awsSdk']> = async () => ({
  createSts: createStsSdk,
  ambientKeys: () => async () => ok(KEYS),
  loadSecrets: () => Promise.reject(new Error('no secrets of AWS here')),
})

type Body = Record<string, unknown>

let broker: InProcess
let asked: URLSearchParams[] = []
let hosts: string[] = []
afterEach(() => broker.app.close())

type Answer = (form: URLSearchParams) => OutboundResponse | Promise<OutboundResponse>

async function start(
  way: (typeof WAYS)[number][1],
  answer: Answer = granted,
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  asked = []
  hosts = []
  broker = await startInProcess({
    ...way,
    async elsewhere(request: OutboundRequest) {
      const form = new URLSearchParams(new TextDecoder().decode(request.body as Uint8Array))
      asked.push(form)
      hosts.push(request.url.host)
      return answer(form)
    },
    targets: [
      {
        name: 'lake',
        type: 'aws-sts',
        config: { region: 'eu-central-1', role_arn: ROLE, ...config },
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
      },
    ],
  })
}

const WAYS = [
  ['by web identity with aws4fetch', {}],
  [
    'by role with the SDK',
    { awsSdk: sdk, env: { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'b' } },
  ],
] as const

function xml(status: number, text: string): OutboundResponse {
  return { status, headers: [['content-type', 'text/xml']], body: new Response(text).body }
}

function granted(form: URLSearchParams, change: Readonly<Record<string, string>> = {}) {
  const action = form.get('Action') ?? ''
  const seconds = broker.clock.nowSeconds() + Number(form.get('DurationSeconds'))
  const members = {
    AccessKeyId: 'ASIAISSUED0000000001',
    ...ISSUED,
    Expiration: new Date(seconds * 1000).toISOString(),
    ...change,
  }
  const inner = Object.entries(members).map(([name, value]) => `<${name}>${value}</${name}>`)
  return xml(
    200,
    `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result>` +
      `<AssumedRoleUser><AssumedRoleId>AROA:${form.get('RoleSessionName')}</AssumedRoleId>` +
      `<Arn>arn:aws:sts::123456789012:assumed-role/reader/${form.get('RoleSessionName')}</Arn></AssumedRoleUser>` +
      `<Credentials>${inner.join('')}</Credentials></${action}Result>` +
      `<ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></${action}Response>`,
  )
}

const refusal = (status: number, code: string) =>
  xml(
    status,
    `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code>` +
      `<Message>${CANARY} DurationSeconds</Message></Error></ErrorResponse>`,
  )

async function mint(over: Readonly<Record<string, string>> = {}): Promise<Response> {
  return broker.exchange({ audience: 'lake', requested_token_type: AWS, ...over })
}

async function credentials(authorization: string, query = ''): Promise<Response> {
  return broker.fetch(`/t/lake/credentials${query}`, { headers: { authorization } })
}

/** But those of the set-up, and of the external id that is made at the first use. */
async function events(): Promise<Body[]> {
  const rows = await broker.sql("SELECT draft FROM audit_event WHERE type <> 'admin' ORDER BY seq")
  return rows.map(([draft]) => JSON.parse(String(draft)) as Body)
}

/** Everything that is kept: each row of each table, and each line of the log. */
async function everythingKept(): Promise<string> {
  const tables = await broker.sql("SELECT name FROM sqlite_master WHERE type = 'table'")
  const rows = await Promise.all(
    tables.map(([name]) => broker.sql(`SELECT * FROM "${String(name)}"`)),
  )
  return JSON.stringify(rows) + broker.logged.join('\n')
}

describe.each(WAYS)('a credential of AWS %s', (_name, way) => {
  test('is handed over once, recorded before and after, and kept nowhere (SC-10, AUD-4)', async () => {
    await start(way)
    const response = await mint()
    const body = (await response.json()) as Body
    expect(body).toMatchObject({
      access_token: ISSUED.SessionToken,
      issued_token_type: AWS,
      token_type: 'N_A',
      expires_in: 1800,
      aws_credentials: { Version: 1, AccessKeyId: 'ASIAISSUED0000000001', ...ISSUED },
    })
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(asked).toHaveLength(1)
    const [decision, grant] = (await events()).slice(-2)
    expect(decision).toMatchObject({
      type: 'decision',
      action: { name: 'aws.assume', role_arn: ROLE, effects: ['read'] },
    })
    expect(JSON.stringify(grant)).toContain('"access_key_id":"ASIAISSUED0000000001"')
    expect(JSON.stringify(grant)).toContain('"aws_honours_until"')
    const kept = await everythingKept()
    expect(kept).not.toContain(CANARY)
    // The token that was sent is as good as the role while it lives.
    const sent = asked[0]?.get('WebIdentityToken')
    if (sent) expect(kept).not.toContain(sent.split('.')[2])
  })

  test('is handed over at the container endpoint, by an attestation or a handle', async () => {
    await start(way)
    const byToken = await credentials(await broker.token())
    expect(await byToken.json()).toMatchObject({
      AccessKeyId: 'ASIAISSUED0000000001',
      SecretAccessKey: ISSUED.SecretAccessKey,
      Token: ISSUED.SessionToken,
      Expiration: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    })
    const byHandle = await credentials(`Bearer ${await broker.handle({ audience: 'lake' })}`)
    expect(await byHandle.json()).toMatchObject({ Token: ISSUED.SessionToken })
    expect(asked).toHaveLength(2)
    expect(await everythingKept()).not.toContain(CANARY)
  })

  test('is of the target’s role, whatever the caller writes (SC-08)', async () => {
    await start(way)
    const foreign = {
      RoleArn: 'arn:aws:iam::210987654321:role/admin',
      role_arn: 'arn:aws:iam::210987654321:role/admin',
      ExternalId: 'mine',
      external_id: 'mine',
      region: 'us-east-1',
      RoleSessionName: 'somebody-else',
      Policy: '{"Statement":[]}',
      DurationSeconds: '43200',
      sts_endpoint: 'https://evil.example',
    }
    expect((await mint(foreign)).status).toBe(200)
    const query = `?${new URLSearchParams(foreign).toString()}`
    expect((await credentials(await broker.token(), query)).status).toBe(400)
    expect(hosts).toEqual(['sts.eu-central-1.amazonaws.com'])
    expect(asked[0]?.get('RoleArn')).toBe(ROLE)
    expect(asked[0]?.get('DurationSeconds')).toBe('1800')
    expect(asked[0]?.get('RoleSessionName')).toMatch(/^ses_/)
    expect(asked[0]?.get('ExternalId') ?? '').not.toBe('mine')
    expect(asked[0]?.get('Policy')).toContain('arn:aws:s3:::lake/')
  })

  const unavailable: readonly (readonly [string, Answer, string])[] = [
    ['403', () => refusal(403, 'AccessDenied'), 'sts_refused'],
    ['403 of a firewall', () => html(403), 'sts_foreign'],
    ['429', () => html(429), 'sts_throttled'],
    ['500', () => refusal(500, 'InternalFailure'), 'sts_unavailable'],
    ['503 of a proxy', () => html(503), 'sts_unavailable'],
    ['a redirect', () => redirect(), 'sts_foreign'],
    ['HTML', () => html(200), 'sts_foreign'],
    ['XML inside JSON', (form) => wrapped(form), 'sts_foreign'],
    ['nothing', () => xml(200, ''), 'sts_foreign'],
    ['half an answer', () => xml(200, '<AssumeRoleResponse><AssumeRoleResult>'), 'sts_foreign'],
    ['no answer at all', () => Promise.reject(new OutboundError('timeout')), 'sts_unavailable'],
    ['another clock', (form) => granted(form, { Expiration: inTenHours() }), 'sts_foreign'],
    ['keys that have ended', () => refusal(403, 'ExpiredToken'), 'sts_expired_token'],
  ]

  test.each(unavailable)(
    'STS answers %s: 503, asked once, recorded, nothing granted',
    async (_what, answer, reason) => {
      await start(way, answer)
      const response = await mint()
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
      const text = await response.text()
      expect(JSON.parse(text)).toMatchObject({ error: 'temporarily_unavailable' })
      expect(asked).toHaveLength(1)
      const [decision, refused] = (await events()).slice(-2)
      expect(decision).toMatchObject({ type: 'decision' })
      expect(refused).toMatchObject({
        type: 'refusal',
        reason,
        session_id: decision?.['session_id'],
      })
      expect(text + (await everythingKept())).not.toContain(CANARY)
    },
  )

  test.each(unavailable)(
    'STS answers %s to the container endpoint: 503, and an outcome',
    async (_what, answer, reason) => {
      await start(way, answer)
      const handle = await broker.handle({ audience: 'lake' })
      const response = await credentials(`Bearer ${handle}`)
      expect(response.status).toBe(503)
      const text = await response.text()
      expect(JSON.parse(text)).toMatchObject({ code: expect.any(String) })
      expect(asked).toHaveLength(1)
      const [action, outcome] = (await events()).slice(-2)
      expect(action).toMatchObject({ type: 'action' })
      expect(outcome).toMatchObject({ type: 'outcome' })
      expect(JSON.stringify(outcome)).toContain(reason)
      expect(text + (await everythingKept())).not.toContain(CANARY)
    },
  )

  test.each([
    ['PackedPolicyTooLarge', 'policy_too_large'],
    ['ValidationError', 'duration'],
  ])('STS refuses the question with %s: 400 (SC-02, SC-03)', async (code, reason) => {
    await start(way, () => refusal(400, code))
    const response = await mint()
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: 'invalid_request' })
    expect((await events()).at(-1)).toMatchObject({ type: 'refusal', reason })
    expect(await everythingKept()).not.toContain(CANARY)
  })
})

test('by web identity the token says who, and is of the federation issuer', async () => {
  await start({})
  await mint()
  const [, payload = ''] = (asked[0]?.get('WebIdentityToken') ?? '').split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Body
  expect(claims).toMatchObject({
    iss: `${ISSUER}/federation`,
    sub: 'sallyport:lake',
    aud: 'sts.amazonaws.com',
  })
  expect(Number(claims['exp']) - Number(claims['iat'])).toBeLessThanOrEqual(300)
})

test('by role the external id is the target’s, and the same at the next time (SC-08)', async () => {
  await start(WAYS[1][1])
  await mint()
  await mint()
  const ids = asked.map((form) => form.get('ExternalId'))
  expect(ids[0]).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(ids[1]).toBe(ids[0])
})

function html(status: number): OutboundResponse {
  const text = `<html><body>${CANARY}</body></html>`
  return { status, headers: [['content-type', 'text/html']], body: new Response(text).body }
}

function redirect(): OutboundResponse {
  return { status: 307, headers: [['location', 'https://evil.example/']], body: null }
}

async function wrapped(form: URLSearchParams): Promise<OutboundResponse> {
  const inner = await new Response(granted(form).body).text()
  const headers = [['content-type', 'application/json']] as const
  return { status: 200, headers, body: new Response(JSON.stringify({ xml: inner })).body }
}

function inTenHours(): string {
  return new Date((broker.clock.nowSeconds() + 36_000) * 1000).toISOString()
}
