// Keys of a role that the broker assumes for itself with a token of its federation issuer: so a deployment
// without AWS credentials (Workers) reads secrets of AWS, and holds none to begin with.
import { Secret } from '../core/credential.ts'
import type { Clock, FederationSigner, Ids } from '../core/ports.ts'
import { MAX_FEDERATION_SECONDS } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { Reach } from '../net/outbound.ts'
import type { AssumedRole, AwsFault, AwsKeys, StsApi } from './contract.ts'
import { awsEndpoint } from './endpoint.ts'
import { foreign, unavailable } from './fault.ts'
import { sharedCall } from './shared-call.ts'

export type RoleKeysDeps = {
  readonly sts: Pick<StsApi, 'assumeRoleWithWebIdentity'>
  readonly signer: Pick<FederationSigner, 'sign'>
  readonly roleArn: string
  readonly env: (name: string) => string | undefined
  readonly reach: Reach
  readonly clock: Clock
  readonly ids: Ids
}

/** What the role's trust policy holds `sub` to. No target can be named so that its tokens say the same. */
export const SECRETS_SUBJECT = 'sallyport-secrets'
const AUDIENCE = 'sts.amazonaws.com'
/** What a role allows at least. */
const DURATION_SECONDS = 3600
/** New keys are asked for so long before the old ones end; they are used on while none come. */
const RENEW_SECONDS = 300
const UNUSABLE_SECONDS = 30
/** After a failure STS is left alone for so long. */
const COOL_DOWN_MS = 1_000
/** More than one call to STS takes. */
const ABANDONED_MS = 7_000

/** Whatever else the role may do, these keys may not. */
const SESSION_POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Action: ['secretsmanager:GetSecretValue', 'ssm:GetParameter', 'kms:Decrypt'],
      Resource: '*',
    },
  ],
})

type Answer = Result<AwsKeys, AwsFault>

export function createRoleKeys(deps: RoleKeysDeps): (region: string) => Promise<Answer> {
  const { clock } = deps
  const late: Answer = fail(unavailable('timeout'))
  const share = sharedCall({ clock, abandonedMs: ABANDONED_MS, late })
  let role: AssumedRole | null = null
  let failed: { readonly fault: AwsFault; readonly atMs: number } | null = null
  const isWithin = (ms: number, sinceMs: number) => Math.abs(clock.nowMs() - sinceMs) < ms
  const lastsFor = (seconds: number) =>
    role !== null && role.expiresAt - clock.nowSeconds() > seconds ? role.keys : null

  async function renew(region: string): Promise<Answer> {
    const answer = inTime(await assume(region, deps), clock)
    if (answer.ok) {
      role = answer.value
      failed = null
      return ok(answer.value.keys)
    }
    failed = { fault: answer.failure, atMs: clock.nowMs() }
    const keys = lastsFor(UNUSABLE_SECONDS)
    return keys === null ? answer : ok(keys)
  }

  return async (region) => {
    const keys = lastsFor(RENEW_SECONDS)
    if (keys !== null) return ok(keys)
    if (failed !== null && isWithin(COOL_DOWN_MS, failed.atMs)) {
      const last = lastsFor(UNUSABLE_SECONDS)
      return last === null ? fail(failed.fault) : ok(last)
    }
    return share(() => renew(region))
  }
}

/** Keys that have ended are no keys, and none are kept for longer than was asked for (DEP-8). */
function inTime(
  answer: Result<AssumedRole, AwsFault>,
  clock: Clock,
): Result<AssumedRole, AwsFault> {
  if (!answer.ok) return answer
  const now = clock.nowSeconds()
  const expiresAt = Math.min(answer.value.expiresAt, now + DURATION_SECONDS)
  const isOver = expiresAt - now <= UNUSABLE_SECONDS
  return isOver ? fail(foreign('expiration', 200)) : ok({ ...answer.value, expiresAt })
}

async function assume(region: string, deps: RoleKeysDeps): Promise<Result<AssumedRole, AwsFault>> {
  const { sts, signer, roleArn, env, reach, clock, ids } = deps
  const endpoint = awsEndpoint({ service: 'sts', region, env, loopback: reach.loopback })
  if (!endpoint.ok) return fail({ kind: 'no_credentials', code: endpoint.failure, status: null })
  const now = clock.nowSeconds()
  const claims = {
    sub: SECRETS_SUBJECT,
    aud: AUDIENCE,
    iat: now,
    exp: now + MAX_FEDERATION_SECONDS,
    jti: ids.fresh('jti'),
  }
  return sts.assumeRoleWithWebIdentity({
    endpoint: endpoint.value,
    reach,
    roleArn,
    roleSessionName: SECRETS_SUBJECT,
    durationSeconds: DURATION_SECONDS,
    policy: SESSION_POLICY,
    policyArns: [],
    token: new Secret(await signer.sign(claims, 'JWT'), [endpoint.value.url.origin]),
  })
}
