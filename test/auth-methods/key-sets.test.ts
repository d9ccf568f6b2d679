// The family on the real key sets, with an issuer that is only a function: what is fetched, and what is
// not, for a token.
import { selectorKey } from '../../functions/core/auth-method.ts'
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import { verifyAttestation } from '../../functions/core/attestation.ts'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { fail } from '../../functions/core/result.ts'
import type { PolicySnapshot } from '../../functions/core/snapshot.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { createKeySets } from '../../functions/net/key-sets.ts'
import type { Outbound } from '../../functions/net/outbound.ts'
import { tokenIssuer } from '../fakes/token-issuer.ts'
import { BROKER, claimsOf, ISSUER, memberOf, NOW, OWN, policy } from './setup.ts'

const oidcMember = memberOf('oidc')
const spiffeMember = memberOf('spiffe-jwt')
const BUNDLE_URL = String(spiffeMember.config['bundle_endpoint_url'])

async function createBroker() {
  const oidcKey = await tokenIssuer('RS256', 'key-1')
  const svidKey = await tokenIssuer('ES256', 'key-1', 'jwt-svid')
  const documents: Record<string, JsonObject> = {
    [`${ISSUER}/.well-known/openid-configuration`]: {
      issuer: ISSUER,
      jwks_uri: 'https://idp.example/keys',
    },
    'https://idp.example/keys': { keys: [oidcKey.publicJwk] },
    [BUNDLE_URL]: { keys: [svidKey.publicJwk], spiffe_sequence: 1, spiffe_refresh_hint: 300 },
  }
  const fetched: string[] = []
  const outbound: Outbound = async ({ url }) => {
    fetched.push(url.href)
    const document = documents[url.href]
    const body = new Response(JSON.stringify(document ?? {})).body
    const status = document === undefined ? 404 : 200
    return { status, headers: [['content-type', 'application/json']], body }
  }
  const clock = { nowSeconds: () => NOW, nowMs: () => NOW * 1000 }
  const reach = { privateNetwork: false, loopback: false }
  const types = createAuthMethodTypes({
    keySets: createKeySets({ outbound, clock, reach }),
    clock,
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    reach,
    ownIssuers: OWN,
    secrets: async (reference) => fail({ reason: 'not_found', reference }),
    canTrustOwnCa: true,
    issuer: BROKER,
    outbound,
  })
  const methods = [oidcMember, spiffeMember].map((member) => {
    const type = types.find((candidate) => candidate.type === member.type)
    if (type === undefined) throw new Error(member.type)
    return type.compile(policy(member, {}, { name: member.type }))
  })
  const snapshot: PolicySnapshot = {
    revision: 1,
    methods: new Map(methods.map((method) => [method.name, method])),
    userMethods: new Set(),
    methodsBySelector: new Map(methods.map((method) => [selectorKey(method.selector), [method]])),
    targets: new Map(),
    intentPolicies: new Map(),
  }
  const present = (token: string) =>
    verifyAttestation(
      { tokenType: TOKEN_TYPES.jwt, token },
      { snapshot, authMethod: null, select: selectAttestation },
    )
  return { present, fetched, oidcKey, svidKey }
}

describe('attestations on real key sets', () => {
  it('JW-01 RB-03 an issuer that is not configured is asked nothing', async () => {
    const { present, fetched, oidcKey } = await createBroker()
    for (const iss of ['https://canary.test', `${ISSUER}/`, 'https://idp.example']) {
      const header = { alg: 'RS256', kid: 'key-1', jku: 'https://canary.test/jwks' }
      const result = await present(await oidcKey.sign(claimsOf(oidcMember, { iss }), header))
      expect(result).toEqual({ ok: false, failure: { reason: 'unknown_issuer' } })
    }
    const sub = 'spiffe://canary.test/a'
    expect(await present(await oidcKey.sign(claimsOf(oidcMember, { sub })))).toMatchObject({
      ok: false,
    })
    expect(fetched).toEqual([])
  })

  it('JW-03 a valid token costs discovery and keys once, and the next one nothing', async () => {
    const { present, fetched, oidcKey } = await createBroker()
    const token = await oidcKey.sign(claimsOf(oidcMember))
    for (let i = 0; i < 3; i++) {
      const result = await present(token)
      expect(result.ok && result.value.method).toBe('oidc')
    }
    expect(fetched).toEqual([
      `${ISSUER}/.well-known/openid-configuration`,
      'https://idp.example/keys',
    ])
  })

  it('SP-06 a JWT-SVID is verified with the bundle of its trust domain, whatever iss it has', async () => {
    const { present, fetched, oidcKey, svidKey } = await createBroker()
    const header = { alg: 'ES256', kid: 'key-1' }
    const result = await present(await svidKey.sign(claimsOf(spiffeMember), header))
    expect(result.ok && result.value.subject).toBe('spiffe://prod.example/agents/a1')
    expect(fetched).toEqual([BUNDLE_URL])
    // The OIDC issuer of the same organisation cannot vouch for the trust domain.
    const forged = await oidcKey.sign(claimsOf(spiffeMember, { iss: ISSUER }), {
      alg: 'RS256',
      kid: 'key-1',
    })
    expect(await present(forged)).toMatchObject({
      ok: false,
      failure: { reason: 'key_mismatch', method: 'spiffe-jwt' },
    })
    expect(fetched).toEqual([BUNDLE_URL])
  })

  it('JW-04 a thousand unknown kids cost a bounded number of requests', async () => {
    const { present, fetched, oidcKey } = await createBroker()
    for (let i = 0; i < 1000; i++) {
      const header = { alg: 'RS256', kid: `unknown-${i}` }
      const result = await present(await oidcKey.sign(claimsOf(oidcMember), header))
      expect(result).toMatchObject({ failure: { reason: 'unknown_key' } })
    }
    expect(fetched.length).toBeLessThanOrEqual(4)
  })
})
