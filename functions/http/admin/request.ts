// Reads what an administrator sent: strictly, within bounds, every mistake at once.
import type { Failure } from '../../core/failure.ts'
import type { JsonValue } from '../../core/identity.ts'
import { parseStrictJson } from '../../core/json.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import type * as z from 'zod/mini'
import { readShape } from '../../policy/shape.ts'
import { MAX_DEPTH, unsafeJson } from '../../policy/unsafe-json.ts'
import { parseForm, readText } from '../form.ts'
import type { AdminCall } from './contract.ts'

export const MAX_OBJECT_BYTES = 1024 * 1024
/** 100,000 bindings of 300 bytes. */
export const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024

const MAX_LIMIT = 500
const DEFAULT_LIMIT = 100

/** `application/json`, in UTF-8 as JSON always is. */
const JSON_MEDIA_TYPE = /^application\/json(?:\s*;\s*charset="?utf-8"?)?$/i

export async function readJson(
  request: Request,
  maxBytes: number,
): Promise<Result<JsonValue, Failure>> {
  if (!JSON_MEDIA_TYPE.test(request.headers.get('content-type')?.trim() ?? ''))
    return fail({ kind: 'unsupported_media_type', expected: 'application/json' })
  const encoding = request.headers.get('content-encoding')
  if (encoding !== null && encoding !== 'identity')
    return fail({ kind: 'unsupported_media_type', expected: 'application/json without encoding' })
  const text = await readText(request, maxBytes)
  if (!text.ok) return text
  const parsed = parseStrictJson(text.value, { maxDepth: MAX_DEPTH })
  if (parsed.ok) return parsed
  const { reason, at } = parsed.failure
  return fail({ kind: 'malformed_request', reason: `json_${reason}`, parameter: `offset ${at}` })
}

/** A small body of known members. With `optional`, no body reads as `{}`. */
export async function readMembers<T>(
  request: Request,
  schema: z.ZodMiniType<T>,
  options: { readonly optional: boolean } = { optional: false },
): Promise<Result<T, Failure>> {
  const isAbsent = options.optional && !request.headers.has('content-type')
  const body = isAbsent ? await readNothing(request) : await readJson(request, MAX_OBJECT_BYTES)
  if (!body.ok) return body
  const unsafe = unsafeJson(body.value)
  if (unsafe.length > 0) return fail({ kind: 'invalid_document', errors: unsafe })
  const members = readShape(schema, body.value)
  return members.ok ? members : fail({ kind: 'invalid_document', errors: members.failure })
}

async function readNothing(request: Request): Promise<Result<JsonValue, Failure>> {
  const text = await readText(request, MAX_OBJECT_BYTES)
  if (!text.ok) return text
  return text.value === ''
    ? ok({})
    : fail({ kind: 'unsupported_media_type', expected: 'application/json' })
}

/** Each known parameter at most once, and no other: a filter that is not understood would show too much. */
export function readQuery(
  request: Request,
  known: readonly string[],
): Result<ReadonlyMap<string, string>, Failure> {
  const form = parseForm(new URL(request.url).search.slice(1))
  if (!form.ok) return form
  const query = new Map<string, string>()
  for (const [name, values] of form.value) {
    const [value] = values
    if (!known.includes(name))
      return fail({
        kind: 'malformed_request',
        reason: 'unknown_parameter',
        parameter: plain(name),
      })
    if (values.length > 1 || value === undefined)
      return fail({ kind: 'malformed_request', reason: 'repeated_parameter', parameter: name })
    if (value === '' || value.length > 2048)
      return fail({ kind: 'malformed_request', reason: 'invalid_parameter', parameter: name })
    query.set(name, value)
  }
  return ok(query)
}

function plain(name: string): string {
  return name.replace(/[^\w-]/g, '?').slice(0, 64)
}

export type PageOf = { readonly cursor: string | null; readonly limit: number }

export function readPage(call: AdminCall): Result<PageOf, Failure> {
  const cursor = call.query.get('cursor') ?? null
  if (cursor !== null && !/^[\w-]{1,2048}$/.test(cursor)) return invalidParameter('cursor')
  const given = call.query.get('limit')
  if (given === undefined) return ok({ cursor, limit: DEFAULT_LIMIT })
  if (!/^[1-9]\d{0,2}$/.test(given) || Number(given) > MAX_LIMIT) return invalidParameter('limit')
  return ok({ cursor, limit: Number(given) })
}

export function invalidParameter(parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason: 'invalid_parameter', parameter })
}
