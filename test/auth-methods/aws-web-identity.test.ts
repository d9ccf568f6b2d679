import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { fail } from '../../functions/core/result.ts'
import { OutboundError } from '../../functions/net/outbound.ts'
import { jwtMethodContract } from './contract.ts'
import {
  AWS_ISSUER,
  BROKER,
  claimsOf,
  createWorld,
  ISSUER,
  memberOf,
  mistakes,
  NOW,
  outcome,
  OWN,
  policy,
  verifyClaims,
  type World,
} from './setup.ts'

const member = memberOf('aws-web-identity')
jwtMethodContract(member)

const NAMESPACE = 'https://sts.amazonaws.com/'
const ROLE = 'arn:aws:iam::123456789012:role/agents/DataProcessing'

let world: World
beforeAll(async () => {
  world = await createWorld(member)
})

/** The usual claims with some of the namespace changed; null leaves one out. */
function aws(change: JsonObject): JsonObject {
  const usual = member.claims[NAMESPACE] as JsonObject
  const members = Object.entries({ ...usual, ...change }).filter(([, value]) => value !== null)
  return { [NAMESPACE]: Object.fromEntries(members) }
}

const verify = async (claims: JsonObject, config: JsonObject = {}) =>
  outcome(await verifyClaims(world, member, claims, config))

describe('tokens of sts:GetWebIdentityToken', () => {
  it('AO-03 makes an identity of the principal, its account and its tags', async () => {
    const result = await verifyClaims(world, member, {})
    expect(result.ok && result.value.subject).toBe(ROLE)
    expect(result.ok && result.value.claims[NAMESPACE]).toMatchObject({
      aws_account: '123456789012',
      principal_tags: { team: 'data' },
    })
  })

  it('AO-03 request tags reach no rule: they are not among the verified claims', async () => {
    const result = await verifyClaims(world, member, {})
    expect(JSON.stringify(result)).not.toContain('request_tags')
    expect(JSON.stringify(result)).not.toContain('admin')
  })

  it.each([
    '/https:~1~1sts.amazonaws.com~1/request_tags/team',
    '/https:~1~1sts.amazonaws.com~1/request_tags',
  ])('AO-03 a match on %s cannot be saved', (name) => {
    expect(mistakes(world, member, { match: { [name]: 'admin' } })).toEqual([
      `/config/match/${name.replaceAll('~', '~0').replaceAll('/', '~1')} unsafe`,
    ])
  })

  it('AO-03 a match on what STS itself says can be', async () => {
    const match = { '/https:~1~1sts.amazonaws.com~1/org_id': 'o-abc1234567' }
    expect(await verify({}, { match })).toBe('accepted')
    expect(await verify(aws({ org_id: 'o-other' }), { match })).toBe('claim_mismatch')
  })

  it('AO-03 no oidc method can be saved on such an issuer, to heed them after all', async () => {
    const oidc = memberOf('oidc')
    const config = { issuer: AWS_ISSUER, match: { sub: ROLE } }
    expect(mistakes(await createWorld(oidc), oidc, config)).toEqual(['/config/issuer unsafe'])
  })

  it('AO-01 takes ES384 too, and nothing else', async () => {
    const other = await createWorld({ ...member, alg: 'ES384' })
    expect(outcome(await verifyClaims(other, { ...member, alg: 'ES384' }, {}))).toBe('accepted')
    for (const alg of ['ES256', 'RS512', 'PS256', 'EdDSA']) {
      expect(mistakes(world, member, { algorithms: [alg] })).toEqual(['/config/algorithms/0 value'])
      const token = await world.issuer.sign(claimsOf(member), { alg, kid: 'key-1', typ: 'JWT' })
      const method = world.type.compile(policy(member))
      const tokenType = 'urn:ietf:params:oauth:token-type:jwt'
      expect(outcome(await method.verify({ tokenType, token }))).toBe('algorithm_not_allowed')
    }
  })

  it('AO-01 an hour is the longest life unless configured', async () => {
    const config = { max_lifetime_seconds: null }
    expect(await verify({ iat: NOW, exp: NOW + 3600 }, config)).toBe('accepted')
    expect(await verify({ iat: NOW, exp: NOW + 3601 }, config)).toBe('lifetime_too_long')
  })

  it("AO-02 AWS-3 refuses the issuer of another account's, before any key is asked for", async () => {
    world.keySets.asked.length = 0
    const iss = AWS_ISSUER.replace('a1b2c3d4', 'ffffffff')
    expect(await verify({ iss })).toBe('unknown_issuer')
    expect(world.keySets.asked).toEqual([])
  })

  const accounts: readonly (readonly [string, JsonObject, string])[] = [
    ['another account throughout', { sub: ROLE.replace('1234', '9999') }, 'claim_mismatch'],
    ['the account as a number', aws({ aws_account: 123456789012 }), 'claim_mismatch'],
    ['no account', aws({ aws_account: null }), 'missing_claim'],
    ['no namespace', { [NAMESPACE]: null }, 'missing_claim'],
    ['a namespace that is a text', { [NAMESPACE]: '123456789012' }, 'missing_claim'],
    ['another account beside sub', aws({ aws_account: '999956789012' }), 'claim_mismatch'],
  ]
  it.each(accounts)('AO-03 AWS-3 refuses %s', async (_name, change, expected) => {
    expect(await verify(change)).toBe(expected)
  })

  it('AO-03 AW-13 refuses an account that is not listed, though ARN and claim agree', async () => {
    const change = {
      sub: ROLE.replace('123456789012', '999999999999'),
      ...aws({ aws_account: '999999999999' }),
    }
    expect(await verify(change)).toBe('claim_mismatch')
  })

  it('AWS-3 refuses a token for another service', async () => {
    expect(await verify({ aud: 'https://api.other.example' })).toBe('wrong_audience')
  })

  it.each([
    'arn:aws:iam::123456789012:root',
    'arn:aws:sts::123456789012:federated-user/bob',
    'arn:aws:sts::123456789012:assumed-role/DataProcessing/session',
    'arn:aws:sts::123456789012:assumed-root/x',
    'arn:aws:iam::123456789012:role/',
    'arn:aws:iam::123456789012:role//x',
    'arn:aws:iam::123456789012:role/../x',
    'arn:aws:iam::123456789012:role/a/*/x',
    'arn:aws:iam::123456789012:role/x:y',
    'arn:aws:iam:eu-west-1:123456789012:role/x',
    'arn:evil:iam::123456789012:role/x',
    'ARN:aws:iam::123456789012:role/x',
    'arn:aws:s3::123456789012:role/x',
    'arn:aws:iam::12345678901:role/x',
    'arn:aws:iam::123456789012:group/x',
    'DataProcessing',
  ])('AW-12 AO-03 refuses the sub %s', async (sub) => {
    expect(await verify({ sub })).toBe('claim_mismatch')
  })

  it('takes users as well, unless roles are named', async () => {
    const sub = 'arn:aws:iam::123456789012:user/bots/ci'
    expect(await verify({ sub })).toBe('accepted')
    expect(await verify({ sub }, { roles: ['arn:aws:iam::123456789012:role/*'] })).toBe(
      'claim_mismatch',
    )
  })

  const roles: readonly (readonly [string, string, string])[] = [
    ['with its path', ROLE, 'accepted'],
    ['without its path', 'arn:aws:iam::123456789012:role/DataProcessing', 'accepted'],
    ['by any name', 'arn:aws:iam::123456789012:role/*', 'accepted'],
    ['by any name in its path', 'arn:aws:iam::123456789012:role/agents/*', 'accepted'],
    ['in another path', 'arn:aws:iam::123456789012:role/admins/DataProcessing', 'claim_mismatch'],
    ['by any name in another path', 'arn:aws:iam::123456789012:role/agent/*', 'claim_mismatch'],
    ['by the beginning of its name', 'arn:aws:iam::123456789012:role/Data', 'claim_mismatch'],
    ['in other case', 'arn:aws:iam::123456789012:role/dataprocessing', 'claim_mismatch'],
    ['in another partition', ROLE.replace(':aws:', ':aws-cn:'), 'claim_mismatch'],
  ]
  it.each(roles)('AW-13 a role %s: %s is %s', async (_name, role, expected) => {
    expect(await verify({}, { roles: [role] })).toBe(expected)
  })

  it('principal tags are matched by key, whatever the key holds', async () => {
    expect(await verify({}, { principal_tags: { team: ['data', 'ml'] } })).toBe('accepted')
    expect(await verify({}, { principal_tags: { '/odd': 'x' } })).toBe('accepted')
    expect(await verify({}, { principal_tags: { team: 'admin' } })).toBe('claim_mismatch')
    expect(await verify({}, { principal_tags: { team: 'data', level: '1' } })).toBe(
      'claim_mismatch',
    )
    expect(await verify(aws({ principal_tags: null }), { principal_tags: { team: 'data' } })).toBe(
      'claim_mismatch',
    )
  })
})

describe('configuration of aws-web-identity', () => {
  it.each([
    ISSUER,
    'https://tokens.sts.global.api.aws',
    'https://x.tokens.sts.global.api.aws.evil.com',
    'https://x.tokens.sts.global.api.aws/',
    'https://x.y.tokens.sts.global.api.aws',
    'https://evil.com/x.tokens.sts.global.api.aws',
    'https://sts.amazonaws.com',
  ])('AO-02 the issuer %s cannot be saved', (issuer) => {
    expect(mistakes(world, member, { issuer })).toEqual(['/config/issuer value'])
  })

  it('AO-02 in development any issuer on loopback may stand for AWS', () => {
    const types = createAuthMethodTypes({
      keySets: world.keySets,
      clock: { nowSeconds: () => NOW, nowMs: () => NOW * 1000 },
      hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
      reach: { privateNetwork: false, loopback: true },
      ownIssuers: OWN,
      issuer: BROKER,
      outbound: async () => {
        throw new OutboundError('aborted')
      },
      secrets: async (reference) => fail({ reason: 'not_found', reference }),
      canTrustOwnCa: true,
    })
    const type = types.find((candidate) => candidate.type === member.type)
    expect(type?.validate(policy(member, { issuer: 'http://127.0.0.1:4000' }))).toEqual([])
  })

  it('accounts are required, as 12 digits, and no wildcard', () => {
    expect(mistakes(world, member, { accounts: null })).toEqual(['/config/accounts required'])
    expect(mistakes(world, member, { accounts: [] })).toEqual(['/config/accounts range'])
    expect(mistakes(world, member, { accounts: ['*', '1234', '12345678901a'] })).toEqual([
      '/config/accounts/0 format',
      '/config/accounts/1 format',
      '/config/accounts/2 format',
    ])
  })

  it('keys come from the issuer and from nowhere else', () => {
    expect(mistakes(world, member, { jwks_uri: 'https://keys.example/jwks' })).toContain(
      '/config/jwks_uri unknown_member',
    )
  })

  it.each([
    ['arn:aws:iam::*:role/x', 'unsafe'],
    ['arn:aws:iam::1234567890*:role/x', 'unsafe'],
    ['arn:aws:iam::999999999999:role/x', 'value'],
    ['arn:aws:iam::123456789012:role/agent-*', 'format'],
    ['arn:aws:iam::123456789012:role/*/x', 'format'],
    ['arn:aws:iam::123456789012:role/**', 'format'],
    ['arn:aws:iam::123456789012:*', 'format'],
    ['arn:aws:iam::123456789012:user/x', 'format'],
    ['arn:aws:sts::123456789012:assumed-role/x/y', 'format'],
    ['arn:*:iam::123456789012:role/x', 'format'],
    ['*', 'format'],
  ])('AW-13 the role %s is refused when it is saved (%s)', (role, code) => {
    expect(mistakes(world, member, { roles: [role] })).toEqual([`/config/roles/0 ${code}`])
  })

  it('every mistake of principal_tags is reported with its path', () => {
    expect(mistakes(world, member, { principal_tags: { a: { glob: '*' }, '': 'x' } })).toEqual([
      '/config/principal_tags/a unsafe',
      '/config/principal_tags/ format',
    ])
    expect(mistakes(world, member, { principal_tags: {} })).toEqual([
      '/config/principal_tags range',
    ])
    expect(mistakes(world, member, { principal_tags: ['team'] })).toEqual([
      '/config/principal_tags type',
    ])
  })
})
