// If-Match and If-None-Match with strong validators (RFC 9110 §13.1), so that nobody overwrites what they
// have not seen.
import type { Failure } from '../../core/failure.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'

/** Whether the request may go ahead on what is there now; null stands for nothing. */
export type Precondition = (etag: string | null) => boolean

type Tags = '*' | readonly string[]

/** `W/"…"` is read and never matches: the comparison is strong. */
const TAG = /^(W\/)?"([\x21\x23-\x7e]*)"$/

export function etagHeader(etag: string): string {
  return `"${etag}"`
}

export function readPrecondition(request: Request): Result<Precondition, Failure> {
  const match = readTags(request, 'if-match')
  if (!match.ok) return match
  const noneMatch = readTags(request, 'if-none-match')
  if (!noneMatch.ok) return noneMatch
  return ok(
    (etag) =>
      (match.value === null || matches(match.value, etag)) &&
      (noneMatch.value === null || !matches(noneMatch.value, etag)),
  )
}

function matches(tags: Tags, etag: string | null): boolean {
  if (etag === null) return false
  return tags === '*' || tags.includes(etag)
}

function readTags(request: Request, header: string): Result<Tags | null, Failure> {
  const value = request.headers.get(header)
  if (value === null) return ok(null)
  if (value.trim() === '*') return ok('*')
  const tags: string[] = []
  for (const part of value.split(',')) {
    const found = TAG.exec(part.trim())
    if (found === null)
      return fail({ kind: 'malformed_request', reason: 'invalid_header', parameter: header })
    if (found[1] === undefined && found[2] !== undefined) tags.push(found[2])
  }
  return ok(tags)
}
