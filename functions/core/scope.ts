// The `scope` parameter: space-delimited items `effect` or `effect:object` (RFC 6749 §3.3,
// design/api.md). Comparison is byte-exact; what is not exactly this syntax is refused, never
// guessed at.
import type { Failure } from './failure.ts'
import { isEverything, patternMistake } from './object-pattern.ts'
import { EFFECTS } from './policy.ts'
import type { Effect, Grant } from './policy.ts'
import { fail, ok } from './result.ts'
import type { Result } from './result.ts'

/** One item; `object` null stands for every object. */
export type ScopeItem = { readonly effect: Effect; readonly object: string | null }

/**
 * Every item is intersected with every grant, so the number of them bounds the work of an exchange.
 */
const MAX_ITEMS = 100
const MAX_CHARACTERS = 16_384

/** RFC 6749 §3.3: NQCHAR, that is printable ASCII without space, `"` and `\`. */
const SCOPE_TOKEN = /^[\x21\x23-\x5B\x5D-\x7E]+$/

/** All but SCOPE_TOKEN's characters, and `%`. */
const NOT_LITERAL = /[^\x21\x23\x24\x26-\x5B\x5D-\x7E]/gu

/**
 * Parses a present, non-empty scope. An empty parameter is an absent one (TX-08): do not call this.
 */
export function parseScope(scope: string): Result<readonly ScopeItem[], Failure> {
  if (scope.length > MAX_CHARACTERS) return fail(SYNTAX)
  const tokens = scope.split(' ')
  if (tokens.length > MAX_ITEMS) return fail(SYNTAX)
  const items = new Map<string, ScopeItem>()
  for (const token of tokens) {
    const item = parseItem(token)
    if (item === null) return fail(SYNTAX)
    items.set(token, item)
  }
  return ok([...items.values()])
}

const SYNTAX: Failure = { kind: 'invalid_scope', reason: 'syntax' }

function parseItem(token: string): ScopeItem | null {
  if (!SCOPE_TOKEN.test(token)) return null
  const colon = token.indexOf(':')
  const effect = asEffect(colon === -1 ? token : token.slice(0, colon))
  if (effect === null) return null
  if (colon === -1) return { effect, object: null }
  const object = percentDecode(token.slice(colon + 1))
  if (object === null || patternMistake(object) !== null) return null
  return { effect, object }
}

export function asEffect(word: string): Effect | null {
  return EFFECTS.find((effect) => effect === word) ?? null
}

function percentDecode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    // A broken escape or invalid UTF-8: the caller's mistake, not a fault of ours.
    return null
  }
}

/** The grants as a scope: effects in their fixed order, objects by code unit, each pair once. */
export function formatScope(grants: readonly Grant[]): string {
  const items = new Set<string>()
  for (const effect of EFFECTS) {
    const objects = new Set<string>()
    for (const grant of grants) {
      if (grant.effects.includes(effect)) grant.objects.forEach((object) => objects.add(object))
    }
    if ([...objects].some(isEverything)) {
      items.add(effect)
      continue
    }
    for (const object of [...objects].sort()) items.add(`${effect}:${percentEncode(object)}`)
  }
  return [...items].join(' ')
}

/**
 * Encodes what a scope token cannot hold, and `%` itself, so that parseScope gives the object back.
 */
function percentEncode(object: string): string {
  return object.replace(NOT_LITERAL, (character) => {
    // A lone surrogate has no UTF-8 form; policies with one are refused when saved
    // (patternMistake).
    const isLone = /\p{Surrogate}/u.test(character)
    return encodeURIComponent(isLone ? '\uFFFD' : character)
  })
}
