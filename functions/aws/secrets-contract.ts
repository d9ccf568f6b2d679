// The port to Secrets Manager and the Parameter Store. Two adapters implement it: the SDK's clients (Node,
// Lambda) and signed calls of our own (Workers). One contract test holds both.
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsCallDeps, AwsFault, AwsKeys } from './contract.ts'
import { foreign } from './fault.ts'

export type AwsSecretQuestion =
  | {
      readonly service: 'secretsmanager'
      readonly region: string
      /** Name or ARN. */
      readonly id: string
      /** Neither: `AWSCURRENT`. */
      readonly stage?: string
      readonly version?: string
    }
  | {
      readonly service: 'ssm'
      readonly region: string
      /** Name or ARN, with `:version` or `:label` where one is wanted. */
      readonly name: string
    }

export type AwsSecretFault =
  | AwsFault
  /** It is there, and is nothing that the broker takes. */
  | { readonly kind: 'unusable'; readonly code: 'binary' | 'not_secure_string' | 'too_large' }
  /** The endpoint that the environment names, or the region. */
  | { readonly kind: 'endpoint'; readonly code: string }

export type ReadAwsSecretDeps = AwsCallDeps & {
  /** Asked for each call, for a region: keys of a role come from STS, which is regional. */
  readonly keys: (region: string) => Promise<Result<AwsKeys, AwsFault>>
  readonly env: (name: string) => string | undefined
}

export type CreateReadAwsSecret = (deps: ReadAwsSecretDeps) => ReadAwsSecret

/** Asks one region once for the value as it is stored. Never throws, and a fault repeats nothing of an answer. */
export type ReadAwsSecret = (question: AwsSecretQuestion) => Promise<Result<string, AwsSecretFault>>

/** What AWS keeps at most of a secret; a parameter is smaller. */
const MAX_SECRET_BYTES = 65_536

/** What either service answered, as far as it is used. */
export type StoredValue = {
  readonly text: unknown
  readonly binary?: unknown
  /** Of a parameter. */
  readonly type?: unknown
}

/** The value, or why it is none that the broker takes. */
export function secretText(
  { service }: AwsSecretQuestion,
  { text, binary, type }: StoredValue,
): Result<string, AwsSecretFault> {
  if (typeof text !== 'string') {
    const isBinary = (binary ?? null) !== null
    return fail(isBinary ? { kind: 'unusable', code: 'binary' } : foreign('shape', 200))
  }
  if (service === 'ssm' && type !== 'SecureString') {
    return fail({ kind: 'unusable', code: 'not_secure_string' })
  }
  const isTooLarge = new TextEncoder().encode(text).length > MAX_SECRET_BYTES
  return isTooLarge ? fail({ kind: 'unusable', code: 'too_large' }) : ok(text)
}
