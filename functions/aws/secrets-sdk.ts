// Secrets Manager and the Parameter Store by the SDK's clients (Node, Lambda), over the guarded transport.
// A client is made for one question: secrets are asked for once a minute at most.
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { GetParameterCommand, SSMClient } from '@aws-sdk/client-ssm'
import { fail } from '../core/result.ts'
import { awsEndpoint } from './endpoint.ts'
import { createSdkTransport, SDK_SETTINGS, sdkCall, sdkCredentials } from './sdk-transport.ts'
import {
  type AwsSecretQuestion,
  type ReadAwsSecret,
  type ReadAwsSecretDeps,
  secretText,
  type StoredValue,
} from './secrets-contract.ts'
import { readJsonAnswer } from './signed-call.ts'

export function createSdkSecrets(deps: ReadAwsSecretDeps): ReadAwsSecret {
  return async (question) => {
    const { service, region } = question
    const { loopback } = deps.reach
    const endpoint = awsEndpoint({ service, region, env: deps.env, loopback })
    if (!endpoint.ok) return fail({ kind: 'endpoint', code: endpoint.failure })
    const { url, region: signedFor } = endpoint.value
    // Once a question, however often the client asks.
    const keys = deps.keys(region)
    const answer = await sdkCall(() =>
      ask(question, {
        ...SDK_SETTINGS,
        endpoint: url.origin,
        region: signedFor,
        credentials: sdkCredentials(() => keys, url.origin),
        // The whole answer is read here, as the other adapter reads it, before the client is given any.
        requestHandler: createSdkTransport({ ...deps, protocol: 'json', believe: readJsonAnswer }),
      }),
    )
    return answer.ok ? secretText(question, answer.value) : answer
  }
}

type ClientConfig = typeof SDK_SETTINGS & {
  readonly endpoint: string
  readonly region: string
  readonly credentials: ReturnType<typeof sdkCredentials>
  readonly requestHandler: ReturnType<typeof createSdkTransport>
}

async function ask(question: AwsSecretQuestion, config: ClientConfig): Promise<StoredValue> {
  if (question.service === 'ssm') {
    const command = new GetParameterCommand({ Name: question.name, WithDecryption: true })
    const { Parameter } = await new SSMClient(config).send(command)
    return { text: Parameter?.Value, type: Parameter?.Type }
  }
  const { id, stage, version } = question
  const command = new GetSecretValueCommand({
    SecretId: id,
    ...(stage === undefined ? {} : { VersionStage: stage }),
    ...(version === undefined ? {} : { VersionId: version }),
  })
  const { SecretString, SecretBinary } = await new SecretsManagerClient(config).send(command)
  return { text: SecretString, binary: SecretBinary }
}
