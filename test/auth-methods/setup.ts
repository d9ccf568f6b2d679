// One world for the tests of the family: a clock that stands, an issuer per member, and what each member
// takes as a valid policy and a valid token.
import { createHash } from 'node:crypto'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import type {
  AttestationFault,
  AuthMethodType,
  CompiledAuthMethod,
} from '../../functions/core/auth-method.ts'
import type { Identity, JsonObject } from '../../functions/core/identity.ts'
import type { AuthMethodPolicy } from '../../functions/core/policy.ts'
import type { Result } from '../../functions/core/result.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { fakeKeySets, type FakeKeySets } from '../fakes/key-sets.ts'
import { tokenIssuer, type TokenIssuer } from '../fakes/token-issuer.ts'

export const NOW = 1_800_000_000
export const OWN = ['https://broker.example', 'https://broker.example/federation']
export const ISSUER = 'https://idp.example/tenant'
export const TRUST_DOMAIN = 'prod.example'

export type World = {
  readonly type: AuthMethodType
  readonly keySets: FakeKeySets
  readonly issuer: TokenIssuer
  now: number
}

export type Member = {
  readonly type: string
  /** `alg` and `use` of the keys its issuers publish. */
  readonly alg: string
  readonly use: string
  /** Under which name the keys are found. */
  readonly keysOf: string
  readonly config: JsonObject
  readonly claims: JsonObject
  readonly header: (issuer: TokenIssuer) => JsonObject
}

const MEMBERS: readonly Member[] = [
  {
    type: 'oidc',
    alg: 'RS256',
    use: 'sig',
    keysOf: ISSUER,
    config: { issuer: ISSUER, audiences: ['me'] },
    claims: { iss: ISSUER, sub: 'job-1', aud: 'me', iat: NOW - 10, exp: NOW + 300 },
    header: ({ alg, kid }) => ({ alg, kid, typ: 'JWT' }),
  },
  {
    type: 'kubernetes',
    alg: 'RS256',
    use: 'sig',
    keysOf: ISSUER,
    config: {
      issuer: ISSUER,
      audiences: ['me'],
      namespaces: ['analytics'],
      service_accounts: ['*'],
    },
    claims: {
      iss: ISSUER,
      sub: 'system:serviceaccount:analytics:etl',
      aud: ['me'],
      iat: NOW - 10,
      nbf: NOW - 10,
      exp: NOW + 3590,
      'kubernetes.io': {
        namespace: 'analytics',
        pod: { name: 'etl-0', uid: 'pod-uid' },
        serviceaccount: { name: 'etl', uid: 'sa-uid' },
      },
    },
    header: ({ alg, kid }) => ({ alg, kid }),
  },
  {
    type: 'spiffe-jwt',
    alg: 'ES256',
    use: 'jwt-svid',
    keysOf: TRUST_DOMAIN,
    config: {
      trust_domain: TRUST_DOMAIN,
      audiences: ['me'],
      spiffe_ids: ['/agents/*'],
      bundle_endpoint_url: 'https://spire.example/bundle',
      bundle_profile: 'https_web',
    },
    claims: {
      sub: `spiffe://${TRUST_DOMAIN}/agents/a1`,
      aud: ['me'],
      iat: NOW - 10,
      exp: NOW + 300,
    },
    header: ({ alg, kid }) => ({ alg, kid, typ: 'JWT' }),
  },
]

export function memberOf(type: string): Member {
  const member = MEMBERS.find((candidate) => candidate.type === type)
  if (member === undefined) throw new Error(type)
  return member
}

export async function createWorld(member: Member): Promise<World> {
  const keySets = fakeKeySets()
  const issuer = await tokenIssuer(member.alg, 'key-1', member.use)
  keySets.published.set(member.keysOf, [issuer.publicJwk])
  const world = { keySets, issuer, now: NOW }
  const types = createAuthMethodTypes({
    keySets,
    clock: { nowSeconds: () => world.now, nowMs: () => world.now * 1000 },
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    reach: { privateNetwork: false, loopback: false },
    ownIssuers: OWN,
  })
  const type = types.find((candidate) => candidate.type === member.type)
  if (type === undefined) throw new Error(member.type)
  return Object.assign(world, { type })
}

export function policy(
  member: Member,
  config: JsonObject = {},
  common: Partial<AuthMethodPolicy> = {},
): AuthMethodPolicy {
  return {
    name: 'method-1',
    enabled: true,
    type: member.type,
    subject: 'workload',
    ...common,
    config: withoutNull({ ...member.config, ...config }),
  }
}

export function compiled(
  world: World,
  member: Member,
  config: JsonObject = {},
): CompiledAuthMethod {
  return world.type.compile(policy(member, config))
}

/** A token with these claims instead; `null` leaves one out. */
export function claimsOf(member: Member, change: JsonObject = {}): JsonObject {
  return withoutNull({ ...member.claims, ...change })
}

function withoutNull(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null))
}

export async function verifyClaims(
  world: World,
  member: Member,
  change: JsonObject,
  config: JsonObject = {},
): Promise<Result<Identity, AttestationFault>> {
  const token = await world.issuer.sign(claimsOf(member, change), member.header(world.issuer))
  return compiled(world, member, config).verify({ tokenType: TOKEN_TYPES.jwt, token })
}

/** The reason of a refusal, or `accepted`. */
export function outcome(result: Result<Identity, AttestationFault>): string {
  return result.ok ? 'accepted' : result.failure.reason
}

/** Paths of the mistakes of a config, each with its code. */
export function mistakes(world: World, member: Member, config: JsonObject): readonly string[] {
  return world.type.validate(policy(member, config)).map(({ path, code }) => `${path} ${code}`)
}
