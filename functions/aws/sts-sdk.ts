// STS by AWS's SDK, on Node and Lambda. Loaded on demand: it is most of what such a process would load.
import {
  AssumeRoleCommand,
  type AssumeRoleCommandOutput,
  AssumeRoleWithWebIdentityCommand,
  STSClient,
} from '@aws-sdk/client-sts'
import { fail, type Result } from '../core/result.ts'
import type {
  AssumedRole,
  AssumeRoleInput,
  AwsEndpoint,
  AwsFault,
  StsApi,
  StsDeps,
  WebIdentityInput,
} from './contract.ts'
import { NOT_FOR_ORIGIN } from './fault.ts'
import { createSdkTransport, SDK_SETTINGS, sdkCall, sdkCredentials } from './sdk-transport.ts'
import { type AwsAnswer, readQueryAnswer, shownRequestId } from './signed-call.ts'
import { assumedRole, readAssumedRole } from './sts-answer.ts'

type Input = AssumeRoleInput | WebIdentityInput

/** There are as many as there are regions and endpoints in the policy. */
const MAX_CLIENTS = 64

export function createStsSdk(deps: StsDeps): StsApi {
  const clientFor = clients(deps)
  return {
    async assumeRole(input) {
      const { sourceIdentity, externalId, tags, transitiveTagKeys } = input
      const command = new AssumeRoleCommand({
        ...commonParameters(input),
        SourceIdentity: sourceIdentity,
        ExternalId: externalId,
        Tags: tags.map(({ key, value }) => ({ Key: key, Value: value })),
        TransitiveTagKeys: [...transitiveTagKeys],
      })
      return read(await sdkCall(() => clientFor(input).send(command)))
    },
    async assumeRoleWithWebIdentity(input) {
      const token = input.token.revealFor(input.endpoint.url.origin)
      if (token === null) return fail(NOT_FOR_ORIGIN)
      const command = new AssumeRoleWithWebIdentityCommand({
        ...commonParameters(input),
        WebIdentityToken: token,
      })
      return read(await sdkCall(() => clientFor(input).send(command)))
    },
  }
}

/** One per endpoint; a client is bound to its region, so none is ever tried in place of another. */
function clients({ outbound, keys }: StsDeps): (input: Input) => STSClient {
  const made = new Map<string, STSClient>()
  return ({ endpoint, reach }) => {
    const key = `${endpoint.url.href} ${endpoint.region} ${reach.privateNetwork} ${reach.loopback}`
    const known = made.get(key)
    if (known !== undefined) return known
    if (made.size >= MAX_CLIENTS) made.clear()
    const client = new STSClient({
      ...SDK_SETTINGS,
      ...place(endpoint),
      credentials: sdkCredentials(keys, endpoint.url.origin),
      requestHandler: createSdkTransport({
        outbound,
        reach,
        protocol: 'query',
        believe,
      }),
    })
    made.set(key, client)
    return client
  }
}

/** As strictly as the other adapter: what the SDK reads then can be read in no other way. */
function believe(answer: AwsAnswer, asked: string): Result<unknown, AwsFault> {
  const document = readQueryAnswer(answer, new URLSearchParams(asked).get('Action') ?? '')
  return document.ok ? readAssumedRole(document.value) : document
}

function place({ url, region }: AwsEndpoint): { endpoint: string; region: string } {
  return { endpoint: url.origin, region }
}

function commonParameters(input: Input) {
  return {
    RoleArn: input.roleArn,
    RoleSessionName: input.roleSessionName,
    DurationSeconds: input.durationSeconds,
    ...(input.policy === null ? {} : { Policy: input.policy }),
    ...(input.policyArns.length === 0
      ? {}
      : { PolicyArns: input.policyArns.map((arn) => ({ arn })) }),
  }
}

type Output = Pick<
  AssumeRoleCommandOutput,
  'AssumedRoleUser' | 'Credentials' | 'SourceIdentity' | '$metadata'
>

function read(output: Result<Output, AwsFault>): Result<AssumedRole, AwsFault> {
  if (!output.ok) return output
  const { Credentials, AssumedRoleUser, SourceIdentity, $metadata } = output.value
  return assumedRole({
    accessKeyId: Credentials?.AccessKeyId,
    secretAccessKey: Credentials?.SecretAccessKey,
    sessionToken: Credentials?.SessionToken,
    expiresAtMs: Credentials?.Expiration?.getTime() ?? Number.NaN,
    arn: AssumedRoleUser?.Arn,
    assumedRoleId: AssumedRoleUser?.AssumedRoleId,
    sourceIdentity: SourceIdentity,
    requestId: shownRequestId($metadata.requestId),
  })
}
