// STS over aws4fetch and the guarded transport, for runtimes without AWS's SDK. By web identity nothing is
// signed, so a Worker holds no AWS secret at all.
import { fail, type Result } from '../core/result.ts'
import type {
  AssumedRole,
  AssumeRoleInput,
  AwsFault,
  AwsKeys,
  StsApi,
  StsDeps,
  WebIdentityInput,
} from './contract.ts'
import { NO_KEYS, NOT_FOR_ORIGIN } from './fault.ts'
import { queryCall } from './signed-call.ts'
import { readAssumedRole } from './sts-answer.ts'

const VERSION = '2011-06-15'

type Parameters = readonly (readonly [string, string])[]
type Input = AssumeRoleInput | WebIdentityInput

export function createStsFetch(deps: StsDeps): StsApi {
  const ask = async (
    action: string,
    { endpoint, reach }: Input,
    { keys, parameters }: { readonly keys: AwsKeys | null; readonly parameters: Parameters },
  ): Promise<Result<AssumedRole, AwsFault>> => {
    const call = { endpoint, keys, action, version: VERSION, parameters }
    const answer = await queryCall({ ...deps, reach }, call)
    return answer.ok ? readAssumedRole(answer.value) : answer
  }
  return {
    async assumeRole(input) {
      const keys = await (deps.keys?.() ?? fail(NO_KEYS))
      if (!keys.ok) return keys
      const parameters = [...commonParameters(input), ...roleParameters(input)]
      return ask('AssumeRole', input, { keys: keys.value, parameters })
    },
    async assumeRoleWithWebIdentity(input) {
      const token = input.token.revealFor(input.endpoint.url.origin)
      if (token === null) return fail(NOT_FOR_ORIGIN)
      const parameters: Parameters = [...commonParameters(input), ['WebIdentityToken', token]]
      return ask('AssumeRoleWithWebIdentity', input, { keys: null, parameters })
    },
  }
}

function commonParameters(input: Input): [string, string][] {
  return [
    ['RoleArn', input.roleArn],
    ['RoleSessionName', input.roleSessionName],
    ['DurationSeconds', String(input.durationSeconds)],
    ...(input.policy === null ? [] : [['Policy', input.policy] as [string, string]]),
    ...members('PolicyArns', input.policyArns, (arn) => [['arn', arn]]),
  ]
}

function roleParameters(input: AssumeRoleInput): [string, string][] {
  return [
    ['SourceIdentity', input.sourceIdentity],
    ['ExternalId', input.externalId],
    ...members('Tags', input.tags, ({ key, value }) => [
      ['Key', key],
      ['Value', value],
    ]),
    ...input.transitiveTagKeys.map((key, i): [string, string] => [
      `TransitiveTagKeys.member.${i + 1}`,
      key,
    ]),
  ]
}

function members<T>(
  name: string,
  items: readonly T[],
  fields: (item: T) => readonly [string, string][],
): [string, string][] {
  return items.flatMap((item, i) =>
    fields(item).map(([field, value]): [string, string] => [
      `${name}.member.${i + 1}.${field}`,
      value,
    ]),
  )
}
