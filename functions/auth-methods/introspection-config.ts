// The `config` of oauth-introspection: one endpoint, how to ask it, and the application or tenant that a
// token must have been issued to.
import type { AuthMethodPolicy, ClaimMatcher, DocumentError } from '../core/policy.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import type { AuthMethodDeps } from './jwt.ts'
import {
  DEFAULT_MAX_LIFETIME_SECONDS,
  readAudiences,
  readMatch,
  readMaxLifetime,
  urlMistake,
  type MatchRules,
} from './jwt-config.ts'
import { secretReferenceMistake } from './method-secret.ts'
import { tenantPinMistake } from './shared-issuers.ts'

export type IntrospectionConfig = {
  readonly kind: 'introspection' | 'userinfo'
  readonly endpoint: URL
  /** Null where the token itself is the credential (userinfo). */
  readonly secret: string | null
  readonly clientId: string | null
  readonly audiences: readonly string[] | null
  readonly match: MatchRules
  readonly maxLifetimeSeconds: number
  readonly cacheSeconds: number
}

const ENDPOINTS = ['introspection_endpoint', 'userinfo_endpoint'] as const
const MEMBERS = [
  ...ENDPOINTS,
  'secret',
  'client_id',
  'audiences',
  'match',
  'max_lifetime_seconds',
  'cache_seconds',
]
/** Claims that say to which application, or within which tenant, a token was issued. */
export const PINNING_CLAIMS: readonly string[] = [
  'aud',
  'client_id',
  'azp',
  'appid',
  'tid',
  'tenant_id',
  'hd',
  'org_id',
  'organization_id',
  'team_id',
  'workspace_id',
  'account_id',
  'https://slack.com/team_id',
]
/** A revoked token passes that much longer. */
const LONGEST_CACHE_SECONDS = 60
const CLIENT_ID = /^[\x21-\x7e]{1,512}$/

export function readIntrospectionConfig(
  method: AuthMethodPolicy,
  deps: AuthMethodDeps,
): { readonly errors: readonly DocumentError[]; readonly config: IntrospectionConfig | null } {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const endpoint = readEndpoint(reader, deps)
  const secret = readSecret(reader, endpoint?.kind)
  const audiences = reader.get('audiences') === undefined ? null : readAudiences(reader)
  const match = readMatch(reader)
  noteUnpinned(reader, match, audiences)
  const maxLifetimeSeconds = readMaxLifetime(reader, DEFAULT_MAX_LIFETIME_SECONDS)
  const cacheSeconds = reader.wholeNumber('cache_seconds', {
    min: 0,
    max: LONGEST_CACHE_SECONDS,
    absent: 0,
  })
  const clientId = reader.text('client_id', (id) =>
    CLIENT_ID.test(id) ? null : { code: 'format', message: 'must be visible ASCII' },
  )
  const config =
    endpoint === null
      ? null
      : {
          ...endpoint,
          secret,
          clientId: clientId ?? null,
          audiences,
          match,
          maxLifetimeSeconds,
          cacheSeconds,
        }
  return { errors: reader.errors, config }
}

function readEndpoint(
  reader: ConfigReader,
  deps: AuthMethodDeps,
): Pick<IntrospectionConfig, 'kind' | 'endpoint'> | null {
  const urls = ENDPOINTS.map((member) => reader.text(member, (url) => urlMistake(url, deps)))
  const named = ENDPOINTS.filter((member) => reader.get(member) !== undefined)
  if (named.length !== 1) {
    const code = named.length === 0 ? 'required' : 'value'
    reader.note({ code, message: 'is required, or `userinfo_endpoint`, not both' }, ENDPOINTS[0])
  }
  const [introspection, userinfo] = urls
  const url = introspection ?? userinfo
  if (url === undefined || !URL.canParse(url)) return null
  return {
    kind: introspection === undefined ? 'userinfo' : 'introspection',
    endpoint: new URL(url),
  }
}

/** RFC 7662 §2.1: an introspection endpoint asks who asks. At userinfo the token speaks for itself. */
function readSecret(
  reader: ConfigReader,
  kind: IntrospectionConfig['kind'] | undefined,
): string | null {
  if (kind !== 'userinfo') return reader.requiredText('secret', secretReferenceMistake)
  for (const member of ['secret', 'client_id']) {
    if (reader.get(member) === undefined) continue
    reader.note({ code: 'value', message: 'has no use at a userinfo endpoint' }, member)
  }
  return null
}

function noteUnpinned(
  reader: ConfigReader,
  match: readonly (readonly [string, ClaimMatcher])[],
  audiences: readonly string[] | null,
): void {
  if (match.length === 0) reader.note({ code: 'required', message: 'is required' }, 'match')
  if (audiences !== null) return
  const tenants = PINNING_CLAIMS.map((claim) => ({ claim }))
  const mistake = tenantPinMistake({ platform: 'The service', tenants }, match)
  if (mistake !== null) reader.note({ code: 'unsafe', message: mistake }, 'match')
}
