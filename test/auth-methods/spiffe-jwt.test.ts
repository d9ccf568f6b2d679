import { beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { tokenIssuer } from '../fakes/token-issuer.ts'
import { jwtMethodContract } from './contract.ts'
import {
  claimsOf,
  compiled,
  createWorld,
  memberOf,
  mistakes,
  OWN,
  outcome,
  TRUST_DOMAIN,
  verifyClaims,
  type World,
} from './setup.ts'

const member = memberOf('spiffe-jwt')
jwtMethodContract(member)

let world: World
beforeAll(async () => {
  world = await createWorld(member)
})

const verifySubject = async (sub: string, spiffe_ids: readonly string[] = ['/agents/**']) =>
  outcome(await verifyClaims(world, member, { sub }, { spiffe_ids }))

describe('JWT-SVID', () => {
  it.each([
    ['spiffe://prod.example/agents', 'claim_mismatch'],
    ['spiffe://prod.example/agents/x', 'accepted'],
    ['spiffe://prod.example/agents/x/y', 'accepted'],
    ['spiffe://prod.example/agents-evil/x', 'claim_mismatch'],
    ['spiffe://prod.example/agentsx', 'claim_mismatch'],
    ['spiffe://prod.example', 'claim_mismatch'],
    ['spiffe://prod.example.evil/agents/x', 'wrong_trust_domain'],
    ['spiffe://evil.prod.example/agents/x', 'wrong_trust_domain'],
    ['spiffe://prod.example/agents/../admin', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents/%2e%2e/admin', 'invalid_spiffe_id'],
    ['spiffe://prod.example/%61gents/x', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents/x/', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents//x', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents/*', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents/x?y', 'invalid_spiffe_id'],
    ['spiffe://prod.example/agents/x#y', 'invalid_spiffe_id'],
    ['spiffe://PROD.example/agents/x', 'invalid_spiffe_id'],
    ['Spiffe://prod.example/agents/x', 'invalid_spiffe_id'],
    ['wimse://prod.example/agents/x', 'invalid_spiffe_id'],
    ['https://prod.example/agents/x', 'invalid_spiffe_id'],
    ['spiffe://prod.example:443/agents/x', 'invalid_spiffe_id'],
    ['spiffe://u@prod.example/agents/x', 'invalid_spiffe_id'],
    ['/agents/x', 'invalid_spiffe_id'],
  ])('RB-11 SP-02 SP-03 SP-11 SPIFFE-1 SPIFFE-3 sub %s is %s', async (sub, expected) => {
    expect(await verifySubject(sub)).toBe(expected)
  })

  it('SPIFFE-3 SP-03 a path without a wildcard is exactly that path', async () => {
    const exact = ['/service/pay']
    expect(await verifySubject('spiffe://prod.example/service/pay', exact)).toBe('accepted')
    expect(await verifySubject('spiffe://prod.example/service/payroll', exact)).toBe(
      'claim_mismatch',
    )
    expect(await verifySubject('spiffe://prod.example/service/pay/x', exact)).toBe('claim_mismatch')
    expect(await verifySubject('spiffe://prod.example/Service/pay', exact)).toBe('claim_mismatch')
  })

  it.each([
    ['me', 'me'],
    ['me', 'other'],
    ['other', 'me'],
  ])('SP-05 refuses two audiences, %s and %s, even where both are configured', async (...aud) => {
    const config = { audiences: ['me', 'other'] }
    expect(outcome(await verifyClaims(world, member, { aud }, config))).toBe('wrong_audience')
  })

  it.each(['EdDSA', 'Ed25519', 'HS256'])(
    'SP-04 refuses alg %s, even by its own key',
    async (alg) => {
      const signer = await tokenIssuer('EdDSA', 'ed', 'jwt-svid')
      const there = await createWorld(member)
      there.keySets.published.set(TRUST_DOMAIN, [signer.publicJwk])
      const token = await signer.sign(claimsOf(member), { alg, kid: 'ed' })
      const result = await compiled(there, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
      expect(outcome(result)).toBe('algorithm_not_allowed')
      expect(mistakes(world, member, { algorithms: [alg] })).toEqual(['/config/algorithms/0 value'])
    },
  )

  it.each([
    [{ typ: 'JOSE' }, 'accepted'],
    [{ typ: 'jwt' }, 'type_not_allowed'],
    [{ x5t: 'abc' }, 'header_not_allowed'],
    [{ cty: 'x' }, 'header_not_allowed'],
    [{ anything: 1 }, 'header_not_allowed'],
  ])('SP-04 the header %j is %s', async (change: JsonObject, expected) => {
    const token = await world.issuer.sign(claimsOf(member), {
      ...member.header(world.issuer),
      ...change,
    })
    const result = await compiled(world, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe(expected)
  })

  it.each(['x509-svid', 'wit-svid', 'sig'])(
    'SP-06 a key for %s verifies no JWT-SVID',
    async (use) => {
      const there = await createWorld({ ...member, use })
      expect(outcome(await verifyClaims(there, member, {}))).toBe('unknown_key')
    },
  )

  it('SP-06 a key without use verifies no JWT-SVID', async () => {
    const there = await createWorld(member)
    const { use: _, ...jwk } = there.issuer.publicJwk
    there.keySets.published.set(TRUST_DOMAIN, [jwk])
    expect(outcome(await verifyClaims(there, member, {}))).toBe('unknown_key')
  })

  it('SP-06 SPIFFE-2 a key of trust domain B does not sign for trust domain A', async () => {
    const there = await createWorld(member)
    const foreign = await tokenIssuer('ES256', 'key-b', 'jwt-svid')
    there.keySets.published.set('b.example', [foreign.publicJwk])
    const token = await foreign.sign(claimsOf(member), { alg: 'ES256', kid: 'key-b' })
    const result = await compiled(there, member).verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe('unknown_key')
    expect(there.keySets.asked).toEqual([
      { kind: 'spiffe_bundle', trustDomain: TRUST_DOMAIN, url: 'https://spire.example/bundle' },
    ])
  })

  it('iss may be there, selects nothing, and is never the broker', async () => {
    expect(outcome(await verifyClaims(world, member, { iss: 'https://spire.example' }))).toBe(
      'accepted',
    )
    expect(outcome(await verifyClaims(world, member, { iss: 1 }))).toBe('claim_type')
    expect(outcome(await verifyClaims(world, member, { iss: OWN[0] ?? '' }))).toBe('own_token')
  })
})

describe('configuration of spiffe-jwt', () => {
  const inline = (bundle: JsonObject[string], more: JsonObject = {}): JsonObject => ({
    bundle_endpoint_url: null,
    bundle_profile: null,
    bundle,
    ...more,
  })

  it('SP-06 verifies with an inline bundle, told apart by its content', async () => {
    const there = await createWorld(member)
    const bundle = { keys: [there.issuer.publicJwk], spiffe_sequence: 1 }
    expect(outcome(await verifyClaims(there, member, {}, inline(bundle)))).toBe('accepted')
    const [first] = there.keySets.asked
    await verifyClaims(there, member, {}, inline({ ...bundle, spiffe_sequence: 2 }))
    const second = there.keySets.asked[1]
    expect(first).toMatchObject({ kind: 'inline' })
    expect(first?.kind === 'inline' && second?.kind === 'inline' && first.id !== second.id).toBe(
      true,
    )
  })

  it('SP-07 an inline bundle holds a public key for JWT-SVIDs', async () => {
    const bad = (bundle: JsonObject[string]) => mistakes(world, member, inline(bundle))
    expect(bad({ keys: [] })).toEqual(['/config/bundle/keys value'])
    expect(bad({ keys: [{ kty: 'EC', use: 'x509-svid' }] })).toEqual(['/config/bundle/keys value'])
    expect(bad({ keys: 'x' })).toEqual(['/config/bundle type'])
    expect(bad('{}')).toEqual(['/config/bundle type'])
    expect(bad({ keys: [{ kty: 'EC', use: 'jwt-svid', d: 'secret' }] })).toEqual([
      '/config/bundle/keys/0 unsafe',
    ])
  })

  it('SP-08 needs a bundle, or an endpoint with its profile, and not both', () => {
    expect(mistakes(world, member, { bundle_endpoint_url: null, bundle_profile: null })).toEqual([
      '/config/bundle_endpoint_url required',
      '/config/bundle_profile required',
    ])
    expect(mistakes(world, member, { bundle: { keys: [] } })).toEqual(['/config/bundle value'])
    expect(mistakes(world, member, { bundle_profile: 'https_spiffe' })).toEqual([
      '/config/endpoint_spiffe_id required',
      '/config/bundle required',
    ])
    expect(mistakes(world, member, { bundle_profile: 'http' })).toEqual([
      '/config/bundle_profile value',
    ])
    for (const url of ['http://spire.example/b', 'https://u@spire.example', 'https://10.0.0.1']) {
      expect(mistakes(world, member, { bundle_endpoint_url: url })).toEqual([
        '/config/bundle_endpoint_url unsafe',
      ])
    }
  })

  it.each([
    '',
    'spiffe://prod.example',
    'PROD.example',
    'prod.example/',
    'prod.example:443',
    'a b',
  ])('SP-01 C8 "%s" is not a trust domain', (trust_domain) => {
    expect(mistakes(world, member, { trust_domain })).toEqual(['/config/trust_domain format'])
  })

  it.each([
    ['agents', 'format'],
    ['/agents/', 'format'],
    ['/agents//x', 'format'],
    ['/agents/../x', 'format'],
    ['/agents/%2e', 'format'],
    ['/agents/x*', 'format'],
    ['/**/x', 'format'],
    ['spiffe://prod.example/agents', 'format'],
    ['*', 'format'],
    ['/*', 'unsafe'],
    ['/**', 'unsafe'],
    ['/*/agents', 'unsafe'],
  ])('POL-4 SP-03 the pattern %s is refused (%s)', (pattern, code) => {
    expect(mistakes(world, member, { spiffe_ids: [pattern] })).toEqual([
      `/config/spiffe_ids/0 ${code}`,
    ])
  })
})
