// What the JWT methods are configured with and shown: one issuer each, and its claims as it writes them.
import type { JsonObject } from '../functions/core/identity.ts'
import { systemClock } from '../functions/platforms/system.ts'

export type TokenMethod = {
  readonly name: string
  readonly type: string
  readonly alg: string
  /** Where its keys are: discovery document and key set below it, or a SPIFFE bundle. */
  readonly url: string
  readonly config: JsonObject
  readonly claims: JsonObject
}

export const BROKER = 'https://broker.example'
export const TRUST_DOMAIN = 'prod.example'
export const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/agents/a1`
export const ACCOUNT = '123456789012'

const now = systemClock.nowSeconds()
const lasting = { aud: 'sallyport', iat: now, exp: now + 3600 }
const COMMIT = '5f3759df5f3759df5f3759df5f3759df5f3759df'

export const TOKEN_METHODS: readonly TokenMethod[] = [
  oidc('RS256'),
  oidc('ES256'),
  ofIssuer('https://cluster.example', {
    name: 'kubernetes RS256',
    type: 'kubernetes',
    config: { namespaces: ['analytics'], service_accounts: ['*'] },
    claims: {
      sub: 'system:serviceaccount:analytics:etl',
      nbf: now,
      'kubernetes.io': {
        namespace: 'analytics',
        pod: { name: 'etl-0', uid: '6d3a1f0e-0000-4000-8000-000000000001' },
        serviceaccount: { name: 'etl', uid: '6d3a1f0e-0000-4000-8000-000000000002' },
      },
    },
  }),
  {
    name: 'spiffe-jwt ES256',
    type: 'spiffe-jwt',
    alg: 'ES256',
    url: 'https://spire.example/bundle',
    config: {
      trust_domain: TRUST_DOMAIN,
      spiffe_ids: ['/agents/*'],
      audiences: [lasting.aud],
      bundle_endpoint_url: 'https://spire.example/bundle',
      bundle_profile: 'https_web',
    },
    claims: { ...lasting, sub: SPIFFE_ID },
  },
  ofIssuer('https://token.actions.githubusercontent.com', {
    name: 'github-actions RS256',
    type: 'oidc',
    config: {
      preset: 'github-actions',
      match: { repository_owner_id: '65', ref: 'refs/heads/main' },
    },
    // All that GitHub writes: the longest token of the presets.
    claims: {
      sub: 'repo:acme/app:ref:refs/heads/main',
      nbf: now,
      actor: 'octocat',
      actor_id: '583231',
      base_ref: '',
      event_name: 'push',
      head_ref: '',
      job_workflow_ref: 'acme/app/.github/workflows/deploy.yml@refs/heads/main',
      job_workflow_sha: COMMIT,
      ref: 'refs/heads/main',
      ref_protected: 'true',
      ref_type: 'branch',
      repository: 'acme/app',
      repository_id: '74',
      repository_owner: 'acme',
      repository_owner_id: '65',
      repository_visibility: 'private',
      run_attempt: '1',
      run_id: '12345678901',
      run_number: '42',
      runner_environment: 'github-hosted',
      sha: COMMIT,
      workflow: 'deploy',
      workflow_ref: 'acme/app/.github/workflows/deploy.yml@refs/heads/main',
      workflow_sha: COMMIT,
    },
  }),
  ofIssuer('https://a1b2c3d4-0000-4000-8000-5e6f70819203.tokens.sts.global.api.aws', {
    name: 'aws-web-identity RS256',
    type: 'aws-web-identity',
    config: { accounts: [ACCOUNT] },
    claims: {
      sub: `arn:aws:iam::${ACCOUNT}:role/agents/DataProcessing`,
      'https://sts.amazonaws.com/': {
        aws_account: ACCOUNT,
        source_region: 'eu-central-1',
        org_id: 'o-abc1234567',
        principal_tags: { team: 'data' },
        request_tags: { team: 'admin' },
      },
    },
  }),
]

function ofIssuer(
  url: string,
  { config, claims, alg = 'RS256', ...names }: Omit<TokenMethod, 'alg' | 'url'> & { alg?: string },
): TokenMethod {
  return {
    ...names,
    alg,
    url,
    config: { ...config, issuer: url, audiences: [lasting.aud] },
    claims: { ...lasting, iss: url, ...claims },
  }
}

function oidc(alg: string): TokenMethod {
  return ofIssuer(`https://${alg.toLowerCase()}.idp.example`, {
    name: `oidc ${alg}`,
    type: 'oidc',
    alg,
    config: { match: { team: ['support', 'billing'] } },
    claims: { sub: 'agent-1', nbf: now, team: 'support' },
  })
}
