// A real SPIRE server changes its JWT key and its X.509 root under a running broker, which follows the
// `https_spiffe` endpoint: the certificate of that endpoint changes its root as well.
import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type ProtectedApi, startProtectedApi } from '../../functions/cli/quickstart-world.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import {
  bundleOf,
  jwtKeyIds,
  KINDS,
  revoke,
  rootsIn,
  rotate,
  type Rotation,
} from './spire-authorities.ts'
import { buildSpire, canRunSpire, type Spire, startSpire } from './spire.ts'
import { BY_TLS, byJwt, refusals, startTlsBroker, type TlsBroker } from './tls-broker.ts'

const TRUST_DOMAIN = 'agents.example'
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/support/summariser`
const BUILD_TIMEOUT_MS = 30 * 60_000
/** Far more than a bundle lives in the broker with the refresh hint of this endpoint, 30 s. */
const PATIENCE_MS = 90_000

const isAbsent = !(await canRunSpire()) && process.env['CI'] === undefined
const REFUSED = { status: 400, body: { error: 'invalid_request' } }
const OPENED = { status: 200, body: { token_type: 'Bearer' } }

type Svids = {
  readonly jwt: string
  readonly x509: { readonly cert: string; readonly key: string }
}

describe.skipIf(isAbsent)(
  'SPIRE 1.15 rotation (needs go or .cache/bin/spire-server, and openssl)',
  () => {
    let spire: Spire
    let api: ProtectedApi
    let broker: TlsBroker
    let firstBundle: JsonObject
    let before: Svids
    let after: Svids
    let jwtKey: Rotation
    let root: Rotation

    const startBroker = (bundle: JsonObject) =>
      startTlsBroker({
        secrets: [{ name: 'crm-token', value: api.key, origins: [api.url] }],
        policy: (url) => policyOf(url, { spire, api, bundle }),
      })
    const fetchSvids = async (): Promise<Svids> => ({
      jwt: await spire.fetchJwtSvid(broker.url),
      x509: await spire.fetchX509Svid(),
    })
    const offer = async ({ jwt, x509 }: Svids, to = broker) => ({
      jwt: await to.exchange(byJwt(jwt)),
      x509: await to.exchange(BY_TLS, x509),
    })
    /** The agent learns of the new authorities at its next sync. */
    const fetchRotatedSvids = () =>
      vi.waitFor(
        async () => {
          const svids = await fetchSvids()
          expect(kidOf(svids.jwt)).toBe(jwtKey.new)
          const leaf = new X509Certificate(svids.x509.cert)
          expect(isIssuedByOneOf(leaf, await rootsWithId(spire, root.new))).toBe(true)
          return svids
        },
        { timeout: PATIENCE_MS, interval: 500 },
      )

    beforeAll(async () => {
      await buildSpire()
      ;[spire, api] = await Promise.all([
        startSpire(TRUST_DOMAIN, SPIFFE_ID, { profile: 'https_spiffe' }),
        startProtectedApi(),
      ])
      firstBundle = await bundleOf(spire)
      broker = await startBroker(firstBundle)
      before = await fetchSvids()
    }, BUILD_TIMEOUT_MS)

    afterAll(async () => {
      await Promise.all([broker?.stop(), spire?.stop(), api?.close()])
    })

    test(
      'SP-06 SP-08: what rotated authorities sign opens sessions without a restart',
      async () => {
        expect(await offer(before)).toMatchObject({ jwt: OPENED, x509: OPENED })
        ;[jwtKey, root] = [await rotate(spire, 'jwt'), await rotate(spire, 'x509')]
        after = await fetchRotatedSvids()
        expect(await offer(after)).toMatchObject({ jwt: OPENED, x509: OPENED })
        // SPIRE marks the old authorities for itself; a bundle knows only what is in it.
        expect(await offer(before)).toMatchObject({ jwt: OPENED, x509: OPENED })
      },
      BUILD_TIMEOUT_MS,
    )

    test(
      'SP-06 SP-07 SP-08: what revoked authorities have signed opens nothing any more',
      async () => {
        // The endpoint has a certificate by the new root alone by the time the old one goes.
        await vi.waitFor(
          async () => {
            const served = await endpointCertificate(spire.bundleUrl)
            expect(isIssuedByOneOf(served, await rootsWithId(spire, root.new))).toBe(true)
          },
          { timeout: PATIENCE_MS, interval: 500 },
        )
        await revoke(spire, 'jwt', jwtKey.old)
        await revoke(spire, 'x509', root.old)
        const bundle = await bundleOf(spire)
        expect(jwtKeyIds(bundle)).toEqual([jwtKey.new])
        expect(rootsIn(bundle)).toHaveLength(1)

        await vi.waitFor(async () => expect(await offer(before)).toMatchObject({ jwt: REFUSED }), {
          timeout: PATIENCE_MS,
          interval: 1_000,
        })
        expect(await offer(before)).toMatchObject({ jwt: REFUSED, x509: REFUSED })
        expect(await offer(after)).toMatchObject({ jwt: OPENED, x509: OPENED })
        // Neither had come to its end, and the bundle was not out of reach.
        expect((await refusals(broker)).slice(-2)).toMatchObject([
          { outcome: { facts: { method: 'jwt', reason: 'unknown_key' } } },
          { outcome: { facts: { method: 'x509', got: 'unknown_issuer' } } },
        ])
      },
      BUILD_TIMEOUT_MS,
    )

    test(
      'SP-08: a broker that starts with a revoked root opens nothing until its policy is mended',
      async () => {
        const late = await startBroker(firstBundle)
        try {
          const own = { jwt: await spire.fetchJwtSvid(late.url), x509: after.x509 }
          expect(await offer(own, late)).toMatchObject({ jwt: REFUSED, x509: REFUSED })
          // The configured roots say who may serve the bundle, and not whose SVIDs are good.
          expect(await late.exchange(BY_TLS, before.x509)).toMatchObject(REFUSED)
          const unreachable = { outcome: { facts: { reason: 'keys_unreachable' } } }
          expect(await refusals(late)).toMatchObject([unreachable, unreachable, unreachable])
          const mended = policyOf(late.url, { spire, api, bundle: await bundleOf(spire) })
          await late.admin('POST', '/policy/apply', mended)
          expect(await offer(own, late)).toMatchObject({ jwt: OPENED, x509: OPENED })
        } finally {
          await late.stop()
        }
      },
      BUILD_TIMEOUT_MS,
    )
  },
)

function kidOf(token: string): unknown {
  const header = Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()
  return (JSON.parse(header) as { kid?: unknown }).kid
}

/** SPIRE names an X.509 authority by its subject key identifier. */
async function rootsWithId(spire: Spire, id: string): Promise<readonly X509Certificate[]> {
  return rootsIn(await bundleOf(spire)).filter(({ raw }) => raw.includes(Buffer.from(id, 'hex')))
}

function isIssuedByOneOf(leaf: X509Certificate, roots: readonly X509Certificate[]): boolean {
  return roots.some(({ publicKey }) => leaf.verify(publicKey))
}

function endpointCertificate(url: string): Promise<X509Certificate> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    // Only looked at; what it proves is for the broker to say.
    const socket = connect(
      { host: hostname, port: Number(port), rejectUnauthorized: false },
      () => {
        const certificate = socket.getPeerX509Certificate()
        socket.end()
        if (certificate === undefined) reject(new Error('no certificate'))
        else resolve(certificate)
      },
    )
    socket.once('error', reject)
  })
}

function policyOf(
  url: string,
  context: { readonly spire: Spire; readonly api: ProtectedApi; readonly bundle: JsonObject },
): unknown {
  const config = {
    trust_domain: TRUST_DOMAIN,
    spiffe_ids: ['/support/*'],
    bundle_endpoint_url: context.spire.bundleUrl,
    bundle_profile: 'https_spiffe',
    endpoint_spiffe_id: `spiffe://${TRUST_DOMAIN}/spire/server`,
    bundle: context.bundle,
  }
  return {
    auth_methods: [
      { name: 'jwt', type: 'spiffe-jwt', config: { ...config, audiences: [url] } },
      { name: 'x509', type: 'spiffe-x509', config },
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: context.api.url },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
      },
    ],
    bindings: KINDS.map((name) => ({
      name: `${name}-crm`,
      auth_method: name,
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
      ttl_seconds: 120,
    })),
  }
}
