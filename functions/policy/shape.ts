// Reads a value by its schema and says of every mistake where it is, with a stable word and a sentence
// for people. The value itself is never repeated: it may be a secret that was put into the wrong member.
import type * as z from 'zod/mini'
import type { DocumentError } from '../core/policy.ts'
import type { Result } from '../core/result.ts'
import { fail, ok } from '../core/result.ts'
import { pointer, withoutRepetition } from './pointer.ts'

export function readShape<T>(schema: z.ZodMiniType<T>, value: unknown): Result<T, DocumentError[]> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return ok(parsed.data)
  const errors = parsed.error.issues.flatMap((issue) => documentErrors(issue, value))
  return fail(withoutRepetition(errors))
}

type Issue = z.core.$ZodIssue

/** Stable `code` of a mistake. */
function wordOf(issue: Issue, given: unknown): string {
  if (given === undefined) return 'required'
  switch (issue.code) {
    case 'invalid_type':
      return 'type'
    case 'too_small':
    case 'too_big':
      return 'range'
    case 'invalid_format':
      return 'format'
    case 'invalid_value':
      return 'value'
    default:
      return typeof given === 'string' ? 'format' : 'type'
  }
}

function messageOf(issue: Issue, given: unknown): string {
  if (given === undefined) return 'is required'
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' ? 'a whole number' : `of type ${issue.expected}`}`
    case 'too_small':
      return `must be at least ${issue.minimum}${unitOf(issue.origin)}`
    case 'too_big':
      return `must be at most ${issue.maximum}${unitOf(issue.origin)}`
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`
    case 'invalid_format':
      return 'pattern' in issue
        ? `must match ${String(issue.pattern)}`
        : `must be a ${issue.format}`
    default:
      return typeof given === 'string' ? 'is not a valid time' : 'must be of type object'
  }
}

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters long'
  return origin === 'array' ? ' items long' : ''
}

function documentErrors(issue: Issue, value: unknown): DocumentError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: pointer(...issue.path, key),
      code: 'unknown_member',
      message: 'is not a member of this object',
    }))
  const given = at(value, issue.path)
  const path = pointer(...issue.path)
  return [{ path, code: wordOf(issue, given), message: messageOf(issue, given) }]
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  let here = value
  for (const step of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, step)) return undefined
    here = (here as Record<PropertyKey, unknown>)[step]
  }
  return here
}
