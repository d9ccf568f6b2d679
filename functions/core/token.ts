// The handle: an RFC 9068 access token that names a session. The intent is not in it.
import type { JsonObject, JsonValue } from './identity.ts'
import type { Seconds } from './ports.ts'

export const HANDLE_TYPE = 'at+jwt'
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const TOKEN_TYPES = {
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  idToken: 'urn:ietf:params:oauth:token-type:id_token',
  accessToken: 'urn:ietf:params:oauth:token-type:access_token',
  awsSigV4: 'urn:sallyport:token-type:aws-sigv4',
  opaque: 'urn:sallyport:token-type:oauth-opaque',
  mtls: 'urn:sallyport:token-type:mtls',
} as const

/** Token types that an attestation may have: those of the auth-methods family, which a test holds equal. */
export const ATTESTATION_TOKEN_TYPES: readonly string[] = [
  TOKEN_TYPES.jwt,
  TOKEN_TYPES.idToken,
  TOKEN_TYPES.awsSigV4,
  TOKEN_TYPES.opaque,
  TOKEN_TYPES.mtls,
]

/** RFC 9068 §2.2 plus `sid`. */
export type HandleClaims = {
  readonly iss: string
  /** URLs of the granted targets. */
  readonly aud: readonly string[]
  /** `{auth_method}:{subject}` */
  readonly sub: string
  /** Name of the acting Auth Method. */
  readonly client_id: string
  readonly sid: string
  readonly jti: string
  readonly iat: Seconds
  readonly exp: Seconds
  readonly scope: string
  /** Who acts, where the attestation said so (RFC 8693 §4.1). */
  readonly act?: JsonObject
}

export type HandleFault = 'malformed' | 'bad_signature' | 'expired' | 'wrong_audience'

/** The claims of a verified payload as a handle's, or null when it is not one (RFC 9068 §2.2). */
export function readHandleClaims(payload: JsonObject): HandleClaims | null {
  const { iss, aud, sub, client_id, sid, jti, iat, exp, scope, act } = payload
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
  if (!isText(iss) || !isText(sub) || !isText(client_id) || !isText(sid) || !isText(jti))
    return null
  if (typeof iat !== 'number' || typeof exp !== 'number' || typeof scope !== 'string') return null
  const audiences = Array.isArray(aud) ? (aud as readonly JsonValue[]) : []
  if (audiences.length === 0 || !audiences.every(isText)) return null
  const isActor = typeof act === 'object' && act !== null && !Array.isArray(act)
  return {
    iss,
    aud: audiences,
    sub,
    client_id,
    sid,
    jti,
    iat,
    exp,
    scope,
    // An object that is no array and not null is a JsonObject.
    ...(isActor ? { act: act as JsonObject } : {}),
  }
}
