// OIDC: a JWT of one issuer, checked with the keys the issuer publishes (CI, cloud, SaaS, laptop).
import type { AuthMethodType } from '../core/auth-method.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { claimsToBeSpiffeId } from '../core/spiffe-id.ts'
import { ASYMMETRIC_ALGORITHMS } from '../crypto/jws.ts'
import { isAwsTokenIssuer } from './aws-web-identity.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import { readIdJag, takingIdJags } from './id-jag.ts'
import { compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily, type JwtMember } from './jwt.ts'
import { JWT_MEMBERS, readIssuer, readJwtConfig } from './jwt-config.ts'
import { isPlainJwtType } from './jwt-header.ts'
import { presetOrigin, readOrigin } from './origin-config.ts'
import { presetMatch, readPreset } from './preset-rules.ts'
import { readSecurityEvents } from './security-events.ts'
import { isRefusedByDefault, sharedIssuer, tenantPinMistake } from './shared-issuers.ts'

const MEMBERS = [...JWT_MEMBERS, 'issuer', 'jwks_uri', 'preset', 'id_jag']

export function oidc(family: JwtFamily): AuthMethodType {
  return {
    type: 'oidc',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, issuer, keys, preset, idJag, origin, securityEvents } = read(
        method,
        family,
      )
      if (reader.errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      const strangers = [sharedIssuer(issuer)?.refusedByDefault, preset?.refusedByDefault]
      const member: JwtMember = {
        method,
        selector: { by: 'issuer', issuer },
        config,
        header: { algorithms: config.algorithms, isAllowedType: isPlainJwtType },
        keys,
        origin,
        securityEvents,
        soleAudience: false,
        subjectWhenEmpty: preset?.subjectWhenEmpty,
        claimsFault(claims) {
          // A SPIFFE ID is vouched for by its trust domain and by nobody else (SPIFFE-2).
          const claim = claims['sub'] === '' ? (preset?.subjectWhenEmpty ?? 'sub') : 'sub'
          if (claimsToBeSpiffeId(String(claims[claim]))) {
            return { reason: 'invalid_spiffe_id', claim }
          }
          const refused = strangers.find(
            (runs) => runs !== undefined && isRefusedByDefault(runs, claims, config.match),
          )
          return refused === undefined ? null : { reason: 'claim_mismatch', claim: refused.claim }
        },
      }
      return idJag === null ? compileJwtMethod(member, family) : takingIdJags(member, idJag, family)
    },
  }
}

function read(method: AuthMethodPolicy, family: JwtFamily) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const preset = readPreset(reader)
  const written = readJwtConfig(reader, {
    algorithms: ASYMMETRIC_ALGORITHMS,
    ...(preset === undefined ? {} : { defaults: preset }),
  })
  const { issuer, keys } = readIssuer(reader, family, preset)
  if (isAwsTokenIssuer(issuer)) {
    const message = 'is AWS: use aws-web-identity, which leaves out what callers choose'
    reader.note({ code: 'unsafe', message }, 'issuer')
  }
  const match =
    preset === undefined
      ? written.match
      : presetMatch(reader, preset, { issuer, audiences: written.audiences, match: written.match })
  const origin = readOrigin(reader) ?? (preset?.origin ? presetOrigin(preset.origin) : null)
  const securityEvents = readSecurityEvents(reader, family, { issuer, keys })
  const idJag = readIdJag(reader, method)
  const shared = sharedIssuer(issuer)
  // The preset of that very platform asks for more, and has said so.
  const isAsked = shared !== undefined && shared.issuer !== preset?.issuer
  const unpinned = isAsked ? tenantPinMistake(shared, match) : null
  if (unpinned !== null) reader.note({ code: 'unsafe', message: unpinned }, 'match')
  const all = { ...written, match }
  return { reader, config: all, issuer, keys, preset, idJag, origin, securityEvents }
}
