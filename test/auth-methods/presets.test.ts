// Every preset with a token of its platform: the golden one, and those that a stranger on the same
// platform could get (standards 10.5, (a) to (e)).
import { beforeAll, describe, expect, it } from 'vitest'
import { PRESETS } from '../../functions/auth-methods/presets.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { createWorld, memberOf, mistakes, NOW, outcome, verifyClaims } from './setup.ts'
import type { Member, World } from './setup.ts'

const oidc = memberOf('oidc')
const ORG = 'b4f1e3a0-0000-4000-8000-00000000c1c1'
const TENANT = '72f988bf-86f1-41af-91ab-2d7cd011db47'

/** What a platform's golden token and a good method for it look like. */
type Platform = {
  readonly preset: string
  readonly issuer: string
  /** Besides `preset`, `issuer` and `audiences`. */
  readonly match: JsonObject
  readonly claims: JsonObject
  /** Changes of the golden token, each refused, by whom they could be made. */
  readonly refused: readonly (readonly [string, JsonObject])[]
  /** Changes of the method that make it one that cannot be saved, with the mistake. */
  readonly unsafe: readonly (readonly [string, JsonObject, string])[]
}

const GITHUB_CLAIMS: JsonObject = {
  sub: 'repo:acme/app:ref:refs/heads/main',
  repository: 'acme/app',
  repository_id: '74',
  repository_owner: 'acme',
  repository_owner_id: '65',
  ref: 'refs/heads/main',
  event_name: 'push',
  runner_environment: 'github-hosted',
  jti: 'j1',
}

const PLATFORMS: readonly Platform[] = [
  {
    preset: 'github-actions',
    issuer: 'https://token.actions.githubusercontent.com',
    match: { repository_owner_id: '65', runner_environment: 'github-hosted' },
    claims: GITHUB_CLAIMS,
    refused: [
      ['(a) another owner', { repository_owner_id: '66' }],
      ['(a) a new owner of the same name', { repository_owner_id: '9', repository_owner: 'acme' }],
      ['(a) an id that is a number', { repository_owner_id: 65 }],
      ['(b) a pull request', { event_name: 'pull_request' }],
      ['(b) a pull request with the rights of its target', { event_name: 'pull_request_target' }],
      ['(b) a review of a pull request', { event_name: 'pull_request_review' }],
      ['(c) a self-hosted runner', { runner_environment: 'self-hosted' }],
      ['(e) the default audience', { aud: 'https://github.com/acme' }],
    ],
    unsafe: [
      ['no pin', { match: { environment: 'prod' } }, '/config/match unsafe'],
      ['a name for a pin', { match: { repository: 'acme/app' } }, '/config/match unsafe'],
      [
        'a subject for a pin',
        { match: { sub: GITHUB_CLAIMS['sub'] ?? '' } },
        '/config/match unsafe',
      ],
      [
        'an id that never matches',
        { match: { repository_owner_id: 65 } },
        '/config/match/repository_owner_id type',
      ],
      [
        'the default audience',
        { audiences: ['https://github.com/acme'] },
        '/config/audiences/0 unsafe',
      ],
    ],
  },
  {
    preset: 'gitlab',
    issuer: 'https://gitlab.example',
    match: { project_id: '22', runner_environment: 'gitlab-hosted' },
    claims: {
      sub: 'project_path:acme/app:ref_type:branch:ref:main',
      namespace_id: '72',
      project_id: '22',
      ref_protected: 'true',
      pipeline_source: 'push',
      runner_environment: 'gitlab-hosted',
    },
    refused: [
      ['(a) another project', { project_id: '23' }],
      ['(b) an unprotected branch, such as a merge request', { ref_protected: 'false' }],
      ['(b) a boolean that GitLab never sends', { ref_protected: true }],
      ['(b) no word of it', { ref_protected: null }],
      ['(c) a self-hosted runner', { runner_environment: 'self-hosted' }],
      ['(e) the audience of old job tokens', { aud: 'https://gitlab.example' }],
    ],
    unsafe: [
      ['no pin', { match: { ref: 'main' } }, '/config/match unsafe'],
      ['a path for a pin', { match: { project_path: 'acme/app' } }, '/config/match unsafe'],
      [
        'the boolean true, which no token has',
        { match: { project_id: '22', ref_protected: true } },
        '/config/match/ref_protected type',
      ],
      [
        'the instance itself',
        { audiences: ['https://gitlab.example'] },
        '/config/audiences/0 unsafe',
      ],
    ],
  },
  {
    preset: 'circleci',
    issuer: `https://oidc.circleci.com/org/${ORG}`,
    match: {
      'oidc.circleci.com/project-id': 'p1',
      'oidc.circleci.com/vcs-origin': 'github.com/acme/app',
    },
    claims: {
      sub: `org/${ORG}/project/p1/user/u1`,
      'oidc.circleci.com/project-id': 'p1',
      'oidc.circleci.com/vcs-origin': 'github.com/acme/app',
      'oidc.circleci.com/ssh-rerun': false,
    },
    refused: [
      ['(a) another project', { 'oidc.circleci.com/project-id': 'p2' }],
      ['(b) a fork', { 'oidc.circleci.com/vcs-origin': 'github.com/evil/app' }],
      ['somebody with a shell in the job', { 'oidc.circleci.com/ssh-rerun': true }],
      ['a rerun flag that is a text', { 'oidc.circleci.com/ssh-rerun': 'false' }],
      ['no rerun flag', { 'oidc.circleci.com/ssh-rerun': null }],
      ['(e) the default audience', { aud: ORG }],
    ],
    unsafe: [
      ['no pin', { match: { sub: 'x' } }, '/config/match unsafe'],
      ['the default audience', { audiences: [ORG] }, '/config/audiences/0 unsafe'],
      [
        'an issuer of no organisation',
        { issuer: 'https://oidc.circleci.com' },
        '/config/issuer value',
      ],
    ],
  },
  {
    preset: 'buildkite',
    issuer: 'https://agent.buildkite.com',
    match: { organization_id: 'o1', build_branch: 'main', runner_environment: 'buildkite-hosted' },
    claims: {
      sub: 'organization:acme:pipeline:app:ref:refs/heads/main:commit:9f31:step:build',
      organization_id: 'o1',
      organization_slug: 'acme',
      build_branch: 'main',
      runner_environment: 'buildkite-hosted',
    },
    refused: [
      ['(a) another organisation', { organization_id: 'o2' }],
      ['(b) the branch of a pull request', { build_branch: 'evil:main' }],
      ['(c) a self-hosted agent', { runner_environment: 'self-hosted' }],
      ['(e) the default audience', { aud: 'https://buildkite.com/acme' }],
    ],
    unsafe: [
      ['no pin', { match: { build_branch: 'main' } }, '/config/match unsafe'],
      ['a slug for a pin', { match: { organization_slug: 'acme' } }, '/config/match unsafe'],
      ['the default', { audiences: ['https://buildkite.com/acme'] }, '/config/audiences/0 unsafe'],
    ],
  },
  {
    preset: 'hcp-terraform',
    issuer: 'https://app.terraform.io',
    match: { terraform_organization_id: 'org-1', terraform_workspace_id: 'ws-1' },
    claims: {
      jti: 'run-1',
      sub: 'organization:acme:project:p:workspace:w:run_phase:apply',
      terraform_organization_id: 'org-1',
      terraform_workspace_id: 'ws-1',
      terraform_run_phase: 'apply',
      exp: NOW + 86_000,
    },
    refused: [
      ['(a) another organisation', { terraform_organization_id: 'org-2' }],
      ['(a) another workspace', { terraform_workspace_id: 'ws-2' }],
      ['(b) a plan, which a pull request can start', { terraform_run_phase: 'plan' }],
      ['a token that could be replayed', { jti: null }],
      ['(e) the audience of another service', { aud: 'aws.workload.identity' }],
    ],
    unsafe: [
      ['no pin', { match: { terraform_run_phase: 'apply' } }, '/config/match unsafe'],
      ['a name', { match: { terraform_organization_name: 'acme' } }, '/config/match unsafe'],
      ['another service', { audiences: ['aws.workload.identity'] }, '/config/audiences/0 unsafe'],
    ],
  },
  {
    preset: 'vercel',
    issuer: 'https://oidc.vercel.com/acme',
    match: { owner_id: 'team_1', project_id: 'prj_1' },
    claims: {
      sub: 'owner:acme:project:app:environment:production',
      owner: 'acme',
      owner_id: 'team_1',
      project_id: 'prj_1',
      environment: 'production',
    },
    refused: [
      ['(a) another team', { owner_id: 'team_2' }],
      ['(a) another project', { project_id: 'prj_2' }],
      ['(b) a preview, which a pull request deploys', { environment: 'preview' }],
      ['(c) the token on a laptop', { environment: 'development' }],
      ['(e) the default audience', { aud: 'https://vercel.com/acme' }],
    ],
    unsafe: [
      ['no pin', { match: { environment: 'production' } }, '/config/match unsafe'],
      ['a name', { match: { owner: 'acme' } }, '/config/match unsafe'],
      ['the default', { audiences: ['https://vercel.com/acme'] }, '/config/audiences/0 unsafe'],
    ],
  },
  {
    preset: 'fly',
    issuer: 'https://oidc.fly.io/acme',
    match: { app_id: '367' },
    claims: {
      sub: 'acme:app:machine',
      org_id: '29',
      app_id: '367',
      app_name: 'app',
      machine_id: 'm1',
    },
    refused: [
      ['(a) another app', { app_id: '368' }],
      ['(a) a new app of the same name', { app_id: '9', app_name: 'app' }],
      ['(e) the audience of the documentation', { aud: 'https://fly.io/acme' }],
    ],
    unsafe: [
      ['no pin', { match: {} }, '/config/match unsafe'],
      ['a name', { match: { app_name: 'app' } }, '/config/match unsafe'],
      ['the default', { audiences: ['https://fly.io/acme'] }, '/config/audiences/0 unsafe'],
      ['no organisation', { issuer: 'https://oidc.fly.io' }, '/config/issuer value'],
    ],
  },
  {
    preset: 'google',
    issuer: 'https://accounts.google.com',
    match: { email: 'agent@p.iam.gserviceaccount.com' },
    claims: {
      sub: '1078',
      azp: '1078',
      email: 'agent@p.iam.gserviceaccount.com',
      email_verified: true,
      exp: NOW + 3590,
    },
    refused: [
      ['(a) another service account', { sub: '2', email: 'evil@q.iam.gserviceaccount.com' }],
      ['(a) an address nobody verified', { email_verified: false }],
      ['(a) an address with no word of that', { email_verified: null }],
      ['(e) another audience', { aud: 'https://iam.googleapis.com/x' }],
    ],
    unsafe: [
      ['no pin', { match: { hd: 'acme.example' } }, '/config/match unsafe'],
      ['a rounded id', { match: { sub: 1078 } }, '/config/match/sub type'],
    ],
  },
  {
    preset: 'azure-entra',
    issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
    match: { oid: 'o-1' },
    claims: {
      sub: 'o-1',
      oid: 'o-1',
      tid: TENANT,
      azp: 'app-1',
      idtyp: 'app',
      ver: '2.0',
      exp: NOW + 86_600,
    },
    refused: [
      ['(a) another principal', { oid: 'o-2' }],
      ['(a) another tenant', { tid: '00000000-0000-4000-8000-000000000000' }],
      ['(a) no tenant', { tid: null }],
      ['a user through the same application', { idtyp: 'user' }],
      ['no word of what it is', { idtyp: null }],
      ['(e) the audience of federated credentials', { aud: 'api://AzureADTokenExchange' }],
    ],
    unsafe: [
      ['no pin', { match: { roles: 'x' } }, '/config/match unsafe'],
      [
        'every tenant',
        { issuer: 'https://login.microsoftonline.com/common/v2.0' },
        '/config/issuer value',
      ],
      [
        'Azure itself',
        { audiences: ['https://management.azure.com/'] },
        '/config/audiences/0 unsafe',
      ],
      [
        'Graph',
        { audiences: ['00000003-0000-0000-c000-000000000000'] },
        '/config/audiences/0 unsafe',
      ],
    ],
  },
  {
    preset: 'cloudflare-access',
    issuer: 'https://acme.cloudflareaccess.com',
    match: { common_name: 'e367.access' },
    claims: { sub: '', common_name: 'e367.access', type: 'app' },
    refused: [
      ['(a) another service token', { common_name: 'f000.access' }],
      ['a session of the whole organisation', { type: 'org' }],
      ['(e) another application', { aud: ['tag-of-another-app'] }],
      ['a caller without a name', { common_name: null }],
    ],
    unsafe: [
      ['no pin', { match: { country: 'DE' } }, '/config/match unsafe'],
      ['any issuer', { issuer: 'https://idp.example' }, '/config/issuer value'],
    ],
  },
  {
    preset: 'workforce',
    issuer: 'https://login.acme.example',
    match: { email: 'ann@acme.example', '/device/compliant': true },
    claims: {
      sub: 'u-1',
      email: 'ann@acme.example',
      email_verified: true,
      device: { compliant: true, id: 'd-1' },
    },
    refused: [
      ['a device that is not compliant', { device: { compliant: false } }],
      ['a device that says nothing', { device: null }],
      ['a compliance that is a text', { device: { compliant: 'true' } }],
      ['(a) an address nobody verified', { email_verified: false }],
      ['a token of a week', { iat: NOW, exp: NOW + 604_800 }],
    ],
    unsafe: [
      ['nothing to tell users and devices apart', { match: {} }, '/config/match unsafe'],
      ['a shared issuer without its pin', { issuer: 'https://gitlab.com' }, '/config/match unsafe'],
    ],
  },
]

function memberFor({ preset, issuer, match, claims }: Platform): Member {
  return {
    ...oidc,
    keysOf: issuer,
    config: { preset, issuer, audiences: ['me'], match },
    claims: { ...oidc.claims, iss: issuer, ...claims },
  }
}

function platform(name: string): Platform {
  const found = PLATFORMS.find(({ preset }) => preset === name)
  if (found === undefined) throw new Error(name)
  return found
}

describe.each(PLATFORMS)('preset $preset', (of) => {
  const member = memberFor(of)
  let world: World
  beforeAll(async () => {
    world = await createWorld(member)
  })

  it('JW-10 JW-11 accepts the golden token', async () => {
    expect(mistakes(world, member, {})).toEqual([])
    expect(outcome(await verifyClaims(world, member, {}))).toBe('accepted')
  })

  it.each(of.refused)('JW-10 RB-14 refuses %s', async (_whose, change) => {
    expect(outcome(await verifyClaims(world, member, change))).not.toBe('accepted')
  })

  it.each(of.unsafe)('JW-10 RB-14 cannot be saved with %s', (_what, config, mistake) => {
    expect(mistakes(world, member, config)).toContain(mistake)
  })
})

it('every preset is among these tests', () => {
  expect(PLATFORMS.map(({ preset }) => preset)).toEqual(PRESETS.map(({ name }) => name))
})

describe('what a preset fills in', () => {
  const run = async (name: string, change: JsonObject, config: JsonObject = {}) => {
    const member = memberFor(platform(name))
    const world = await createWorld(member)
    return verifyClaims(world, member, change, config)
  }

  it('RB-14 an unknown preset is refused, with those there are', async () => {
    const world = await createWorld(oidc)
    const method = { name: 'm', enabled: true, type: 'oidc', subject: 'workload' } as const
    const [first] = world.type.validate({ ...method, config: { ...oidc.config, preset: 'github' } })
    expect(first).toMatchObject({ path: '/config/preset', code: 'value' })
    for (const { name } of PRESETS) expect(first?.message).toContain(name)
    expect(mistakes(world, oidc, { preset: 7 })).toEqual(['/config/preset type'])
  })

  it.each(['github-actions', 'gitlab', 'buildkite', 'hcp-terraform', 'google'])(
    'the issuer of %s, where the config names none',
    async (name) => {
      const row = PRESETS.find((preset) => preset.name === name)
      const member = { ...memberFor(platform(name)), keysOf: row?.issuer ?? '' }
      const world = await createWorld(member)
      const change = { iss: row?.issuer ?? '' }
      expect(outcome(await verifyClaims(world, member, change, { issuer: null }))).toBe('accepted')
    },
  )

  it('an issuer is still required where the platform has one for each customer', async () => {
    const member = memberFor(platform('circleci'))
    const world = await createWorld(member)
    expect(mistakes(world, member, { issuer: null })).toContain('/config/issuer required')
  })

  const forms: readonly (readonly [string, string, boolean])[] = [
    ['github-actions', 'https://token.actions.acme.ghe.com', true],
    ['github-actions', 'https://ghes.acme.example/_services/token', true],
    ['github-actions', 'https://token.actions.githubusercontent.com/acme-enterprise', true],
    ['github-actions', 'https://token.actions.githubusercontent.com.evil.example', false],
    ['github-actions', 'https://token.actions.a.b.ghe.com', false],
    ['github-actions', 'https://tokenxactions.acme.ghe.com', false],
    ['github-actions', 'https://token.actions.acme.ghe.com.evil.example', false],
    ['github-actions', 'https://idp.example', false],
    ['gitlab', 'https://gitlab.com', true],
    ['gitlab', 'https://acme.example:8443/gitlab', true],
    ['gitlab', 'https://acme.example/a/b', false],
    ['buildkite', 'https://agent.buildkite.com/x', false],
    ['vercel', 'https://oidc.vercel.com', true],
    ['vercel', 'https://oidc.vercel.com/a/b', false],
    ['azure-entra', `https://sts.windows.net/${TENANT}/`, true],
    ['azure-entra', `https://sts.windows.net/${TENANT}`, false],
    ['azure-entra', 'https://login.microsoftonline.com/organizations/v2.0', false],
    ['cloudflare-access', 'https://a.b.cloudflareaccess.com', false],
    ['workforce', 'https://acme.okta.example/oauth2/default', true],
  ]
  it.each(forms)('RB-14 %s and the issuer %s: %s', async (name, issuer, allowed) => {
    const member = memberFor(platform(name))
    const world = await createWorld(member)
    expect(mistakes(world, member, { issuer }).includes('/config/issuer value')).toBe(!allowed)
  })

  it.each([
    'repo:acme/app:ref:refs/heads/main',
    'repo:acme@65/app@74:ref:refs/heads/main',
    'repo:acme-65/app-74:ref:refs/heads/main',
    'repo:acme/app:environment:prod%3Aeu',
  ])(
    '(d) github-actions takes the subject %s, whose ids are in claims of their own',
    async (sub) => {
      expect(outcome(await run('github-actions', { sub }))).toBe('accepted')
      expect(outcome(await run('github-actions', { sub, repository_owner_id: '66' }))).toBe(
        'claim_mismatch',
      )
    },
  )

  it('(d) a match on the old form of the subject never takes the new form of another owner', async () => {
    const match = { repository_id: '74', sub: { glob: 'repo:acme/*:ref:**' } }
    expect(outcome(await run('github-actions', {}, { match }))).toBe('accepted')
    const sub = 'repo:acme@66/app@74:ref:refs/heads/main'
    expect(outcome(await run('github-actions', { sub }, { match }))).toBe('claim_mismatch')
  })

  it('(b) a claim that match names is judged by match alone', async () => {
    const named = { match: { repository_owner_id: '65', event_name: 'pull_request' } }
    expect(outcome(await run('github-actions', { event_name: 'pull_request' }, named))).toBe(
      'accepted',
    )
    expect(outcome(await run('github-actions', { event_name: 'push' }, named))).toBe(
      'claim_mismatch',
    )
    const preview = { match: { owner_id: 'team_1', environment: ['preview', 'production'] } }
    expect(outcome(await run('vercel', { environment: 'preview' }, preview))).toBe('accepted')
  })

  it('SPIFFE-2 the tenant of Entra is that of the issuer, whatever match says', async () => {
    const other = '00000000-0000-4000-8000-000000000000'
    const config = { match: { oid: 'o-1', tid: other } }
    expect(outcome(await run('azure-entra', { tid: other }, config))).toBe('claim_mismatch')
    expect(outcome(await run('azure-entra', {}, config))).toBe('claim_mismatch')
  })

  it('RB-06 single use is on for hcp-terraform, and can be turned off by name alone', async () => {
    const once = await run('hcp-terraform', {})
    expect(once.ok && once.value.singleUse).toBeDefined()
    const often = await run('hcp-terraform', { jti: null }, { single_use: false })
    expect(often.ok && !('singleUse' in often.value)).toBe(true)
  })

  it('JW-06 lifetimes are those of the platform, unless the config says otherwise', async () => {
    const change = { iat: NOW, exp: NOW + 3700 }
    expect(outcome(await run('google', change))).toBe('lifetime_too_long')
    expect(outcome(await run('google', change, { max_lifetime_seconds: 4000 }))).toBe('accepted')
  })

  it('a service token of Cloudflare Access is named by its common name; a user by sub', async () => {
    const service = await run('cloudflare-access', {})
    expect(service.ok && service.value.subject).toBe('e367.access')
    const config = { match: { email: 'ann@acme.example' } }
    const user = { sub: 'u-1', common_name: null, email: 'ann@acme.example' }
    const person = await run('cloudflare-access', user, config)
    expect(person.ok && person.value.subject).toBe('u-1')
    // Without the preset an empty sub is nobody.
    expect(outcome(await run('workforce', { sub: '' }))).toBe('claim_type')
  })

  it('the keys of Cloudflare Access are where it has them, and jwks_uri moves them', async () => {
    const member = memberFor(platform('cloudflare-access'))
    const world = await createWorld(member)
    await verifyClaims(world, member, {})
    await verifyClaims(world, member, {}, { jwks_uri: 'https://keys.example/certs' })
    expect(world.keySets.asked).toEqual([
      {
        kind: 'jwks_uri',
        issuer: 'https://acme.cloudflareaccess.com',
        jwksUri: 'https://acme.cloudflareaccess.com/cdn-cgi/access/certs',
      },
      {
        kind: 'jwks_uri',
        issuer: 'https://acme.cloudflareaccess.com',
        jwksUri: 'https://keys.example/certs',
      },
    ])
  })
})
