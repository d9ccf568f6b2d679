import { beforeAll, describe, expect, it } from 'vitest'
import { DEFAULT_MAX_LIFETIME_SECONDS } from '../../functions/auth-methods/jwt-config.ts'
import { untrustedSelector } from '../../functions/auth-methods/jwt.ts'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import { SHARED_ISSUERS } from '../../functions/auth-methods/shared-issuers.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { tokenIssuer } from '../fakes/token-issuer.ts'
import { jwtMethodContract } from './contract.ts'
import {
  claimsOf,
  compiled,
  createWorld,
  ISSUER,
  memberOf,
  mistakes,
  NOW,
  outcome,
  policy,
  verifyClaims,
  type Member,
  type World,
} from './setup.ts'

const member = memberOf('oidc')
jwtMethodContract(member)

const GITHUB = 'https://token.actions.githubusercontent.com'

/** The member, on a shared issuer. */
function on(issuer: string, match: JsonObject | null): Member {
  return {
    ...member,
    keysOf: issuer,
    config: { issuer, audiences: ['me'], match },
    claims: { ...member.claims, iss: issuer },
  }
}

let world: World
beforeAll(async () => {
  world = await createWorld(member)
})

describe('selection before any I/O', () => {
  const select = async (claims: JsonObject, tokenType: string = TOKEN_TYPES.jwt) =>
    untrustedSelector(tokenType, await world.issuer.sign(claims))

  it('JW-01 takes the issuer as it is written, and asks nobody', async () => {
    world.keySets.asked.length = 0
    for (const iss of ['https://canary.test', 'https://canary.test/', '', 'HTTPS://X']) {
      expect(await select({ iss, sub: 'a' })).toEqual({
        ok: true,
        value: { by: 'issuer', issuer: iss },
      })
    }
    expect(world.keySets.asked).toEqual([])
  })

  it('SP-06 takes the trust domain of a sub that is a SPIFFE ID, whatever iss says', async () => {
    expect(await select({ iss: ISSUER, sub: 'spiffe://td.example/a' })).toEqual({
      ok: true,
      value: { by: 'trust_domain', trustDomain: 'td.example' },
    })
  })

  it.each(['Spiffe://td/a', 'SPIFFE://td/a', 'spiffe://TD/a', 'spiffe://td/a/../b', 'spiffe://'])(
    'SP-01 C8 refuses the sub %s and falls back to no issuer',
    async (sub) => {
      expect(await select({ iss: ISSUER, sub })).toMatchObject({
        ok: false,
        failure: { reason: 'invalid_spiffe_id' },
      })
    },
  )

  it('refuses what names no issuer, is no JWT, or has another token type', async () => {
    expect(await select({ sub: 'a' })).toMatchObject({ failure: { reason: 'missing_claim' } })
    expect(await select({ iss: 1, sub: 'a' })).toMatchObject({ failure: { reason: 'claim_type' } })
    expect(await select({ iss: ISSUER }, TOKEN_TYPES.accessToken)).toMatchObject({
      failure: { reason: 'unsupported_type' },
    })
    expect(untrustedSelector(TOKEN_TYPES.jwt, 'x.y.z')).toMatchObject({
      failure: { reason: 'malformed' },
    })
  })

  it('one attestation is read the same way by the selection and by the method', async () => {
    const attestation = {
      tokenType: TOKEN_TYPES.jwt,
      token: await world.issuer.sign(claimsOf(member)),
    }
    const method = compiled(world, member)
    expect(selectAttestation(attestation)).toEqual({ ok: true, value: method.selector })
    expect(outcome(await method.verify(attestation))).toBe('accepted')
  })
})

describe('issuer', () => {
  it.each([`${ISSUER}/`, ISSUER.toUpperCase(), 'https://idp.example', `${ISSUER}#`])(
    'JW-01 JB-04 refuses a token of %s, asking nobody',
    async (iss) => {
      world.keySets.asked.length = 0
      expect(outcome(await verifyClaims(world, member, { iss }))).toBe('unknown_issuer')
      expect(world.keySets.asked).toEqual([])
    },
  )

  it('JB-04 refuses a token of one trusted issuer that another one signed', async () => {
    const other = await tokenIssuer('RS256', 'other-key')
    world.keySets.published.set('https://other.example', [other.publicJwk])
    const token = await other.sign(claimsOf(member))
    const result = await compiled(world, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe('unknown_key')
  })

  it('asks for the keys by discovery, or at jwks_uri when there is one', async () => {
    world.keySets.asked.length = 0
    await verifyClaims(world, member, {})
    await verifyClaims(world, member, {}, { jwks_uri: 'https://keys.example/jwks' })
    expect(world.keySets.asked).toEqual([
      { kind: 'discovery', issuer: ISSUER },
      { kind: 'jwks_uri', issuer: ISSUER, jwksUri: 'https://keys.example/jwks' },
    ])
  })

  it.each([
    'http://idp.example',
    'https://user@idp.example',
    'https://idp.example?x=1',
    'https://idp.example#x',
    'https://169.254.169.254',
    'https://127.0.0.1',
    'https://10.0.0.1/x',
    'https://localhost',
    'idp.example',
    '',
  ])('JW-02 cannot be saved with the issuer or key URL %s', (url) => {
    expect(mistakes(world, member, { issuer: url, jwks_uri: url })).toEqual([
      '/config/issuer unsafe',
      '/config/jwks_uri unsafe',
    ])
  })

  it.each([
    'https://broker.example',
    'https://broker.example/',
    'https://broker.example/federation',
    'https://broker.example/anything',
  ])('AUTH-5 cannot be saved with the issuer %s: that is the broker', (issuer) => {
    expect(mistakes(world, member, { issuer })).toEqual(['/config/issuer unsafe'])
  })

  it('AUTH-5 a method that was compiled for what is now the broker refuses at use', async () => {
    // Compiled from the issuer of another deployment, used with a token of this one.
    expect(outcome(await verifyClaims(world, member, { iss: 'https://broker.example' }))).toBe(
      'own_token',
    )
  })

  it('SPIFFE-2 refuses a SPIFFE ID that an OIDC issuer vouches for', async () => {
    for (const sub of ['spiffe://prod.example/a', 'SPIFFE://prod.example/a']) {
      expect(outcome(await verifyClaims(world, member, { sub }))).toBe('invalid_spiffe_id')
    }
  })
})

describe('headers real platforms send', () => {
  it('takes the x5t of GitHub and Entra for the name it is', async () => {
    const token = await world.issuer.sign(claimsOf(member), {
      typ: 'JWT',
      alg: 'RS256',
      x5t: 'abc',
      'x5t#S256': 'abc',
      kid: 'key-1',
    })
    const result = await compiled(world, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe('accepted')
  })

  it.each(['jwt', 'application/jwt'])('JB-06 takes typ %s, the same media type', async (typ) => {
    const token = await world.issuer.sign(claimsOf(member), { typ, alg: 'RS256', kid: 'key-1' })
    const result = await compiled(world, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe('accepted')
  })
})

describe('several audiences', () => {
  it('RB-01 AUTH-4 a token for two is taken when both are configured, and only then', async () => {
    const both = { audiences: ['me', 'other'] }
    expect(outcome(await verifyClaims(world, member, { aud: ['me', 'other'] }, both))).toBe(
      'accepted',
    )
    expect(outcome(await verifyClaims(world, member, { aud: ['me', 'third'] }, both))).toBe(
      'wrong_audience',
    )
  })
})

describe('shared issuers', () => {
  it.each(SHARED_ISSUERS.map(({ platform, issuer }) => [platform, issuer] as const))(
    'RB-14 JW-10 %s without a tenant pin cannot be saved',
    (_platform, issuer) => {
      const path = ['/config/match unsafe']
      expect(mistakes(world, on(issuer, null), {})).toEqual(path)
      expect(mistakes(world, on(issuer, {}), {})).toEqual(path)
      expect(mistakes(world, on(issuer, { environment: 'production' }), {})).toEqual(path)
      expect(mistakes(world, on(`${issuer}/`, { environment: 'production' }), {})).toEqual(path)
    },
  )

  const pins: readonly (readonly [string, string, JsonObject])[] = [
    ['GitHub', GITHUB, { repository_owner_id: '123' }],
    ['GitHub', GITHUB, { repository: { glob: 'acme/*' } }],
    ['GitHub', GITHUB, { repository: ['acme/a', 'acme/b'] }],
    ['GitHub', GITHUB, { sub: { glob: 'repo:acme/*:ref:refs/heads/main' } }],
    ['GitHub', GITHUB, { sub: 'repo:acme@1/app@2:environment:prod' }],
    [
      'GitLab',
      'https://gitlab.com',
      { sub: { glob: 'project_path:acme/*:ref_type:branch:ref:main' } },
    ],
    ['GitLab', 'https://gitlab.com', { namespace_id: '42' }],
    ['Buildkite', 'https://agent.buildkite.com', { organization_slug: 'acme' }],
    [
      'Buildkite',
      'https://agent.buildkite.com',
      { sub: { glob: 'organization:acme:pipeline:*:**' } },
    ],
    ['HCP', 'https://app.terraform.io', { terraform_organization_id: 'org-1' }],
    ['Vercel', 'https://oidc.vercel.com', { owner_id: 'team_1' }],
    ['Google', 'https://accounts.google.com', { sub: '1234567890' }],
    ['Google', 'https://accounts.google.com', { email: 'a@b.iam', email_verified: true }],
    ['Google', 'https://accounts.google.com', { '/google/compute_engine/project_id': 'p' }],
  ]
  it.each(pins)('RB-14 JW-10 %s %s is pinned by %j', (_platform, issuer, match) => {
    expect(mistakes(world, on(issuer, match), {})).toEqual([])
  })

  const open: readonly (readonly [string, string, JsonObject])[] = [
    ['a customised sub without the repository', GITHUB, { sub: 'environment:production' }],
    ['the owner of a workflow', GITHUB, { job_workflow_ref: 'acme/ci/.github/workflows/x@v1' }],
    ['one alternative without a tenant', GITHUB, { sub: ['repo:acme/x', 'environment:prod'] }],
    ['a label and nothing else', GITHUB, { sub: 'repo:' }],
    ['an empty tenant', GITHUB, { repository_owner: '' }],
    ['a boolean', GITHUB, { repository_owner_id: true }],
    ['an address nobody verified', 'https://accounts.google.com', { email: 'a@b.iam' }],
  ]
  it.each(open)('RB-14 JW-10 is not pinned by %s', (_name, issuer, match) => {
    expect(mistakes(world, on(issuer, match), {})).toEqual(['/config/match unsafe'])
  })

  it.each(['repo:*', 'repo:**', 'repo:acme*', 'repo:*/app:**', '*', '**'])(
    'POL-4 RB-14 the open glob %s is refused, and pins nothing',
    (glob) => {
      expect(mistakes(world, on(GITHUB, { sub: { glob } }), {})).toEqual([
        '/config/match/sub unsafe',
        '/config/match unsafe',
      ])
    },
  )

  it('an issuer of one organisation needs no pin', () => {
    for (const issuer of ['https://oidc.circleci.com/org/abc', 'https://oidc.vercel.com/acme']) {
      expect(mistakes(world, on(issuer, null), {})).toEqual([])
    }
  })

  it('JW-10 refuses the token of another tenant, and of a pull request unless it is named', async () => {
    const github = on(GITHUB, { sub: { glob: 'repo:acme/*:ref:refs/heads/main' } })
    const there = await createWorld(github)
    const run = async (change: JsonObject, config: JsonObject = {}) =>
      outcome(await verifyClaims(there, github, change, config))
    const sub = 'repo:acme/app:ref:refs/heads/main'
    expect(await run({ sub, event_name: 'push' })).toBe('accepted')
    expect(await run({ sub: 'repo:acme-evil/app:ref:refs/heads/main' })).toBe('claim_mismatch')
    expect(await run({ sub: 'repo:acme/a/b:ref:refs/heads/main' })).toBe('claim_mismatch')
    expect(await run({ sub: `${sub}-2` })).toBe('claim_mismatch')
    expect(await run({ sub, event_name: 'pull_request' })).toBe('claim_mismatch')
    expect(await run({ sub, event_name: 'pull_request_target' })).toBe('claim_mismatch')
    const named = { match: { repository_owner_id: '1', event_name: ['pull_request'] } }
    const change = { sub, repository_owner_id: '1', event_name: 'pull_request' }
    expect(await run(change, named)).toBe('accepted')
  })
})

describe('configuration of oidc', () => {
  it('an issuer is required', () => {
    expect(mistakes(world, member, { issuer: null })).toEqual(['/config/issuer required'])
  })

  it('a user method makes user identities', async () => {
    const method = world.type.compile(policy(member, {}, { subject: 'user' }))
    const token = await world.issuer.sign(claimsOf(member))
    const result = await method.verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(result.ok && result.value.kind).toBe('user')
  })

  it('the defaults are the published ones', async () => {
    expect(DEFAULT_MAX_LIFETIME_SECONDS).toBe(86_400)
    for (const alg of ['PS256', 'ES256', 'ES384', 'Ed25519', 'EdDSA']) {
      const there = await createWorld({ ...member, alg })
      const token = await there.issuer.sign(claimsOf(member))
      const result = await compiled(there, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
      expect(`${alg} ${outcome(result)}`).toBe(`${alg} accepted`)
    }
    expect(NOW).toBeGreaterThan(0)
  })
})
