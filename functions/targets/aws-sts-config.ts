// What a target of type `aws-sts` may say: every mistake and unsafe setting at once, and the settings that
// are left when there is none. Role, region and endpoint come from here and from no caller (SC-08).
import { awsEndpoint, endpointUrl } from '../aws/endpoint.ts'
import type { AwsEndpoint } from '../aws/contract.ts'
import { awsRegion, serviceHosts, type AwsRegion } from '../aws/partitions.ts'
import { isLoopbackHost } from '../config.ts'
import { EFFECTS, type DocumentError, type Effect, type TargetPolicy } from '../core/policy.ts'
import type { Reach } from '../net/outbound.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { pointer } from '../policy/pointer.ts'
import { readTags, readTransitiveTags, type ClaimTag } from './aws-sts-tags.ts'

export type AssumeBy = 'role' | 'web_identity'

export type AwsStsConfigDeps = {
  readonly env: (name: string) => string | undefined
  readonly reach: Reach
  /** Whether the runtime can have AWS credentials of its own: not on Workers. */
  readonly canAssumeByRole: boolean
}

export type AwsStsSettings = {
  readonly endpoint: AwsEndpoint
  readonly reach: Reach
  readonly roleArn: string
  readonly assumeBy: AssumeBy
  /** In place of a compiled session policy. */
  readonly managed: ManagedPolicies | null
  readonly tags: readonly ClaimTag[]
  readonly transitiveTagKeys: readonly string[]
  readonly revokerRoleArn: string | null
}

export type ManagedPolicies = {
  readonly arns: readonly string[]
  /** What they allow, on the word of who wrote the target; everything where it does not say. */
  readonly effects: readonly Effect[]
  readonly objects: readonly string[]
}

const MEMBERS = [
  'region',
  'role_arn',
  'sts_endpoint',
  'assume_by',
  'policy_arns',
  'policy_effects',
  'policy_objects',
  'tags',
  'transitive_tags',
  'revoker_role_arn',
] as const

/** What would look like a restriction and is without effect. */
const UNUSED = ['credential', 'mask', 'max_response_bytes', 'max_masked_bytes'] as const

/** SC-03. */
const MAX_POLICY_ARNS = 10

const ROLE_ARN =
  /^arn:([a-z-]+):iam::(\d{12}):role\/(?:[\x21-\x2e\x30-\x7e]{1,64}\/){0,8}[\w+=,.@-]{1,64}$/
const POLICY_ARN = /^arn:([a-z-]+):iam::(aws|\d{12}):policy\/[\x21-\x7e]{1,512}$/

export function awsStsMistakes(
  target: TargetPolicy,
  deps: AwsStsConfigDeps,
): readonly DocumentError[] {
  const reader = new ConfigReader(target.config)
  readAwsStsSettings(reader, target, deps)
  const unused = UNUSED.filter((member) => Object.hasOwn(target, member)).map((member) => ({
    path: pointer(member),
    code: 'unexpected',
    message: 'means nothing where a credential is handed over',
  }))
  return [...reader.errors, ...unused]
}

/** Null where there is a mistake, all of which the reader then holds. */
export function readAwsStsSettings(
  reader: ConfigReader,
  target: TargetPolicy,
  deps: AwsStsConfigDeps,
): AwsStsSettings | null {
  reader.allowOnly(MEMBERS)
  const region = awsRegion(reader.requiredText('region', regionMistake))
  const roleArn = reader.requiredText('role_arn', (arn) => roleMistake(arn, region))
  const endpoint = readEndpoint(reader, region, deps)
  const assumeBy = readAssumeBy(reader, deps)
  const managed = readManaged(reader, region, roleArn)
  const tags = readTags(reader)
  const transitiveTagKeys = readTransitiveTags(reader, tags)
  const revokerRoleArn =
    reader.text('revoker_role_arn', (arn) => revokerMistake(arn, roleArn, region)) ?? null
  if (endpoint === null || reader.errors.length > 0) return null
  const reach = { ...deps.reach, privateNetwork: target.private_network === true }
  return { endpoint, reach, roleArn, assumeBy, managed, tags, transitiveTagKeys, revokerRoleArn }
}

function regionMistake(name: string): Mistake | null {
  if (awsRegion(name) !== undefined) return null
  return { code: 'value', message: 'is no region of AWS that is known here' }
}

function roleMistake(arn: string, region: AwsRegion | undefined): Mistake | null {
  const [, partition] = ROLE_ARN.exec(arn) ?? []
  if (partition === undefined) {
    const message = 'must be the ARN of one role: arn:aws:iam::{account}:role/{name}'
    return { code: 'format', message }
  }
  return partitionMistake(partition, region)
}

function partitionMistake(partition: string, region: AwsRegion | undefined): Mistake | null {
  if (region === undefined || partition === region.partition) return null
  return { code: 'value', message: `must be of the region's partition: ${region.partition}` }
}

/** It edits the role, so it has to be in its account; and what it revokes must not be itself. */
function revokerMistake(
  arn: string,
  roleArn: string,
  region: AwsRegion | undefined,
): Mistake | null {
  const mistake = roleMistake(arn, region)
  if (mistake !== null) return mistake
  if (arn === roleArn) return { code: 'unsafe', message: 'must be another role than role_arn' }
  const isSameAccount = ROLE_ARN.exec(arn)?.[2] === ROLE_ARN.exec(roleArn)?.[2]
  return isSameAccount ? null : { code: 'value', message: 'must be in the account of role_arn' }
}

function readEndpoint(
  reader: ConfigReader,
  region: AwsRegion | undefined,
  { env, reach }: AwsStsConfigDeps,
): AwsEndpoint | null {
  const override = reader.text('sts_endpoint', (url) => endpointMistake(url, region, reach))
  if (region === undefined || reader.errors.some(({ path }) => path.endsWith('/sts_endpoint'))) {
    return null
  }
  const endpoint = awsEndpoint({
    service: 'sts',
    region: region.name,
    env,
    loopback: reach.loopback,
    ...(override === undefined ? {} : { override }),
  })
  if (endpoint.ok) return endpoint.value
  const message = `AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL of the deployment is wrong: ${endpoint.failure}`
  reader.note({ code: 'unsafe', message }, 'region')
  return null
}

/**
 * What is sent there is good for the whole role: no session policy binds whoever reads it on the way. So
 * it is AWS, by a host of the region's own or a VPC endpoint of STS; a stand-in only on loopback.
 */
function endpointMistake(
  text: string,
  region: AwsRegion | undefined,
  { loopback }: Reach,
): Mistake | null {
  const url = endpointUrl(text, loopback)
  if (!url.ok) {
    const code = url.failure === 'scheme' ? 'unsafe' : 'format'
    const message = 'must be an https origin; http only for loopback in development'
    return { code, message }
  }
  const { hostname, port } = url.value
  if (loopback && isLoopbackHost(hostname)) return null
  if (region === undefined) return null
  const isOwn =
    port === '' &&
    (serviceHosts('sts', region).includes(hostname) || isVpcEndpoint(hostname, region))
  if (isOwn) return null
  const message = `must be a host of STS in ${region.name}, or a VPC endpoint of it`
  return { code: 'unsafe', message }
}

function isVpcEndpoint(host: string, { name, suffix }: AwsRegion): boolean {
  const end = `.sts.${name}.vpce.${suffix}`
  return host.endsWith(end) && /^vpce-[a-z0-9-]{1,100}$/.test(host.slice(0, -end.length))
}

function readAssumeBy(reader: ConfigReader, deps: AwsStsConfigDeps): AssumeBy {
  const byDefault = deps.canAssumeByRole && hasAmbientKeys(deps.env) ? 'role' : 'web_identity'
  const stated = reader.text('assume_by', (by) => {
    if (by !== 'role' && by !== 'web_identity') {
      return { code: 'value', message: 'must be role or web_identity' }
    }
    if (by === 'web_identity' || deps.canAssumeByRole) return null
    return { code: 'unsafe', message: 'must be web_identity: Workers have no AWS credentials' }
  })
  return stated === 'role' || stated === 'web_identity' ? stated : byDefault
}

/** As the SDKs look for them, as far as an environment shows it; on EC2 `assume_by` has to say so. */
function hasAmbientKeys(env: AwsStsConfigDeps['env']): boolean {
  const has = (name: string) => (env(name) ?? '') !== ''
  return (
    (has('AWS_ACCESS_KEY_ID') && has('AWS_SECRET_ACCESS_KEY')) ||
    has('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI') ||
    has('AWS_CONTAINER_CREDENTIALS_FULL_URI') ||
    (has('AWS_WEB_IDENTITY_TOKEN_FILE') && has('AWS_ROLE_ARN')) ||
    has('AWS_PROFILE')
  )
}

function readManaged(
  reader: ConfigReader,
  region: AwsRegion | undefined,
  roleArn: string,
): ManagedPolicies | null {
  const isManaged = reader.get('policy_arns') !== undefined
  const arns = reader.texts('policy_arns', {
    maxItems: MAX_POLICY_ARNS,
    absent: [],
    mistakeOf: (arn) => policyArnMistake(arn, region, roleArn),
  })
  const effects = reader.texts('policy_effects', {
    maxItems: EFFECTS.length,
    absent: EFFECTS,
    mistakeOf: (effect) =>
      isEffect(effect) ? null : { code: 'value', message: `must be of ${EFFECTS.join(', ')}` },
  })
  const objects = reader.texts('policy_objects', {
    maxItems: 100,
    absent: ['*'],
    mistakeOf: (object) =>
      object === '*' || object.startsWith('arn:')
        ? null
        : { code: 'format', message: 'must be an ARN pattern, or *' },
  })
  for (const member of ['policy_effects', 'policy_objects'] as const) {
    if (isManaged || reader.get(member) === undefined) continue
    reader.note({ code: 'unexpected', message: 'stands only with policy_arns' }, member)
  }
  return isManaged ? { arns, effects: effects.filter(isEffect), objects } : null
}

function isEffect(word: string): word is Effect {
  return (EFFECTS as readonly string[]).includes(word)
}

function policyArnMistake(
  arn: string,
  region: AwsRegion | undefined,
  roleArn: string,
): Mistake | null {
  const [, partition, account] = POLICY_ARN.exec(arn) ?? []
  if (partition === undefined) {
    return { code: 'format', message: 'must be the ARN of a managed policy' }
  }
  const mistake = partitionMistake(partition, region)
  if (mistake !== null || account === 'aws') return mistake
  const [, , own] = ROLE_ARN.exec(roleArn) ?? []
  if (own === undefined || own === account) return null
  return { code: 'value', message: 'must be in the account of role_arn, or one of AWS' }
}
