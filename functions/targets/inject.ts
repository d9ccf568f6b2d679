// Puts a target's credential into a request, at the one origin it is for. A value that a header, cookie
// or URL cannot carry is refused here, where no runtime can put it into an error text (F6, G-2).
import { Buffer } from 'node:buffer'
import type { Secret } from '../core/credential.ts'
import type { Failure } from '../core/failure.ts'
import type { CredentialPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { CredentialText } from './credential-forms.ts'
import { foldName, type HeaderLine } from './http-headers.ts'

export type Injection = {
  readonly headers: readonly HeaderLine[]
  /** `name=value`, encoded; '' when the credential is not in the query. */
  readonly query: string
  /** What must not come back. */
  readonly text: CredentialText
}

/** Less is no secret, and taking it out of an answer would leave nothing of the answer. */
const MIN_SECRET_BYTES = 4

/** A credential that cannot be used does not mend itself within a minute. */
const RETRY_AFTER_SECONDS = 60

type Inject = CredentialPolicy['inject']

/** What each place can carry: RFC 6750 §2.1, RFC 9110 §5.5, RFC 6265 §4.1.1, RFC 7617 §2. */
const CARRIES: Readonly<Record<Inject, RegExp>> = {
  bearer: /^[\x21-\x7e]+$/,
  header: /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/,
  cookie: /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/,
  basic: /^[^\p{Cc}\p{Surrogate}]+$/u,
  query: /^[^\p{Cc}\p{Surrogate}]+$/u,
}

const PLACES: Readonly<
  Record<Inject, (policy: CredentialPolicy, secret: string) => Omit<Injection, 'text'>>
> = {
  bearer: (_, secret) => header('authorization', `Bearer ${secret}`),
  basic: ({ username = '' }, secret) =>
    header('authorization', `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`),
  header: ({ name = '' }, secret) => header(name.toLowerCase(), secret),
  cookie: ({ name = '' }, secret) => header('cookie', `${name}=${secret}`),
  query: ({ name = '' }, secret) => ({
    headers: [],
    query: `${encodeURIComponent(name)}=${encodeURIComponent(secret)}`,
  }),
}

export function injectCredential(
  policy: CredentialPolicy,
  credential: Secret | null,
  origin: string,
): Result<Injection, Failure> {
  if (credential === null) return unavailable('credential_missing')
  const secret = credential.revealFor(origin)
  if (secret === null) return unavailable('credential_origin_not_allowed')
  if (!CARRIES[policy.inject].test(secret) || Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    return unavailable('credential_unusable')
  }
  const text = policy.inject === 'basic' ? { secret, username: policy.username ?? '' } : { secret }
  return ok({ ...PLACES[policy.inject](policy, secret), text })
}

/** The header that the credential takes, and that nobody else may send. */
export function headerOf(policy: CredentialPolicy | undefined): string | null {
  switch (policy?.inject) {
    case undefined:
    case 'query':
      return null
    case 'header':
      return policy.name ?? null
    case 'cookie':
      return 'cookie'
    default:
      return 'authorization'
  }
}

/**
 * Whether a query names `parameter` in any way that some server would read as it: in another case, as
 * `name[]`, behind `;`, encoded again, or with `.` for `_` as PHP does. Which of two wins is the server's
 * choice, so none is sent.
 */
export function queryNames(query: string, parameter: string): boolean {
  const wanted = foldName(parameter)
  return query.split(/[&;]/).some((pair) => parameterName(pair.split('=', 1)[0] ?? '') === wanted)
}

/** The query without any parameter of that name. */
export function withoutParameter(query: string, parameter: string): string {
  return query
    .split('&')
    .filter((pair) => !queryNames(pair, parameter))
    .join('&')
}

function parameterName(encoded: string): string {
  let name = encoded.replaceAll('+', ' ')
  for (let round = 0; round < 3; round++) name = percentDecoded(name)
  return foldName((name.split('[', 1)[0] ?? '').trim())
}

function percentDecoded(text: string): string {
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) =>
    Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'),
  )
}

function header(name: string, value: string): Omit<Injection, 'text'> {
  return { headers: [[name, value]], query: '' }
}

function unavailable(reason: string): Result<never, Failure> {
  return fail({ kind: 'unavailable', reason, retryAfterSeconds: RETRY_AFTER_SECONDS })
}
