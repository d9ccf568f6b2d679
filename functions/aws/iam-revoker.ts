// Has AWS refuse the credentials of ended sessions: a role of its own, which may do nothing but this, puts a
// deny on the target role. Off unless the target names that role; loaded when it is needed.
import type { Clock, Hashing } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { Denied, EndedSession, Enforced, Withdrawal } from '../core/withdrawal.ts'
import type { Outbound, Reach } from '../net/outbound.ts'
import type { AssumedRole, AwsFault } from './contract.ts'
import { denyDocument, type DenyDocument, MAX_INLINE_CHARACTERS } from './deny-document.ts'
import { awsEndpoint } from './endpoint.ts'
import { createIamFetch, type IamApi, type InlinePolicy } from './iam-fetch.ts'

export type IamRevokerDeps = {
  readonly outbound: Outbound
  readonly clock: Clock
  readonly hashing: Hashing
  readonly reach: Reach
  readonly env: (name: string) => string | undefined
  /** ISSUER: two deployments may have targets of one name at one role. */
  readonly issuer: string
}

export type RevokedRole = {
  /** Name of the target. */
  readonly target: string
  readonly region: string
  readonly roleArn: string
  /** Assumes the revoker role under this session policy. */
  readonly assume: (policy: string) => Promise<Result<AssumedRole, AwsFault>>
}

/** What other inline policies take of a role's room is not known: it is tried with less. */
const SHARES = [1, 2, 4, 8, 16, 32]

export function createIamRevoker(role: RevokedRole, deps: IamRevokerDeps): Withdrawal {
  const policy: InlinePolicy = {
    roleName: role.roleArn.slice(role.roleArn.lastIndexOf('/') + 1),
    policyName: `sallyport-ended-${deps.hashing.sha256Hex(deps.issuer).slice(0, 12)}-${role.target}`,
  }
  return {
    async enforce(denied) {
      const { region } = role
      const { env, reach } = deps
      const endpoint = awsEndpoint({ service: 'iam', region, env, loopback: reach.loopback })
      if (!endpoint.ok) return fail(`aws_${endpoint.failure}`)
      const assumed = await role.assume(sessionPolicy(role.roleArn))
      if (!assumed.ok) return fail(wordOf(assumed.failure))
      const { keys } = assumed.value
      const iam = createIamFetch({ ...deps, endpoint: endpoint.value, keys })
      const made = await make(denied, policy, iam)
      if (!made.ok) return fail(wordOf(made.failure))
      const elsewhere = denied.sessions.filter((session) => isElsewhere(session, role.roleArn))
      return ok({ ...made.value, elsewhere })
    },
  }
}

async function make(
  denied: Denied,
  policy: InlinePolicy,
  iam: IamApi,
): Promise<Result<Enforced, AwsFault>> {
  const current = await iam.getRolePolicy(policy)
  if (!current.ok) return current
  let refused: Result<never, AwsFault> | null = null
  let before: DenyDocument | null = null
  for (const share of SHARES) {
    const wanted = denyDocument(denied, Math.floor(MAX_INLINE_CHARACTERS / share))
    // Short enough all along: then it is not its own length that is too much.
    if (wanted.document === before?.document && refused !== null) continue
    before = wanted
    const { document, left } = wanted
    if (document === current.value) return ok({ changed: false, left })
    const written =
      document === null
        ? await iam.deleteRolePolicy(policy)
        : await iam.putRolePolicy(policy, document)
    if (written.ok) return ok({ changed: true, left })
    if (written.failure.code !== 'LimitExceeded') return written
    refused = written
  }
  return refused ?? ok({ changed: false, left: [] })
}

/** Whether some of it is of another role than the one that the deny is put on. A path is not told. */
function isElsewhere({ heldAs = [] }: EndedSession, roleArn: string): boolean {
  const [, partition, , , account, resource = ''] = roleArn.split(':')
  const name = resource.slice(resource.lastIndexOf('/') + 1)
  const own = `arn:${partition}:sts::${account}:assumed-role/${name}/`
  return heldAs.some((arn) => !arn.startsWith(own))
}

/** Whatever else the revoker role may do, these keys may not. */
function sessionPolicy(roleArn: string): string {
  const Action = ['iam:GetRolePolicy', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy']
  const Statement = [{ Effect: 'Allow', Action, Resource: roleArn }]
  return JSON.stringify({ Version: '2012-10-17', Statement })
}

function wordOf({ kind, code }: AwsFault): string {
  return `aws_${kind}_${code}`
}
