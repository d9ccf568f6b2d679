// Shows an opaque token to the one endpoint that the method names, and reads what it answers. The token
// goes nowhere else, and into no log.
import type { AttestationFault } from '../core/auth-method.ts'
import type { JsonObject } from '../core/identity.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { askForJson } from '../net/json-call.ts'
import type { IntrospectionConfig } from './introspection-config.ts'
import type { AuthMethodDeps } from './jwt.ts'
import { secretValueFor } from './method-secret.ts'

/** What the authority says of a token that holds. */
export type Authority = (token: string) => Promise<Result<JsonObject, AttestationFault>>

export function askAuthority(config: IntrospectionConfig, deps: AuthMethodDeps): Authority {
  return config.kind === 'userinfo'
    ? (token) => userinfo(token, config, deps)
    : (token) => introspect(token, config, deps)
}

/** RFC 7662 §2. */
async function introspect(
  token: string,
  { endpoint, secret, clientId }: IntrospectionConfig,
  deps: AuthMethodDeps,
): Promise<Result<JsonObject, AttestationFault>> {
  const value = await secretValueFor(secret ?? '', endpoint.origin, deps)
  if (value === null) return fail(unreachable('secret'))
  const answer = await askForJson(deps.outbound, {
    method: 'POST',
    url: endpoint,
    headers: [
      ['authorization', authorization(value, clientId)],
      ['content-type', 'application/x-www-form-urlencoded'],
    ],
    body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    statuses: [200],
    reach: deps.reach,
  })
  if (!answer.ok) return fail(unreachable(answer.failure.rule))
  // Exactly true: `"true"` and 1 are some other server's words.
  return answer.value['active'] === true ? ok(answer.value) : fail({ reason: 'inactive' })
}

/** OpenID Connect Core §5.3. */
async function userinfo(
  token: string,
  { endpoint }: IntrospectionConfig,
  deps: AuthMethodDeps,
): Promise<Result<JsonObject, AttestationFault>> {
  const answer = await askForJson(deps.outbound, {
    method: 'GET',
    url: endpoint,
    headers: [['authorization', `Bearer ${token}`]],
    body: null,
    statuses: [200],
    reach: deps.reach,
  })
  if (answer.ok) return answer
  const { status, rule } = answer.failure
  return fail(status === 401 || status === 403 ? { reason: 'inactive' } : unreachable(rule))
}

function unreachable(rule: string): AttestationFault {
  return { reason: 'keys_unreachable', claim: 'token', got: rule }
}

/**
 * HTTP Basic with `client_id` or with the part of the secret before its colon (RFC 6749 §2.3.1); a secret
 * without either is a bearer token, which holds no colon (RFC 6750 §2.1).
 */
function authorization(secret: string, clientId: string | null): string {
  const colon = secret.indexOf(':')
  if (clientId === null && colon < 0) return `Bearer ${secret}`
  const id = clientId ?? secret.slice(0, colon)
  const password = clientId === null ? secret.slice(colon + 1) : secret
  return `Basic ${btoa(`${formEncoded(id)}:${formEncoded(password)}`)}`
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}
