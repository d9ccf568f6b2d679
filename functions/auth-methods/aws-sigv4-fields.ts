// What every signed GetCallerIdentity request is made of, whichever way it is written down, and the rules
// that both ways share.
import type { AttestationFault } from '../core/auth-method.ts'
import type { Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'

export const SERVER_ID_HEADER = 'x-sallyport-server-id'
/**
 * Optional, signed, any 16 to 64 base64url characters: without it two requests that one principal signs in
 * the same second are one and the same, and the second is a replay.
 */
export const NONCE_HEADER = 'x-sallyport-nonce'
/** What EKS tooling signs instead of the server id. */
export const EKS_SERVER_ID_HEADER = 'x-k8s-aws-id'

/** Everything of a signed request that counts, and nothing else. */
export type UntrustedSignedRequest = {
  readonly form: 'headers' | 'presigned'
  /** As text, to be compared with the origins of the table and never to be parsed or called. */
  readonly origin: string
  readonly accessKeyId: string
  readonly scopeRegion: string
  readonly signedAt: Seconds
  /** `yyyymmddThhmmssZ`, as it was signed. */
  readonly date: string
  /** How long the signer wanted it to hold; null where the form does not say. */
  readonly expiresSeconds: number | null
  readonly securityToken: string | null
  /** Sorted, and each of a form that can be built anew. */
  readonly signedHeaders: readonly string[]
  /** As presented; null in the presigned form, where the signature alone says it. */
  readonly serverId: string | null
  readonly nonce: string | null
  readonly body: string
  readonly contentType: string
  readonly signature: string
}

export type Parsed<T> = Result<T, AttestationFault>

export const ALGORITHM = 'AWS4-HMAC-SHA256'
const ACCESS_KEY_ID = /^[A-Z0-9]{16,128}$/
const SIGNATURE = /^[0-9a-f]{64}$/
const SECURITY_TOKEN = /^[\x21-\x7e]{1,4096}$/
const NONCE = /^[A-Za-z0-9_-]{16,64}$/
const DATE = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/

/** The two orders in which an SDK or a person writes the only body that is accepted (AW-04). */
export const BODIES: Readonly<Record<string, { readonly sha256: string }>> = {
  'Action=GetCallerIdentity&Version=2011-06-15': {
    sha256: 'ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843',
  },
  'Version=2011-06-15&Action=GetCallerIdentity': {
    sha256: '2e5272931159dc39306511e6dbae66f365e6748f021352ad514b568d66ebba7c',
  },
}

/** What a presigned URL always says. */
export const FIXED_QUERY: readonly (readonly [string, string])[] = [
  ['Action', 'GetCallerIdentity'],
  ['Version', '2011-06-15'],
  ['X-Amz-Algorithm', ALGORITHM],
  // A presigned URL holds the names of headers and not their values: these two can be built anew.
  ['X-Amz-SignedHeaders', `host;${EKS_SERVER_ID_HEADER}`],
]

export function refuse(reason: AttestationFault['reason'], claim?: string): Parsed<never> {
  return fail({ reason, ...(claim === undefined ? {} : { claim }) })
}

/** The path is `/` or left out, which is the same. */
export function originOf(url: string): string {
  return url.endsWith('/') ? url.slice(0, -1) : url
}

/** What both forms have to get right. */
export function signedRequest(
  raw: Omit<UntrustedSignedRequest, 'accessKeyId' | 'scopeRegion' | 'signedAt' | 'date'> & {
    readonly credential: string
    readonly date: string | undefined
  },
): Parsed<UntrustedSignedRequest> {
  const { credential, date, ...rest } = raw
  if (date === undefined) return refuse('missing_claim', 'x-amz-date')
  const signedAt = instantOf(date)
  if (signedAt === null) return refuse('malformed', 'x-amz-date')
  const [accessKeyId = '', day, scopeRegion = '', service, terminator, ...more] =
    credential.split('/')
  if (!ACCESS_KEY_ID.test(accessKeyId) || more.length > 0 || terminator !== 'aws4_request') {
    return refuse('malformed', 'credential')
  }
  if (service !== 'sts') return refuse('claim_mismatch', 'service')
  if (day !== date.slice(0, 8)) return refuse('claim_mismatch', 'x-amz-date')
  if (!SIGNATURE.test(rest.signature)) return refuse('malformed', 'signature')
  if (rest.securityToken !== null && !SECURITY_TOKEN.test(rest.securityToken)) {
    return refuse('malformed', 'x-amz-security-token')
  }
  if (rest.nonce !== null && !NONCE.test(rest.nonce)) return refuse('malformed', NONCE_HEADER)
  return ok({ ...rest, accessKeyId, scopeRegion, signedAt, date })
}

function instantOf(date: string): Seconds | null {
  const match = DATE.exec(date)
  if (match === null) return null
  const [, year, month, day, hour, minute, second] = match
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`
  const ms = Date.parse(iso)
  // 31 February is rolled over by the parser, and refused here.
  return Number.isNaN(ms) || new Date(ms).toISOString() !== iso ? null : ms / 1000
}
