// An exchange that hands over an AWS credential, beside an exchange for a handle and beside the call to STS that it
// cannot do without; and the same by the container-credentials endpoint.
import { inTurns, type Length, type Pair, warmed } from './paths.ts'
import { startNodeBroker, startPeer } from './processes.ts'
import { ADMIN_TOKEN, configure, exchangeForm, get, type Issuer, policyOf, post } from './world.ts'

export type CredentialFigures = {
  readonly handle: Pair
  /** The fake STS, called with a form such as the broker sends. */
  readonly sts: Pair
  readonly byRole: Pair
  readonly byWebIdentity: Pair
  /** `GET /t/{target}/credentials` with an attestation, by role. */
  readonly endpoint: Pair
}

const ROLE = 'arn:aws:iam::123456789012:role/agents/reader'

export async function measureCredentials(
  origin: string,
  issuer: Issuer,
  length: Length,
): Promise<CredentialFigures> {
  const sts = await startPeer('./sts.ts')
  const broker = await startNodeBroker({
    SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN,
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'AKIABENCHMARKS000000',
    AWS_SECRET_ACCESS_KEY: 'a-key-that-signs-for-a-benchmark-and-else-not',
  })
  try {
    await configure(broker.url, origin, policyWith(sts.url, policyOf(issuer.url, origin)))
    const exchanges = (target: string) =>
      issuer.tokens.map((token) => {
        const form = new URLSearchParams(exchangeForm(token))
        form.set('audience', target)
        form.set('requested_token_type', 'urn:sallyport:token-type:aws-credentials')
        form.set('authorization_details', INTENT)
        return post(broker.url, '/token-exchange', form.toString())
      })
    const path = '/t/by-role/credentials?purpose=Read%20the%20reports'
    const figures = await inTurns(
      {
        handle: await warmed(
          broker,
          issuer.tokens.map((token) => post(broker.url, '/token-exchange', exchangeForm(token))),
          length,
        ),
        sts: await warmed(
          { url: sts.url, pid: sts.child.pid ?? null },
          [post(sts.url, '/', stsForm())],
          length,
        ),
        byRole: await warmed(broker, exchanges('by-role'), length),
        byWebIdentity: await warmed(broker, exchanges('by-web-identity'), length),
        endpoint: await warmed(
          broker,
          issuer.tokens.map((token) => get(broker.url, path, token)),
          length,
        ),
      },
      length,
    )
    // Every name of CredentialFigures is one of these subjects.
    return figures as CredentialFigures
  } finally {
    await Promise.all([broker.stop(), sts.stop()])
  }
}

const INTENT = JSON.stringify([
  {
    type: 'agent_intent',
    purpose: 'Read the reports of last quarter and summarise them',
    agent: { name: 'report-bot', version: '3.2.0' },
    envelope: { effects: ['read'], objects: ['arn:aws:s3:::reports/*'] },
  },
])

function policyWith(stsUrl: string, policy: object): object {
  const { auth_methods, targets, bindings } = policy as Record<string, readonly object[]>
  const names = { 'by-role': 'role', 'by-web-identity': 'web_identity' } as const
  return {
    auth_methods,
    intent_policies: [],
    targets: [
      ...(targets ?? []),
      ...Object.entries(names).map(([name, assume_by]) => ({
        name,
        type: 'aws-sts',
        config: { region: 'eu-west-1', role_arn: ROLE, sts_endpoint: stsUrl, assume_by },
      })),
    ],
    bindings: [
      ...(bindings ?? []),
      ...Object.keys(names).map((target) => ({
        name: `reports-${target}`,
        auth_method: 'ci',
        target,
        delivery: 'credential',
        grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports/*'] }],
        ttl_seconds: 1800,
        intent: { required: true },
      })),
    ],
  }
}

function stsForm(): string {
  return new URLSearchParams({
    Action: 'AssumeRole',
    Version: '2011-06-15',
    RoleArn: ROLE,
    RoleSessionName: 'ses_0123456789abcdefghijkl',
    DurationSeconds: '1800',
    Policy: JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Action: ['s3:GetObject'], Resource: ['arn:aws:s3:::reports/*'] },
      ],
    }),
  }).toString()
}
