// What no document may hold, wherever it stands in it: a member that changes prototypes, text that is
// not Unicode (its hash would not be that of what was sent), numbers that JSON cannot carry, depth.
import type { DocumentError } from '../core/policy.ts'
import { pointer } from './pointer.ts'

export const MAX_DEPTH = 32
/** A document that is hostile throughout does not get an answer as long as itself. */
const MAX_REPORTED = 100
const LONE_SURROGATE = /\p{Surrogate}/u

export function unsafeJson(value: unknown): DocumentError[] {
  const errors: DocumentError[] = []
  walk(value, [], errors)
  return errors
}

function walk(value: unknown, path: PropertyKey[], errors: DocumentError[]): void {
  if (errors.length >= MAX_REPORTED) return
  const message = faultOf(value, path.length)
  if (message !== null) {
    errors.push({ path: pointer(...path), code: 'unsafe', message })
    return
  }
  if (typeof value !== 'object' || value === null) return
  for (const [member, inner] of Object.entries(value)) {
    path.push(member)
    if (member === '__proto__' || LONE_SURROGATE.test(member))
      errors.push({ path: pointer(...path), code: 'unsafe', message: 'is not a member name' })
    else walk(inner, path, errors)
    path.pop()
  }
}

function faultOf(value: unknown, depth: number): string | null {
  if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH}`
  if (typeof value === 'string' && LONE_SURROGATE.test(value)) return 'holds a lone surrogate'
  if (typeof value === 'number' && !Number.isFinite(value)) return 'is not a finite number'
  return null
}
