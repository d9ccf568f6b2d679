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
  return named.ok ? parseSafeObject(kind, named.value) : named
}

/** Of a value that unsafeJson has nothing against. */
function parseSafeObject(kind: PolicyKind, value: unknown): Result<PolicyObject, DocumentError[]> {
  return readShape<PolicyObject>(OBJECT_SCHEMAS[kind], value)
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
  const read: Reading = {
    objects: perKind(() => []),
    places: perKind(() => []),
    unreadable: perKind(() => new Set()),
    errors: unsafeJson(value),
  }
  if (read.errors.length === 0) readKinds(value, read)
  const { objects, ...rest } = read
  // Each list holds what parseSafeObject made for its kind.
  return { document: objects as unknown as PolicyDocument, ...rest }
}

type Reading = {
  readonly objects: Record<PolicyKind, PolicyObject[]>
  readonly places: Record<PolicyKind, number[]>
  readonly unreadable: Record<PolicyKind, Set<string>>
  readonly errors: DocumentError[]
}

function readKinds(value: unknown, read: Reading): void {
  if (!isObject(value)) {
    read.errors.push(mistake('', 'type', 'must be an object'))
    return
  }
  read.errors.push(...unknownMembers(value))
  for (const kind of POLICY_KINDS) {
    const list = Object.hasOwn(value, kind) ? value[kind] : []
    if (Array.isArray(list)) for (const [i, item] of list.entries()) readOne(kind, i, item, read)
    else read.errors.push(mistake(pointer(kind), 'type', 'must be an array'))
  }
}

function readOne(kind: PolicyKind, place: number, item: unknown, read: Reading): void {
  const parsed = parseSafeObject(kind, item)
  if (parsed.ok) {
    read.objects[kind].push(parsed.value)
    read.places[kind].push(place)
    return
  }
  read.errors.push(...below(pointer(kind, place), parsed.failure))
  if (isObject(item) && typeof item['name'] === 'string') read.unreadable[kind].add(item['name'])
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
