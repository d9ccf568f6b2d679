// The handle: an RFC 9068 access token that names a session. The intent is not in it.
import type { JsonObject, JsonValue } from './identity.ts'
import type { Seconds } from './ports.ts'
import { type Confirmation, readConfirmation } from './proof.ts'

export const HANDLE_TYPE = 'at+jwt'
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** RFC 7523 §2.1: a workload's JWT (MCP SEP-1933), or an ID-JAG. */
export const JWT_BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const TOKEN_TYPES = {
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  idToken: 'urn:ietf:params:oauth:token-type:id_token',
  accessToken: 'urn:ietf:params:oauth:token-type:access_token',
  awsSigV4: 'urn:sallyport:token-type:aws-sigv4',
  opaque: 'urn:sallyport:token-type:oauth-opaque',
  mtls: 'urn:sallyport:token-type:mtls',
  /** An identity assertion authorization grant: taken as `assertion` and nowhere else. */
  idJag: 'urn:ietf:params:oauth:token-type:id-jag',
  /** Only ever asked for. */
  awsCredentials: 'urn:sallyport:token-type:aws-credentials',
  txnToken: 'urn:ietf:params:oauth:token-type:txn_token',
} as const

/** What an exchange can answer with: a handle, or what a target hands over. */
export const REQUESTED_TOKEN_TYPES: readonly string[] = [
  TOKEN_TYPES.accessToken,
  TOKEN_TYPES.awsCredentials,
  TOKEN_TYPES.idJag,
  TOKEN_TYPES.txnToken,
]

/** Token types that an attestation may have: those of the auth-methods family, which a test holds equal. */
export const ATTESTATION_TOKEN_TYPES: readonly string[] = [
  TOKEN_TYPES.jwt,
  TOKEN_TYPES.idToken,
  TOKEN_TYPES.awsSigV4,
  TOKEN_TYPES.opaque,
  TOKEN_TYPES.mtls,
]

/** Whether a header's `typ` says ID-JAG; `x` and `application/x` are the same (RFC 7515 §4.1.9). */
export function isIdJagType(typ: JsonValue | undefined): boolean {
  if (typeof typ !== 'string') return false
  return ['oauth-id-jag+jwt', 'application/oauth-id-jag+jwt'].includes(typ.toLowerCase())
}

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
  /** What it is bound to (RFC 9449 §6.1, RFC 8705 §3.1). */
  readonly cnf?: Confirmation
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
  const cnf = readConfirmation(payload)
  // A binding that cannot be read must not be lost.
  if (cnf === 'unknown') return null
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
    ...(cnf === null ? {} : { cnf }),
  }
}
