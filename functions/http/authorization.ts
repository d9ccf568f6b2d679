// The Authorization header of a request, strictly: one line, one value, a known scheme. A comma is
// refused on every entry, because some runtimes join two headers with one (AUTH-6, RB-10).
import type { Failure } from '../core/failure.ts'
import type { PresentedHandle } from '../core/presented-handle.ts'
import type { UntrustedProof } from '../core/proof.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { RequestFacts } from '../platform.ts'

export type Presented = {
  readonly scheme: 'Bearer' | 'DPoP' | 'Basic' | 'other'
  readonly value: string
}

/** RFC 6750 §2.1 b68token. */
export const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

/** The one header line of that name; null when absent; a failure when there are several or a comma. */
export function singleHeader(facts: RequestFacts, name: string): Result<string | null, Failure> {
  const lines = facts.headerLines.filter(([line]) => line.toLowerCase() === name)
  const [first, second] = lines
  if (first === undefined) return ok(null)
  if (second !== undefined || first[1].includes(',')) {
    return fail({ kind: 'malformed_request', reason: 'repeated_header', parameter: name })
  }
  return ok(first[1].trim())
}

export function readAuthorization(facts: RequestFacts): Result<Presented | null, Failure> {
  const header = singleHeader(facts, 'authorization')
  if (!header.ok) return header
  if (header.value === null) return ok(null)
  const space = header.value.indexOf(' ')
  const scheme = (space < 0 ? header.value : header.value.slice(0, space)).toLowerCase()
  const value = space < 0 ? '' : header.value.slice(space + 1).trim()
  if (scheme === 'basic') return ok({ scheme: 'Basic', value })
  if (!TOKEN68.test(value)) {
    return fail({
      kind: 'malformed_request',
      reason: 'bad_authorization',
      parameter: 'authorization',
    })
  }
  // Scheme names are case-insensitive (RFC 9110 §11.1).
  if (scheme === 'bearer') return ok({ scheme: 'Bearer', value })
  return ok({ scheme: scheme === 'dpop' ? 'DPoP' : 'other', value })
}

export function hasProof(facts: RequestFacts): boolean {
  return facts.headerLines.some(([line]) => line.toLowerCase() === 'dpop')
}

/** What came with a request to prove a key. Two `DPoP` headers are refused, however they are joined. */
export function readProof(
  request: Pick<Request, 'method'>,
  facts: RequestFacts,
  issuer: string,
): Result<UntrustedProof, Failure> {
  const dpop = singleHeader(facts, 'dpop')
  if (!dpop.ok) return dpop
  const [path = ''] = facts.rawTarget.split('?', 1)
  return ok({
    dpop: dpop.value,
    certificate: facts.clientCertificate ?? null,
    method: request.method,
    url: `${issuer}${path}`,
  })
}

/** The handle of a gateway or administration request, with what proves that it is the sender's. */
export function readHandle(
  request: Pick<Request, 'method'>,
  facts: RequestFacts,
  issuer: string,
): Result<PresentedHandle | null, Failure> {
  const proof = readProof(request, facts, issuer)
  if (!proof.ok) return proof
  const presented = readAuthorization(facts)
  if (!presented.ok) return presented
  if (presented.value === null) return ok(null)
  const { scheme, value: token } = presented.value
  if (scheme !== 'Bearer' && scheme !== 'DPoP') {
    return fail({ kind: 'invalid_handle', reason: 'malformed' })
  }
  return ok({ token, scheme, proof: proof.value })
}
