// The handle: an RFC 9068 access token that names a session. The intent is not in it.
import type { Seconds } from './ports.ts'

export const HANDLE_TYPE = 'at+jwt'
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const TOKEN_TYPES = {
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  idToken: 'urn:ietf:params:oauth:token-type:id_token',
  accessToken: 'urn:ietf:params:oauth:token-type:access_token',
} as const

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
}

export type HandleFault = 'malformed' | 'bad_signature' | 'expired' | 'wrong_audience'
