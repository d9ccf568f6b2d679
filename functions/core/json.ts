// Strict JSON for everything that decides: two readers of one document must not see two documents
// (RB-10). Duplicate members, numbers that overflow and lone surrogates are refused, and no member
// name can reach a prototype. The size is the caller's to bound.
import type { JsonObject, JsonValue } from './identity.ts'
import { fail, ok, type Result } from './result.ts'

export type StrictJsonOptions = {
  /** Arrays and objects inside one another. */
  readonly maxDepth?: number
  /**
   * Integers beyond ±(2^53 - 1) come back as their digits instead of being rounded, so that two
   * different ones never compare equal (SPIFFE sequence numbers are 64 bits wide).
   */
  readonly unsafeIntegersAsText?: boolean
}

export type JsonFault = {
  readonly reason: 'syntax' | 'duplicate_member' | 'too_deep' | 'number'
  /** Offset in the text. */
  readonly at: number
}

export function parseStrictJson(
  text: string,
  options: StrictJsonOptions = {},
): Result<JsonValue, JsonFault> {
  const reader: Reader = {
    text,
    at: 0,
    depthLeft: options.maxDepth ?? 32,
    unsafeIntegersAsText: options.unsafeIntegersAsText ?? false,
    fault: null,
  }
  const surrogate = text.search(LONE_SURROGATE)
  if (surrogate >= 0) return fail({ reason: 'syntax', at: surrogate })
  skipSpace(reader)
  const value = readValue(reader)
  if (value === undefined) return fail(reader.fault ?? { reason: 'syntax', at: reader.at })
  skipSpace(reader)
  if (reader.at < text.length) return fail({ reason: 'syntax', at: reader.at })
  return ok(value)
}

/** Whether a parsed value is an object, and not an array or null. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Reader = {
  readonly text: string
  at: number
  depthLeft: number
  readonly unsafeIntegersAsText: boolean
  fault: JsonFault | null
}

const LONE_SURROGATE = /\p{Surrogate}/u
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const QUOTE = 0x22
const BACKSLASH = 0x5c

function refuse(reader: Reader, reason: JsonFault['reason'], at = reader.at): undefined {
  reader.fault ??= { reason, at }
  return undefined
}

// Each reader returns undefined once a fault is noted; no JSON value is undefined.
function readValue(reader: Reader): JsonValue | undefined {
  switch (reader.text.charCodeAt(reader.at)) {
    case QUOTE:
      return readString(reader)
    case 0x7b:
      return readNested(reader, readObject)
    case 0x5b:
      return readNested(reader, readArray)
    case 0x74:
      return readWord(reader, 'true', true)
    case 0x66:
      return readWord(reader, 'false', false)
    case 0x6e:
      return readWord(reader, 'null', null)
    default:
      return readNumber(reader)
  }
}

function readNested(
  reader: Reader,
  read: (reader: Reader) => JsonValue | undefined,
): JsonValue | undefined {
  if (reader.depthLeft === 0) return refuse(reader, 'too_deep')
  reader.depthLeft -= 1
  reader.at += 1
  skipSpace(reader)
  const value = read(reader)
  reader.depthLeft += 1
  return value
}

function readObject(reader: Reader): JsonObject | undefined {
  // Without a prototype `__proto__` and `constructor` are names like any other.
  const object = Object.create(null) as { [member: string]: JsonValue }
  if (take(reader, '}')) return object
  do {
    skipSpace(reader)
    const nameAt = reader.at
    const name = readString(reader)
    if (name === undefined) return undefined
    if (name in object) return refuse(reader, 'duplicate_member', nameAt)
    skipSpace(reader)
    if (!take(reader, ':')) return refuse(reader, 'syntax')
    skipSpace(reader)
    const value = readValue(reader)
    if (value === undefined) return undefined
    object[name] = value
    skipSpace(reader)
  } while (take(reader, ','))
  return take(reader, '}') ? object : refuse(reader, 'syntax')
}

function readArray(reader: Reader): readonly JsonValue[] | undefined {
  const array: JsonValue[] = []
  if (take(reader, ']')) return array
  do {
    skipSpace(reader)
    const value = readValue(reader)
    if (value === undefined) return undefined
    array.push(value)
    skipSpace(reader)
  } while (take(reader, ','))
  return take(reader, ']') ? array : refuse(reader, 'syntax')
}

function readString(reader: Reader): string | undefined {
  const { text } = reader
  const start = reader.at
  if (text.charCodeAt(start) !== QUOTE) return refuse(reader, 'syntax')
  let escaped = false
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      reader.at = at + 1
      return escaped ? unescape(reader, start) : text.slice(start + 1, at)
    }
    if (code < 0x20) return refuse(reader, 'syntax', at)
    if (code === BACKSLASH) {
      escaped = true
      at += 1
    }
  }
  return refuse(reader, 'syntax', text.length)
}

function unescape(reader: Reader, start: number): string | undefined {
  try {
    // A literal of the JSON grammar, and nothing but a string: it begins and ends with its quotes.
    const value = JSON.parse(reader.text.slice(start, reader.at)) as string
    return LONE_SURROGATE.test(value) ? refuse(reader, 'syntax', start) : value
  } catch {
    return refuse(reader, 'syntax', start)
  }
}

function readNumber(reader: Reader): number | string | undefined {
  NUMBER.lastIndex = reader.at
  const match = NUMBER.exec(reader.text)
  if (match === null) return refuse(reader, 'syntax')
  const [digits, fraction, exponent] = match
  const value = Number(digits)
  if (!Number.isFinite(value)) return refuse(reader, 'number')
  reader.at += digits.length
  const isInteger = fraction === undefined && exponent === undefined
  if (reader.unsafeIntegersAsText && isInteger && !Number.isSafeInteger(value)) return digits
  return value
}

function readWord<T extends JsonValue>(reader: Reader, word: string, value: T): T | undefined {
  if (!reader.text.startsWith(word, reader.at)) return refuse(reader, 'syntax')
  reader.at += word.length
  return value
}

function take(reader: Reader, character: string): boolean {
  if (reader.text[reader.at] !== character) return false
  reader.at += 1
  return true
}

function skipSpace(reader: Reader): void {
  for (;;) {
    const code = reader.text.charCodeAt(reader.at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
    reader.at += 1
  }
}
