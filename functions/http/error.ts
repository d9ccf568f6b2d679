// The one place where a Failure becomes an answer: OAuth codes on OAuth endpoints (RFC 6749 §5.2),
// RFC 9457 problems everywhere else. Bodies of causes that would tell an attacker something are equal
// but for `decision_id` (ER-09, RB-15). It never reveals a reason that the audit log keeps.
import type { Approval } from '../core/approval.ts'
import type { Failure } from '../core/failure.ts'
import { JWT_BEARER_GRANT, TOKEN_EXCHANGE_GRANT } from '../core/token.ts'
import { ASYMMETRIC_ALGORITHMS } from '../crypto/jws.ts'

export type WireAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

export const NO_STORE = { 'cache-control': 'no-store', pragma: 'no-cache' } as const

/** Characters allowed in `error_description` (RFC 6749 §5.2); everything else becomes `?` (ER-02). */
export function sanitiseDescription(text: string): string {
  return text.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?').slice(0, 300)
}

type OAuthShape = {
  status: number
  error: string
  description: string
  extra?: Record<string, unknown>
  headers?: Record<string, string>
}

/** Answer of an OAuth endpoint; `grantType` where it matters which one was asked for. */
export function oauthAnswer(
  failure: Failure,
  decisionId: string,
  grantType: string = TOKEN_EXCHANGE_GRANT,
): WireAnswer {
  const shape = oauthShape(failure, grantType)
  return {
    status: shape.status,
    headers: { ...NO_STORE, 'content-type': 'application/json', ...shape.headers },
    body: {
      error: shape.error,
      error_description: sanitiseDescription(shape.description),
      decision_id: decisionId,
      ...shape.extra,
    },
  }
}

/** RFC 8693 §2.2.2 and RFC 7523 §3.1 each demand their own code (conflict C1). */
function refusedToken(grantType: string): OAuthShape {
  return grantType === JWT_BEARER_GRANT
    ? { status: 400, error: 'invalid_grant', description: 'The assertion was not accepted.' }
    : {
        status: 400,
        error: 'invalid_request',
        description: 'The subject_token or actor_token was not accepted.',
      }
}

function oauthShape(failure: Failure, grantType: string): OAuthShape {
  switch (failure.kind) {
    case 'malformed_request':
      return { status: 400, error: 'invalid_request', description: malformedText(failure) }
    case 'unsupported_grant_type':
      return {
        status: 400,
        error: 'unsupported_grant_type',
        description: 'This grant_type is not supported.',
      }
    case 'invalid_client':
      return {
        status: 401,
        error: 'invalid_client',
        description:
          'There are no registered clients here; an attestation authenticates, see the documentation.',
        ...(failure.viaAuthorizationHeader
          ? { headers: { 'www-authenticate': 'Basic realm="sallyport"' } }
          : {}),
      }
    case 'attestation_rejected':
      return refusedToken(grantType)
    case 'invalid_target':
      return {
        status: 400,
        error: 'invalid_target',
        description: 'A requested target is unknown or not granted.',
      }
    case 'invalid_scope':
      return failure.reason === 'syntax'
        ? {
            status: 400,
            error: 'invalid_scope',
            description: 'The scope is malformed: effect or effect:object, space-delimited.',
          }
        : {
            status: 400,
            error: 'invalid_scope',
            description: 'Nothing of the requested scope is granted at a requested target.',
          }
    case 'invalid_authorization_details':
      return {
        status: 400,
        error: 'invalid_authorization_details',
        description: `The declared intent is not acceptable: ${failure.reason}${failure.path === undefined ? '' : ` at ${failure.path}`}.`,
      }
    case 'access_denied':
      return { status: 400, error: 'access_denied', description: 'The declared intent was denied.' }
    case 'mint_refused':
      return { status: 400, error: 'invalid_request', description: mintText(failure) }
    case 'authorization_pending':
      return {
        status: 400,
        error: 'authorization_pending',
        description:
          'A person has to approve this; repeat the identical request once it is approved.',
        extra: { approval: approvalBody(failure.approval) },
      }
    case 'slow_down':
      return {
        status: 429,
        error: 'slow_down',
        description: 'Too many requests.',
        headers: { 'retry-after': String(failure.retryAfterSeconds) },
      }
    case 'unavailable':
      return unavailableShape(failure.retryAfterSeconds)
    case 'killed':
      return unavailableShape(30)
    case 'method_not_allowed':
      return {
        status: 405,
        error: 'invalid_request',
        description: `Use ${failure.allow.join(' or ')}.`,
        headers: { allow: failure.allow.join(', ') },
      }
    case 'unsupported_media_type':
      return { status: 400, error: 'invalid_request', description: `Send ${failure.expected}.` }
    case 'payload_too_large':
      return {
        status: 413,
        error: 'invalid_request',
        description: `The request body exceeds ${failure.maxBytes} bytes.`,
      }
    case 'unauthenticated':
    case 'forbidden':
    case 'invalid_handle':
      return {
        status: 401,
        error: 'invalid_token',
        description: 'The access token is missing, invalid or expired.',
        headers: { 'www-authenticate': tokenChallenge(failure) },
      }
    case 'invalid_proof': {
      const error = proofError(failure)
      return {
        status: failure.at === 'resource' ? 401 : 400,
        error,
        description: PROOF_TEXTS[error],
        ...(failure.at === 'resource'
          ? { headers: { 'www-authenticate': proofChallenge(error) } }
          : {}),
      }
    }
    // The gateway and administration answer with problems; on an OAuth endpoint these cannot happen.
    case 'action_malformed':
    case 'action_denied':
    case 'approval_required':
    case 'budget_exhausted':
    case 'upstream_failed':
    case 'not_found':
    case 'invalid_document':
    case 'precondition_failed':
    case 'conflict':
      return { status: 400, error: 'invalid_request', description: 'The request was refused.' }
  }
}

type ProofError = 'invalid_dpop_proof' | 'use_dpop_nonce'

const PROOF_TEXTS: Readonly<Record<ProofError, string>> = {
  invalid_dpop_proof: 'The DPoP proof is missing or was not accepted.',
  use_dpop_nonce: 'The DPoP proof needs the nonce of the header DPoP-Nonce.',
}

/** RFC 9449 §5 and §8. */
function proofError({ reason }: Extract<Failure, { kind: 'invalid_proof' }>): ProofError {
  return reason === 'nonce_required' || reason === 'nonce_stale'
    ? 'use_dpop_nonce'
    : 'invalid_dpop_proof'
}

function proofChallenge(error: ProofError | 'invalid_token'): string {
  return `DPoP error="${error}", algs="${ASYMMETRIC_ALGORITHMS.join(' ')}"`
}

/** Reasons that a proof would mend, or that are of one (RFC 9449 §7.1). */
const NEEDS_PROOF: readonly string[] = ['proof_required', 'wrong_key', 'not_bound']

function tokenChallenge(failure: Failure): string {
  return failure.kind === 'invalid_handle' && NEEDS_PROOF.includes(failure.reason)
    ? proofChallenge('invalid_token')
    : 'Bearer error="invalid_token"'
}

function unavailableShape(retryAfterSeconds: number): OAuthShape {
  return {
    status: 503,
    error: 'temporarily_unavailable',
    description: 'Nothing was granted. Try again later.',
    headers: { 'retry-after': String(retryAfterSeconds) },
  }
}

function malformedText(failure: Extract<Failure, { kind: 'malformed_request' }>): string {
  const what = failure.reason.replaceAll('_', ' ')
  return failure.parameter === undefined
    ? `Malformed request: ${what}.`
    : `Malformed request: ${what} (${failure.parameter}).`
}

const NOT_MINTED = 'A credential cannot be made for what was asked'

function mintText({ hint }: Extract<Failure, { kind: 'mint_refused' }>): string {
  return hint === undefined ? `${NOT_MINTED}.` : `${NOT_MINTED}: ${hint}`
}

function approvalBody(approval: Approval): Record<string, unknown> {
  return {
    id: approval.id,
    url: approval.url,
    expires_at: new Date(approval.expiresAt * 1000).toISOString(),
  }
}

type ProblemShape = {
  status: number
  code: string
  title: string
  extra?: Record<string, unknown>
  headers?: Record<string, string>
}

/** Answer of every endpoint that is not OAuth: `application/problem+json` with a stable `code`. */
export function problemAnswer(failure: Failure, decisionId: string): WireAnswer {
  const shape = problemShape(failure)
  return {
    status: shape.status,
    headers: { ...NO_STORE, 'content-type': 'application/problem+json', ...shape.headers },
    body: {
      type: 'about:blank',
      status: shape.status,
      title: shape.title,
      code: shape.code,
      decision_id: decisionId,
      ...shape.extra,
    },
  }
}

function problemShape(failure: Failure): ProblemShape {
  switch (failure.kind) {
    case 'invalid_handle':
      return {
        status: 401,
        code: 'invalid_token',
        title: 'The handle is missing, invalid or expired',
        headers: { 'www-authenticate': tokenChallenge(failure) },
      }
    case 'invalid_proof': {
      const code = proofError(failure)
      const headers = { 'www-authenticate': proofChallenge(code) }
      return { status: 401, code, title: PROOF_TEXTS[code], headers }
    }
    case 'unauthenticated':
      return {
        status: 401,
        code: 'unauthenticated',
        title: 'Authentication is required',
        headers: { 'www-authenticate': 'Bearer' },
      }
    case 'forbidden':
      return { status: 403, code: 'forbidden', title: `This needs the role ${failure.needs}` }
    case 'action_malformed':
      return {
        status: 400,
        code: 'action_malformed',
        title: 'The request cannot be agreed on',
        extra: { detail: failure.reason },
      }
    case 'action_denied':
      return {
        status: 403,
        code: failure.code,
        title: 'The action was denied',
        extra: {
          ...(failure.hint === undefined ? {} : { hint: failure.hint }),
          ...(failure.ruleId === undefined ? {} : { rule_id: failure.ruleId }),
        },
      }
    case 'mint_refused':
      return {
        status: 403,
        code: 'not_granted',
        title: NOT_MINTED,
        ...(failure.hint === undefined ? {} : { extra: { hint: failure.hint } }),
      }
    case 'approval_required':
      return {
        status: 403,
        code: 'approval_required',
        title: 'A person has to approve this action',
        extra: { approval: approvalBody(failure.approval) },
      }
    case 'budget_exhausted':
      return {
        status: 429,
        code: 'budget_exhausted',
        title: `The session's budget of ${failure.limit} is used up`,
        extra: { limit: failure.limit },
        ...(failure.retryAfterSeconds === undefined
          ? {}
          : { headers: { 'retry-after': String(failure.retryAfterSeconds) } }),
      }
    case 'payload_too_large':
      return {
        status: 413,
        code: 'payload_too_large',
        title: `The body exceeds ${failure.maxBytes} bytes`,
      }
    case 'upstream_failed':
      return failure.timedOut
        ? { status: 504, code: 'upstream_timeout', title: 'The target did not answer in time' }
        : { status: 502, code: 'upstream_failed', title: 'The target could not be reached' }
    case 'unavailable':
      return {
        status: 503,
        code: 'temporarily_unavailable',
        title: 'Nothing was done; try again later',
        headers: { 'retry-after': String(failure.retryAfterSeconds) },
      }
    case 'killed':
      return {
        status: 503,
        code: 'temporarily_unavailable',
        title: 'Nothing was done; try again later',
        headers: { 'retry-after': '30' },
      }
    case 'slow_down':
      return {
        status: 429,
        code: 'slow_down',
        title: 'Too many requests',
        headers: { 'retry-after': String(failure.retryAfterSeconds) },
      }
    case 'not_found':
      return { status: 404, code: 'not_found', title: 'There is no such thing here' }
    case 'method_not_allowed':
      return {
        status: 405,
        code: 'method_not_allowed',
        title: `Use ${failure.allow.join(' or ')}`,
        headers: { allow: failure.allow.join(', ') },
      }
    case 'unsupported_media_type':
      return { status: 415, code: 'unsupported_media_type', title: `Send ${failure.expected}` }
    case 'invalid_document':
      return {
        status: 422,
        code: 'invalid_document',
        title: `The document has ${failure.errors.length} mistake(s)`,
        extra: { errors: failure.errors },
      }
    case 'precondition_failed':
      return {
        status: 412,
        code: 'precondition_failed',
        title: 'The object was changed meanwhile; read it again',
      }
    case 'conflict':
      return {
        status: 409,
        code: 'conflict',
        title: failure.reason.replaceAll('_', ' '),
        extra: {
          reason: failure.reason,
          ...(failure.names === undefined ? {} : { names: failure.names }),
        },
      }
    case 'malformed_request':
      return { status: 400, code: 'invalid_request', title: malformedText(failure) }
    // OAuth endpoints answer these in their own form; here they cannot happen.
    case 'unsupported_grant_type':
    case 'invalid_client':
    case 'attestation_rejected':
    case 'invalid_target':
    case 'invalid_scope':
    case 'invalid_authorization_details':
    case 'access_denied':
    case 'authorization_pending':
      return { status: 400, code: 'invalid_request', title: 'The request was refused' }
  }
}

export function toResponse(answer: WireAnswer): Response {
  return new Response(JSON.stringify(answer.body), {
    status: answer.status,
    headers: answer.headers,
  })
}
