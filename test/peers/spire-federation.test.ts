// Two real SPIRE servers, two trust domains, one broker that follows both bundles: the home domain's over
// `https_web`, the partner's over `https_spiffe`. The home server follows the partner as well, which must
// not make its own endpoint vouch for it. Forgeries are signed with the partner's real keys.
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProtectedApi, startProtectedApi } from '../../functions/cli/quickstart-world.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { LEAF, opensslLab } from '../fakes/openssl.ts'
import {
  activeAuthority,
  bundleOf,
  jwtKeyIds,
  rotate,
  signByJwtAuthority,
  x509Authority,
} from './spire-authorities.ts'
import { buildSpire, canRunSpire, type Spire, startSpire } from './spire.ts'
import {
  BY_TLS,
  byJwt,
  refusals,
  startTlsBroker,
  subjectOf,
  type TlsBroker,
  validNow,
} from './tls-broker.ts'

const HOME = 'agents.example'
const PARTNER = 'partner.example'
/** The same in both, so that nothing but the trust domain tells the workloads apart. */
const PATH = '/support/summariser'
const SERVER_PATH = '/spire/server'
const BUILD_TIMEOUT_MS = 30 * 60_000

const isAbsent = !(await canRunSpire()) && process.env['CI'] === undefined
const REFUSED = { status: 400, body: { error: 'invalid_request' } }

describe.skipIf(isAbsent)(
  'SPIRE 1.15 federation (needs go or .cache/bin/spire-server, and openssl)',
  () => {
    const lab = opensslLab()
    let home: Spire
    let partner: Spire
    let api: ProtectedApi
    let broker: TlsBroker
    let partnerKid: string

    beforeAll(async () => {
      await buildSpire()
      ;[home, partner, api] = await Promise.all([
        startSpire(HOME, `spiffe://${HOME}${PATH}`),
        startSpire(PARTNER, `spiffe://${PARTNER}${PATH}`, { profile: 'https_spiffe' }),
        startProtectedApi(),
      ])
      partnerKid = await activeAuthority(partner, 'jwt')
      const partnerBundle = await bundleOf(partner)
      await federate(home, partner)
      broker = await startTlsBroker({
        env: { NODE_EXTRA_CA_CERTS: home.caFile },
        secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
        policy: (url) => policyOf(url, { home, partner, api, partnerBundle }),
      })
    }, BUILD_TIMEOUT_MS)

    afterAll(async () => {
      await Promise.all([broker?.stop(), home?.stop(), partner?.stop(), api?.close()])
      lab.close()
    })

    const both = () => [
      { name: 'home', other: 'partner', spire: home },
      { name: 'partner', other: 'home', spire: partner },
    ]

    test('SP-06 SP-09: workloads of two domains with one path are two identities', async () => {
      for (const { name, spire } of both()) {
        const target = { audience: `${name}-crm` }
        const jwt = byJwt(await spire.fetchJwtSvid(broker.url))
        const byToken = await broker.exchange({ ...jwt, ...target })
        const byChain = await broker.exchange({ ...BY_TLS, ...target }, await spire.fetchX509Svid())
        const id = `spiffe://${spire.trustDomain}${PATH}`
        expect(subjectOf(byToken)).toBe(`${name}-jwt:${id}`)
        expect(subjectOf(byChain)).toBe(`${name}-x509:${id}`)
      }
    })

    test('SP-06: the method of one domain refuses the SVIDs of the other, and its targets', async () => {
      for (const { other, spire } of both()) {
        const jwt = byJwt(await spire.fetchJwtSvid(broker.url))
        const x509 = await spire.fetchX509Svid()
        const target = { audience: `${other}-crm` }
        const byToken = { ...jwt, ...target, auth_method: `${other}-jwt` }
        const byChain = { ...BY_TLS, ...target, auth_method: `${other}-x509` }
        expect(await broker.exchange(byToken)).toMatchObject(REFUSED)
        expect(await broker.exchange(byChain, x509)).toMatchObject(REFUSED)
        // Its own method accepts it, and has no binding to the other domain's target.
        const none = { status: 400, body: { error: 'invalid_target' } }
        expect(await broker.exchange({ ...jwt, ...target })).toMatchObject(none)
        expect(await broker.exchange({ ...BY_TLS, ...target }, x509)).toMatchObject(none)
      }
    })

    const forgeJwt = (sub: string, kid: string) => {
      const now = Math.floor(Date.now() / 1000)
      const claims = { sub, aud: [broker.url], iat: now, exp: now + 240 }
      return signByJwtAuthority(partner, { kid, claims })
    }
    const forgeX509 = async (id: string) => {
      const issuer = await x509Authority(partner)
      const extensions = [...LEAF, `subjectAltName=URI:${id}`]
      const made = lab.make({ ...validNow(), name: 'forged', issuer, extensions })
      return { cert: made.pem, key: made.keyPem }
    }

    test('SP-06 RB-11: what the partner signs in the name of the home domain opens nothing', async () => {
      const target = { audience: 'home-crm' }
      const forgedId = `spiffe://${HOME}${PATH}`
      const homeKid = await activeAuthority(home, 'jwt')
      const forged = await forgeX509(forgedId)
      const earlier = (await refusals(broker)).length
      for (const kid of [partnerKid, homeKid]) {
        const jwt = { ...byJwt(await forgeJwt(forgedId, kid)), ...target }
        expect(await broker.exchange(jwt)).toMatchObject(REFUSED)
        expect(await broker.exchange({ ...jwt, auth_method: 'partner-jwt' })).toMatchObject(REFUSED)
      }
      const chain = { ...BY_TLS, ...target }
      expect(await broker.exchange(chain, forged)).toMatchObject(REFUSED)
      const elsewhere = { ...chain, auth_method: 'partner-x509' }
      expect(await broker.exchange(elsewhere, forged)).toMatchObject(REFUSED)
      // By the method of the domain that is named, for want of such a key; the partner's is never asked.
      const facts = (await refusals(broker)).slice(earlier).map(({ outcome }) => outcome.facts)
      expect(facts).toMatchObject([
        { method: 'home-jwt', reason: 'unknown_key' },
        { reason: 'unknown_issuer' },
        { method: 'home-jwt', reason: 'bad_signature' },
        { reason: 'unknown_issuer' },
        { method: 'home-x509', reason: 'certificate_refused', got: 'unknown_issuer' },
        { reason: 'unknown_issuer' },
      ])
    })

    test('SP-06: the same keys in the name of their own domain are believed, so the refusals count', async () => {
      const target = { audience: 'partner-crm' }
      const ownId = `spiffe://${PARTNER}${PATH}`
      const jwt = byJwt(await forgeJwt(ownId, partnerKid))
      expect(subjectOf(await broker.exchange({ ...jwt, ...target }))).toBe(`partner-jwt:${ownId}`)
      const byChain = await broker.exchange({ ...BY_TLS, ...target }, await forgeX509(ownId))
      expect(subjectOf(byChain)).toBe(`partner-x509:${ownId}`)
    })

    test('SP-06 SP-08: a new key of the partner is followed, for the partner alone', async () => {
      const { new: kid } = await rotate(partner, 'jwt')
      const ownId = `spiffe://${PARTNER}${PATH}`
      const minting = ['-spiffeID', ownId, '-audience', broker.url]
      const minted = (await partner.server('jwt', 'mint', ...minting)).trim()
      const header = Buffer.from(minted.split('.')[0] ?? '', 'base64url').toString()
      expect(JSON.parse(header)).toMatchObject({ kid })
      const accepted = await broker.exchange({ ...byJwt(minted), audience: 'partner-crm' })
      expect(subjectOf(accepted)).toBe(`partner-jwt:${ownId}`)
      const elsewhere = { ...byJwt(minted), audience: 'home-crm', auth_method: 'home-jwt' }
      expect(await broker.exchange(elsewhere)).toMatchObject(REFUSED)
    })

    test('SP-08: an endpoint that answers with another domain’s certificate is not believed', async () => {
      const partnerBundle = await bundleOf(home)
      const mixedUp = await startTlsBroker({
        env: { NODE_EXTRA_CA_CERTS: home.caFile },
        secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
        policy: (url) => policyOf(url, { home, partner, api, partnerBundle }),
      })
      try {
        const jwt = byJwt(await partner.fetchJwtSvid(mixedUp.url))
        expect(await mixedUp.exchange({ ...jwt, audience: 'partner-crm' })).toMatchObject(REFUSED)
        const facts = { method: 'partner-jwt', reason: 'keys_unreachable' }
        expect(await refusals(mixedUp)).toMatchObject([{ outcome: { facts } }])
      } finally {
        await mixedUp.stop()
      }
    })
  },
)

/** As SPIRE means it: `to` is fetched by `from` from its real endpoint, and kept apart from its own. */
async function federate(from: Spire, to: Spire): Promise<void> {
  const file = `${from.keysFile}.${to.trustDomain}.json`
  await writeFile(file, JSON.stringify(await bundleOf(to)))
  const endpointId = `spiffe://${to.trustDomain}${SERVER_PATH}`
  const endpoint = ['-bundleEndpointURL', to.bundleUrl, '-endpointSpiffeID', endpointId]
  const profile = ['-bundleEndpointProfile', 'https_spiffe']
  const first = ['-trustDomainBundlePath', file, '-trustDomainBundleFormat', 'spiffe']
  const options = ['-trustDomain', to.trustDomain, ...endpoint, ...profile, ...first]
  await from.server('federation', 'create', ...options)
  await from.server('federation', 'refresh', '-id', to.trustDomain)
  const kept = JSON.parse(
    await from.server('bundle', 'list', '-id', `spiffe://${to.trustDomain}`, '-format', 'spiffe'),
  ) as JsonObject
  expect(jwtKeyIds(kept)).toEqual(jwtKeyIds(await bundleOf(to)))
}

function policyOf(
  url: string,
  context: {
    readonly home: Spire
    readonly partner: Spire
    readonly api: ProtectedApi
    readonly partnerBundle: JsonObject
  },
): unknown {
  const { home, partner, api, partnerBundle } = context
  const domains = {
    home: { bundle_endpoint_url: home.bundleUrl, bundle_profile: 'https_web' },
    partner: {
      bundle_endpoint_url: partner.bundleUrl,
      bundle_profile: 'https_spiffe',
      endpoint_spiffe_id: `spiffe://${PARTNER}${SERVER_PATH}`,
      bundle: partnerBundle,
    },
  }
  const methods = (['home', 'partner'] as const).flatMap((domain) => {
    const trustDomain = domain === 'home' ? HOME : PARTNER
    const config = { ...domains[domain], trust_domain: trustDomain, spiffe_ids: ['/support/*'] }
    return [
      { name: `${domain}-jwt`, type: 'spiffe-jwt', config: { ...config, audiences: [url] } },
      { name: `${domain}-x509`, type: 'spiffe-x509', config },
    ]
  })
  const targetOf = (method: string) => method.replace(/-.*/, '-crm')
  return {
    auth_methods: methods,
    targets: ['home-crm', 'partner-crm'].map((name) => ({
      name,
      type: 'http',
      config: { base_url: api.url },
      credential: { inject: 'bearer', secret: 'sealed:crm-token' },
    })),
    bindings: methods.map(({ name }) => ({
      name: `${name}-crm`,
      auth_method: name,
      target: targetOf(name),
      grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
      ttl_seconds: 120,
    })),
  }
}
