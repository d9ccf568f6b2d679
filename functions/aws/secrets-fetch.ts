// Secrets Manager and the Parameter Store by signed calls over the guarded transport: where the SDK's
// clients would be most of the bundle (Workers).
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { fail } from '../core/result.ts'
import { awsEndpoint } from './endpoint.ts'
import {
  type AwsSecretQuestion,
  type ReadAwsSecret,
  type ReadAwsSecretDeps,
  secretText,
  type StoredValue,
} from './secrets-contract.ts'
import { jsonCall } from './signed-call.ts'

export function createFetchSecrets(deps: ReadAwsSecretDeps): ReadAwsSecret {
  return async (question) => {
    const { service, region } = question
    const { loopback } = deps.reach
    const endpoint = awsEndpoint({ service, region, env: deps.env, loopback })
    if (!endpoint.ok) return fail({ kind: 'endpoint', code: endpoint.failure })
    const keys = await deps.keys(region)
    if (!keys.ok) return keys
    const answer = await jsonCall(deps, {
      endpoint: endpoint.value,
      keys: keys.value,
      ...requestOf(question),
    })
    return answer.ok ? secretText(question, storedValue(service, answer.value)) : answer
  }
}

function requestOf(question: AwsSecretQuestion) {
  if (question.service === 'ssm') {
    return {
      target: 'AmazonSSM.GetParameter',
      body: { Name: question.name, WithDecryption: true },
    }
  }
  const { id, stage, version } = question
  return {
    target: 'secretsmanager.GetSecretValue',
    body: {
      SecretId: id,
      ...(stage === undefined ? {} : { VersionStage: stage }),
      ...(version === undefined ? {} : { VersionId: version }),
    },
  }
}

function storedValue(service: AwsSecretQuestion['service'], answer: JsonObject): StoredValue {
  if (service === 'secretsmanager') {
    return { text: answer['SecretString'], binary: answer['SecretBinary'] }
  }
  const parameter = answer['Parameter']
  return isJsonObject(parameter)
    ? { text: parameter['Value'], type: parameter['Type'] }
    : { text: undefined }
}
