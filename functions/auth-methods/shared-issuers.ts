// Issuers that sign for every customer of a platform: the issuer and the audience prove nothing about
// whose workload it is, so a method on one of them pins the tenant (JW-10, RB-14). Data, not code. Only
// claims that name the caller's own tenant count: `job_workflow_ref` names the owner of a *workflow*,
// which anybody may call, and is not one.
import { claimAt } from '../core/claim-match.ts'
import type { JsonObject } from '../core/identity.ts'
import type { ClaimMatcher } from '../core/policy.ts'

export type TenantClaim = {
  readonly claim: string
  /** A structured claim pins only when it begins with one of these, e.g. `repo:` in `sub`. */
  readonly labels?: readonly string[]
  /** Claims that must be matched as well for this one to mean anything. */
  readonly requires?: Readonly<Record<string, string | boolean>>
}

/** Refused unless `match` names the claim: runs that code of strangers can start. */
export type RefusedRuns = { readonly claim: string; readonly values: readonly string[] }

export type SharedIssuer = {
  readonly platform: string
  readonly issuer: string
  readonly tenants: readonly TenantClaim[]
  readonly refusedByDefault?: RefusedRuns
}

/** Events of GitHub that a stranger's pull request can start. */
export const PULL_REQUESTS: readonly string[] = [
  'pull_request',
  'pull_request_target',
  'pull_request_review',
  'pull_request_review_comment',
]

export const SHARED_ISSUERS: readonly SharedIssuer[] = [
  {
    platform: 'GitHub Actions',
    issuer: 'https://token.actions.githubusercontent.com',
    tenants: [
      { claim: 'repository_owner_id' },
      { claim: 'repository_id' },
      { claim: 'enterprise_id' },
      { claim: 'repository_owner' },
      { claim: 'repository' },
      {
        claim: 'sub',
        labels: ['repo', 'repository', 'repository_id', 'repository_owner', 'repository_owner_id'],
      },
    ],
    refusedByDefault: { claim: 'event_name', values: PULL_REQUESTS },
  },
  {
    platform: 'GitLab.com',
    issuer: 'https://gitlab.com',
    tenants: [
      { claim: 'namespace_id' },
      { claim: 'project_id' },
      { claim: 'namespace_path' },
      { claim: 'project_path' },
      { claim: 'sub', labels: ['project_path'] },
    ],
  },
  {
    platform: 'Buildkite',
    issuer: 'https://agent.buildkite.com',
    tenants: [
      { claim: 'organization_id' },
      { claim: 'pipeline_id' },
      { claim: 'organization_slug' },
      { claim: 'sub', labels: ['organization'] },
    ],
  },
  {
    platform: 'HCP Terraform',
    issuer: 'https://app.terraform.io',
    tenants: [
      { claim: 'terraform_organization_id' },
      { claim: 'terraform_project_id' },
      { claim: 'terraform_workspace_id' },
      { claim: 'terraform_organization_name' },
      { claim: 'sub', labels: ['organization'] },
    ],
  },
  {
    platform: 'Vercel (global issuer)',
    issuer: 'https://oidc.vercel.com',
    tenants: [
      { claim: 'owner_id' },
      { claim: 'project_id' },
      { claim: 'owner' },
      { claim: 'sub', labels: ['owner'] },
    ],
  },
  {
    platform: 'Google',
    issuer: 'https://accounts.google.com',
    tenants: [
      { claim: 'sub' },
      { claim: 'azp' },
      { claim: 'hd' },
      { claim: 'email', requires: { email_verified: true } },
      { claim: '/google/compute_engine/project_id' },
      { claim: '/google/compute_engine/project_number' },
    ],
  },
  {
    platform: 'Microsoft (personal accounts)',
    // The one tenant of Entra that is everybody's.
    issuer: 'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0',
    tenants: [{ claim: 'oid' }, { claim: 'sub' }],
  },
]

/** The row of an issuer, whichever way its URL was written. */
export function sharedIssuer(issuer: string): SharedIssuer | undefined {
  let wanted = issuer.toLowerCase()
  while (wanted.endsWith('/')) wanted = wanted.slice(0, -1)
  return SHARED_ISSUERS.find((row) => row.issuer === wanted)
}

/** What is missing for the method to be this tenant's only, or null. Expects matchers without mistakes. */
export function tenantPinMistake(
  shared: Pick<SharedIssuer, 'platform' | 'tenants'>,
  match: readonly (readonly [string, ClaimMatcher])[],
): string | null {
  if (shared.tenants.some((tenant) => isPinned(tenant, match))) return null
  const names = shared.tenants.map(({ claim, labels }) =>
    labels === undefined ? claim : `${claim} (${labels.map((label) => `${label}:…`).join(', ')})`,
  )
  return `${shared.platform} signs for every tenant: must pin one of ${names.join(', ')}`
}

function isPinned(
  tenant: TenantClaim,
  match: readonly (readonly [string, ClaimMatcher])[],
): boolean {
  const matchers = new Map(match)
  const matcher = matchers.get(tenant.claim)
  if (matcher === undefined) return false
  const companions = Object.entries(tenant.requires ?? {})
  return (
    valuesOf(matcher).every((value) => namesTenant(value, tenant)) &&
    companions.every(([claim, value]) => matchers.get(claim) === value)
  )
}

export function valuesOf(matcher: ClaimMatcher): readonly (string | number | boolean)[] {
  if (typeof matcher !== 'object') return [matcher]
  return 'glob' in matcher ? [matcher.glob] : matcher
}

/** A glob that passed globMistake() is literal in its first value segment, which is the tenant. */
function namesTenant(value: string | number | boolean, tenant: TenantClaim): boolean {
  if (typeof value !== 'string') return typeof value === 'number'
  if (tenant.labels === undefined) return value !== ''
  return tenant.labels.some(
    (label) => value.startsWith(`${label}:`) && value.length > label.length + 1,
  )
}

/** The member that a name reaches into: `/email` is `email` by another name. */
export function rootClaim(name: string): string {
  if (!name.startsWith('/')) return name
  return (name.split('/')[1] ?? '').replaceAll('~1', '/').replaceAll('~0', '~')
}

/** What every token that gets as far says alike, or says of its time and not of its caller. */
const EVERYBODYS = ['iss', 'aud', 'exp', 'iat', 'nbf', 'email_verified']

/** Whether `match` sets one caller of an issuer apart from the others. */
export function setsApart(match: readonly (readonly [string, ClaimMatcher])[]): boolean {
  return match.some(([name]) => !EVERYBODYS.includes(rootClaim(name)))
}

/** Whether these claims are of a kind of run that is refused unless the method's `match` names it. */
export function isRefusedByDefault(
  refused: RefusedRuns,
  claims: JsonObject,
  match: readonly (readonly [string, ClaimMatcher])[],
): boolean {
  if (match.some(([claim]) => claim === refused.claim)) return false
  const value = claimAt(claims, refused.claim)
  // What is there and is no text is not understood, and could be any of them.
  return value !== undefined && (typeof value !== 'string' || refused.values.includes(value))
}

/**
 * Audiences that other services ask for by default, exactly or up to the `/` after them. A token made
 * for one of them must not open this broker (JW-05; K8-04 for the API server).
 */
const FOREIGN_AUDIENCES = [
  'https://github.com',
  'https://gitlab.com',
  'https://vercel.com',
  'sts.amazonaws.com',
  'https://sts.amazonaws.com',
  'api://AzureADTokenExchange',
  'sigstore',
]

const KUBERNETES_API_AUDIENCES = ['https://kubernetes.default', 'kubernetes.default', 'k3s']

export function isForeignAudience(audience: string): boolean {
  const plain = audience.toLowerCase()
  if (KUBERNETES_API_AUDIENCES.some((api) => plain === api || plain.startsWith(`${api}.`))) {
    return true
  }
  return (
    KUBERNETES_API_AUDIENCES.some((api) => plain.startsWith(`${api}/`)) ||
    FOREIGN_AUDIENCES.some((foreign) => {
      const other = foreign.toLowerCase()
      return plain === other || plain.startsWith(`${other}/`)
    })
  )
}
