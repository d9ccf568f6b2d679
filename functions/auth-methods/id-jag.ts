// `id_jag` of an Auth Method: its issuer's identity assertion grants (ID-JAG) are redeemed here as well. What
// makes a token an ID-JAG is what no ID token has, and the other way round (JB-07): neither passes for the
// other, and an ID-JAG is no attestation.
import type { AssertionGrant } from '../core/assertion-grant.ts'
import type { AttestationFault, CompiledAuthMethod } from '../core/auth-method.ts'
import { isPlainText } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { parseScope } from '../core/scope.ts'
import { targetOfUrl } from '../core/target-url.ts'
import { isIdJagType, TOKEN_TYPES } from '../core/token.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import { compileJwtMethod, type JwtFamily, type JwtMember } from './jwt.ts'

export type IdJagRules = {
  readonly maxLifetimeSeconds: number
  /** From `client_id` to the agent that it stands for; null: it is the agent's name here. */
  readonly clients: Readonly<Record<string, string>> | null
}

/** Identity providers issue them for five minutes: they are redeemed at once. */
const DEFAULT_LIFETIME_SECONDS = 300
const LONGEST_LIFETIME_SECONDS = 3600
const MAX_CLIENTS = 256
const MAX_NAME_LENGTH = 2048
const MAX_RESOURCES = 64
/** `{auth_method}:{subject}` */
const AGENT = /^[a-z0-9][a-z0-9-]{0,62}:./

export function readIdJag(
  reader: ConfigReader,
  { subject }: Pick<AuthMethodPolicy, 'subject'>,
): IdJagRules | null {
  const value = reader.get('id_jag')
  if (value === undefined) return null
  if (subject !== 'user') {
    reader.note({ code: 'value', message: 'is about users: needs `subject: user`' }, 'id_jag')
  }
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'id_jag')
    return null
  }
  const inner = new ConfigReader(value)
  inner.allowOnly(['max_lifetime_seconds', 'clients'])
  const rules = {
    maxLifetimeSeconds: inner.wholeNumber('max_lifetime_seconds', {
      min: 1,
      max: LONGEST_LIFETIME_SECONDS,
      absent: DEFAULT_LIFETIME_SECONDS,
    }),
    clients: readClients(inner),
  }
  reader.adopt(inner, 'id_jag')
  return rules
}

function readClients(reader: ConfigReader): Readonly<Record<string, string>> | null {
  const value = reader.get('clients')
  if (value === undefined) return null
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'clients')
    return null
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || entries.length > MAX_CLIENTS) {
    reader.note({ code: 'range', message: `must have 1 to ${MAX_CLIENTS} members` }, 'clients')
  }
  const clients: (readonly [string, string])[] = []
  for (const [id, agent] of entries) {
    if (isName(id) && isName(agent) && AGENT.test(agent)) clients.push([id, agent])
    else reader.note({ code: 'format', message: 'must be {auth_method}:{subject}' }, 'clients', id)
  }
  return Object.fromEntries(clients)
}

/** The method that takes what `member` takes, and its issuer's ID-JAGs under rules of their own. */
export function takingIdJags(
  member: JwtMember,
  rules: IdJagRules,
  family: JwtFamily,
): CompiledAuthMethod {
  const plain = compileJwtMethod(member, family)
  const grants = compileJwtMethod(grantMember(member, rules, family), family)
  const methodFor = (tokenType: string) => (tokenType === TOKEN_TYPES.idJag ? grants : plain)
  return {
    ...plain,
    tokenTypes: [...plain.tokenTypes, ...grants.tokenTypes],
    accepts: (claims) => plain.accepts(claims) || grants.accepts(claims),
    explain: (attestation) =>
      methodFor(attestation.tokenType).explain?.(attestation) ?? { checks: [], claims: null },
    verify: (attestation) => methodFor(attestation.tokenType).verify(attestation),
  }
}

function grantMember(member: JwtMember, rules: IdJagRules, { issuer }: JwtFamily): JwtMember {
  const read = (claims: JsonObject) => readGrant(claims, rules, issuer)
  return {
    ...member,
    tokenTypes: [TOKEN_TYPES.idJag],
    // ISSUER and nothing else, as a text or as a list of one (ID-JAG §6.1).
    config: {
      ...member.config,
      audiences: [issuer],
      maxLifetimeSeconds: rules.maxLifetimeSeconds,
      singleUse: true,
    },
    soleAudience: true,
    header: { ...member.header, isAllowedType: isIdJagType, needsType: true },
    claimsFault: (claims) => member.claimsFault(claims) ?? grantFault(claims, read(claims)),
    grantOf(claims) {
      const grant = read(claims)
      return grant.ok ? grant.value : null
    },
  }
}

function grantFault(
  claims: JsonObject,
  grant: Result<AssertionGrant, string>,
): AttestationFault | null {
  for (const claim of ['client_id', 'iat', 'jti']) {
    if (!Object.hasOwn(claims, claim)) return { reason: 'missing_claim', claim }
  }
  // It narrows in a way that is not understood here.
  if (Object.hasOwn(claims, 'authorization_details')) {
    return { reason: 'claim_mismatch', claim: 'authorization_details' }
  }
  return grant.ok ? null : { reason: 'claim_mismatch', claim: grant.failure }
}

/** Fails with the claim that restricts it and cannot be read, or names a client that is nobody's. */
function readGrant(
  claims: JsonObject,
  rules: IdJagRules,
  issuer: string,
): Result<AssertionGrant, string> {
  const { client_id: clientId, resource, scope } = claims
  const presenter = presenterOf(clientId, rules)
  const targets = targetsOf(resource, issuer)
  const most = scopeOf(scope)
  if (presenter === null) return fail('client_id')
  if (targets === 'unreadable') return fail('resource')
  return most === 'unreadable' ? fail('scope') : ok({ presenter, targets, scope: most })
}

function presenterOf(clientId: JsonValue | undefined, { clients }: IdJagRules): string | null {
  if (!isName(clientId)) return null
  if (clients === null) return clientId
  return Object.hasOwn(clients, clientId) ? (clients[clientId] ?? null) : null
}

/** A resource of somebody else is covered by it as well, and is no target. */
function targetsOf(
  resource: JsonValue | undefined,
  issuer: string,
): readonly string[] | null | 'unreadable' {
  if (resource === undefined) return null
  const urls = typeof resource === 'string' ? [resource] : resource
  if (!Array.isArray(urls) || urls.length === 0 || urls.length > MAX_RESOURCES) return 'unreadable'
  const names: string[] = []
  for (const url of urls as readonly JsonValue[]) {
    if (typeof url !== 'string') return 'unreadable'
    const name = targetOfUrl(issuer, url)
    if (name !== null && !names.includes(name)) names.push(name)
  }
  return names
}

function scopeOf(scope: JsonValue | undefined): AssertionGrant['scope'] | 'unreadable' {
  if (scope === undefined) return null
  if (typeof scope !== 'string') return 'unreadable'
  const items = parseScope(scope)
  return items.ok ? items.value : 'unreadable'
}

function isName(value: JsonValue | undefined): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= MAX_NAME_LENGTH &&
    isPlainText(value)
  )
}
