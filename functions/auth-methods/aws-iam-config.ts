// The `config` of aws-iam: which principals, and at which endpoints of STS their signatures count.
import type { DocumentError, AuthMethodPolicy, ClaimMatcher } from '../core/policy.ts'
import { hostRefusal } from '../net/addresses.ts'
import type { Reach } from '../net/outbound.ts'
import { namesRoles, type PrincipalRules, readPrincipalRules } from './aws-principal.ts'
import { stsRegion } from './aws-regions.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { readMatch } from './jwt-config.ts'
import { type OriginRules, readOrigin } from './origin-config.ts'

/** Where a signature may have been made for, and the region that it then names. */
export type StsEndpoint = {
  readonly origin: string
  readonly scope: string
  readonly partition: string
  readonly isDevelopment: boolean
}

export type AwsIamConfig = PrincipalRules & {
  readonly endpoints: readonly StsEndpoint[]
  readonly sessionNames: readonly string[] | null
  readonly uniqueIds: readonly string[] | null
  readonly match: readonly (readonly [string, ClaimMatcher])[]
  readonly origin: OriginRules | null
}

const MEMBERS = [
  'accounts',
  'roles',
  'regions',
  'session_names',
  'unique_ids',
  'sts_endpoint',
  'match',
  'origin',
]

/** Claims with the name of the session in them. */
const CALLERS_CHOICE: readonly string[] = ['session_name', 'arn', 'user_id']
const MAX_REGIONS = 64
const MAX_NAMES = 256

export function readAwsIam(
  method: AuthMethodPolicy,
  reach: Reach,
): { readonly errors: readonly DocumentError[]; readonly config: AwsIamConfig } {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const rules = readPrincipalRules(reader, { seesPaths: false })
  const regions = reader.texts('regions', { maxItems: MAX_REGIONS, mistakeOf: regionMistake })
  const sessionNames = optionalTexts(reader, 'session_names', sessionMistake)
  const uniqueIds = optionalTexts(reader, 'unique_ids', uniqueIdMistake)
  const endpoint = reader.text('sts_endpoint', (url) => endpointMistake(url, reach))
  const match = readMatch(reader)
  noteUnsafeSessions(reader, { isPinned: uniqueIds !== null || namesRoles(rules), match })
  const origin = readOrigin(reader)
  // Who may assume a role calls its sessions as it likes: a name proves no schedule (AW-14).
  for (const [name] of origin?.when ?? []) {
    if (!CALLERS_CHOICE.includes(name.replace(/^\//, ''))) continue
    reader.note({ code: 'unsafe', message: 'is chosen by the caller' }, 'origin', 'when', name)
  }
  const config = {
    ...rules,
    origin,
    endpoints: regions.flatMap((region) => endpointsOf(region, endpoint)),
    sessionNames,
    uniqueIds,
    match,
  }
  return { errors: reader.errors, config }
}

function optionalTexts(
  reader: ConfigReader,
  member: string,
  mistakeOf: (text: string) => Mistake | null,
): readonly string[] | null {
  const texts = reader.texts(member, { maxItems: MAX_NAMES, absent: [], mistakeOf })
  return reader.get(member) === undefined ? null : texts
}

function endpointsOf(region: string, development: string | undefined): readonly StsEndpoint[] {
  const row = stsRegion(region)
  if (row === undefined) return []
  const { partition, scope, hosts } = row
  const isDevelopment = development !== undefined
  const origins = isDevelopment ? [development] : hosts.map((host) => `https://${host}`)
  return origins.map((origin) => ({ origin, scope, partition, isDevelopment }))
}

function regionMistake(region: string): Mistake | null {
  return stsRegion(region) === undefined
    ? { code: 'value', message: 'is not a region that is known here, nor aws-global' }
    : null
}

function sessionMistake(name: string): Mistake | null {
  return /^[A-Za-z0-9_+=,.@-]{2,64}$/.test(name)
    ? null
    : { code: 'format', message: 'must be the name of a session, compared exactly' }
}

function uniqueIdMistake(id: string): Mistake | null {
  return /^(?:AROA|AIDA)[A-Z0-9]{12,124}$/.test(id)
    ? null
    : { code: 'format', message: 'must be the unique id of a role (AROA…) or a user (AIDA…)' }
}

/** Who may assume a role chooses the session's name, in any account of theirs (AW-14). */
function noteUnsafeSessions(
  reader: ConfigReader,
  rules: { readonly isPinned: boolean; readonly match: AwsIamConfig['match'] },
): void {
  if (rules.isPinned) return
  const message = 'is chosen by the caller: name roles, or unique_ids, as well'
  if (reader.get('session_names') !== undefined) {
    reader.note({ code: 'unsafe', message }, 'session_names')
  }
  for (const [name, matcher] of rules.match) {
    const isSession = name === 'session_name' || name === '/session_name'
    const isArn = name === 'arn' || name === '/arn'
    if (!isSession && !(isArn && leavesRoleOpen(matcher))) continue
    reader.note({ code: 'unsafe', message }, 'match', name)
  }
}

/** `…:assumed-role/*` + `/name` rests on the name of the session just the same. */
function leavesRoleOpen(matcher: ClaimMatcher): boolean {
  if (typeof matcher !== 'object' || !('glob' in matcher)) return false
  const [, role = '', session = ''] = matcher.glob.split(':').slice(5).join(':').split('/')
  return role.includes('*') && session !== '' && session !== '*' && session !== '**'
}

/** For development, and a loopback address whatever else may be reached. */
function endpointMistake(url: string, reach: Reach): Mistake | null {
  if (!reach.loopback) {
    const message = 'is for development, with SALLYPORT_ALLOW_INSECURE_LOOPBACK=1'
    return { code: 'unsafe', message }
  }
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || parsed.origin !== url) {
    return { code: 'format', message: 'must be an origin without a path' }
  }
  const isLoopback =
    hostRefusal(parsed, { privateNetwork: false, loopback: true }) === null &&
    hostRefusal(new URL(url.replace(/^http:/, 'https:')), PUBLIC_ONLY) === 'loopback'
  return isLoopback ? null : { code: 'unsafe', message: 'must be a loopback address' }
}

const PUBLIC_ONLY: Reach = { privateNetwork: false, loopback: false }
