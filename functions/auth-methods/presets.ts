// What is known of a platform that issues OIDC tokens, over the plain `oidc` rules: `preset` in the config
// names a row. A row can only narrow: it fixes where tokens come from, which immutable id says whose they
// are, and what is refused unless `match` says otherwise (JW-10, JW-11). Data, not code.
import type { ClaimMatcher } from '../core/policy.ts'
import type { OriginPreset } from './origin-config.ts'
import { PULL_REQUESTS, type RefusedRuns, type TenantClaim } from './shared-issuers.ts'

export type Preset = {
  readonly name: string
  readonly platform: string
  /** The issuer where the config names none. */
  readonly issuer?: string
  /** What it may be: `{name}` is a label or path segment, `{name:host}` a host, `{name:uuid}` an id. */
  readonly issuers?: readonly string[]
  /** One of these must be pinned by `match`; `any`: whatever it names. */
  readonly tenants: readonly TenantClaim[] | 'any'
  /** Held as if they stood in `match`, unless it names the claim itself. */
  readonly claims?: Readonly<Record<string, ClaimMatcher>>
  /** The same, where `match` names the claim on the left. */
  readonly alongside?: Readonly<Record<string, Readonly<Record<string, ClaimMatcher>>>>
  /** Claims that must equal the part of the issuer of that name, whatever `match` says. */
  readonly fromIssuer?: Readonly<Record<string, string>>
  readonly refusedByDefault?: RefusedRuns
  /** Claims that are texts on this platform, although they look like numbers or booleans. */
  readonly texts?: readonly string[]
  /** Audiences that mean another service, exactly or up to a `/`; parts of the issuer are filled in. */
  readonly foreignAudiences?: readonly string[]
  /** What its tokens prove of their origin, unless the config has an `origin`. */
  readonly origin?: OriginPreset
  /** Defaults of the members of the same name. */
  readonly singleUse?: true
  readonly maxLifetimeSeconds?: number
  /** Where the keys are, below the issuer, on a platform without a discovery document. */
  readonly jwksPath?: string
  /** Names the caller when `sub` is empty. */
  readonly subjectWhenEmpty?: string
}

const VERIFIED_EMAIL = { email: { email_verified: true } }

export const PRESETS: readonly Preset[] = [
  {
    name: 'github-actions',
    platform: 'GitHub Actions',
    issuer: 'https://token.actions.githubusercontent.com',
    issuers: [
      'https://token.actions.githubusercontent.com',
      'https://token.actions.githubusercontent.com/{enterprise}',
      'https://token.actions.{subdomain}.ghe.com',
      'https://{server:host}/_services/token',
    ],
    tenants: [{ claim: 'repository_owner_id' }, { claim: 'repository_id' }],
    refusedByDefault: { claim: 'event_name', values: PULL_REQUESTS },
    texts: ['repository_owner_id', 'repository_id', 'actor_id', 'run_id', 'enterprise_id'],
    foreignAudiences: ['https://{subdomain}.ghe.com', 'https://{server}'],
    origin: {
      when: { event_name: 'schedule' },
      idClaim: 'run_id',
      // The commit of the workflow file fixes its content.
      definition: { name: 'workflow_ref', version: 'ref', hash: 'workflow_sha' },
    },
    maxLifetimeSeconds: 3600,
  },
  {
    name: 'gitlab',
    platform: 'GitLab',
    issuer: 'https://gitlab.com',
    issuers: ['https://{instance:host}', 'https://{instance:host}/{path}'],
    tenants: [{ claim: 'namespace_id' }, { claim: 'project_id' }],
    claims: { ref_protected: 'true' },
    texts: ['namespace_id', 'project_id', 'user_id', 'ref_protected', 'environment_protected'],
    foreignAudiences: ['https://{instance}'],
    origin: {
      when: { pipeline_source: 'schedule' },
      idClaim: 'pipeline_id',
      definition: { name: 'ci_config_ref_uri', version: 'ref', hash: 'ci_config_sha' },
    },
  },
  {
    name: 'circleci',
    platform: 'CircleCI',
    issuers: ['https://oidc.circleci.com/org/{org:uuid}'],
    tenants: [{ claim: 'oidc.circleci.com/project-id' }],
    claims: { 'oidc.circleci.com/ssh-rerun': false },
    foreignAudiences: ['{org}'],
  },
  {
    name: 'buildkite',
    platform: 'Buildkite',
    issuer: 'https://agent.buildkite.com',
    issuers: ['https://agent.buildkite.com'],
    tenants: [{ claim: 'organization_id' }],
    foreignAudiences: ['https://buildkite.com'],
  },
  {
    name: 'hcp-terraform',
    platform: 'HCP Terraform',
    issuer: 'https://app.terraform.io',
    issuers: ['https://{server:host}'],
    tenants: [
      { claim: 'terraform_organization_id' },
      { claim: 'terraform_project_id' },
      { claim: 'terraform_workspace_id' },
    ],
    refusedByDefault: { claim: 'terraform_run_phase', values: ['plan'] },
    foreignAudiences: ['aws.workload.identity', 'vault.workload.identity'],
    singleUse: true,
  },
  {
    name: 'vercel',
    platform: 'Vercel',
    issuers: ['https://oidc.vercel.com/{team}', 'https://oidc.vercel.com'],
    tenants: [{ claim: 'owner_id' }, { claim: 'project_id' }],
    claims: { environment: 'production' },
  },
  {
    name: 'fly',
    platform: 'Fly.io',
    issuers: ['https://oidc.fly.io/{org}'],
    tenants: [{ claim: 'org_id' }, { claim: 'app_id' }],
    texts: ['org_id', 'app_id'],
    foreignAudiences: ['https://fly.io'],
  },
  {
    name: 'google',
    platform: 'Google',
    issuer: 'https://accounts.google.com',
    issuers: ['https://accounts.google.com'],
    tenants: [
      { claim: 'sub' },
      { claim: 'azp' },
      { claim: 'email', requires: { email_verified: true } },
      { claim: '/google/compute_engine/project_id' },
      { claim: '/google/compute_engine/project_number' },
    ],
    alongside: VERIFIED_EMAIL,
    texts: ['sub', 'azp'],
    maxLifetimeSeconds: 3600,
  },
  {
    name: 'azure-entra',
    platform: 'Azure / Microsoft Entra',
    issuers: [
      'https://login.microsoftonline.com/{tenant:uuid}/v2.0',
      'https://sts.windows.net/{tenant:uuid}/',
    ],
    tenants: [{ claim: 'oid' }, { claim: 'azp' }, { claim: 'appid' }],
    claims: { idtyp: 'app' },
    fromIssuer: { tid: 'tenant' },
    foreignAudiences: [
      'https://management.azure.com',
      'https://management.core.windows.net',
      'https://graph.microsoft.com',
      'https://vault.azure.net',
      '00000003-0000-0000-c000-000000000000',
    ],
    // Tokens of managed identities live a day and some minutes.
    maxLifetimeSeconds: 90_000,
  },
  {
    name: 'cloudflare-access',
    platform: 'Cloudflare Access',
    issuers: ['https://{team}.cloudflareaccess.com'],
    tenants: [{ claim: 'common_name' }, { claim: 'email' }],
    claims: { type: 'app' },
    jwksPath: '/cdn-cgi/access/certs',
    subjectWhenEmpty: 'common_name',
  },
  {
    name: 'workforce',
    platform: 'a workforce identity provider',
    tenants: 'any',
    alongside: VERIFIED_EMAIL,
    maxLifetimeSeconds: 7200,
  },
]
