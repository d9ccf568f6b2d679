// Inline policies of roles, by signed calls: three actions of IAM's query API. One adapter for all runtimes:
// the SDK's client would be megabytes for nothing that these calls need.
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsCallDeps, AwsEndpoint, AwsFault, AwsKeys } from './contract.ts'
import { foreign } from './fault.ts'
import { queryCall } from './signed-call.ts'
import { childText } from './xml-document.ts'

export type InlinePolicy = { readonly roleName: string; readonly policyName: string }

export interface IamApi {
  /** The document as it stands; null where there is none. */
  getRolePolicy(policy: InlinePolicy): Promise<Result<string | null, AwsFault>>
  putRolePolicy(policy: InlinePolicy, document: string): Promise<Result<null, AwsFault>>
  /** Also where there was none. */
  deleteRolePolicy(policy: InlinePolicy): Promise<Result<null, AwsFault>>
}

export type IamDeps = AwsCallDeps & { readonly endpoint: AwsEndpoint; readonly keys: AwsKeys }

const VERSION = '2010-05-08'

export function createIamFetch(deps: IamDeps): IamApi {
  const { endpoint, keys } = deps
  const call = (
    action: string,
    { roleName, policyName }: InlinePolicy,
    document: string | null = null,
  ) =>
    queryCall(deps, {
      endpoint,
      keys,
      action,
      version: VERSION,
      parameters: [
        ['RoleName', roleName],
        ['PolicyName', policyName],
        ...(document === null ? [] : [['PolicyDocument', document] as const]),
      ],
    })
  return {
    async getRolePolicy(policy) {
      const answer = await call('GetRolePolicy', policy)
      if (!answer.ok) return answer.failure.kind === 'not_found' ? ok(null) : answer
      const document = decoded(childText(answer.value.result, 'PolicyDocument'))
      return document === null ? fail(foreign('shape', 200)) : ok(document)
    },
    async putRolePolicy(policy, document) {
      const answer = await call('PutRolePolicy', policy, document)
      return answer.ok ? ok(null) : answer
    },
    async deleteRolePolicy(policy) {
      const answer = await call('DeleteRolePolicy', policy)
      return answer.ok || answer.failure.kind === 'not_found' ? ok(null) : answer
    },
  }
}

/** IAM percent-encodes documents in its answers (RFC 3986). */
function decoded(text: string | undefined): string | null {
  try {
    return text === undefined ? null : decodeURIComponent(text)
  } catch {
    return null
  }
}
