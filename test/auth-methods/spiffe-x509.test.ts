// spiffe-x509 beyond the contract of the certificate methods: SPIFFE IDs, bundles and trust domains.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import {
  asMember,
  certificateMethodContract,
  type CertificateMember,
  presented,
  verdict,
} from './certificate-contract.ts'
import {
  claimsOf,
  compiled,
  createWorld,
  memberOf,
  mistakes,
  outcome,
  TRUST_DOMAIN,
  type World,
} from './setup.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const root = lab.make({ name: 'root' })
const ID = `spiffe://${TRUST_DOMAIN}/agents/a1`
const svidOf = (names: string) => [...LEAF, `subjectAltName=${names}`]

function entry(...chain: readonly MadeCertificate[]): JsonObject {
  const x5c = chain.map(({ der }) => Buffer.from(der).toString('base64'))
  return { use: 'x509-svid', kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', x5c }
}
const inline = (...keys: readonly JsonObject[]): JsonObject => ({ bundle: { keys } })

const member: CertificateMember = {
  type: 'spiffe-x509',
  config: { trust_domain: TRUST_DOMAIN, spiffe_ids: ['/agents/*'], ...inline(entry(root)) },
  extensions: svidOf(`URI:${ID}`),
  subject: ID,
}

certificateMethodContract(member, lab, root)

let world: World
beforeAll(async () => {
  world = await createWorld(asMember(member))
})
const judge = (chain: readonly MadeCertificate[], config: JsonObject = {}) =>
  verdict(world, member, presented(chain), config)
const leafWith = (names: string, issuer = root) =>
  lab.make({ name: 'leaf', issuer, extensions: svidOf(names) })

describe('SPIFFE-1 SP-09 exactly one SPIFFE ID', () => {
  it.each([
    ['two URIs', `URI:${ID},URI:https://x.example`, 'invalid_spiffe_id'],
    ['two SPIFFE IDs', `URI:${ID},URI:spiffe://${TRUST_DOMAIN}/agents/a2`, 'invalid_spiffe_id'],
    ['the same one twice', `URI:${ID},URI:${ID}`, 'invalid_spiffe_id'],
    ['no URI', 'DNS:agent.example', 'invalid_spiffe_id'],
    ['another scheme', 'URI:https://prod.example/agents/a1', 'invalid_spiffe_id'],
    ['upper case', `URI:SPIFFE://${TRUST_DOMAIN}/agents/a1`, 'invalid_spiffe_id'],
    ['an escape', `URI:spiffe://${TRUST_DOMAIN}/agents/%61`, 'invalid_spiffe_id'],
    ['a dot segment', `URI:spiffe://${TRUST_DOMAIN}/x/../agents`, 'invalid_spiffe_id'],
    ['a slash at the end', `URI:${ID}/`, 'invalid_spiffe_id'],
    ['a query', `URI:${ID}?x`, 'invalid_spiffe_id'],
    ['a port', `URI:spiffe://${TRUST_DOMAIN}:1/agents/a1`, 'invalid_spiffe_id'],
    ['no path', `URI:spiffe://${TRUST_DOMAIN}`, 'claim_mismatch'],
    ['another path', `URI:spiffe://${TRUST_DOMAIN}/agents-evil/a1`, 'claim_mismatch'],
    ['a longer path', `URI:${ID}/b`, 'claim_mismatch'],
    ['another trust domain', 'URI:spiffe://other.example/agents/a1', 'wrong_trust_domain'],
    ['a DNS name beside it', `URI:${ID},DNS:agent.example`, 'accepted'],
  ])('SPIFFE-1 SP-02 SP-09 %s', async (_name, names, expected) => {
    expect(await judge([leafWith(names)])).toBe(expected)
  })

  it('SPIFFE-1 nothing with a SPIFFE ID in it is looked up as anything else', () => {
    for (const [names, expected] of [
      [`URI:${ID},URI:https://x.example`, 'invalid_spiffe_id'],
      [`URI:https://x.example,URI:${ID}`, 'invalid_spiffe_id'],
      [`URI:SPIFFE://${TRUST_DOMAIN}/a`, 'invalid_spiffe_id'],
      ['DNS:agent.example', TOKEN_TYPES.mtls],
      [`URI:${ID}`, TRUST_DOMAIN],
    ] as const) {
      const selected = selectAttestation(presented([leafWith(names)]))
      expect(JSON.stringify(selected)).toContain(expected)
    }
  })
})

describe('SP-06 SP-07 SP-09 bundles', () => {
  const leaf = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
  const remote = {
    bundle: null,
    bundle_endpoint_url: 'https://spire.example/bundle',
    bundle_profile: 'https_web',
  }

  it('SPIFFE-2 SP-06 roots of another trust domain vouch for nothing here', async () => {
    const there = await createWorld(asMember(member))
    const foreign = lab.make({ name: 'root' })
    there.keySets.published.set(TRUST_DOMAIN, [entry(root)])
    there.keySets.published.set('other.example', [entry(foreign)])
    const forged = lab.make({ name: 'agent', issuer: foreign, extensions: member.extensions })
    expect(await verdict(there, member, presented([leaf]), remote)).toBe('accepted')
    expect(await verdict(there, member, presented([forged]), remote)).toBe('unknown_issuer')
    expect(there.keySets.asked).toEqual([
      { kind: 'spiffe_bundle', trustDomain: TRUST_DOMAIN, url: 'https://spire.example/bundle' },
      { kind: 'spiffe_bundle', trustDomain: TRUST_DOMAIN, url: 'https://spire.example/bundle' },
    ])
  })

  it('SP-07 an empty bundle vouches for nobody, an unreachable or old one neither', async () => {
    const there = await createWorld(asMember(member))
    expect(await verdict(there, member, presented([leaf]), remote)).toBe('keys_unreachable')
    there.keySets.published.set(TRUST_DOMAIN, [])
    expect(await verdict(there, member, presented([leaf]), remote)).toBe('unknown_issuer')
    there.keySets.published.set(TRUST_DOMAIN, [entry(root)])
    there.keySets.ageSeconds = 100
    const config = { ...remote, max_stale_seconds: 99 }
    expect(await verdict(there, member, presented([leaf]), config)).toBe('keys_stale')
  })

  it('SP-09 only the first of x5c is a root, and only under use x509-svid', async () => {
    const other = lab.make({ name: 'other' })
    expect(await judge([leaf], inline(entry(other, root)))).toBe('unknown_issuer')
    expect(await judge([leaf], inline(entry(root, other)))).toBe('accepted')
    for (const use of ['jwt-svid', 'X509-SVID', null]) {
      const there = await createWorld(asMember(member))
      there.keySets.published.set(TRUST_DOMAIN, [{ ...entry(root), use }])
      expect(await verdict(there, member, presented([leaf]), remote)).toBe('unknown_issuer')
    }
  })

  it('SP-09 several roots, as in a rotation, each vouch', async () => {
    const next = lab.make({ name: 'root' })
    const config = inline(entry(root), entry(next))
    const renewed = lab.make({ name: 'agent', issuer: next, extensions: member.extensions })
    expect(await judge([leaf], config)).toBe('accepted')
    expect(await judge([renewed], config)).toBe('accepted')
  })

  it('an intermediate of the workload is used, and is itself no workload', async () => {
    const ca = lab.make({
      name: 'ca',
      issuer: root,
      extensions: [...CA, `subjectAltName=URI:spiffe://${TRUST_DOMAIN}/agents/ca`],
    })
    const under = lab.make({ name: 'agent', issuer: ca, extensions: member.extensions })
    expect(await judge([under, ca])).toBe('accepted')
    expect(await judge([under])).toBe('unknown_issuer')
    expect(await judge([ca])).toBe('signing_certificate')
  })

  it("MTLS-3 the identity is the leaf's, whatever else is presented", async () => {
    const admin = leafWith(`URI:spiffe://${TRUST_DOMAIN}/agents/admin`)
    const method = compiled(world, asMember(member))
    const result = await method.verify(presented([leaf, admin]))
    expect(result.ok && result.value.subject).toBe(ID)
  })

  it('refuses a name that the method does not take without a look-up', async () => {
    const there = await createWorld(asMember(member))
    await verdict(there, member, presented([leafWith('URI:spiffe://other.example/x')]), remote)
    expect(there.keySets.asked).toEqual([])
  })
})

describe('one workload, one identity', () => {
  it('SP-09 SP-04 the X509-SVID and the JWT-SVID have the same subject and trust domain', async () => {
    const jwt = memberOf('spiffe-jwt')
    const there = await createWorld(jwt)
    const token = await there.issuer.sign(claimsOf(jwt), jwt.header(there.issuer))
    const byToken = compiled(there, jwt)
    const byCertificate = compiled(world, asMember(member))
    const leaf = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
    const identities = await Promise.all([
      byToken.verify({ tokenType: TOKEN_TYPES.jwt, token }),
      byCertificate.verify(presented([leaf])),
    ])
    expect(identities.map(outcome)).toEqual(['accepted', 'accepted'])
    const subjects = identities.map((one) => one.ok && [one.value.subject, one.value.claims['sub']])
    expect(subjects).toEqual([
      [ID, ID],
      [ID, ID],
    ])
    expect(byToken.selector).toEqual(byCertificate.selector)
  })
})

describe('configuration', () => {
  const noted = (config: JsonObject) => mistakes(world, asMember(member), config)

  it('POL-4 every mistake is reported', () => {
    expect(noted({ trust_domain: 'Prod', spiffe_ids: ['*'] })).toEqual([
      '/config/trust_domain format',
      '/config/spiffe_ids/0 format',
    ])
    expect(noted({ spiffe_ids: ['/**'] })).toEqual(['/config/spiffe_ids/0 unsafe'])
    expect(noted({ bundle: null })).toEqual([
      '/config/bundle_endpoint_url required',
      '/config/bundle_profile required',
    ])
    expect(noted({ bundle_profile: 'https_web' })).toEqual(['/config/bundle value'])
    expect(noted({ max_stale_seconds: -1 })).toEqual(['/config/max_stale_seconds range'])
  })

  it('an inline bundle holds roots, and whole ones', () => {
    const leaf = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
    expect(noted(inline())).toEqual(['/config/bundle/keys value'])
    expect(noted(inline({ ...entry(root), use: 'jwt-svid' }))).toEqual([
      '/config/bundle/keys value',
    ])
    expect(noted(inline(entry(leaf)))).toEqual(['/config/bundle/keys/0/x5c value'])
    expect(noted(inline({ ...entry(root), x5c: ['AAAA'] }))).toEqual([
      '/config/bundle/keys/0/x5c value',
    ])
    expect(noted(inline({ ...entry(root), d: 'AA' }))).toEqual(['/config/bundle/keys/0 unsafe'])
  })
})
