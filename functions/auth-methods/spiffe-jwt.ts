// SPIFFE JWT-SVIDs (JWT-SVID §§2-7): keys come from the bundle of the trust domain in `sub`, and from
// there only (SP-06).
import type { AuthMethodType } from '../core/auth-method.ts'
import { canonicalJson } from '../core/audit.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import type { KeySource } from '../net/key-sets.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import { compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily } from './jwt.ts'
import { JWT_MEMBERS, readJwtConfig } from './jwt-config.ts'
import { readOrigin } from './origin-config.ts'
import { readSecurityEvents } from './security-events.ts'
import {
  type ConfiguredBundle,
  readBundle,
  readSpiffeRules,
  SPIFFE_MEMBERS,
  spiffeIdFault,
} from './spiffe-config.ts'

const MEMBERS = [...JWT_MEMBERS, ...SPIFFE_MEMBERS]

/** JWT-SVID §2.1: no EdDSA, nothing symmetric. */
const SVID_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
]
/** JWT-SVID §2: no other header may be present. */
const SVID_HEADER_MEMBERS = ['alg', 'kid', 'typ']
const SVID_TYPES = ['JWT', 'JOSE']
const SVID_USE = 'jwt-svid'

export function spiffeJwt(family: JwtFamily): AuthMethodType {
  return {
    type: 'spiffe-jwt',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, rules, bundle, origin, securityEvents } = read(method, family)
      if (reader.errors.length > 0 || bundle === null) {
        throw new Error(`auth method ${method.name} does not validate`)
      }
      return compileJwtMethod(
        {
          method,
          selector: { by: 'trust_domain', trustDomain: rules.trustDomain },
          config,
          header: {
            algorithms: config.algorithms,
            isAllowedType: (typ) => SVID_TYPES.includes(typ),
            onlyMembers: SVID_HEADER_MEMBERS,
          },
          keys: keySource(bundle, method, family),
          keyUse: SVID_USE,
          soleAudience: true,
          origin,
          securityEvents,
          claimsFault: (claims) => spiffeIdFault(claims, rules),
        },
        family,
      )
    },
  }
}

function read(method: AuthMethodPolicy, family: JwtFamily) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const config = readJwtConfig(reader, { algorithms: SVID_ALGORITHMS })
  const rules = readSpiffeRules(reader)
  const { trustDomain } = rules
  const bundle = readBundle(reader, { trustDomain, use: SVID_USE, rules: family })
  const origin = readOrigin(reader)
  const securityEvents = readSecurityEvents(reader, family, null)
  return { reader, config, rules, bundle, origin, securityEvents }
}

function keySource(
  bundle: ConfiguredBundle,
  method: AuthMethodPolicy,
  { hashing }: JwtFamily,
): KeySource {
  if (bundle.kind !== 'inline') return bundle
  // The content is part of the id, so that a changed bundle never meets the keys of the old one.
  const fingerprint = hashing.sha256Hex(canonicalJson(bundle.bundle))
  return { kind: 'inline', id: `${method.name}:${fingerprint}`, jwks: bundle.bundle }
}
