// AWS principals that moto made, signing as the AWS libraries do, through a broker process to an STS that
// checks every signature.
import { AwsClient, AwsV4Signer } from 'aws4fetch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProtectedApi, startProtectedApi } from '../../functions/cli/quickstart-world.ts'
import { cli } from '../cli/rig.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { canRunMoto, installMoto, type Moto, startMoto } from './moto.ts'
import { type Keys, startStsFront, type StsFront } from './sts-front.ts'

const ACCOUNT = '123456789012'
const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/agents/summariser`
const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'
const INSTALL_TIMEOUT_MS = 10 * 60_000
const TOKEN_TYPE = 'urn:sallyport:token-type:aws-sigv4'

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)('moto 5.2 as STS (needs python3 with venv, or .cache/venv)', () => {
  let moto: Moto
  let front: StsFront
  let api: ProtectedApi
  let broker: BrokerProcess
  let role: Keys
  let user: Keys
  let expires = 900

  beforeAll(async () => {
    await installMoto()
    ;[moto, api] = await Promise.all([startMoto(), startProtectedApi()])
    front = await startStsFront(moto.url)
    ;[role, user] = await Promise.all([assumedRole(moto), iamUser(moto)])
    front.keys.push(role, user)
    broker = await startBrokerProcess({
      secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
      policy: () => policyOf(front, api),
    })
  }, INSTALL_TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all([broker?.stop(), front?.close(), moto?.stop(), api?.close()])
  })

  const signerOf = (keys: Keys, presigned: boolean, serverId: string) =>
    new AwsV4Signer({
      ...keys,
      method: presigned ? 'GET' : 'POST',
      // A signature of the same second is the same, unless something tells them apart.
      url: presigned ? `${front.url}/?${BODY}&X-Amz-Expires=${expires--}` : `${front.url}/`,
      headers: presigned
        ? { 'x-k8s-aws-id': serverId }
        : { 'x-sallyport-server-id': serverId, 'x-sallyport-nonce': crypto.randomUUID() },
      ...(presigned ? {} : { body: BODY }),
      service: 'sts',
      region: 'eu-central-1',
      signQuery: presigned,
    }).sign()

  const headerForm = async (keys: Keys, serverId = broker.url) => {
    const { headers } = await signerOf(keys, false, serverId)
    const lists = [...headers].map(([name, value]) => [name, [value]])
    const url = `${front.url}/`
    return encoded({ method: 'POST', url, headers: Object.fromEntries(lists), body: BODY })
  }
  const presignedForm = async (keys: Keys, serverId = broker.url) =>
    encoded({ presigned_url: String((await signerOf(keys, true, serverId)).url) })

  const exchange = async (token: string) => {
    const response = await fetch(`${broker.url}/token-exchange`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: TOKEN_TYPE,
        audience: 'crm',
        intent: 'Summarise customer 42',
      }),
    })
    const body = (await response.json()) as Record<string, unknown>
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body }
  }
  const refused = { status: 400, body: { error: 'invalid_request' } }

  test('AW-01 AW-12: the role that signed opens a session and reaches the target', async () => {
    const { status, body } = await exchange(await headerForm(role))
    expect(body).toMatchObject({ token_type: 'Bearer' })
    expect(status).toBe(200)
    const handle = String(body['access_token'])
    const claims = JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString())
    expect(claims).toMatchObject({ sub: `aws:arn:aws:iam::${ACCOUNT}:role/summariser` })
    const answer = await fetch(`${broker.url}/t/crm/v1/customers/42`, {
      headers: { authorization: `Bearer ${handle}` },
    })
    expect(answer.status).toBe(200)
  })

  test('AW-05: so does the presigned form', async () => {
    expect(await exchange(await presignedForm(role))).toMatchObject({ status: 200 })
  })

  test('AW-01 RB-09: STS sees the server id of this broker and nothing of the caller', async () => {
    front.seen.length = 0
    await exchange(await headerForm(role))
    expect(front.seen).toHaveLength(1)
    expect(front.seen[0]).toMatchObject({
      verified: true,
      headers: { accept: 'application/json', 'x-sallyport-server-id': broker.url },
    })
  })

  test('AWS-2 AW-09: a second use is refused, in either form', async () => {
    for (const token of [await headerForm(role), await presignedForm(role)]) {
      expect(await exchange(token)).toMatchObject({ status: 200 })
      expect(await exchange(token)).toMatchObject(refused)
    }
  })

  test('RB-06 AWS-2: of 200 parallel uses of one signature exactly one is granted', async () => {
    const token = await headerForm(role)
    const answers = await Promise.all(Array.from({ length: 200 }, () => exchange(token)))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 400)).toHaveLength(199)
  })

  test('AW-08: what was signed for another broker opens nothing, in either form', async () => {
    front.seen.length = 0
    expect(await exchange(await headerForm(role, 'https://other.example'))).toMatchObject(refused)
    expect(front.seen).toEqual([])
    expect(await exchange(await presignedForm(role, 'https://other.example'))).toMatchObject(
      refused,
    )
    expect(front.seen).toMatchObject([{ verified: false }])
  })

  test('AW-11: a signature by a guessed secret opens nothing', async () => {
    const forged = { ...role, secretAccessKey: 'guessed' }
    expect(await exchange(await headerForm(forged))).toMatchObject(refused)
  })

  test('AW-13: a user, and a caller whom moto does not know, are not the role', async () => {
    expect(await exchange(await headerForm(user))).toMatchObject(refused)
    const unknown = { accessKeyId: 'AKIAUNKNOWN000000000', secretAccessKey: 'x' }
    front.keys.push(unknown)
    expect(await exchange(await headerForm(unknown))).toMatchObject(refused)
  })

  test('AW-11 DEP-8: while STS is down the answer is 503, and the log says why', async () => {
    front.broken = 503
    try {
      const answer = await exchange(await headerForm(role))
      expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
      expect(Number(answer.retryAfter)).toBeGreaterThan(0)
      const decision = String(answer.body['decision_id'])
      const events = await broker.admin('GET', `/audit?decision=${decision}`)
      expect(events).toMatchObject({
        items: [{ reason: 'verifier', outcome: { facts: { method: 'aws', got: 'status_503' } } }],
      })
    } finally {
      front.broken = null
    }
  })

  test('`sallyport exchange --aws` makes the attestation of the credentials at hand', async () => {
    const sallyport = cli({
      SALLYPORT_URL: broker.url,
      AWS_REGION: 'eu-central-1',
      AWS_ENDPOINT_URL_STS: front.url,
      AWS_ACCESS_KEY_ID: role.accessKeyId,
      AWS_SECRET_ACCESS_KEY: role.secretAccessKey,
      AWS_SESSION_TOKEN: role.sessionToken ?? '',
    })
    const ran = await sallyport.run('exchange', '--audience', 'crm', '--aws', '--purpose', 'test')
    expect(ran).toMatchObject({ exitCode: 0 })
    expect(ran.out.split('.')).toHaveLength(3)
    expect(ran.out + ran.err).not.toContain(role.secretAccessKey)
  })
})

function encoded(envelope: unknown): string {
  return Buffer.from(JSON.stringify(envelope)).toString('base64url')
}

async function query(moto: Moto, service: string, form: Readonly<Record<string, string>>) {
  const keys = { accessKeyId: 'AKIAADMIN00000000000', secretAccessKey: 'x' }
  const admin = new AwsClient({ ...keys, service, region: 'eu-central-1' })
  const response = await admin.fetch(moto.url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  })
  const xml = await response.text()
  if (!response.ok) throw new Error(`${form['Action']}: ${response.status} ${xml}`)
  return (tag: string) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1] ?? ''
}

async function assumedRole(moto: Moto): Promise<Keys> {
  await query(moto, 'iam', {
    Action: 'CreateRole',
    Version: '2010-05-08',
    RoleName: 'summariser',
    Path: '/agents/',
    AssumeRolePolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: [] }),
  })
  const tag = await query(moto, 'sts', {
    Action: 'AssumeRole',
    Version: '2011-06-15',
    RoleArn: ROLE_ARN,
    RoleSessionName: 'i-0abc',
  })
  return {
    accessKeyId: tag('AccessKeyId'),
    secretAccessKey: tag('SecretAccessKey'),
    sessionToken: tag('SessionToken'),
  }
}

async function iamUser(moto: Moto): Promise<Keys> {
  const common = { Version: '2010-05-08', UserName: 'ci' }
  await query(moto, 'iam', { Action: 'CreateUser', Path: '/bots/', ...common })
  const tag = await query(moto, 'iam', { Action: 'CreateAccessKey', ...common })
  return { accessKeyId: tag('AccessKeyId'), secretAccessKey: tag('SecretAccessKey') }
}

function policyOf(front: StsFront, api: ProtectedApi): unknown {
  return {
    auth_methods: [
      {
        name: 'aws',
        type: 'aws-iam',
        config: {
          accounts: [ACCOUNT],
          roles: [ROLE_ARN],
          regions: ['eu-central-1'],
          sts_endpoint: front.url,
        },
      },
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: api.url },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
      },
    ],
    bindings: [
      {
        name: 'summariser-crm',
        auth_method: 'aws',
        target: 'crm',
        condition: 'claims.session_name.startsWith("i-")',
        grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
        ttl_seconds: 120,
        owner: 'tests',
      },
    ],
  }
}
