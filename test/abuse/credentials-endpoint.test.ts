// The container-credentials endpoint with everything that may stand in an authorization file: each kind of
// attestation, handles that are bound to a key, and tokens that pretend to be of another kind.
import { AwsV4Signer } from 'aws4fetch'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Outbound } from '../../functions/net/outbound.ts'
import type { RequestFacts } from '../../functions/platform.ts'
import { IDP, type InProcess, ISSUER, startInProcess } from '../faults/in-process.ts'
import { fakeMint, type FakeMint } from '../fakes/minting-target.ts'
import { LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import { proofKey } from '../fakes/proof-key.ts'
import { fakeSts, jsonAnswer } from '../fakes/sts.ts'

const SAAS = 'https://saas.example'
const ACCOUNT = '123456789012'
const CALLER = {
  accessKeyId: 'ASIAROLE00000000000A',
  secretAccessKey: 'role/secret+key',
  sessionToken: 'FwoGZXIvYXdzEBYaD+/session==token',
  account: ACCOUNT,
  arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-0abc`,
  userId: 'AROAEXAMPLE000000000:i-0abc',
}

type Body = Record<string, unknown>
type World = InProcess & { readonly fake: FakeMint }

const lab = opensslLab()
let root: MadeCertificate
let leaf: MadeCertificate
beforeAll(() => {
  root = lab.make({ name: 'root' })
  leaf = lab.make({
    name: 'agent',
    issuer: root,
    extensions: [...LEAF, 'extendedKeyUsage=clientAuth', 'subjectAltName=DNS:agent.example'],
  })
})

async function world(): Promise<World> {
  const fake = fakeMint()
  const sts = fakeSts([CALLER])
  const elsewhere: Outbound = async (request) => {
    if (request.url.origin !== SAAS) return sts.outbound(request)
    const isKnown = request.headers.some(([, value]) => value === 'Bearer opaque-token')
    return isKnown
      ? jsonAnswer(200, { sub: 'bot-1', team_id: 'T1' })
      : jsonAnswer(401, { error: 'invalid_token' })
  }
  const binding = (method: string) => ({
    name: `${method}-s3`,
    auth_method: method,
    target: 's3',
    delivery: 'credential',
    grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports/*'] }],
  })
  const broker = await startInProcess({
    plugins: [fake.type],
    elsewhere,
    methods: [
      { name: 'aws', type: 'aws-iam', config: { accounts: [ACCOUNT], regions: ['eu-central-1'] } },
      {
        name: 'saas',
        type: 'oauth-introspection',
        config: { userinfo_endpoint: `${SAAS}/userinfo`, match: { team_id: 'T1' } },
      },
      { name: 'certs', type: 'mtls', config: { ca: root.pem, sans: { dns: ['agent.example'] } } },
    ],
    targets: [{ name: 's3', type: 'fake-sts', config: {} }],
    bindings: ['ci', 'aws', 'saas', 'certs'].map(binding),
  })
  return { ...broker, fake }
}

const credentials = (
  broker: World,
  headers: Readonly<Record<string, string>>,
  query = '',
  facts: Partial<RequestFacts> = {},
) => broker.fetch(`/t/s3/credentials${query}`, { headers }, facts)

async function signature(broker: World): Promise<string> {
  const body = 'Action=GetCallerIdentity&Version=2011-06-15'
  const date = new Date(broker.clock.nowMs()).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const signer = new AwsV4Signer({
    method: 'POST',
    url: 'https://sts.eu-central-1.amazonaws.com/',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-sallyport-server-id': ISSUER,
    },
    body,
    accessKeyId: CALLER.accessKeyId,
    secretAccessKey: CALLER.secretAccessKey,
    sessionToken: CALLER.sessionToken,
    service: 'sts',
    region: 'eu-central-1',
    datetime: date,
  })
  const { method, url, headers } = await signer.sign()
  const named = Object.fromEntries([...headers].map(([name, value]) => [name, [value]]))
  const request = { method, url: url.toString(), headers: named, body }
  return Buffer.from(JSON.stringify(request)).toString('base64url')
}

const identityOf = (broker: World) => broker.fake.planned.at(-1)?.identity

describe('the authorization file', () => {
  test.each(['', 'Bearer '])('may hold a signed GetCallerIdentity, behind %j', async (scheme) => {
    const broker = await world()
    const authorization = `${scheme}${await signature(broker)}`
    expect((await credentials(broker, { authorization })).status).toBe(200)
    expect(identityOf(broker)).toContain('aws:')
    // It is single use, like at the exchange.
    expect((await credentials(broker, { authorization })).status).toBe(401)
  })

  test('may hold an opaque token, where the method is named', async () => {
    const broker = await world()
    const authorization = 'opaque-token'
    expect((await credentials(broker, { authorization }, '?auth_method=saas')).status).toBe(200)
    expect(identityOf(broker)).toBe('saas:bot-1')
    expect((await credentials(broker, { authorization })).status).toBe(401)
    expect((await credentials(broker, { authorization }, '?auth_method=ci')).status).toBe(401)
    const other = { authorization: 'another-token' }
    expect((await credentials(broker, other, '?auth_method=saas')).status).toBe(401)
  })

  test('may say tls for the client certificate of the connection, and nothing else of it', async () => {
    const broker = await world()
    const clientCertificate = { chain: [leaf.der], provenByPlatform: true }
    const tls = { authorization: 'tls' }
    expect((await credentials(broker, tls, '', { clientCertificate })).status).toBe(200)
    expect(identityOf(broker)).toContain('certs:')
    expect((await credentials(broker, tls)).status).toBe(401)
    const unproven = { ...clientCertificate, provenByPlatform: false }
    expect((await credentials(broker, tls, '', { clientCertificate: unproven })).status).toBe(401)
    // A certificate beside a token does not stand in for it.
    const none = { authorization: 'a.b.c' }
    expect((await credentials(broker, none, '', { clientCertificate })).status).toBe(401)
    expect((await credentials(broker, {}, '', { clientCertificate })).status).toBe(401)
  })

  test.each([
    ['a handle with another type', { typ: 'JWT' }, {}],
    ['a token of the type of a handle, of another issuer', { typ: 'at+jwt' }, {}],
    ['a token of the type of a handle, that says it is ours', { typ: 'at+jwt' }, { iss: ISSUER }],
  ])('%s is judged as what it is, and refused', async (_, header, claims) => {
    const broker = await world()
    const now = broker.clock.nowSeconds()
    const payload = { iss: IDP, sub: 'x', aud: 'other', iat: now, exp: now + 60, ...claims }
    const token = await broker.keys.sign(JSON.stringify(payload), {
      alg: 'ES256',
      kid: 'ES256-key',
      ...header,
    })
    const response = await credentials(broker, { authorization: token })
    expect(response.status).toBe(401)
    expect(((await response.json()) as Body)['code']).toBe('invalid_token')
    expect(broker.fake.minted).toHaveLength(0)
  })

  test('with a proof that is not one, or used before, gets nothing', async () => {
    const broker = await world()
    const key = await proofKey()
    const url = `${ISSUER}/t/s3/credentials`
    const iat = broker.clock.nowSeconds()
    const authorization = await broker.token()
    const dpop = await key.proof({ url, method: 'GET', claims: { iat } })
    const elsewhere = await key.proof({ url: `${ISSUER}/t/crm/x`, method: 'GET', claims: { iat } })
    expect((await credentials(broker, { authorization, dpop: elsewhere })).status).toBe(401)
    expect((await credentials(broker, { authorization, dpop: 'x' })).status).toBe(401)
    expect((await credentials(broker, { authorization, dpop })).status).toBe(200)
    expect(broker.fake.planned.at(-1)?.confirmation).toEqual({ jkt: expect.any(String) as string })
    expect((await credentials(broker, { authorization, dpop })).status).toBe(401)
  })
})

test('DP-07: a handle that is bound to a key needs a proof for each credential', async () => {
  const broker = await world()
  const key = await proofKey()
  const iat = broker.clock.nowSeconds()
  const opened = await broker.fetch('/token-exchange', {
    method: 'POST',
    headers: { dpop: await key.proof({ url: `${ISSUER}/token-exchange`, claims: { iat } }) },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await broker.token(),
      audience: 's3',
    }),
  })
  const { access_token: handle } = (await opened.json()) as { access_token: string }
  const url = `${ISSUER}/t/s3/credentials`
  const proof = () => key.proof({ url, method: 'GET', token: handle, claims: { iat } })
  for (const authorization of [handle, `Bearer ${handle}`, `DPoP ${handle}`]) {
    expect((await credentials(broker, { authorization })).status).toBe(401)
  }
  expect(
    (await credentials(broker, { authorization: `Bearer ${handle}`, dpop: await proof() })).status,
  ).toBe(401)
  const other = await (
    await proofKey()
  ).proof({ url, method: 'GET', token: handle, claims: { iat } })
  expect((await credentials(broker, { authorization: handle, dpop: other })).status).toBe(401)
  expect(broker.fake.minted).toHaveLength(0)
  expect((await credentials(broker, { authorization: handle, dpop: await proof() })).status).toBe(
    200,
  )
  const dpop = await proof()
  const authorization = `DPoP ${handle}`
  expect((await credentials(broker, { authorization, dpop })).status).toBe(200)
  expect((await credentials(broker, { authorization, dpop })).status).toBe(401)
})

test('intent that a binding requires is declared in the query, and refused without', async () => {
  const broker = await world()
  const put = await broker.admin('PUT', '/bindings/ci-s3', {
    auth_method: 'ci',
    target: 's3',
    delivery: 'credential',
    grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports/*'] }],
    intent: { required: true },
  })
  expect(put.status).toBe(200)
  const authorization = await broker.token()
  const refused = await credentials(broker, { authorization })
  expect(refused.status).toBe(403)
  expect(await refused.json()).toMatchObject({
    code: 'intent_denied',
    message: expect.stringContaining('?purpose=') as string,
  })
  const long = 'x'.repeat(5000)
  expect((await credentials(broker, { authorization }, `?purpose=${long}`)).status).toBe(400)
  expect((await credentials(broker, { authorization }, '?purpose=count+it')).status).toBe(200)
  expect(broker.fake.planned.at(-1)?.intent).toMatchObject({ purpose: 'count it' })
})
