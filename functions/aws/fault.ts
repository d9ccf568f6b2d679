// What AWS's refusals mean, told from the status and AWS's code: nothing else of an answer is repeated.
import type { AwsFault, AwsFaultKind } from './contract.ts'

const KINDS: Readonly<Record<string, AwsFaultKind>> = {
  // Query services say "slow down" with status 400 too.
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  TooManyRequestsException: 'throttled',
  RequestLimitExceeded: 'throttled',
  PackedPolicyTooLarge: 'packed_policy_too_large',
  PackedPolicyTooLargeException: 'packed_policy_too_large',
  MalformedPolicyDocument: 'malformed_policy',
  MalformedPolicyDocumentException: 'malformed_policy',
  ExpiredToken: 'expired_token',
  ExpiredTokenException: 'expired_token',
  RequestExpired: 'expired_token',
  InvalidIdentityToken: 'token_rejected',
  InvalidIdentityTokenException: 'token_rejected',
  IDPRejectedClaim: 'token_rejected',
  IDPRejectedClaimException: 'token_rejected',
  // STS could not fetch the issuer's keys: it asks to be asked again.
  IDPCommunicationError: 'unavailable',
  IDPCommunicationErrorException: 'unavailable',
  RegionDisabledException: 'region_disabled',
  ResourceNotFoundException: 'not_found',
  ParameterNotFound: 'not_found',
  ParameterVersionNotFound: 'not_found',
  NoSuchEntity: 'not_found',
  NoSuchEntityException: 'not_found',
  ServiceUnavailable: 'unavailable',
  InternalFailure: 'unavailable',
  InternalServiceError: 'unavailable',
}

/** The only words by which STS tells too many seconds from its other ValidationErrors. */
const DURATION = /DurationSeconds/

export type AwsRefusal = {
  readonly status: number
  readonly code: string | undefined
  /** Read here, and never repeated. */
  readonly message?: string | undefined
}

export function refusalFault({ status, code, message = '' }: AwsRefusal): AwsFault {
  const word = code === undefined ? `status_${status}` : sanitisedCode(code)
  if (status === 429) return { kind: 'throttled', code: word, status }
  const known = code !== undefined && Object.hasOwn(KINDS, code) ? KINDS[code] : undefined
  if (known !== undefined) return { kind: known, code: word, status }
  if (status >= 500) return { kind: 'unavailable', code: word, status }
  const isDuration = code === 'ValidationError' && DURATION.test(message)
  return { kind: isDuration ? 'duration' : 'refused', code: word, status }
}

/** An answer that AWS would not give. */
export function foreign(code: string, status: number | null): AwsFault {
  return { kind: 'foreign', code, status }
}

export function unavailable(code: string, status: number | null = null): AwsFault {
  return { kind: 'unavailable', code, status }
}

/** The deployment has none. */
export const NO_KEYS: AwsFault = { kind: 'no_credentials', code: 'none', status: null }

/** A secret that may not be sent, or signed with, to that origin. */
export const NOT_FOR_ORIGIN: AwsFault = {
  kind: 'no_credentials',
  code: 'not_for_origin',
  status: null,
}

/** What AWS calls an error is a name; anything else is not repeated (LEAK-2). */
export function sanitisedCode(code: string): string {
  return /^[A-Za-z0-9.]{1,64}$/.test(code) ? code : 'unreadable'
}
