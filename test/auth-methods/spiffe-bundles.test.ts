// Bundles of trust domains as they are fetched: from whom, whose keys they are, and what replaces what.
// Real key sets over real servers; certificates by openssl.
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { createKeySets } from '../../functions/net/key-sets.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import { startOrigin } from '../fakes/origin.ts'
import { tokenIssuer, type TokenIssuer } from '../fakes/token-issuer.ts'
import { authorityWorld } from './authority.ts'
import { memberOf, NOW, outcome } from './setup.ts'

const member = memberOf('spiffe-jwt')
const REACH = { privateNetwork: false, loopback: true }

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

/** A broker with key sets of its own on the transport of Node. */
function broker() {
  const clock = { now: NOW }
  const outbound = createNodeOutbound()
  const time = { nowSeconds: () => clock.now, nowMs: () => clock.now * 1000 }
  const keySets = createKeySets({ outbound, clock: time, reach: REACH })
  const world = authorityWorld({ keySets, outbound, clock: time, reach: REACH })
  const methodOf = (config: JsonObject) =>
    world.compiled('spiffe-jwt', { audiences: ['me'], spiffe_ids: ['/agents/*'], ...config })
  return { clock, world, methodOf }
}

async function svid(signer: TokenIssuer, trustDomain: string, at = NOW): Promise<string> {
  const claims = { sub: `spiffe://${trustDomain}/agents/a1`, aud: ['me'], iat: at, exp: at + 300 }
  return signer.sign(claims, { alg: signer.alg, kid: signer.kid, typ: 'JWT' })
}

/** A bundle endpoint under `https_web`, plain http on the loopback. */
async function endpoint(bundle: JsonObject) {
  const now = { bundle }
  const origin = await startOrigin((_request, response) => response.end(JSON.stringify(now.bundle)))
  open.push(origin)
  return {
    origin,
    now,
    config: { bundle_endpoint_url: `${origin.url}/`, bundle_profile: 'https_web' },
  }
}

const verify = async (method: ReturnType<ReturnType<typeof broker>['methodOf']>, token: string) =>
  outcome(await method.verify({ tokenType: TOKEN_TYPES.jwt, token }))

describe('federation of two trust domains', () => {
  let one: TokenIssuer
  let two: TokenIssuer
  beforeAll(async () => {
    one = await tokenIssuer('ES256', 'same-kid', 'jwt-svid')
    two = await tokenIssuer('ES256', 'same-kid', 'jwt-svid')
  })

  type Methods = { readonly first: JsonObject; readonly second: JsonObject }
  const crossed = async ({ first, second }: Methods) => {
    const { methodOf } = broker()
    const a = methodOf({ trust_domain: 'a.example', ...first })
    const b = methodOf({ trust_domain: 'b.example', ...second })
    return [
      await verify(a, await svid(one, 'a.example')),
      await verify(b, await svid(two, 'b.example')),
      await verify(a, await svid(two, 'a.example')),
      await verify(b, await svid(one, 'b.example')),
      await verify(a, await svid(two, 'b.example')),
      await verify(b, await svid(one, 'a.example')),
    ]
  }
  const APART = [
    'accepted',
    'accepted',
    'bad_signature',
    'bad_signature',
    'wrong_trust_domain',
    'wrong_trust_domain',
  ]

  it('SP-06 SPIFFE-2 keys of one kid are never taken for another domain: fetched', async () => {
    const a = await endpoint({ keys: [one.publicJwk], spiffe_sequence: 1 })
    const b = await endpoint({ keys: [two.publicJwk], spiffe_sequence: 9 })
    const result = await crossed({ first: a.config, second: b.config })
    // A token that names another trust domain is judged after its signature, and refused either way.
    expect(result.slice(0, 4)).toEqual(APART.slice(0, 4))
    expect(result.slice(4)).not.toContain('accepted')
    expect([a.origin.hits, b.origin.hits]).toEqual([1, 1])
  })

  it('SP-06 SPIFFE-2 keys of one kid are never taken for another domain: static', async () => {
    const result = await crossed({
      first: { bundle: { keys: [one.publicJwk] } },
      second: { bundle: { keys: [two.publicJwk] } },
    })
    expect(result.slice(0, 4)).toEqual(APART.slice(0, 4))
    expect(result.slice(4)).not.toContain('accepted')
  })

  it('SP-06 SPIFFE-2 not even when one URL serves both domains', async () => {
    const shared = await endpoint({ keys: [one.publicJwk] })
    const { methodOf } = broker()
    const a = methodOf({ trust_domain: 'a.example', ...shared.config })
    const b = methodOf({ trust_domain: 'b.example', ...shared.config })
    expect(await verify(a, await svid(one, 'a.example'))).toBe('accepted')
    shared.now.bundle = { keys: [two.publicJwk] }
    // Each domain has its own copy: what b fetched now does not change what a holds.
    expect(await verify(b, await svid(two, 'b.example'))).toBe('accepted')
    expect(await verify(a, await svid(one, 'a.example'))).toBe('accepted')
    expect(await verify(a, await svid(two, 'a.example'))).toBe('bad_signature')
  })

  it('SP-07 an empty bundle means no key at all, and the domain beside it goes on', async () => {
    const a = await endpoint({ keys: [one.publicJwk], spiffe_sequence: 1, spiffe_refresh_hint: 60 })
    const b = await endpoint({ keys: [two.publicJwk], spiffe_sequence: 1 })
    const { methodOf, clock } = broker()
    const first = methodOf({ trust_domain: 'a.example', ...a.config })
    const second = methodOf({ trust_domain: 'b.example', ...b.config })
    expect(await verify(first, await svid(one, 'a.example'))).toBe('accepted')
    a.now.bundle = { keys: [], spiffe_sequence: 2 }
    clock.now += 61
    expect(await verify(first, await svid(one, 'a.example', clock.now))).toBe('unknown_key')
    expect(await verify(second, await svid(two, 'b.example', clock.now))).toBe('accepted')
    // The old bundle does not come back under its old number.
    a.now.bundle = { keys: [one.publicJwk], spiffe_sequence: 1 }
    clock.now += 601
    expect(await verify(first, await svid(one, 'a.example', clock.now))).toBe('unknown_key')
    a.now.bundle = { keys: [one.publicJwk], spiffe_sequence: 3 }
    clock.now += 601
    expect(await verify(first, await svid(one, 'a.example', clock.now))).toBe('accepted')
  })
})

describe('a bundle endpoint under https_spiffe', () => {
  const lab = opensslLab()
  afterAll(() => lab.close())
  const ID = 'spiffe://prod.example/spire/server'
  const root = lab.make({
    name: 'td-root',
    extensions: [...CA, 'subjectAltName=URI:spiffe://prod.example'],
  })
  const nextRoot = lab.make({
    name: 'td-root-2',
    extensions: [...CA, 'subjectAltName=URI:spiffe://prod.example'],
  })
  const foreignRoot = lab.make({ name: 'foreign-root', extensions: [...CA] })
  const usages = 'extendedKeyUsage=serverAuth,clientAuth'
  const server = (name: string, uris: readonly string[], issuer = root, more = {}) =>
    lab.make({
      name,
      issuer,
      extensions: [
        ...LEAF,
        usages,
        `subjectAltName=${[...uris.map((uri) => `URI:${uri}`), 'IP:127.0.0.1'].join(',')}`,
      ],
      ...more,
    })
  const good = server('good', [ID])

  let signer: TokenIssuer
  beforeAll(async () => {
    signer = await tokenIssuer('ES256', 'key-1', 'jwt-svid')
  })

  const rootJwk = ({ der }: MadeCertificate): JsonObject => ({
    kty: 'EC',
    crv: 'P-256',
    x: 'AAAA',
    y: 'AAAA',
    use: 'x509-svid',
    x5c: [Buffer.from(der).toString('base64')],
  })

  async function serve(certificate: MadeCertificate, roots = [root]) {
    const now = { roots, sequence: 1, certificate }
    const seen: string[] = []
    const tls = createTlsServer(
      { key: certificate.keyPem, cert: certificate.pem },
      (request, response) => {
        seen.push(request.url ?? '')
        const keys = [...now.roots.map(rootJwk), signer.publicJwk]
        response.end(JSON.stringify({ keys, spiffe_sequence: now.sequence++ }))
      },
    )
    open.push({
      close: () => {
        tls.closeAllConnections()
        return new Promise<void>((resolve) => tls.close(() => resolve()))
      },
    })
    await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
    // A TCP server that listens has an address with a port.
    const { port } = tls.address() as AddressInfo
    const config: JsonObject = {
      trust_domain: 'prod.example',
      bundle_endpoint_url: `https://127.0.0.1:${port}/bundle`,
      bundle_profile: 'https_spiffe',
      endpoint_spiffe_id: ID,
      bundle: { keys: [rootJwk(root)] },
    }
    const change = ({ keyPem: key, pem: cert }: MadeCertificate) =>
      tls.setSecureContext({ key, cert })
    return { config, seen, now, change }
  }

  it('SP-08 is known by its SPIFFE ID, under the roots of its own trust domain', async () => {
    const { config, seen } = await serve(good)
    const { methodOf } = broker()
    expect(await verify(methodOf(config), await svid(signer, 'prod.example'))).toBe('accepted')
    expect(seen).toEqual(['/bundle'])
  })

  const impostors: readonly (readonly [string, MadeCertificate])[] = [
    ['another workload of the domain', server('other', ['spiffe://prod.example/agents/a1'])],
    ['the same path of another domain', server('evil', ['spiffe://evil.example/spire/server'])],
    ['a certificate with two SPIFFE IDs', server('two', [ID, 'spiffe://prod.example/x'])],
    ['a certificate without a SPIFFE ID', server('none', [])],
    ['the right ID by somebody else’s root', server('forged', [ID], foreignRoot)],
    ['an expired SVID', server('old', [ID], root, { notAfter: '20260601000000Z' })],
    [
      'an SVID that is for clients alone',
      server('client', [ID], root, {
        extensions: [...LEAF, 'extendedKeyUsage=clientAuth', `subjectAltName=URI:${ID}`],
      }),
    ],
    [
      'a signing certificate',
      server('ca', [ID], root, { extensions: [...CA, `subjectAltName=URI:${ID}`] }),
    ],
    ['the root itself', root],
  ]
  it.each(impostors)(
    'SP-08 SP-09 tells %s nothing, and takes nothing from it',
    async (_name, cert) => {
      const { config, seen } = await serve(cert)
      const { methodOf } = broker()
      expect(await verify(methodOf(config), await svid(signer, 'prod.example'))).toBe(
        'keys_unreachable',
      )
      expect(seen).toEqual([])
    },
  )

  it('SP-08 a certificate of a public authority is none under https_spiffe, nor the reverse', async () => {
    const { config } = await serve(good)
    const { methodOf } = broker()
    const { endpoint_spiffe_id: _id, bundle: _bundle, ...web } = config
    const method = methodOf({ ...web, bundle_profile: 'https_web' })
    expect(await verify(method, await svid(signer, 'prod.example'))).toBe('keys_unreachable')
  })

  it('SP-08 roots rotate with the bundle, and the first ones are forgotten with it', async () => {
    const { config, now, change } = await serve(good)
    const { methodOf, clock } = broker()
    const method = methodOf(config)
    const next = async () => {
      clock.now += 601
      return verify(method, await svid(signer, 'prod.example', clock.now))
    }
    now.roots = [root, nextRoot]
    expect(await verify(method, await svid(signer, 'prod.example'))).toBe('accepted')
    change(server('good-2', [ID], nextRoot))
    now.roots = [nextRoot]
    expect(await next()).toBe('accepted')
    // Whoever has the old root now serves what he likes: nobody listens.
    change(good)
    now.roots = [root]
    const stale = methodOf({ ...config, max_stale_seconds: 300 })
    clock.now += 601
    expect(await verify(stale, await svid(signer, 'prod.example', clock.now))).toBe('keys_stale')
    change(server('good-3', [ID], nextRoot))
    clock.now += 60
    expect(await verify(stale, await svid(signer, 'prod.example', clock.now))).toBe('accepted')
  })

  it('SP-08 SP-09 serves the roots of X509-SVIDs as well', async () => {
    const { config } = await serve(good)
    const { world } = broker()
    const method = world.compiled('spiffe-x509', { ...config, spiffe_ids: ['/agents/*'] })
    const present = async (made: MadeCertificate) =>
      outcome(
        await method.verify({
          tokenType: TOKEN_TYPES.mtls,
          token: 'tls',
          certificate: { chain: [made.der], provenByPlatform: true },
        }),
      )
    const agent = 'spiffe://prod.example/agents/a1'
    expect(await present(server('agent', [agent]))).toBe('accepted')
    expect(await present(server('agent-2', [agent], foreignRoot))).not.toBe('accepted')
  })

  it('SP-08 two methods with different first roots share no bundle', async () => {
    const { config } = await serve(good)
    const { methodOf } = broker()
    const token = await svid(signer, 'prod.example')
    expect(await verify(methodOf(config), token)).toBe('accepted')
    const other = methodOf({ ...config, bundle: { keys: [rootJwk(foreignRoot)] } })
    expect(await verify(other, token)).toBe('keys_unreachable')
  })

  describe('its configuration', () => {
    const config: JsonObject = {
      ...member.config,
      bundle_endpoint_url: 'https://spire.example/bundle',
      bundle_profile: 'https_spiffe',
      endpoint_spiffe_id: ID,
      bundle: { keys: [rootJwk(root)] },
    }
    const publicOnly = { reach: { privateNetwork: false, loopback: false } }
    const mistakes = (change: JsonObject, changes = {}) =>
      authorityWorld({ ...publicOnly, ...changes }).mistakes('spiffe-jwt', {
        ...config,
        trust_domain: 'prod.example',
        ...change,
      })

    it('SP-08 names the server and its first roots', () => {
      expect(mistakes({})).toEqual([])
      expect(mistakes({ bundle: { keys: [] } })).toContain('/config/bundle/keys value')
      const { der } = good
      expect(mistakes({ bundle: { keys: [{ ...rootJwk(root), x5c: ['AAAA'] }] } })).toEqual([
        '/config/bundle/keys value',
      ])
      expect(mistakes({ bundle: { keys: [rootJwk({ ...root, der })] } })).toEqual([
        '/config/bundle/keys value',
      ])
      expect(mistakes({ bundle_endpoint_url: 'http://spire.example/bundle' })).toEqual([
        '/config/bundle_endpoint_url unsafe',
      ])
    })

    it.each([
      'spiffe://evil.example/spire/server',
      'spiffe://prod.example',
      'spiffe://prod.example/../x',
      'https://prod.example/x',
      '',
    ])('SP-08 SPIFFE-2 is not served by "%s"', (endpoint_spiffe_id) => {
      expect(mistakes({ endpoint_spiffe_id })).toEqual(['/config/endpoint_spiffe_id format'])
    })

    it('SP-08 cannot be saved where the runtime shows no server certificate', () => {
      expect(mistakes({}, { canTrustOwnCa: false })).toEqual([
        '/config/bundle_profile not_supported',
      ])
    })

    it('SP-08 a server is named for https_spiffe alone', () => {
      expect(mistakes({ bundle_profile: 'https_web' })).toEqual([
        '/config/endpoint_spiffe_id value',
        '/config/bundle value',
      ])
    })
  })
})
