// SPIFFE JWT-SVIDs (JWT-SVID §§2-7): keys come from the bundle of the trust domain in `sub`, and from
// there only; no two bundles are ever merged (SP-06).
import type { AttestationFault, AuthMethodType } from '../core/auth-method.ts'
import { canonicalJson } from '../core/audit.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import {
  isTrustDomain,
  parseSpiffeId,
  spiffePathMatches,
  spiffePatternMistake,
} from '../core/spiffe-id.ts'
import type { KeySource } from '../net/key-sets.ts'
import { ConfigReader, type Mistake } from './config-reader.ts'
import { compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily } from './jwt.ts'
import { JWT_MEMBERS, readJwtConfig, urlMistake } from './jwt-config.ts'

const MEMBERS = [
  ...JWT_MEMBERS,
  'trust_domain',
  'spiffe_ids',
  'bundle_endpoint_url',
  'bundle_profile',
  'bundle',
]

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

const MAX_PATTERNS = 256

export function spiffeJwt(family: JwtFamily): AuthMethodType {
  return {
    type: 'spiffe-jwt',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, trustDomain, patterns, keys } = read(method, family)
      if (reader.errors.length > 0 || keys === null) {
        throw new Error(`auth method ${method.name} does not validate`)
      }
      return compileJwtMethod(
        {
          method,
          selector: { by: 'trust_domain', trustDomain },
          config,
          header: {
            algorithms: config.algorithms,
            isAllowedType: (typ) => SVID_TYPES.includes(typ),
            onlyMembers: SVID_HEADER_MEMBERS,
          },
          keys,
          keyUse: SVID_USE,
          soleAudience: true,
          claimsFault: (claims) => spiffeIdFault(claims, trustDomain, patterns),
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
  const trustDomain = reader.requiredText('trust_domain', (name) =>
    isTrustDomain(name)
      ? null
      : { code: 'format', message: 'must be a trust domain: lower case, no scheme, port or path' },
  )
  const patterns = reader.texts('spiffe_ids', {
    maxItems: MAX_PATTERNS,
    mistakeOf: spiffePatternMistake,
  })
  const keys = readBundle(reader, { method, trustDomain, family })
  return { reader, config, trustDomain, patterns, keys }
}

/** Either an endpoint with its profile or the bundle itself. */
function readBundle(
  reader: ConfigReader,
  context: {
    readonly method: AuthMethodPolicy
    readonly trustDomain: string
    readonly family: JwtFamily
  },
): KeySource | null {
  const bundle = reader.get('bundle')
  const url = reader.text('bundle_endpoint_url', (text) => urlMistake(text, context.family))
  const profile = reader.text('bundle_profile', profileMistake)
  if (bundle !== undefined && (url !== undefined || profile !== undefined)) {
    reader.note({ code: 'value', message: 'excludes `bundle_endpoint_url`' }, 'bundle')
    return null
  }
  if (bundle !== undefined) return inlineBundle(reader, bundle, context)
  const required = { code: 'required', message: 'is required, or `bundle`' }
  if (reader.get('bundle_endpoint_url') === undefined) reader.note(required, 'bundle_endpoint_url')
  if (reader.get('bundle_profile') === undefined) reader.note(required, 'bundle_profile')
  return url === undefined ? null : { kind: 'spiffe_bundle', trustDomain: context.trustDomain, url }
}

function profileMistake(profile: string): Mistake | null {
  if (profile === 'https_web') return null
  if (profile === 'https_spiffe') {
    return { code: 'not_supported', message: '`https_spiffe` is not supported yet' }
  }
  return { code: 'value', message: 'must be https_web' }
}

function inlineBundle(
  reader: ConfigReader,
  bundle: JsonValue,
  context: { readonly method: AuthMethodPolicy; readonly family: JwtFamily },
): KeySource | null {
  const keys = isJsonObject(bundle) ? bundle['keys'] : undefined
  if (!isJsonObject(bundle) || !Array.isArray(keys)) {
    reader.note({ code: 'type', message: 'must be a JWK Set' }, 'bundle')
    return null
  }
  // An empty bundle makes every SVID invalid (Bundle §4), which nobody configures on purpose.
  if (!keys.some((key: JsonValue) => isJsonObject(key) && key['use'] === SVID_USE)) {
    reader.note({ code: 'value', message: `holds no key for ${SVID_USE}` }, 'bundle', 'keys')
  }
  for (const [i, key] of keys.entries()) {
    if (isJsonObject(key) && key['d'] === undefined && key['k'] === undefined) continue
    reader.note({ code: 'unsafe', message: 'must be a public key' }, 'bundle', 'keys', i)
  }
  // The content is part of the id, so that a changed bundle never meets the keys of the old one.
  const fingerprint = context.family.hashing.sha256Hex(canonicalJson(bundle))
  return { kind: 'inline', id: `${context.method.name}:${fingerprint}`, jwks: bundle }
}

/** Syntax first, then the trust domain, then whole segments of the path (SP-02, SP-03). */
function spiffeIdFault(
  claims: JsonObject,
  trustDomain: string,
  patterns: readonly string[],
): AttestationFault | null {
  const id = parseSpiffeId(String(claims['sub']))
  if (!id.ok) return { reason: 'invalid_spiffe_id', claim: 'sub', got: id.failure }
  if (id.value.trustDomain !== trustDomain) {
    return { reason: 'wrong_trust_domain', claim: 'sub', expected: trustDomain }
  }
  const { path } = id.value
  return patterns.some((pattern) => spiffePathMatches(pattern, path))
    ? null
    : { reason: 'claim_mismatch', claim: 'sub', got: path }
}
