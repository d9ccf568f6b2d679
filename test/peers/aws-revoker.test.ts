// The revoker role against IAM as moto has it, with every signature and session policy checked: the deny is put
// on the target role, follows the sessions, and goes when nobody is left.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AwsClient } from 'aws4fetch'
import { type Issuer, startIssuer } from '../../functions/cli/quickstart-world.ts'
import { type AwsServices, startAwsServices } from './aws-services.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { canRunMoto, installMoto, type Moto, startMoto } from './moto.ts'

const ACCOUNT = '123456789012'
const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/reporter`
const REVOKER_ARN = `arn:aws:iam::${ACCOUNT}:role/sallyport-revoker`
const BROKER_KEYS = { accessKeyId: 'AKIABROKER0000000000', secretAccessKey: 'canary-of-the-broker' }
const INSTALL_TIMEOUT_MS = 10 * 60_000
const TT = 'urn:ietf:params:oauth:token-type:'

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

type Opened = { readonly id: string; readonly token: string }

describe.skipIf(isAbsent)('the revoker role (needs python3 with venv, or .cache/venv)', () => {
  let moto: Moto
  let aws: AwsServices
  let issuer: Issuer

  beforeAll(async () => {
    await installMoto()
    ;[moto, issuer] = await Promise.all([startMoto(), startIssuer()])
    aws = await startAwsServices(moto.url)
    aws.keys.push(BROKER_KEYS)
    for (const RoleName of ['reporter', 'sallyport-revoker']) {
      await iam('CreateRole', { RoleName, AssumeRolePolicyDocument: '{}' })
    }
  }, INSTALL_TIMEOUT_MS)
  afterAll(async () => {
    await Promise.all([aws?.close(), moto?.stop(), issuer?.close()])
  })
  beforeEach(() => {
    aws.calls.length = 0
    aws.stsCalls.length = 0
    aws.refused.length = 0
  })

  /** As an administrator of the account, past the broker. */
  async function iam(action: string, parameters: Readonly<Record<string, string>>) {
    const client = new AwsClient({ ...BROKER_KEYS, service: 'iam', region: 'us-east-1' })
    const body = new URLSearchParams({ Action: action, Version: '2010-05-08', ...parameters })
    const answer = await client.fetch(`${moto.url}/`, {
      method: 'POST',
      body: body.toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    return answer.text()
  }

  async function inlinePolicies(): Promise<string[]> {
    const listed = await iam('ListRolePolicies', { RoleName: 'reporter' })
    return [...listed.matchAll(/<member>([^<]+)<\/member>/g)].map(([, name = '']) => name)
  }

  /** The sessions that the role denies, `*` for everybody, by each of its inline policies. */
  async function denied(): Promise<string[]> {
    const names = await inlinePolicies()
    const documents = await Promise.all(
      names.map((PolicyName) => iam('GetRolePolicy', { RoleName: 'reporter', PolicyName })),
    )
    return documents.flatMap((xml) => {
      const [, text = ''] = /<PolicyDocument>([^<]*)</.exec(xml) ?? []
      const [statement] = JSON.parse(decodeURIComponent(text)).Statement
      expect(statement).toMatchObject({ Effect: 'Deny', Action: '*', Resource: '*' })
      const tag = 'aws:PrincipalTag/sallyport_session'
      return statement.Condition === undefined ? ['*'] : statement.Condition.StringEquals[tag]
    })
  }

  describe.each([
    [
      'AssumeRole with ambient credentials of the broker',
      'AssumeRole',
      {
        AWS_ACCESS_KEY_ID: BROKER_KEYS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: BROKER_KEYS.secretAccessKey,
      },
    ],
    ['AssumeRoleWithWebIdentity, no AWS secret anywhere', 'AssumeRoleWithWebIdentity', {}],
  ] as const)('%s', (_, stsAction, ambient) => {
    let broker: BrokerProcess

    beforeAll(async () => {
      for (const PolicyName of await inlinePolicies()) {
        await iam('DeleteRolePolicy', { RoleName: 'reporter', PolicyName })
      }
      broker = await startBrokerProcess({
        env: { ...ambient, AWS_ENDPOINT_URL: aws.url },
        policy: (url) => policyOf(issuer.url, url),
      })
    })
    afterAll(() => broker?.stop())

    const open = async (sub: string): Promise<Opened> => {
      const answer = await fetch(`${broker.url}/token-exchange`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token_type: `${TT}jwt`,
          subject_token: await issuer.workloadToken({ aud: broker.url, sub }),
          requested_token_type: 'urn:sallyport:token-type:aws-credentials',
          audience: 'reports',
        }),
      })
      const body = (await answer.json()) as { access_token: string; session: { id: string } }
      if (!answer.ok) throw new Error(JSON.stringify(body))
      return { id: body.session.id, token: body.access_token }
    }
    const revoke = ({ token }: Opened) =>
      fetch(`${broker.url}/revoke`, { method: 'POST', body: new URLSearchParams({ token }) })
    const kill = (engaged: boolean) =>
      broker.admin('PUT', '/kill-switch', { engaged, reason: 'drill' })

    test('SC-10: puts the policy, converges, and prunes it', async () => {
      const [one, two, three] = [await open('a'), await open('b'), await open('c')]
      const suspend = () =>
        broker.admin('POST', `/sessions/${three.id}/suspend`, { reason: 'look at this' })
      const restore = () => broker.admin('POST', `/sessions/${three.id}/restore`, {})
      await suspend()
      expect(await denied()).toEqual([three.id])
      await restore()
      expect(await inlinePolicies()).toEqual([])
      expect((await revoke(one)).status).toBe(200)
      expect(await denied()).toEqual([one.id])
      // Two at once, each with its own view of who has ended.
      await Promise.all([revoke(two), suspend()])
      expect((await denied()).toSorted()).toEqual([one, two, three].map((s) => s.id).toSorted())
      await restore()
      expect((await denied()).toSorted()).toEqual([one, two].map((s) => s.id).toSorted())
      expect(await kill(true)).toMatchObject({ engaged: true, aws_honours_until: null })
      expect(await denied()).toEqual(['*'])
      await kill(false)
      expect((await denied()).toSorted()).toEqual([one, two].map((s) => s.id).toSorted())
    })

    test('as the revoker role, under a session policy that allows three actions on one role', async () => {
      await revoke(await open('d'))
      const asked = aws.stsCalls.at(-1)
      expect(asked).toMatchObject({
        action: stsAction,
        parameters: { RoleArn: REVOKER_ARN, RoleSessionName: 'sallyport-revoker' },
      })
      if (stsAction === 'AssumeRole') {
        expect(asked?.parameters['ExternalId']).toMatch(/^[\w-]{43}$/)
      } else {
        expect(asked?.claims).toMatchObject({
          sub: 'sallyport-revoker:reports',
          aud: 'sts.amazonaws.com',
        })
      }
      expect(JSON.parse(asked?.parameters['Policy'] ?? '')).toEqual({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Action: ['iam:GetRolePolicy', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy'],
            Resource: ROLE_ARN,
          },
        ],
      })
      const calls = aws.calls.filter(({ service }) => service === 'iam')
      expect(calls.map(({ action }) => action)).toEqual(['iam:GetRolePolicy', 'iam:PutRolePolicy'])
      expect(new Set(calls.map(({ accessKeyId }) => accessKeyId))).toEqual(
        new Set([asked?.issued?.accessKeyId]),
      )
      expect(aws.refused).toEqual([])
    })
  })

  function policyOf(idp: string, broker: string) {
    return {
      auth_methods: [
        {
          name: 'agents',
          type: 'oidc',
          config: { issuer: idp, audiences: [broker] },
        },
      ],
      targets: [
        {
          name: 'reports',
          type: 'aws-sts',
          config: { region: 'eu-central-1', role_arn: ROLE_ARN, revoker_role_arn: REVOKER_ARN },
        },
      ],
      bindings: [
        {
          name: 'agents-reports',
          auth_method: 'agents',
          target: 'reports',
          delivery: 'credential',
          grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports/*'] }],
          may_outlive_subject: true,
          ttl_seconds: 900,
        },
      ],
    }
  }
})
