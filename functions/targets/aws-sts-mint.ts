// Asks STS once for what was planned, and believes its answer only where it fits what was asked. What comes
// out is secret but for its record.
import type { AssumedRole, AwsFault, SessionTag, StsApi } from '../aws/contract.ts'
import { Secret } from '../core/credential.ts'
import type { Failure } from '../core/failure.ts'
import type { Minted, MintPlan } from '../core/minting.ts'
import {
  type Clock,
  type FederationSigner,
  type Ids,
  MAX_FEDERATION_SECONDS,
  type Seconds,
} from '../core/ports.ts'
import { StoreUnavailable } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsStsSettings } from './aws-sts-config.ts'

export type AwsStsMintDeps = {
  /** Loaded when it is first asked for. */
  readonly sts: () => Promise<StsApi>
  readonly federation: FederationSigner
  readonly externalIds: { of(target: string): Promise<string | null> }
  readonly clock: Clock
  readonly ids: Pick<Ids, 'fresh'>
}

/** Who did it, in AWS's characters. */
export type SessionNames = {
  readonly roleSessionName: string
  readonly sourceIdentity: string
  readonly tags: readonly SessionTag[]
  readonly transitiveTagKeys: readonly string[]
}

export type PreparedAssume = {
  readonly roleArn: string
  readonly names: SessionNames
  readonly durationSeconds: number
  readonly policy: string | null
  readonly policyArns: readonly string[]
  /** The session policy says until when, so that it may be asked for longer than it works. */
  readonly isEndedByPolicy: boolean
}

/** SC-01: the shortest that AWS grants. */
export const MIN_SECONDS = 900

type Site = {
  readonly target: string
  readonly settings: AwsStsSettings
  readonly deps: AwsStsMintDeps
}

/** STS itself refuses a clock that is further off (SigV4); an answer that is cannot be told the end of. */
const MAX_CLOCK_OFFSET_SECONDS = 300
const AUDIENCE = 'sts.amazonaws.com'
const RETRY_AFTER_SECONDS = 5

export async function mintFromSts(plan: MintPlan, site: Site): Promise<Result<Minted, Failure>> {
  // What `plan` of the same target made.
  const whole = plan.prepared as PreparedAssume
  const { clock } = site.deps
  const askedAt = clock.nowSeconds()
  const durationSeconds = secondsLeft(plan, whole, askedAt)
  if (durationSeconds === null) return fail(failureOf(LATE))
  const prepared = { ...whole, durationSeconds }
  const answer = await assume(prepared, site)
  if (!answer.ok) return fail(failureOf(answer.failure))
  const mismatch = mismatchOf(answer.value, prepared, askedAt)
  if (mismatch !== null) return fail(failureOf({ kind: 'foreign', code: mismatch, status: 200 }))
  const minted = handedOver(answer.value, plan, prepared, site.settings)
  return minted.expiresAt > clock.nowSeconds() ? ok(minted) : fail(failureOf(LATE))
}

const LATE: AwsFault = { kind: 'unavailable', code: 'late', status: null }

/**
 * Of what was planned, judges and the store have taken their time since: AWS counts from when it is asked.
 * Null where it would work for longer than it was planned to.
 */
function secondsLeft(
  { endsAt }: MintPlan,
  { durationSeconds, isEndedByPolicy }: PreparedAssume,
  now: Seconds,
): number | null {
  const left = Math.min(durationSeconds, endsAt - now)
  if (left < 1 || (left < MIN_SECONDS && !isEndedByPolicy)) return null
  return Math.max(left, MIN_SECONDS)
}

async function assume(
  prepared: PreparedAssume,
  site: Site,
): Promise<Result<AssumedRole, AwsFault>> {
  const { settings, deps } = site
  const { names, isEndedByPolicy: _, ...asked } = prepared
  const { roleSessionName, sourceIdentity, tags, transitiveTagKeys } = names
  const { endpoint, reach } = settings
  const common = { ...asked, endpoint, reach, roleSessionName }
  try {
    if (settings.assumeBy === 'web_identity') {
      const token = await federationToken(names, site)
      const sts = await deps.sts()
      return await sts.assumeRoleWithWebIdentity({ ...common, token })
    }
    const externalId = await deps.externalIds.of(site.target)
    if (externalId === null) return fail(NO_EXTERNAL_ID)
    const sts = await deps.sts()
    const own = { sourceIdentity, tags, transitiveTagKeys, externalId }
    return await sts.assumeRole({ ...common, ...own })
  } catch (error) {
    // Keys and the external id are in the store. What is recorded already must get its outcome.
    if (!(error instanceof StoreUnavailable)) throw error
    return fail({ kind: 'unavailable', code: 'store', status: null })
  }
}

const NO_EXTERNAL_ID: AwsFault = { kind: 'no_credentials', code: 'external_id', status: null }

/** As AWS reads them from a token: the trust policy pins `sub`, and the session gets the rest. */
async function federationToken(
  { sourceIdentity, tags, transitiveTagKeys }: SessionNames,
  { target, settings, deps }: Site,
): Promise<Secret> {
  const now = deps.clock.nowSeconds()
  const claims = {
    sub: `sallyport:${target}`,
    aud: AUDIENCE,
    iat: now,
    exp: now + MAX_FEDERATION_SECONDS,
    jti: deps.ids.fresh('jti'),
    'https://aws.amazon.com/tags': {
      principal_tags: Object.fromEntries(tags.map(({ key, value }) => [key, [value]])),
      transitive_tag_keys: transitiveTagKeys,
    },
    'https://aws.amazon.com/source_identity': sourceIdentity,
  }
  const token = await deps.federation.sign(claims, 'JWT')
  return new Secret(token, [settings.endpoint.url.origin])
}

/** Another role, somebody else's session, or an end that does not follow from what was asked. */
function mismatchOf(
  { arn, sourceIdentity, expiresAt }: AssumedRole,
  { roleArn, names, durationSeconds }: PreparedAssume,
  askedAt: Seconds,
): string | null {
  if (arn !== assumedArn(roleArn, names.roleSessionName)) return 'role'
  if (sourceIdentity !== null && sourceIdentity !== names.sourceIdentity) return 'source_identity'
  const offset = Math.abs(expiresAt - (askedAt + durationSeconds))
  return offset > MAX_CLOCK_OFFSET_SECONDS ? 'clock' : null
}

/** Of a role's path an assumed role says nothing. */
function assumedArn(roleArn: string, sessionName: string): string {
  const [, partition, , , account, resource = ''] = roleArn.split(':')
  const name = resource.slice(resource.lastIndexOf('/') + 1)
  return `arn:${partition}:sts::${account}:assumed-role/${name}/${sessionName}`
}

function handedOver(
  role: AssumedRole,
  plan: MintPlan,
  { names, policy, policyArns }: PreparedAssume,
  { revokerRoleArn }: AwsStsSettings,
): Minted {
  const { accessKeyId, secretAccessKey, sessionToken } = role.keys
  const token = sessionToken.revealFor('') ?? ''
  const secret = secretAccessKey.revealFor('') ?? ''
  // AWS's own end is later where the session policy ends it.
  const expiresAt = Math.min(plan.endsAt, role.expiresAt)
  const Expiration = timeOf(expiresAt)
  const keys = { AccessKeyId: accessKeyId, SecretAccessKey: secret }
  return {
    token,
    expiresAt,
    members: { aws_credentials: { Version: 1, ...keys, SessionToken: token, Expiration } },
    document: { ...keys, Token: token, Expiration },
    record: {
      access_key_id: accessKeyId,
      assumed_role_arn: role.arn,
      assumed_role_id: role.assumedRoleId,
      role_session_name: names.roleSessionName,
      source_identity: names.sourceIdentity,
      sts_request_id: role.requestId,
      session_policy: policy,
      ...(policyArns.length === 0 ? {} : { policy_arns: [...policyArns] }),
      // Whatever becomes of the session here, unless a revoker role denies it there.
      aws_honours_until: timeOf(role.expiresAt),
      revocable_in_aws: revokerRoleArn !== null,
    },
  }
}

function timeOf(seconds: Seconds): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

function failureOf({ kind, code }: AwsFault): Failure {
  switch (kind) {
    case 'packed_policy_too_large':
      return { kind: 'mint_refused', reason: 'policy_too_large', hint: NARROWER }
    case 'malformed_policy':
      return { kind: 'mint_refused', reason: 'policy_refused', hint: NARROWER }
    case 'duration':
      return { kind: 'mint_refused', reason: 'duration', hint: SHORTER }
    default:
      return {
        kind: 'unavailable',
        reason: `sts_${kind}`,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
        got: code,
      }
  }
}

const NARROWER = 'ask for fewer effects or objects'
const SHORTER = 'the role allows shorter sessions than the binding: an administrator has to mend it'
