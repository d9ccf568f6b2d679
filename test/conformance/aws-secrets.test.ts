// A target whose credential AWS keeps, on every kind of entry as shipped: moto as Secrets Manager, Parameter
// Store and STS behind a front that recomputes every signature and verifies web identity tokens. Node and
// Lambda run with credentials of their own, the Worker with none: it assumes a role with a token.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { EntryKind } from '../../functions/http/capabilities.ts'
import { type AwsServices, type Interception, startAwsServices } from '../peers/aws-services.ts'
import { canRunMoto, installMoto, type Moto, startMoto } from '../peers/moto.ts'
import { API_KEY, applyPolicy, ENTRIES, policyOf, startWorld, type World } from './world.ts'

const REGION = 'eu-central-1'
const ACCOUNT = '123456789012'
const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/sallyport-secrets`
const AMBIENT = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'ambientCanary/bPxRfiCYEXAMPLEKEY0000000',
}
/** In other secrets than the one that is sent: no answer of the broker ever holds any of it. */
const CANARY = 'canary-2b8e6f10-aws'

const KINDS: readonly EntryKind[] = ['node', 'workerd', 'lambda-url']
const entries = ENTRIES.filter((entry) => KINDS.includes(entry))
const runs = await canRunMoto()

describe.skipIf(!runs).each(entries)('secrets of AWS on %s', (entry) => {
  let moto: Moto
  let aws: AwsServices
  let world: World

  /** As the owner of the account: past the front. */
  async function own(target: string, body: object): Promise<Record<string, unknown>> {
    const service = target.startsWith('AmazonSSM') ? 'ssm' : 'secretsmanager'
    const answered = await fetch(moto.url, {
      method: 'POST',
      headers: {
        authorization: `AWS4-HMAC-SHA256 Credential=owner/20261122/${REGION}/${service}/aws4_request, SignedHeaders=host, Signature=0`,
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': target,
      },
      body: JSON.stringify(body),
    })
    const text = await answered.text()
    if (!answered.ok) throw new Error(`${target}: ${text}`)
    return JSON.parse(text) as Record<string, unknown>
  }
  const create = (Name: string, SecretString: string) =>
    own('secretsmanager.CreateSecret', { Name, SecretString })
  const replace = (SecretId: string, SecretString: string) =>
    own('secretsmanager.PutSecretValue', { SecretId, SecretString })
  const parameter = (Name: string, Value: string, Type = 'SecureString') =>
    own('AmazonSSM.PutParameter', { Name, Value, Type, Overwrite: true })

  const targetOf = (name: string, secret: string) => ({
    ...policyOf(world).targets[0],
    name,
    credential: { inject: 'bearer', secret },
  })
  /** Saves `crm` with another secret. */
  const save = (secret: string) => world.admin('PUT', '/targets/crm', targetOf('crm', secret))
  const use = async (secret: string) => {
    const saved = await save(secret)
    if (!saved.ok) throw new Error(`${saved.status} ${await saved.text()}`)
    return world.call(await world.handle(), 'crm/v1/customers/1')
  }

  beforeAll(async () => {
    await installMoto()
    moto = await startMoto()
    aws = await startAwsServices(moto.url)
    aws.keys.push(AMBIENT)
    const credentials: Record<string, string> =
      entry === 'workerd'
        ? { SALLYPORT_AWS_ROLE_ARN: ROLE_ARN }
        : {
            AWS_ACCESS_KEY_ID: AMBIENT.accessKeyId,
            AWS_SECRET_ACCESS_KEY: AMBIENT.secretAccessKey,
          }
    world = await startWorld(entry, {
      env: { AWS_ENDPOINT_URL: aws.url, AWS_REGION: REGION, ...credentials },
    })
    await create('plain', API_KEY)
    await create('json', JSON.stringify({ db: { token: API_KEY }, other: CANARY, port: 7 }))
    await create('canary', CANARY)
    await create('lines', `${CANARY}\n`)
    await own('secretsmanager.CreateSecret', {
      Name: 'binary',
      SecretBinary: Buffer.from(CANARY).toString('base64'),
    })
    await parameter('/crm/token', CANARY)
    await parameter('/crm/token', API_KEY)
    await parameter('/crm/open', CANARY, 'String')
  }, 120_000)
  afterAll(async () => {
    await world?.stop()
    await aws?.close()
    await moto?.stop()
  })
  afterEach(() => {
    aws.intercept = null
  })

  test.each([
    'aws-secrets-manager:plain',
    'aws-secrets-manager:plain?stage=AWSCURRENT',
    'aws-secrets-manager:json#/db/token',
    'aws-ssm:/crm/token',
    'aws-ssm:/crm/token:2',
  ])('%s is sent where the target goes', async (reference) => {
    const answered = await use(reference)
    expect(await answered.json()).toMatchObject({ ok: true })
    expect(answered.status).toBe(200)
  })

  test('by its ARN, in the region that the ARN names', async () => {
    const { ARN } = await own('secretsmanager.DescribeSecret', { SecretId: 'plain' })
    expect((await use(`aws-secrets-manager:${String(ARN)}`)).status).toBe(200)
  })

  test('every call was signed, and by nobody but the broker', async () => {
    expect((await use('aws-secrets-manager:plain')).status).toBe(200)
    const signers = new Set(aws.calls.map(({ accessKeyId }) => accessKeyId))
    if (entry === 'workerd') {
      expect(signers).not.toContain(AMBIENT.accessKeyId)
      expect(aws.stsCalls[0]).toMatchObject({
        action: 'AssumeRoleWithWebIdentity',
        signedBy: null,
        claims: {
          iss: `${world.url}/federation`,
          sub: 'sallyport-secrets',
          aud: 'sts.amazonaws.com',
        },
      })
      expect(aws.stsCalls).toHaveLength(1)
    } else {
      expect([...signers]).toEqual([AMBIENT.accessKeyId])
      expect(aws.stsCalls).toEqual([])
    }
    expect(aws.refused).toEqual([])
  })

  test('DEP-5: a secret that was rotated is in use without a restart, soon after it was refused', async () => {
    await create('rotated', 'old-value-of-crm')
    expect((await use('aws-secrets-manager:rotated')).status).toBe(401)
    await replace('rotated', API_KEY)
    const handle = await world.handle()
    await vi.waitFor(
      async () => expect((await world.call(handle, 'crm/v1/customers/1')).status).toBe(200),
      { timeout: 30_000, interval: 500 },
    )
    // The version before it, by its stage.
    expect((await use('aws-secrets-manager:rotated?stage=AWSPREVIOUS')).status).toBe(401)
  })

  test('many actions at once that find nothing held have AWS asked once', async () => {
    await create('shared', API_KEY)
    aws.intercept = () => refusal(400, 'ThrottlingException')
    const saved = await save('aws-secrets-manager:shared')
    expect(await saved.text()).toContain('secret_unread')
    const handle = await world.handle()
    aws.intercept = null
    aws.calls.length = 0
    // A failure is told for a second.
    await sleep(1_100)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => world.call(handle, 'crm/v1/customers/1')),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const asked = aws.calls.filter(({ resource }) => resource === 'shared').length
    // Lambda runs two environments here, and each holds its own.
    expect(asked).toBeLessThanOrEqual(entry === 'lambda-url' ? 2 : 1)
  })

  test.each([
    ['aws-secrets-manager:nowhere', 'unknown_secret', 'there is no secret'],
    ['aws-secrets-manager:plain?stage=GREEN', 'unknown_secret', 'there is no secret'],
    ['aws-secrets-manager:json#nothing', 'unknown_secret', 'no such member'],
    ['aws-secrets-manager:json#port', 'unknown_secret', 'not a string'],
    ['aws-secrets-manager:plain#token', 'unknown_secret', 'not JSON'],
    ['aws-secrets-manager:lines', 'unknown_secret', 'control characters'],
    ['aws-secrets-manager:binary', 'unknown_secret', 'binary'],
    ['aws-secrets-manager:plain?x=y', 'malformed', '?stage=LABEL'],
    ['aws-ssm:/crm/nowhere', 'unknown_secret', 'there is no secret'],
    ['aws-ssm:/crm/token:9', 'unknown_secret', 'there is no secret'],
    ['aws-ssm:/crm/open', 'unknown_secret', 'SecureString'],
    ['aws-ssm:/aws/reference/secretsmanager/canary', 'malformed', '/aws/'],
    ['aws-kms:x', 'unknown_secret', 'there is no secret'],
  ])('%s is refused when it is saved', async (reference, code, words) => {
    const saved = await save(reference)
    const text = await saved.text()
    expect(saved.status).toBe(422)
    expect(text).not.toContain(CANARY)
    const { errors } = JSON.parse(text) as { errors: { path: string; message: string }[] }
    expect(errors).toMatchObject([{ path: '/credential/secret', code }])
    expect(errors[0]?.message).toContain(reference)
    expect(errors[0]?.message).toContain(words)
  })

  test('access denied is told when it is saved', async () => {
    aws.intercept = () => refusal(400, 'AccessDeniedException')
    const saved = await save('aws-secrets-manager:canary')
    expect(saved.status).toBe(422)
    expect(await saved.text()).toContain('may not read aws-secrets-manager:canary')
  })

  const faults: readonly (readonly [string, Interception, string])[] = [
    ['denied', refusal(400, 'AccessDeniedException'), 'not_allowed'],
    ['gone', refusal(400, 'ResourceNotFoundException'), 'not_found'],
    ['throttled', refusal(400, 'ThrottlingException'), 'unavailable'],
    ['failing', refusal(500, 'InternalServiceError'), 'unavailable'],
    ['html', { status: 200, headers: { 'content-type': 'text/html' }, body: '<p>' }, 'unavailable'],
    [
      'huge',
      { ...refusal(200, ''), body: JSON.stringify({ SecretString: CANARY.repeat(40_000) }) },
      'unavailable',
    ],
    [
      'slow',
      { ...refusal(200, ''), body: `{"SecretString":"${CANARY}`, hangs: true },
      'unavailable',
    ],
    [
      'twice',
      { ...refusal(200, ''), body: `{"SecretString":"a","SecretString":"${CANARY}"}` },
      'unavailable',
    ],
    // The harness around workerd follows redirects itself.
    ...(entry === 'workerd'
      ? []
      : ([
          [
            'redirecting',
            { status: 307, headers: { location: 'http://127.0.0.1:9/' }, body: '' },
            'unavailable',
          ],
        ] as const)),
  ]
  test.each(faults)(
    'DEP-8: AWS is %s: 503, recorded with its reason, and nothing was sent',
    async (name, answer, reason) => {
      // While it is saved AWS is all right; the first action finds it as it is by then.
      const reference = `aws-secrets-manager:${name}`
      aws.intercept = () => ({ ...refusal(400, 'ThrottlingException') })
      const policy = policyOf(world)
      await applyPolicy(world, {
        ...policy,
        targets: [targetOf('crm', reference), ...policy.targets.slice(1)],
      })
      aws.intercept = () => answer
      const handle = await world.handle()
      world.origin.seen.length = 0
      const answered = await vi.waitFor(
        async () => {
          const response = await world.call(handle, 'crm/v1/customers/1')
          const outcome = await outcomeOf(response)
          // Within a second of the check that the policy was saved with, its failure is told.
          expect(outcome).toMatchObject({ outcome: { reason: `secret_${reason}` } })
          return response
        },
        { timeout: 30_000, interval: 400 },
      )
      expect(answered.status).toBe(503)
      expect(Number(answered.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(await answered.text()).not.toContain(CANARY)
      expect(world.origin.seen).toEqual([])
    },
    60_000,
  )

  async function outcomeOf(response: Response): Promise<unknown> {
    const decision = response.headers.get('sallyport-decision') ?? ''
    const events = await world.admin('GET', `/audit?decision=${decision}`)
    const { items } = (await events.json()) as { items: { type: string }[] }
    return items.find(({ type }) => type === 'outcome')
  }

  test('LEAK-1: nothing of a secret is in a policy, an event or a list', async () => {
    const places = ['/policy', '/targets', '/secrets', '/audit?limit=200', '/sessions']
    const shown = await Promise.all(
      places.map(async (place) => (await world.admin('GET', place)).text()),
    )
    const text = shown.join('\n')
    expect(text).toContain('aws-secrets-manager:')
    for (const secret of [CANARY, API_KEY, AMBIENT.secretAccessKey, 'old-value-of-crm']) {
      expect(text).not.toContain(secret)
    }
    for (const { secretAccessKey, sessionToken } of aws.keys) {
      expect(text).not.toContain(secretAccessKey)
      if (sessionToken !== undefined) expect(text).not.toContain(sessionToken)
    }
  })
})

// Elsewhere than on Workers, too: through the SDK, and in place of the credentials that are there.
const withSdk = entries.filter((entry) => entry !== 'workerd')
test.skipIf(!runs).each(withSdk)(
  'the role that a deployment names is the one that reads, on %s',
  async (entry) => {
    await installMoto()
    const moto = await startMoto()
    const aws = await startAwsServices(moto.url)
    aws.keys.push(AMBIENT)
    const world = await startWorld(entry, {
      env: {
        AWS_ENDPOINT_URL: aws.url,
        AWS_REGION: REGION,
        AWS_ACCESS_KEY_ID: AMBIENT.accessKeyId,
        AWS_SECRET_ACCESS_KEY: AMBIENT.secretAccessKey,
        SALLYPORT_AWS_ROLE_ARN: ROLE_ARN,
      },
    })
    try {
      const secret = 'aws-secrets-manager:nowhere'
      const credential = { inject: 'bearer', secret }
      const target = { ...policyOf(world).targets[0], credential }
      const saved = await world.admin('PUT', '/targets/crm', target)
      expect(await saved.text()).toContain(`there is no secret ${secret}`)
      expect(aws.stsCalls).toMatchObject([
        {
          action: 'AssumeRoleWithWebIdentity',
          signedBy: null,
          claims: { sub: 'sallyport-secrets' },
        },
      ])
      const issued = aws.stsCalls[0]?.issued?.accessKeyId
      expect(new Set(aws.calls.map(({ accessKeyId }) => accessKeyId))).toEqual(new Set([issued]))
    } finally {
      await world.stop()
      await aws.close()
      await moto.stop()
    }
  },
  120_000,
)

function refusal(status: number, code: string) {
  return {
    status,
    headers: { 'content-type': 'application/x-amz-json-1.1' },
    body: JSON.stringify({ __type: code, message: CANARY }),
  }
}
