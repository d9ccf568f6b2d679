// Parses policy objects and whole documents, once, at the edge. Every mistake is reported at once, with
// its place. Nothing is guessed: an unknown member, a wrong type or a name that differs is refused.
import type { JsonValue } from '../core/identity.ts'
import type { DocumentError, PolicyDocument, PolicyKind } from '../core/policy.ts'
import type { Result } from '../core/result.ts'
import { fail, ok } from '../core/result.ts'
import type { PolicyObject } from '../store/contract.ts'
import { below, pointer } from './pointer.ts'
import type { ObjectOf } from './schema.ts'
import { OBJECT_SCHEMAS, POLICY_KINDS } from './schema.ts'
import { readShape } from './shape.ts'
import { unsafeJson } from './unsafe-json.ts'

/** One object. `name` is the name in the path of the request, when there is one. */
export function parsePolicyObject<K extends PolicyKind>(
  kind: K,
  value: unknown,
  name?: string,
): Result<ObjectOf<K>, DocumentError[]>
export function parsePolicyObject(
  kind: PolicyKind,
  value: unknown,
  name?: string,
): Result<PolicyObject, DocumentError[]> {
  const unsafe = unsafeJson(value)
  if (unsafe.length > 0) return fail(unsafe)
  const named = withName(value, name)
  if (!named.ok) return named
  return readShape<PolicyObject>(OBJECT_SCHEMAS[kind], named.value)
}

/** The name may be left out where the path gives it; where both do, they must agree. */
function withName(value: unknown, name: string | undefined): Result<unknown, DocumentError[]> {
  if (name === undefined || !isObject(value)) return ok(value)
  if (!Object.hasOwn(value, 'name')) return ok({ ...value, name })
  if (value['name'] === name) return ok(value)
  return fail([{ path: '/name', code: 'mismatch', message: `must be "${name}", as in the path` }])
}

export type ReadDocument = {
  /** What could be read; objects with mistakes are missing from it. */
  readonly document: PolicyDocument
  /** Where each object of `document` stood, so that later mistakes name the right place. */
  readonly places: Readonly<Record<PolicyKind, readonly number[]>>
  /** Names of objects that were there but could not be read: no reference to them is reported as unknown. */
  readonly unreadable: Readonly<Record<PolicyKind, ReadonlySet<string>>>
  readonly errors: readonly DocumentError[]
}

/** Reads as much of a document as makes sense, so that all mistakes can be reported at once. */
export function readPolicyDocument(value: unknown): ReadDocument {
  const errors: DocumentError[] = unsafeJson(value)
  const objects: Record<PolicyKind, PolicyObject[]> = perKind(() => [])
  const places: Record<PolicyKind, number[]> = perKind(() => [])
  const unreadable: Record<PolicyKind, Set<string>> = perKind(() => new Set())
  if (errors.length === 0) {
    if (!isObject(value)) errors.push(mistake('', 'type', 'must be an object'))
    else errors.push(...unknownMembers(value))
  }
  for (const kind of isObject(value) && errors.every((error) => error.code !== 'unsafe')
    ? POLICY_KINDS
    : []) {
    const list = (value as Record<string, unknown>)[kind]
    if (list === undefined) continue
    if (!Array.isArray(list)) {
      errors.push(mistake(pointer(kind), 'type', 'must be an array'))
      continue
    }
    for (const [i, item] of list.entries()) {
      const parsed = parsePolicyObject(kind, item)
      if (parsed.ok) {
        objects[kind].push(parsed.value)
        places[kind].push(i)
        continue
      }
      errors.push(...below(pointer(kind, i), parsed.failure))
      if (isObject(item) && typeof item['name'] === 'string') unreadable[kind].add(item['name'])
    }
  }
  // Each list holds what parsePolicyObject made for its kind.
  return { document: objects as unknown as PolicyDocument, places, unreadable, errors }
}

export function parsePolicyDocument(value: unknown): Result<PolicyDocument, DocumentError[]> {
  const read = readPolicyDocument(value)
  return read.errors.length === 0 ? ok(read.document) : fail([...read.errors])
}

export function perKind<T>(make: (kind: PolicyKind) => T): Record<PolicyKind, T> {
  return {
    auth_methods: make('auth_methods'),
    targets: make('targets'),
    bindings: make('bindings'),
    intent_policies: make('intent_policies'),
  }
}

function unknownMembers(value: Record<string, unknown>): DocumentError[] {
  return Object.keys(value)
    .filter((member) => !(POLICY_KINDS as readonly string[]).includes(member))
    .map((member) =>
      mistake(pointer(member), 'unknown_member', `is not one of ${POLICY_KINDS.join(', ')}`),
    )
}

function mistake(path: string, code: string, message: string): DocumentError {
  return { path, code, message }
}

function isObject(value: unknown): value is Record<string, JsonValue> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
