// The Authorization header of a request, strictly: one line, one value, a known scheme. A comma is
// refused on every entry, because some runtimes join two headers with one (AUTH-6, RB-10).
import type { Failure } from '../core/failure.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { RequestFacts } from '../platform.ts'

export type Presented = {
  readonly scheme: 'Bearer' | 'DPoP' | 'Basic' | 'other'
  readonly value: string
}

/** RFC 6750 §2.1 b68token. */
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

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

/** The handle of a gateway or administration request. Handles that are bound to a key are not issued yet. */
export function readBearer(facts: RequestFacts): Result<string | null, Failure> {
  const proof = singleHeader(facts, 'dpop')
  if (!proof.ok) return proof
  const presented = readAuthorization(facts)
  if (!presented.ok) return presented
  if (presented.value === null) return ok(null)
  if (presented.value.scheme !== 'Bearer')
    return fail({ kind: 'invalid_handle', reason: 'malformed' })
  return ok(presented.value.value)
}
