// OIDC: a JWT of one issuer, checked with the keys the issuer publishes (CI, cloud, SaaS, laptop).
import type { AuthMethodType } from '../core/auth-method.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { claimsToBeSpiffeId } from '../core/spiffe-id.ts'
import { ASYMMETRIC_ALGORITHMS } from '../crypto/jws.ts'
import { ConfigReader } from './config-reader.ts'
import { compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily } from './jwt.ts'
import { JWT_MEMBERS, readIssuer, readJwtConfig } from './jwt-config.ts'
import { isPlainJwtType } from './jwt-header.ts'
import { isRefusedByDefault, sharedIssuer, tenantPinMistake } from './shared-issuers.ts'

const MEMBERS = [...JWT_MEMBERS, 'issuer', 'jwks_uri', 'preset']

export function oidc(family: JwtFamily): AuthMethodType {
  return {
    type: 'oidc',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, issuer, keys } = read(method, family)
      if (reader.errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      const shared = sharedIssuer(issuer)
      return compileJwtMethod(
        {
          method,
          selector: { by: 'issuer', issuer },
          config,
          header: { algorithms: config.algorithms, isAllowedType: isPlainJwtType },
          keys,
          soleAudience: false,
          claimsFault(claims) {
            // A SPIFFE ID is vouched for by its trust domain and by nobody else (SPIFFE-2).
            if (claimsToBeSpiffeId(String(claims['sub']))) {
              return { reason: 'invalid_spiffe_id', claim: 'sub' }
            }
            return shared !== undefined && isRefusedByDefault(shared, claims, config.match)
              ? { reason: 'claim_mismatch', claim: shared.refusedByDefault?.claim ?? '' }
              : null
          },
        },
        family,
      )
    },
  }
}

function read(method: AuthMethodPolicy, family: JwtFamily) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  if (reader.get('preset') !== undefined) {
    reader.note({ code: 'not_supported', message: 'presets are not supported yet' }, 'preset')
  }
  const config = readJwtConfig(reader, { algorithms: ASYMMETRIC_ALGORITHMS })
  const { issuer, keys } = readIssuer(reader, family)
  const shared = sharedIssuer(issuer)
  const unpinned = shared === undefined ? null : tenantPinMistake(shared, config.match)
  if (unpinned !== null) reader.note({ code: 'unsafe', message: unpinned }, 'match')
  return { reader, config, issuer, keys }
}
