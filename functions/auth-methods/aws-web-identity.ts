// AWS principals by the JWT of sts:GetWebIdentityToken (AO-01 to AO-03): no call to STS, an audience, a
// `jti`. The issuer is the account's own and cannot be told from the account's number, so both are
// configured. Request tags are chosen by the caller and authorise nothing, here or in a condition.
import type { AttestationFault, AuthMethodType } from '../core/auth-method.ts'
import { claimMatches, matcherMistake } from '../core/claim-match.ts'
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy, ClaimMatcher } from '../core/policy.ts'
import { parsePrincipalArn, principalFault, readPrincipalRules } from './aws-principal.ts'
import type { PrincipalRules } from './aws-principal.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import { compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily } from './jwt.ts'
import { JWT_MEMBERS, readIssuer, readJwtConfig } from './jwt-config.ts'
import { isPlainJwtType } from './jwt-header.ts'
import { readOrigin } from './origin-config.ts'
import { readSecurityEvents } from './security-events.ts'

const MEMBERS = [...JWT_MEMBERS, 'issuer', 'accounts', 'roles', 'principal_tags']

/** The only two that STS signs with. */
const ALGORITHMS = ['RS256', 'ES384']
/** The longest that STS issues. */
const MAX_LIFETIME_SECONDS = 3_600
/** Of the partition `aws`; AWS has published no name for the others. */
const ISSUER = /^https:\/\/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.tokens\.sts\.global\.api\.aws$/

/** Whether only aws-web-identity may take tokens of this issuer: others would heed their request tags. */
export function isAwsTokenIssuer(issuer: string): boolean {
  return ISSUER.test(issuer)
}

const NAMESPACE = 'https://sts.amazonaws.com/'
const REQUEST_TAGS = 'request_tags'
const MAX_TAGS = 50
const MAX_TAG_KEY_LENGTH = 128

export function awsWebIdentity(family: JwtFamily): AuthMethodType {
  return {
    type: 'aws-web-identity',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, issuer, keys, rules, tags, origin, securityEvents } = read(
        method,
        family,
      )
      if (reader.errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      return compileJwtMethod(
        {
          method,
          selector: { by: 'issuer', issuer },
          config,
          header: { algorithms: config.algorithms, isAllowedType: isPlainJwtType },
          keys,
          soleAudience: false,
          origin,
          securityEvents,
          claimsFault: (claims) => principalClaimsFault(claims, rules, tags),
          withoutCallersOwn: withoutRequestTags,
        },
        family,
      )
    },
  }
}

type TagRules = readonly (readonly [string, ClaimMatcher])[]

function read(method: AuthMethodPolicy, family: JwtFamily) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const config = readJwtConfig(reader, {
    algorithms: ALGORITHMS,
    defaults: { maxLifetimeSeconds: MAX_LIFETIME_SECONDS },
  })
  const { issuer, keys } = readIssuer(reader, family)
  // Any issuer may stand for AWS where everything is on loopback anyway.
  if (issuer !== '' && !isAwsTokenIssuer(issuer) && !family.reach.loopback) {
    const message = 'must be https://….tokens.sts.global.api.aws, as IAM shows it for the account'
    reader.note({ code: 'value', message }, 'issuer')
  }
  const rules = readPrincipalRules(reader, { seesPaths: true })
  for (const [name] of config.match) {
    if (!reachesRequestTags(name)) continue
    reader.note({ code: 'unsafe', message: 'is chosen by the caller' }, 'match', name)
  }
  const tags = readTags(reader)
  const origin = readOrigin(reader)
  // AWS sends none; who watches over the account may.
  const securityEvents = readSecurityEvents(reader, family, null)
  return { reader, config, issuer, keys, rules, tags, origin, securityEvents }
}

/** `/https:~1~1sts.amazonaws.com~1/request_tags/…` */
function reachesRequestTags(name: string): boolean {
  const [root, member] = name.split('/').slice(1)
  return root === NAMESPACE.replaceAll('/', '~1') && member === REQUEST_TAGS
}

/**
 * Tags of the role or user, and of its session: who may assume a role with sts:TagSession chooses the
 * latter, so the trust policy of the role must say which.
 */
function readTags(reader: ConfigReader): TagRules {
  const value = reader.get('principal_tags')
  if (value === undefined) return []
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'principal_tags')
    return []
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || entries.length > MAX_TAGS) {
    reader.note({ code: 'range', message: `must have 1 to ${MAX_TAGS} members` }, 'principal_tags')
  }
  const rules: (readonly [string, ClaimMatcher])[] = []
  for (const [key, matcher] of entries) {
    const mistake =
      key === '' || key.length > MAX_TAG_KEY_LENGTH
        ? { code: 'format', message: `must be a key of 1 to ${MAX_TAG_KEY_LENGTH} characters` }
        : matcherMistake(matcher)
    // matcherMistake() answers null for nothing but a ClaimMatcher.
    if (mistake === null) rules.push([pointerTo(key), matcher as ClaimMatcher])
    else reader.note(mistake, 'principal_tags', key)
  }
  return rules
}

/** A key may hold `/` and begin with it: as a pointer it is one member whatever it holds. */
function pointerTo(key: string): string {
  return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** `sub` is the ARN of a role or user, and its account is the one that STS names beside it (AO-03). */
function principalClaimsFault(
  claims: JsonObject,
  rules: PrincipalRules,
  tags: TagRules,
): AttestationFault | null {
  const principal = parsePrincipalArn(String(claims['sub']))
  if (principal === null || principal.session !== null) {
    return { reason: 'claim_mismatch', claim: 'sub' }
  }
  const aws = claims[NAMESPACE]
  if (!isJsonObject(aws)) return { reason: 'missing_claim', claim: NAMESPACE }
  if (aws['aws_account'] === undefined) return { reason: 'missing_claim', claim: 'aws_account' }
  if (aws['aws_account'] !== principal.account) {
    return { reason: 'claim_mismatch', claim: 'aws_account', expected: principal.account }
  }
  const fault = principalFault(principal, rules, { account: 'aws_account', principal: 'sub' })
  if (fault !== null) return fault
  const held = aws['principal_tags']
  const unmatched = tags.find(
    ([key, matcher]) => !isJsonObject(held) || !claimMatches(held, key, matcher),
  )
  return unmatched === undefined
    ? null
    : { reason: 'claim_mismatch', claim: `principal_tags${unmatched[0]}` }
}

function withoutRequestTags(claims: JsonObject): JsonObject {
  const aws = claims[NAMESPACE]
  if (!isJsonObject(aws)) return claims
  const { [REQUEST_TAGS]: _, ...attested } = aws
  return { ...claims, [NAMESPACE]: attested }
}
