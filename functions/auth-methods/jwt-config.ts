// The members of `config` that every JWT method has (design/api.md, Policy objects, "all JWT").
import { claimNameMistake, isPlainText, matcherMistake } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { ClaimMatcher } from '../core/policy.ts'
import type { Reach } from '../net/outbound.ts'
import { issuerUrlMistake, type KeySource } from '../net/key-sets.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'
import { isForeignAudience } from './shared-issuers.ts'

export type MatchRules = readonly (readonly [string, ClaimMatcher])[]

export type JwtConfig = {
  readonly audiences: readonly string[]
  readonly match: MatchRules
  readonly maxLifetimeSeconds: number
  readonly singleUse: boolean
  readonly maxStaleSeconds: number
  readonly algorithms: readonly string[]
}

export const JWT_MEMBERS = [
  'audiences',
  'match',
  'max_lifetime_seconds',
  'single_use',
  'max_stale_seconds',
  'algorithms',
  'origin',
  'security_events',
] as const

/**
 * The longest token that is accepted unless configured: no platform that a workload identity comes from
 * issues longer ones by default (HCP Terraform: up to 24 h; the kubelet rotates after 24 h at the
 * latest), and what lives longer than a day is a password.
 */
export const DEFAULT_MAX_LIFETIME_SECONDS = 86_400
const LONGEST_LIFETIME_SECONDS = 604_800

/** How long known keys serve while their endpoint is down (DEP-3). */
const DEFAULT_MAX_STALE_SECONDS = 86_400
const LONGEST_STALE_SECONDS = 604_800

const MAX_AUDIENCES = 32
const MAX_AUDIENCE_LENGTH = 1024
const MAX_MATCHERS = 64

export function readJwtConfig(
  reader: ConfigReader,
  rules: {
    readonly algorithms: readonly string[]
    /** Instead of the defaults of this file. */
    readonly defaults?: { readonly maxLifetimeSeconds?: number; readonly singleUse?: true }
  },
): JwtConfig {
  const { maxLifetimeSeconds = DEFAULT_MAX_LIFETIME_SECONDS, singleUse } = rules.defaults ?? {}
  return {
    audiences: readAudiences(reader),
    match: readMatch(reader),
    maxLifetimeSeconds: readMaxLifetime(reader, maxLifetimeSeconds),
    singleUse: reader.flag('single_use', singleUse),
    maxStaleSeconds: readMaxStale(reader),
    algorithms: reader.texts('algorithms', {
      maxItems: rules.algorithms.length,
      absent: rules.algorithms,
      mistakeOf: (name) =>
        rules.algorithms.includes(name)
          ? null
          : { code: 'value', message: `must be one of ${rules.algorithms.join(', ')}` },
    }),
  }
}

export function readAudiences(reader: ConfigReader): readonly string[] {
  return reader.texts('audiences', { maxItems: MAX_AUDIENCES, mistakeOf: audienceMistake })
}

export function readMaxStale(reader: ConfigReader): number {
  return reader.wholeNumber('max_stale_seconds', {
    min: 0,
    max: LONGEST_STALE_SECONDS,
    absent: DEFAULT_MAX_STALE_SECONDS,
  })
}

export function readMaxLifetime(reader: ConfigReader, absent: number): number {
  return reader.wholeNumber('max_lifetime_seconds', {
    min: 1,
    max: LONGEST_LIFETIME_SECONDS,
    absent,
  })
}

function audienceMistake(audience: string): Mistake | null {
  if (audience === '' || audience.length > MAX_AUDIENCE_LENGTH || !isPlainText(audience)) {
    return {
      code: 'format',
      message: `must have 1 to ${MAX_AUDIENCE_LENGTH} characters, no control characters`,
    }
  }
  if (audience.includes('*')) {
    return { code: 'unsafe', message: 'is compared exactly; `*` is no wildcard here' }
  }
  if (isForeignAudience(audience)) {
    return { code: 'unsafe', message: 'is the audience of another service; use one of this broker' }
  }
  return null
}

export function readMatch(reader: ConfigReader, member = 'match'): MatchRules {
  const value = reader.get(member)
  if (value === undefined) return []
  if (!isObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, member)
    return []
  }
  const entries = Object.entries(value)
  if (entries.length > MAX_MATCHERS) {
    reader.note({ code: 'range', message: `must have at most ${MAX_MATCHERS} members` }, member)
  }
  const rules: (readonly [string, ClaimMatcher])[] = []
  for (const [name, matcher] of entries) {
    const mistake = claimNameMistake(name) ?? matcherMistake(matcher)
    // matcherMistake() answers null for nothing but a ClaimMatcher.
    if (mistake === null) rules.push([name, matcher as ClaimMatcher])
    else reader.note(mistake, member, name)
  }
  return rules
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export type IssuerRules = { readonly reach: Reach; readonly ownIssuers: readonly string[] }

/**
 * `issuer` and `jwks_uri`, neither of which may be this broker's own (a handle is no attestation).
 * `known`: what holds where the config says nothing.
 */
export function readIssuer(
  reader: ConfigReader,
  rules: IssuerRules,
  known: { readonly issuer?: string; readonly jwksPath?: string } = {},
): { readonly issuer: string; readonly keys: KeySource } {
  const mistakeOf = (url: string): Mistake | null => urlMistake(url, rules)
  const isNamed = known.issuer === undefined || reader.get('issuer') !== undefined
  const issuer = isNamed ? reader.requiredText('issuer', mistakeOf) : (known.issuer ?? '')
  const jwksUri =
    reader.text('jwks_uri', mistakeOf) ??
    (known.jwksPath === undefined ? undefined : `${issuer}${known.jwksPath}`)
  const keys: KeySource =
    jwksUri === undefined ? { kind: 'discovery', issuer } : { kind: 'jwks_uri', issuer, jwksUri }
  return { issuer, keys }
}

/** What is wrong with the URL of an issuer, of its keys or of a bundle, or null. */
export function urlMistake(url: string, rules: IssuerRules): Mistake | null {
  const word = issuerUrlMistake(url, rules.reach)
  if (word !== null) return { code: 'unsafe', message: `is not a URL to trust: ${word}` }
  // Everything below the broker's origin is the broker's, ISSUER/federation included.
  const origin = originOf(url)
  if (rules.ownIssuers.some((own) => own === url || originOf(own) === origin)) {
    return { code: 'unsafe', message: 'is this broker itself' }
  }
  return null
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url
}
