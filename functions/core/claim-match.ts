// Matchers on verified claims: an exact value, a list of them, or a glob. Type-strict, linear time, no
// regular expression; a claim that is missing, null or an object matches nothing (JW-07, POL-1).
import type { JsonObject, JsonValue } from './identity.ts'
import type { ClaimMatcher } from './policy.ts'

const MAX_NAME_LENGTH = 512
const MAX_ALTERNATIVES = 256
const MAX_VALUE_LENGTH = 2048

export type MatcherMistake = { readonly code: string; readonly message: string }

/**
 * Whether the claim matches. An array matches when one of its elements does; elements that are arrays
 * or objects never match.
 */
export function claimMatches(claims: JsonObject, name: string, matcher: ClaimMatcher): boolean {
  const claim = claimAt(claims, name)
  if (claim === undefined) return false
  if (Array.isArray(claim)) {
    return (claim as readonly JsonValue[]).some((element) => valueMatches(element, matcher))
  }
  return valueMatches(claim, matcher)
}

/**
 * A claim by plain name, or by JSON Pointer (RFC 6901) when the name begins with `/`. Plain names may
 * hold dots, slashes and colons: `https://sts.amazonaws.com/` is one member.
 */
export function claimAt(claims: JsonObject, name: string): JsonValue | undefined {
  if (!name.startsWith('/')) return memberOf(claims, name)
  let value: JsonValue | undefined = claims
  for (const step of pointerSteps(name)) {
    if (value === undefined) return undefined
    value = memberOf(value, step)
  }
  return value
}

/** Own members only, so that `constructor` and `__proto__` are claims like any other. */
function memberOf(value: JsonValue, step: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!Array.isArray(value)) {
    return Object.hasOwn(value, step) ? (value as JsonObject)[step] : undefined
  }
  const index = Number(step)
  return String(index) === step ? (value as readonly JsonValue[])[index] : undefined
}

function pointerSteps(pointer: string): readonly string[] {
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function valueMatches(value: JsonValue, matcher: ClaimMatcher): boolean {
  if (typeof matcher !== 'object') return equal(value, matcher)
  if ('glob' in matcher) return typeof value === 'string' && globMatches(matcher.glob, value)
  return matcher.some((alternative) => equal(value, alternative))
}

/** A whole number beyond 2^53 was rounded when it was parsed: it is no longer what the issuer signed. */
function equal(value: JsonValue, expected: string | number | boolean): boolean {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return false
  }
  return value === expected
}

/**
 * Segments end at `/` and `:`, and the delimiters themselves are compared. `*` is one or more
 * characters of its segment, whole (`*`) or in part (`release-*`), and never crosses a delimiter. `**`,
 * last, is the rest, at least one character. A wildcard never takes a segment `.` or `..`, and a value
 * with control characters matches no glob (RB-12).
 */
export function globMatches(glob: string, value: string): boolean {
  if (!isPlainText(value)) return false
  const wanted = segmentsOf(glob)
  const got = segmentsOf(value)
  for (const [i, { text, delimiter }] of wanted.entries()) {
    const actual = got[i]
    if (actual === undefined) return false
    if (text === '**') return restMatches(got.slice(i))
    if (!segmentMatches(text, actual.text) || delimiter !== actual.delimiter) return false
  }
  return wanted.length === got.length
}

type Segment = { readonly text: string; readonly delimiter: '' | '/' | ':' }

function segmentsOf(text: string): readonly Segment[] {
  const segments: Segment[] = []
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character !== '/' && character !== ':') continue
    segments.push({ text: text.slice(start, i), delimiter: character })
    start = i + 1
  }
  return [...segments, { text: text.slice(start), delimiter: '' }]
}

function isDotSegment(text: string): boolean {
  return text === '.' || text === '..'
}

function restMatches(rest: readonly Segment[]): boolean {
  return rest[0]?.text !== '' && !rest.some((segment) => isDotSegment(segment.text))
}

function segmentMatches(wanted: string, actual: string): boolean {
  const star = wanted.indexOf('*')
  if (star === -1) return wanted === actual
  const prefix = wanted.slice(0, star)
  const suffix = wanted.slice(star + 1)
  return (
    actual.length > prefix.length + suffix.length &&
    !isDotSegment(actual) &&
    actual.startsWith(prefix) &&
    actual.endsWith(suffix)
  )
}

/** No C0, DEL, C1, line or paragraph separator, and no lone surrogate (its UTF-8 is not its own). */
export function isPlainText(text: string): boolean {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return false
    if (code === 0x2028 || code === 0x2029 || (code >= 0xd800 && code <= 0xdfff)) return false
  }
  return true
}

/** What is wrong with the name of a claim, or null. */
export function claimNameMistake(name: string): MatcherMistake | null {
  if (name === '' || name.length > MAX_NAME_LENGTH || !isPlainText(name)) {
    return {
      code: 'format',
      message: `must be the name of a claim, at most ${MAX_NAME_LENGTH} characters`,
    }
  }
  if (!name.startsWith('/')) return null
  if (name.replaceAll('~0', '').replaceAll('~1', '').includes('~')) {
    return { code: 'format', message: 'is not a JSON Pointer: `~` must be followed by 0 or 1' }
  }
  // RFC 8693 §4.1: earlier actors are informational only.
  if (name.startsWith('/act/act')) {
    return { code: 'unsafe', message: 'looks at an earlier actor; only the outermost one counts' }
  }
  return null
}

/** What is wrong with a matcher as it was written, or null when it is a ClaimMatcher. */
export function matcherMistake(matcher: JsonValue): MatcherMistake | null {
  if (Array.isArray(matcher)) return listMistake(matcher as readonly JsonValue[])
  if (typeof matcher !== 'object' || matcher === null) return scalarMistake(matcher)
  const members = Object.keys(matcher)
  const glob = (matcher as JsonObject)['glob']
  if (members.length !== 1 || typeof glob !== 'string') {
    return { code: 'type', message: 'must be a value, a list of values, or { glob }' }
  }
  return globMistake(glob)
}

function listMistake(list: readonly JsonValue[]): MatcherMistake | null {
  if (list.length === 0 || list.length > MAX_ALTERNATIVES) {
    return { code: 'range', message: `must list 1 to ${MAX_ALTERNATIVES} values` }
  }
  for (const value of list) {
    const mistake = scalarMistake(value)
    if (mistake !== null) return mistake
  }
  return null
}

function scalarMistake(value: JsonValue): MatcherMistake | null {
  if (typeof value === 'boolean') return null
  if (typeof value === 'number') {
    if (Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))) {
      return null
    }
    return { code: 'range', message: 'must be a number that JSON carries without rounding' }
  }
  if (typeof value === 'string') {
    if (value.length <= MAX_VALUE_LENGTH) return null
    return { code: 'range', message: `must be at most ${MAX_VALUE_LENGTH} characters long` }
  }
  return { code: 'type', message: 'must be a text, a number or a boolean' }
}

/**
 * The rule for a safe glob (POL-4). Wildcards: at most one `*` in a segment; `**` only as the whole last
 * segment. Before the first wildcard there must be at least one whole, literal, closed segment that
 * says *whose* the value is. A first segment that ends in `:` (`repo:`, `https:`) only says what kind of
 * value follows and does not count, nor does an empty one. So `acme/*`, `repo:acme/*:ref:**` and
 * `organization:acme:pipeline:*` are safe; `*`, `**`, `*foo`, `acme*`, `repo:*`, `repo:acme*` and
 * `https://*` are not: they also match somebody else's values, e.g. `repo:acme-evil/x`.
 */
export function globMistake(glob: string): MatcherMistake | null {
  if (glob === '' || glob.length > MAX_VALUE_LENGTH || !isPlainText(glob)) {
    return { code: 'format', message: 'must be a text without control characters' }
  }
  const segments = segmentsOf(glob)
  for (const [i, { text }] of segments.entries()) {
    if (text === '**' && i === segments.length - 1) continue
    if (text.indexOf('*') !== text.lastIndexOf('*')) {
      return {
        code: 'format',
        message: 'may hold one `*` in a segment, and `**` only as the last one',
      }
    }
  }
  const firstWildcard = segments.findIndex((segment) => segment.text.includes('*'))
  if (firstWildcard === -1) return null
  const closed = segments
    .slice(0, firstWildcard)
    .filter((segment, i) => segment.text !== '' && !(i === 0 && segment.delimiter === ':'))
  if (closed.length > 0) return null
  return {
    code: 'unsafe',
    message: 'is an open pattern: a whole literal segment must come before the first wildcard',
  }
}
