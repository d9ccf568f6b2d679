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
import { fail, type Result } from '../../functions/core/result.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { OutboundError } from '../../functions/net/outbound.ts'
import { fakeKeySets, type FakeKeySets } from '../fakes/key-sets.ts'
import { tokenIssuer, type TokenIssuer } from '../fakes/token-issuer.ts'

export const NOW = 1_800_000_000
export const BROKER = 'https://broker.example'
export const OWN = [BROKER, `${BROKER}/federation`]
export const ISSUER = 'https://idp.example/tenant'
export const AWS_ISSUER = 'https://a1b2c3d4-0000-4000-8000-5e6f70819203.tokens.sts.global.api.aws'
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
  /** Where it takes fewer than the family. */
  readonly algorithms?: readonly string[]
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
    type: 'aws-web-identity',
    alg: 'RS256',
    use: 'sig',
    algorithms: ['RS256', 'ES384'],
    keysOf: AWS_ISSUER,
    config: {
      issuer: AWS_ISSUER,
      audiences: ['me'],
      accounts: ['123456789012'],
      // The default is an hour, which the rows of the contract exceed.
      max_lifetime_seconds: 86_400,
    },
    claims: {
      iss: AWS_ISSUER,
      sub: 'arn:aws:iam::123456789012:role/agents/DataProcessing',
      aud: 'me',
      iat: NOW - 10,
      exp: NOW + 290,
      jti: 'c3ab8ff1-3720-4b1b-8a37-000000000000',
      'https://sts.amazonaws.com/': {
        aws_account: '123456789012',
        source_region: 'eu-central-1',
        org_id: 'o-abc1234567',
        principal_tags: { team: 'data', '/odd': 'x' },
        lambda_source_function_arn: 'arn:aws:lambda:eu-central-1:123456789012:function:f',
        request_tags: { team: 'admin' },
      },
    },
    header: ({ alg, kid }) => ({ alg, kid, typ: 'JWT' }),
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
    issuer: BROKER,
    outbound: async () => {
      throw new OutboundError('aborted')
    },
    secrets: async (reference) => fail({ reason: 'not_found', reference }),
    canTrustOwnCa: true,
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
