// The declared intent, parsed once into a type that cannot be wrong (RFC 9396 §5: whatever is
// unknown, of the wrong type or out of range is refused). Text is kept verbatim; it is data, and
// stays data.
import type { Failure } from './failure.ts'
import type { JsonObject, JsonValue } from './identity.ts'
import { ORIGIN_KINDS } from './intent.ts'
import type {
  AgentIntent,
  DeclaredAgent,
  DeclaredOrigin,
  Envelope,
  EnvelopeLimits,
} from './intent.ts'
import { parseStrictJson } from './json.ts'
import { patternMistake } from './object-pattern.ts'
import { EFFECTS } from './policy.ts'
import { fail, ok } from './result.ts'
import type { Result } from './result.ts'

export const MAX_PURPOSE_CHARACTERS = 4_000
export const MAX_PROMPT_CHARACTERS = 32_000
/** Names and ids are for people to read in a log. */
const MAX_NAME_CHARACTERS = 256
/** Longest pattern that patternMistake lets through. */
const MAX_ENTRY_CHARACTERS = 1_024
/** Each entry is compared with every grant and every action. */
const MAX_ENTRIES = 100
/** Of an envelope's patterns together; as many as a scope may have. */
const MAX_PATTERN_CHARACTERS = 16_384
/** An intent nests five deep; a little more is read, so that a refusal can name the member. */
const MAX_DEPTH = 8

/** Parses `authorization_details`: an array of exactly one `agent_intent` (RA-01, RA-02, ER-07). */
export function parseAuthorizationDetails(text: string): Result<AgentIntent, Failure> {
  const parsed = parseStrictJson(text, { maxDepth: MAX_DEPTH })
  if (!parsed.ok) return fail(failureOf({ reason: 'malformed_json', path: '' }))
  if (!isArray(parsed.value)) return fail(failureOf({ reason: 'not_an_array', path: '' }))
  const [details, ...more] = parsed.value
  if (details === undefined || more.length > 0) {
    return fail(failureOf({ reason: 'one_object_expected', path: '' }))
  }
  return parseAgentIntent(details, '/0')
}

/** Parses one `agent_intent` object found at the JSON Pointer `path`. */
export function parseAgentIntent(value: JsonValue, path: string): Result<AgentIntent, Failure> {
  try {
    return ok(readIntent(value, path))
  } catch (mistake) {
    if (mistake instanceof Mistake) return fail(failureOf(mistake))
    throw mistake
  }
}

/** The intent that the plain `intent` parameter declares. */
export function intentFromPurpose(purpose: string): Result<AgentIntent, Failure> {
  return parseAgentIntent({ type: 'agent_intent', purpose }, '')
}

function failureOf({ reason, path }: { reason: string; path: string }): Failure {
  return { kind: 'invalid_authorization_details', reason, path }
}

/** Leaves the readers below at the first mistake; never leaves this file. */
class Mistake extends Error {
  readonly reason: string
  readonly path: string

  constructor(reason: string, path: string) {
    super(reason)
    this.reason = reason
    this.path = path
  }
}

type Reader<T> = (value: JsonValue, path: string) => T

function readIntent(value: JsonValue, path: string): AgentIntent {
  const members = readMembers(value, path)
  // The type comes first: of another type nothing else can be said to be wrong.
  if (members['type'] === undefined) throw new Mistake('missing_member', `${path}/type`)
  if (typeof members['type'] !== 'string') throw new Mistake('wrong_type', `${path}/type`)
  if (members['type'] !== 'agent_intent') throw new Mistake('unknown_type', `${path}/type`)
  const { type: _type, ...rest } = members
  const intent = readObject<Omit<AgentIntent, 'type'>>(rest, path, INTENT, ['purpose'])
  return { type: 'agent_intent', ...intent }
}

const readName = text(MAX_NAME_CHARACTERS)

const ORIGIN: Readers<DeclaredOrigin> = {
  kind: oneOf(ORIGIN_KINDS),
  id: readName,
  prompt: text(MAX_PROMPT_CHARACTERS),
}
const AGENT: Readers<DeclaredAgent> = { name: readName, version: readName, instance: readName }
const LIMITS: Readers<EnvelopeLimits> = {
  actions: readPositiveInteger,
  writes: readPositiveInteger,
  rows: readPositiveInteger,
  bytes: readPositiveInteger,
}
const ENVELOPE: Readers<Envelope> = {
  effects: listOf(oneOf(EFFECTS)),
  tools: listOf(readName),
  objects: readPatterns,
  destinations: listOf(text(MAX_ENTRY_CHARACTERS)),
  limits: (value, path) => readObject<EnvelopeLimits>(value, path, LIMITS, []),
}
const INTENT: Readers<Omit<AgentIntent, 'type'>> = {
  purpose: text(MAX_PURPOSE_CHARACTERS),
  origin: (value, path) => readObject<DeclaredOrigin>(value, path, ORIGIN, ['kind']),
  agent: (value, path) => readObject<DeclaredAgent>(value, path, AGENT, []),
  envelope: (value, path) => readObject<Envelope>(value, path, ENVELOPE, []),
  expected_seconds: readPositiveInteger,
}

type Readers<T> = { readonly [member in keyof T]-?: Reader<Exclude<T[member], undefined>> }

function readObject<T>(
  value: JsonValue,
  path: string,
  readers: Readers<T>,
  required: readonly (keyof T & string)[],
): T {
  const members = readMembers(value, path)
  const read: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(members)) {
    if (!Object.hasOwn(readers, name)) throw new Mistake('unknown_member', pointer(path, name))
    // hasOwn has just shown that the name is one of T's.
    read[name] = readers[name as keyof T](member, pointer(path, name))
  }
  for (const name of required) {
    if (read[name] === undefined) throw new Mistake('missing_member', pointer(path, name))
  }
  // Each member present was returned by the reader of that member of T, and the required ones are.
  return read as T
}

function readMembers(value: JsonValue, path: string): JsonObject {
  if (value === null || typeof value !== 'object' || isArray(value)) {
    throw new Mistake('wrong_type', path)
  }
  return value
}

function text(maxCharacters: number): Reader<string> {
  return (value, path) => {
    if (typeof value !== 'string') throw new Mistake('wrong_type', path)
    if (value.trim() === '') throw new Mistake('invalid_value', path)
    // A character has at most two code units, so the cheap test comes first.
    const isTooLong = value.length > 2 * maxCharacters || [...value].length > maxCharacters
    if (isTooLong) throw new Mistake('too_long', path)
    // NUL and lone surrogates do not survive every store, and the text is kept verbatim or not at
    // all.
    if (/[\0\p{Surrogate}]/u.test(value)) throw new Mistake('invalid_value', path)
    return value
  }
}

function oneOf<T extends string>(words: readonly T[]): Reader<T> {
  return (value, path) => {
    if (typeof value !== 'string') throw new Mistake('wrong_type', path)
    const word = words.find((candidate) => candidate === value)
    if (word === undefined) throw new Mistake('invalid_value', path)
    return word
  }
}

/** An empty list is a list: it allows nothing. */
function listOf<T>(readEntry: Reader<T>): Reader<readonly T[]> {
  return (value, path) => {
    if (!isArray(value)) throw new Mistake('wrong_type', path)
    if (value.length > MAX_ENTRIES) throw new Mistake('too_many', path)
    return value.map((entry, index) => readEntry(entry, `${path}/${index}`))
  }
}

/** Each is held against each that is granted or asked for, so their length bounds that work. */
function readPatterns(value: JsonValue, path: string): readonly string[] {
  const patterns = listOf(readPattern)(value, path)
  const characters = patterns.reduce((sum, pattern) => sum + pattern.length, 0)
  if (characters > MAX_PATTERN_CHARACTERS) throw new Mistake('too_long', path)
  return patterns
}

function readPattern(value: JsonValue, path: string): string {
  if (typeof value !== 'string') throw new Mistake('wrong_type', path)
  if (patternMistake(value) !== null) throw new Mistake('invalid_value', path)
  return value
}

function readPositiveInteger(value: JsonValue, path: string): number {
  if (typeof value !== 'number') throw new Mistake('wrong_type', path)
  if (!Number.isSafeInteger(value) || value < 1) throw new Mistake('invalid_value', path)
  return value
}

/** RFC 6901, with a bound: the name came from the caller and goes into the log. */
function pointer(path: string, name: string): string {
  return `${path}/${name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}
