// The port to AWS: what the broker asks of STS, and everything that can come back. Two adapters, the SDK's
// client (Node, Lambda) and aws4fetch (Workers), are held to one contract test.
import type { Secret } from '../core/credential.ts'
import type { Clock, Seconds } from '../core/ports.ts'
import type { Result } from '../core/result.ts'
import type { Outbound, Reach } from '../net/outbound.ts'
import type { CreateReadAwsSecret } from './secrets-contract.ts'

/** Keys to sign with, or to hand over. Only the access key's id may be shown to anybody. */
export type AwsKeys = {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken?: Secret
}

export type AwsFaultKind =
  /** AWS understood and says no. */
  | 'refused'
  /** No such secret, parameter, role or policy. */
  | 'not_found'
  | 'throttled'
  /** Nobody answered, or AWS says that it cannot. */
  | 'unavailable'
  /** An answer that AWS would not give: somebody else gave it, or it is not understood. */
  | 'foreign'
  | 'packed_policy_too_large'
  | 'malformed_policy'
  /** More seconds than the role, or the chaining of roles, allows. */
  | 'duration'
  /** The keys or the token that were used have ended. */
  | 'expired_token'
  /** The web identity token is not believed: its issuer, its audience or its signature. */
  | 'token_rejected'
  /** STS is not switched on for this account in this region. */
  | 'region_disabled'
  /** The deployment has no AWS credentials, or cannot get at them. */
  | 'no_credentials'

/** Nothing of an answer's text is in it but a code of letters, digits and dots. */
export type AwsFault = {
  readonly kind: AwsFaultKind
  /** AWS's own code, or a word of the transport, e.g. `timeout`; at most 64 of [A-Za-z0-9._]. */
  readonly code: string
  readonly status: number | null
}

/** Where one service is called, and for what its signatures are made. */
export type AwsEndpoint = {
  readonly service: AwsService
  readonly url: URL
  /** In the scope of a signature. */
  readonly region: string
  readonly partition: string
}

export type AwsService = 'sts' | 'secretsmanager' | 'ssm' | 'iam'

/** What every call needs; `reach` also decides whether plain http is allowed. */
export type AwsCallDeps = {
  readonly outbound: Outbound
  readonly clock: Clock
  readonly reach: Reach
}

/** Keys of the deployment itself. Asked for at each call: they rotate. */
export type KeySource = () => Promise<Result<AwsKeys, AwsFault>>

export type SessionTag = { readonly key: string; readonly value: string }

type AssumeInput = {
  readonly endpoint: AwsEndpoint
  readonly reach: Reach
  readonly roleArn: string
  readonly roleSessionName: string
  readonly durationSeconds: number
  /** Inline session policy. */
  readonly policy: string | null
  readonly policyArns: readonly string[]
}

export type AssumeRoleInput = AssumeInput & {
  readonly sourceIdentity: string
  readonly tags: readonly SessionTag[]
  readonly transitiveTagKeys: readonly string[]
  readonly externalId: string
}

/** Source identity and tags are in the token. */
export type WebIdentityInput = AssumeInput & { readonly token: Secret }

export type AssumedRole = {
  /** With a session token, always. */
  readonly keys: Required<AwsKeys>
  /** As AWS says it. */
  readonly expiresAt: Seconds
  /** `arn:aws:sts::…:assumed-role/{role}/{session name}`. */
  readonly arn: string
  readonly assumedRoleId: string
  readonly sourceIdentity: string | null
  /** Of STS, for its support and CloudTrail. */
  readonly requestId: string | null
}

export type StsDeps = {
  readonly outbound: Outbound
  readonly clock: Clock
  /** Signs AssumeRole; null where the deployment has no AWS credentials. */
  readonly keys: KeySource | null
}

export interface StsApi {
  /** Each asks once, and throws nothing that a caller or AWS can cause. */
  assumeRole(input: AssumeRoleInput): Promise<Result<AssumedRole, AwsFault>>
  assumeRoleWithWebIdentity(input: WebIdentityInput): Promise<Result<AssumedRole, AwsFault>>
}

/** AWS's own SDK, where a runtime has it; loaded when it is first asked for. */
export interface AwsSdk {
  createSts(deps: StsDeps): StsApi
  /** The SDK's default chain: environment, web identity, container, instance, profile. */
  ambientKeys(): KeySource
  /** Clients of their own, which most deployments never need. */
  loadSecrets(): Promise<CreateReadAwsSecret>
}
