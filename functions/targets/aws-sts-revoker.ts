// How a target of type `aws-sts` has AWS refuse what it handed over: as the revoker role, which is another
// role than the one whose credentials they are. Loaded when the first session ends.
import { createIamRevoker } from '../aws/iam-revoker.ts'
import type { AssumedRole, AwsFault } from '../aws/contract.ts'
import { Secret } from '../core/credential.ts'
import { MAX_FEDERATION_SECONDS, type Hashing } from '../core/ports.ts'
import { StoreUnavailable } from '../core/records.ts'
import { fail, type Result } from '../core/result.ts'
import type { Withdrawal } from '../core/withdrawal.ts'
import type { Outbound } from '../net/outbound.ts'
import type { AwsStsConfigDeps, AwsStsSettings } from './aws-sts-config.ts'
import type { AwsStsMintDeps } from './aws-sts-mint.ts'

export type AwsStsRevokerDeps = AwsStsConfigDeps &
  AwsStsMintDeps & {
    readonly outbound: Outbound
    readonly hashing: Hashing
    readonly issuer: string
  }

type Site = {
  readonly target: string
  readonly settings: AwsStsSettings
  readonly revokerRoleArn: string
  readonly deps: AwsStsRevokerDeps
}

/** What a role allows at least; three calls need seconds. */
const DURATION_SECONDS = 900
const SESSION_NAME = 'sallyport-revoker'

export function awsStsRevoker(site: Site): Withdrawal {
  const { target, settings, deps } = site
  return createIamRevoker(
    {
      target,
      region: settings.endpoint.region,
      roleArn: settings.roleArn,
      assume: (policy) => assume(policy, site),
    },
    deps,
  )
}

async function assume(
  policy: string,
  { target, settings, revokerRoleArn, deps }: Site,
): Promise<Result<AssumedRole, AwsFault>> {
  const { endpoint, reach } = settings
  const asked = {
    endpoint,
    reach,
    roleArn: revokerRoleArn,
    roleSessionName: SESSION_NAME,
    durationSeconds: DURATION_SECONDS,
    policy,
    policyArns: [],
  }
  try {
    const sts = await deps.sts()
    if (settings.assumeBy === 'web_identity') {
      const now = deps.clock.nowSeconds()
      // Not what a credential of the target is minted by: the trust policies of the two roles pin each its own.
      const claims = {
        sub: `${SESSION_NAME}:${target}`,
        aud: 'sts.amazonaws.com',
        iat: now,
        exp: now + MAX_FEDERATION_SECONDS,
        jti: deps.ids.fresh('jti'),
      }
      const token = new Secret(await deps.federation.sign(claims, 'JWT'), [endpoint.url.origin])
      return await sts.assumeRoleWithWebIdentity({ ...asked, token })
    }
    const externalId = await deps.externalIds.of(target)
    if (externalId === null)
      return fail({ kind: 'no_credentials', code: 'external_id', status: null })
    const own = { sourceIdentity: SESSION_NAME, tags: [], transitiveTagKeys: [], externalId }
    return await sts.assumeRole({ ...asked, ...own })
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    return fail({ kind: 'unavailable', code: 'store', status: null })
  }
}
