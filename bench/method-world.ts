// Issuers, certificates and authorities in memory, one Auth Method of each kind before them, and what is
// shown to it: warm, so that nothing but the verification itself is left to be measured.
import { createAuthMethodTypes } from '../functions/auth-methods/index.ts'
import { selectAttestation } from '../functions/auth-methods/select.ts'
import { verifyAttestation } from '../functions/core/attestation.ts'
import {
  type CompiledAuthMethod,
  selectorKey,
  type UntrustedAttestation,
} from '../functions/core/auth-method.ts'
import { Secret } from '../functions/core/credential.ts'
import type { JsonObject } from '../functions/core/identity.ts'
import { ok } from '../functions/core/result.ts'
import { TOKEN_TYPES } from '../functions/core/token.ts'
import { createKeySets } from '../functions/net/key-sets.ts'
import type { Outbound } from '../functions/net/outbound.ts'
import { sha256Hashing, systemClock } from '../functions/platforms/system.ts'
import type { MadeCertificate } from '../test/fakes/openssl.ts'
import { callerDocument, jsonAnswer } from '../test/fakes/sts.ts'
import { tokenIssuer, type TokenIssuer } from '../test/fakes/token-issuer.ts'
import {
  chainsOf,
  type FormSubject,
  formsOf,
  type Issuers,
  makeCertificates,
  type MethodSubject,
  opaqueTokens,
  signedRequests,
  tokensOf,
} from './method-attestations.ts'
import {
  ACCOUNT,
  BROKER,
  SPIFFE_ID,
  TOKEN_METHODS,
  type TokenMethod,
  TRUST_DOMAIN,
} from './method-tokens.ts'

export type MethodWorld = {
  readonly methods: readonly MethodSubject[]
  readonly forms: readonly FormSubject[]
  /** `accepted`, or the reason of the refusal. */
  verify(attestation: UntrustedAttestation): Promise<string>
  outboundRequests(): number
}

const STS = 'https://sts.eu-central-1.amazonaws.com'
const AUTHORIZATION_SERVER = 'https://as.example'

export async function startMethodWorld(): Promise<MethodWorld> {
  const issuers = new Map<TokenMethod, TokenIssuer>()
  for (const method of TOKEN_METHODS) {
    const use = method.type === 'spiffe-jwt' ? 'jwt-svid' : 'sig'
    issuers.set(method, await tokenIssuer(method.alg, `${method.alg}-key`, use))
  }
  const certificates = makeCertificates(SPIFFE_ID)
  const network = networkOf(issuers)
  const methods = compiled(network.outbound, certificates.root)
  const snapshot = {
    revision: 1,
    methodsBySelector: Map.groupBy(methods, ({ selector }) => selectorKey(selector)),
    methods: new Map(methods.map((method) => [method.name, method])),
    userMethods: new Set<string>(),
    targets: new Map(),
    intentPolicies: new Map(),
  }
  return {
    methods: [
      ...(await Promise.all([...issuers].map(([method, issuer]) => tokensOf(method, issuer)))),
      await chainsOf('spiffe-x509', certificates.svids, certificates),
      await chainsOf('mtls', certificates.clients, certificates),
      { name: 'aws-iam', attestations: await signedRequests(STS), bare: null },
      { name: 'oauth-introspection', attestations: opaqueTokens(), bare: null },
    ],
    forms: await formsOf(issuers),
    async verify(attestation) {
      const authMethod = attestation.tokenType === TOKEN_TYPES.opaque ? 'introspection' : null
      // An object of its own for each call: what is remembered of a request must not serve another.
      const presented = { ...attestation }
      const select = selectAttestation
      const verified = await verifyAttestation(presented, { snapshot, authMethod, select })
      return verified.ok ? 'accepted' : verified.failure.reason
    },
    outboundRequests: network.requests,
  }
}

function compiled(outbound: Outbound, root: MadeCertificate): readonly CompiledAuthMethod[] {
  const reach = { privateNetwork: false, loopback: false }
  const types = createAuthMethodTypes({
    keySets: createKeySets({ outbound, clock: systemClock, reach }),
    clock: systemClock,
    hashing: sha256Hashing,
    reach,
    ownIssuers: [BROKER, `${BROKER}/federation`],
    issuer: BROKER,
    outbound,
    secrets: async () => ok(new Secret('id:secret', [AUTHORIZATION_SERVER])),
    canTrustOwnCa: true,
  })
  const x5c = [Buffer.from(root.der).toString('base64')]
  const bundle = { keys: [{ use: 'x509-svid', kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', x5c }] }
  const others: readonly (readonly [name: string, type: string, config: JsonObject])[] = [
    ['svid', 'spiffe-x509', { trust_domain: TRUST_DOMAIN, spiffe_ids: ['/agents/*'], bundle }],
    ['client', 'mtls', { ca: root.pem, sans: { dns: ['agent.example'] } }],
    ['iam', 'aws-iam', { accounts: [ACCOUNT], regions: ['eu-central-1'] }],
    [
      'introspection',
      'oauth-introspection',
      {
        introspection_endpoint: `${AUTHORIZATION_SERVER}/introspect`,
        secret: 'sealed:client',
        match: { client_id: 'our-app' },
      },
    ],
  ]
  const tokenMethods = TOKEN_METHODS.map(({ name, type, config }) => [name, type, config] as const)
  return [...tokenMethods, ...others].map(([name, typeName, config]) => {
    const type = types.find((candidate) => candidate.type === typeName)
    const policy = { name, type: typeName, enabled: true, subject: 'workload', config } as const
    const mistakes = type?.validate(policy) ?? []
    if (type === undefined || mistakes.length > 0) throw new Error(JSON.stringify(mistakes))
    return type.compile(policy)
  })
}

/** Everybody who is asked answers at once. */
function networkOf(issuers: Issuers): { outbound: Outbound; requests: () => number } {
  const documents = new Map<string, object>()
  for (const [{ url }, { publicJwk }] of issuers) {
    const keys = { keys: [publicJwk] }
    const discovery = { issuer: url, jwks_uri: `${url}/jwks` }
    documents.set(url, keys).set(discovery.jwks_uri, keys)
    documents.set(`${url}/.well-known/openid-configuration`, discovery)
  }
  const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-0abc`
  const caller = { account: ACCOUNT, arn, userId: 'AROAEXAMPLE000000000:i-0abc' }
  documents.set(`${STS}/`, callerDocument(caller))
  const now = systemClock.nowSeconds()
  documents.set(`${AUTHORIZATION_SERVER}/introspect`, {
    active: true,
    sub: 'user-1',
    client_id: 'our-app',
    token_type: 'Bearer',
    scope: 'read',
    iat: now,
    exp: now + 3600,
  })
  let requests = 0
  return {
    async outbound({ url }) {
      requests += 1
      const document = documents.get(url.href)
      if (document === undefined) throw new Error(`nobody is at ${url.href}`)
      return jsonAnswer(200, document)
    },
    requests: () => requests,
  }
}
