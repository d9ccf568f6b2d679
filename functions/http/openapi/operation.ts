// How an operation is described in the tables beside this file.
import type { AdminRole } from '../../policy/admin-target.ts'

export type Schema = { readonly [member: string]: unknown }

export type Parameter = {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly required?: boolean
  readonly schema?: Schema
}

export type Operation = {
  readonly id: string
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch'
  readonly path: string
  readonly tag: string
  readonly summary: string
  /** The admin role it needs, `handle` for a session's handle, null for nothing. */
  readonly needs: AdminRole | 'handle' | null
  readonly parameters?: readonly Parameter[]
  readonly request?: {
    readonly mediaType: string
    readonly schema: Schema
    readonly optional?: boolean
  }
  readonly success: Readonly<Record<string, Answered>>
  /** Statuses of refusals, besides those that follow from the rest. */
  readonly refusals: readonly Refusal[]
  /** Refusals are OAuth errors, not problems. */
  readonly oauth?: boolean
}

export type Answered = {
  readonly description: string
  readonly mediaType?: string
  readonly schema?: Schema
}

export type Refusal = keyof typeof REFUSALS

export const REFUSALS = {
  400: 'The request is malformed.',
  401: 'Nobody was authenticated.',
  403: 'The role or the session does not permit it.',
  404: 'There is no such thing.',
  409: 'Something else stands in the way.',
  412: 'It was changed meanwhile.',
  413: 'The body is too large.',
  415: 'The media type is not accepted.',
  422: 'The document has mistakes; all of them are listed.',
  429: 'Too many requests, or a budget is used up.',
  502: 'The target could not be reached.',
  503: 'Nothing was done; try again later.',
  504: 'The target did not answer in time.',
} as const

export function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

export function json(description: string, schema: Schema): Answered {
  return { description, mediaType: 'application/json', schema }
}

export function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = Object.keys(properties),
): Schema {
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) }
}

export function listOf(items: Schema): Schema {
  return { type: 'array', items }
}

export const STRING: Schema = { type: 'string' }
export const INTEGER: Schema = { type: 'integer' }
export const BOOLEAN: Schema = { type: 'boolean' }
export const TIME: Schema = { type: 'string', format: 'date-time' }
/** Only where something was handed over that AWS honours. */
export const HONOURED: Schema = {
  anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }],
  description:
    'Until when AWS honours credentials of what was ended; null: it denies them. Absent: there are none.',
}
export const ANY_OBJECT: Schema = { type: 'object' }

export function oneOf(values: readonly string[]): Schema {
  return { type: 'string', enum: values }
}

export function nullable(schema: Schema): Schema {
  return { anyOf: [schema, { type: 'null' }] }
}
