// The target type `id-jag`: an identity assertion grant (draft-ietf-oauth-identity-assertion-authz-grant) with
// which an agent asks another authorization server for access in the name of a user. Never without a user,
// and never for one whom that server would take for somebody else.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { MintFacts } from '../core/minting.ts'
import { fail, ok } from '../core/result.ts'
import type { TargetType } from '../core/target.ts'
import { issuerUrlMistake } from '../net/issuer-url.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'
import {
  createIssuedTokenTarget,
  type IssuedTokenDeps,
  type IssuedTokenKind,
} from './issued-token.ts'

type IdJagSettings = {
  /** Whose `sub` the downstream knows: that of the same text from another issuer is somebody else. */
  readonly subjectIssuer: string
  /** The agent's client there: users' ID tokens were issued to it. */
  readonly loginClient: string
  /** `client_id` of the agent downstream, and what else the token says as configured. */
  readonly claims: JsonObject
}

const TEXT = /^[\x21-\x7e]{1,255}$/
/** Of the user's token, as its issuer has them. */
const AUTHENTICATION = ['auth_time', 'acr', 'amr'] as const

const KIND: IssuedTokenKind<IdJagSettings> = {
  type: 'id-jag',
  needsUser: true,
  action: 'id_jag.issue',
  tokenType: TOKEN_TYPES.idJag,
  typ: 'oauth-id-jag+jwt',
  defaultSeconds: 300,
  isExact: false,
  members: ['client_id', 'subject_issuer', 'login_client_id', 'resource', 'tenant', 'aud_tenant'],
  audienceMistake: urlMistake,
  read(reader, deps) {
    const clientId = reader.requiredText('client_id', textMistake)
    const optional = {
      resource: reader.text('resource', (url) => urlMistake(url, deps)),
      tenant: reader.text('tenant', textMistake),
      aud_tenant: reader.text('aud_tenant', textMistake),
    }
    const given = Object.entries(optional).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
    return {
      subjectIssuer: reader.requiredText('subject_issuer', (url) => urlMistake(url, deps)),
      loginClient: loginClientOf(reader, deps),
      claims: { client_id: clientId, ...Object.fromEntries(given) },
    }
  },
  knownAs: ({ claims: { resource } }) => (typeof resource === 'string' ? [resource] : []),
  claims(facts, settings, { federation }) {
    const { onBehalfOf, confirmation } = facts
    if (onBehalfOf?.relation !== 'delegation') return refuse('user_required')
    const user = onBehalfOf.claims
    const { iss, sub } = user
    if (iss !== settings.subjectIssuer || typeof sub !== 'string') return refuse('unknown_user')
    if (!isIssuedTo(user, settings.loginClient)) return refuse('other_client')
    // The profile knows keys alone; what has to be bound to a certificate would go out unbound.
    if (confirmation?.['x5t#S256'] !== undefined) return refuse('certificate_binding')
    const authentication = AUTHENTICATION.flatMap((name) => {
      const value = user[name]
      return value === undefined ? [] : [[name, value] as const]
    })
    return ok({
      ...Object.fromEntries(authentication),
      ...settings.claims,
      sub,
      act: actorsOf(facts, federation.issuer),
      ...(confirmation?.jkt === undefined ? {} : { cnf: { jkt: confirmation.jkt } }),
    })
  },
}

export function createIdJagTarget(deps: IssuedTokenDeps): TargetType {
  return createIssuedTokenTarget(KIND, deps)
}

const HINTS = {
  user_required: "a user's ID token with an actor_token",
  unknown_user: 'a user of the issuer that the target names',
  other_client: 'an ID token that was issued to this agent',
  certificate_binding: 'a DPoP proof instead of a certificate',
} as const

function refuse(reason: keyof typeof HINTS) {
  return fail({ kind: 'mint_refused' as const, reason, hint: `needs ${HINTS[reason]}` })
}

/** Who acts, and before it whom it was let in by (RFC 8693 §4.1). */
function actorsOf({ identity, lineage }: MintFacts, iss: string): JsonObject {
  const before = (lineage?.actors ?? []).reduce<JsonObject | null>(
    (inner, actor) => ({ iss, sub: actor.identity, ...(inner === null ? {} : { act: inner }) }),
    null,
  )
  return { iss, sub: identity, ...(before === null ? {} : { act: before }) }
}

/** OpenID Connect Core §3.1.3.7: whose client it is; of several audiences `azp` says which. */
function isIssuedTo({ aud, azp }: JsonObject, client: string): boolean {
  if (azp !== undefined && azp !== client) return false
  if (!Array.isArray(aud)) return aud === client
  const audiences = aud as readonly JsonValue[]
  return audiences.includes(client) && (audiences.length === 1 || azp === client)
}

/** A token for this broker is a grant to be redeemed here, and no sign-in: it buys no further hop. */
function loginClientOf(reader: ConfigReader, { issuer }: IssuedTokenDeps): string {
  return reader.requiredText('login_client_id', (client) =>
    client.startsWith(issuer)
      ? { code: 'unsafe', message: 'must not be this broker' }
      : textMistake(client),
  )
}

function textMistake(text: string): Mistake | null {
  return TEXT.test(text) ? null : { code: 'format', message: 'must be printable ASCII' }
}

/** Only ever compared: a private address is as good as any. */
function urlMistake(url: string, { reach }: IssuedTokenDeps): Mistake | null {
  const reason = issuerUrlMistake(url, { ...reach, privateNetwork: true })
  return reason === null ? null : { code: 'unsafe', message: `must be an https URL: ${reason}` }
}
