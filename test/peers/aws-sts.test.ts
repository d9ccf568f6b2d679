// STS as moto has it, behind a verifier that recomputes every signature: both adapters, over the transport
// that production uses, ask it the same question and get a credential that works.
import { createHash } from 'node:crypto'
import { AwsClient } from 'aws4fetch'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AssumeRoleInput, AwsKeys, StsApi, StsDeps } from '../../functions/aws/contract.ts'
import { awsEndpoint } from '../../functions/aws/endpoint.ts'
import { createStsFetch } from '../../functions/aws/sts-fetch.ts'
import { createStsSdk } from '../../functions/aws/sts-sdk.ts'
import { startIssuer, type Issuer } from '../../functions/cli/quickstart-world.ts'
import { Secret } from '../../functions/core/credential.ts'
import { ok } from '../../functions/core/result.ts'
import { createFetchOutbound } from '../../functions/net/fetch-outbound.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { systemClock } from '../../functions/platforms/system.ts'
import { type AwsServices, startAwsServices } from './aws-services.ts'
import { canRunMoto, installMoto, type Moto, startMoto } from './moto.ts'

const ROLE_ARN = 'arn:aws:iam::123456789012:role/agents/reader'
const REGION = 'eu-central-1'
const REACH = { privateNetwork: false, loopback: true }
const INSTALL_TIMEOUT_MS = 10 * 60_000
const SECRET = 'canary-of-the-broker'

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

const ADAPTERS: readonly (readonly [string, (deps: StsDeps) => StsApi, StsDeps['outbound']])[] = [
  ['the SDK over the transport of Node', createStsSdk, createNodeOutbound()],
  ['aws4fetch over the transport of Node', createStsFetch, createNodeOutbound()],
  [
    'aws4fetch over fetch',
    createStsFetch,
    createFetchOutbound((input, init) => fetch(input, init)),
  ],
]

describe.skipIf(isAbsent)('moto 5.2 as STS (needs python3 with venv, or .cache/venv)', () => {
  let moto: Moto
  let aws: AwsServices
  let issuer: Issuer

  beforeAll(async () => {
    await installMoto()
    ;[moto, issuer] = await Promise.all([startMoto(), startIssuer()])
    aws = await startAwsServices(moto.url)
    aws.keys.push({ accessKeyId: 'AKIABROKER0000000000', secretAccessKey: SECRET })
  }, INSTALL_TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all([aws?.close(), moto?.stop(), issuer?.close()])
  })

  beforeEach(() => {
    aws.stsCalls.length = 0
    aws.refused.length = 0
  })

  const keys = (secret = SECRET): AwsKeys => ({
    accessKeyId: 'AKIABROKER0000000000',
    secretAccessKey: new Secret(secret, null),
  })

  function input(url = aws.url): AssumeRoleInput {
    const question = { service: 'sts', region: REGION, override: url, loopback: true } as const
    const endpoint = awsEndpoint({ ...question, env: () => undefined })
    if (!endpoint.ok) throw new Error(endpoint.failure)
    return {
      endpoint: endpoint.value,
      reach: REACH,
      roleArn: ROLE_ARN,
      roleSessionName: 'ses_0123456789abcdefghijkl',
      durationSeconds: 900,
      policy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Action: ['s3:GetObject'], Resource: ['arn:aws:s3:::reports/*'] },
        ],
      }),
      policyArns: [],
      sourceIdentity: 'prod-k8s-reporter',
      externalId: 'external-id',
      tags: [{ key: 'sallyport_session', value: 'ses_0123456789abcdefghijkl' }],
      transitiveTagKeys: [],
    }
  }

  async function statusOf(client: AwsClient, object: string): Promise<number> {
    // Of no bytes.
    const nothing = createHash('sha256').digest('hex')
    const headers = { 'x-amz-content-sha256': nothing }
    return (await client.fetch(`${aws.url}/${object}`, { headers })).status
  }

  describe.each(ADAPTERS)('%s', (_name, create, outbound) => {
    const sts = (secret?: string) =>
      create({ outbound, clock: systemClock, keys: async () => ok(keys(secret)) })

    test('assumes a role, signed, and what it gets signs for itself (SC-01, SC-08)', async () => {
      const asked = input()
      const answer = await sts().assumeRole(asked)
      if (!answer.ok) throw new Error(JSON.stringify(answer.failure))
      expect(aws.refused).toEqual([])
      expect(aws.stsCalls).toMatchObject([
        {
          action: 'AssumeRole',
          signedBy: 'AKIABROKER0000000000',
          parameters: {
            RoleArn: ROLE_ARN,
            ExternalId: 'external-id',
            SourceIdentity: 'prod-k8s-reporter',
            DurationSeconds: '900',
            'Tags.member.1.Key': 'sallyport_session',
          },
        },
      ])
      expect(answer.value.expiresAt - systemClock.nowSeconds()).toBeGreaterThan(850)
      const session = answer.value.keys
      const client = new AwsClient({
        accessKeyId: session.accessKeyId,
        secretAccessKey: session.secretAccessKey.revealFor('') ?? '',
        sessionToken: session.sessionToken.revealFor('') ?? '',
        service: 's3',
        region: REGION,
      })
      // Believed by who checks it: there is no such object, and the other one may not be asked for.
      expect(await statusOf(client, 'reports/summary')).toBe(404)
      expect(await statusOf(client, 'payroll/summary')).toBe(403)
      expect(aws.refused).toEqual([])
    })

    test('assumes a role by a web identity, unsigned', async () => {
      const token = await issuer.workloadToken({ sub: 'sallyport:lake', aud: 'sts.amazonaws.com' })
      const {
        sourceIdentity: _,
        externalId: __,
        tags: ___,
        transitiveTagKeys: ____,
        ...rest
      } = input()
      const asked = { ...rest, token: new Secret(token, [aws.url]) }
      const api = create({ outbound, clock: systemClock, keys: null })
      const answer = await api.assumeRoleWithWebIdentity(asked)
      expect(answer.ok ? null : answer.failure).toBe(null)
      expect(aws.stsCalls).toMatchObject([
        { signedBy: null, claims: { sub: 'sallyport:lake' }, parameters: { RoleArn: ROLE_ARN } },
      ])
      const forged = { ...asked, token: new Secret(`${token.slice(0, -8)}AAAAAAAA`, null) }
      expect(await api.assumeRoleWithWebIdentity(forged)).toMatchObject({
        failure: { kind: 'token_rejected', code: 'InvalidIdentityToken' },
      })
    })

    test('is told that its signature does not hold, in AWS’s word', async () => {
      expect(await sts('another-secret').assumeRole(input())).toEqual({
        ok: false,
        failure: { kind: 'refused', code: 'SignatureDoesNotMatch', status: 403 },
      })
      expect(aws.refused).toHaveLength(1)
    })

    test('of two regions with one dead the dead one stays dead (SC-09)', async () => {
      const dead = input('http://127.0.0.1:9')
      expect(await sts().assumeRole(dead)).toMatchObject({ failure: { kind: 'unavailable' } })
      expect(aws.stsCalls).toEqual([])
      expect((await sts().assumeRole(input())).ok).toBe(true)
    })
  })

  test('a clock that is off is refused by who checks the signature, and told as what it is', async () => {
    const clock = { nowMs: () => Date.now() - 3_600_000, nowSeconds: () => 0 }
    const outbound = createNodeOutbound()
    const sts = createStsFetch({ outbound, clock, keys: async () => ok(keys()) })
    expect(await sts.assumeRole(input())).toMatchObject({
      failure: { kind: 'refused', code: 'RequestTimeTooSkewed' },
    })
  })
})
