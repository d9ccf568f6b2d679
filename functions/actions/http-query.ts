// The query of an HTTP request: sent exactly as it was judged, with every name seen under each
// reading that a server may have of it (reliability.md G-7).
import { escapeCharacter } from './http-path.ts'
import type { Canonical } from './http-path.ts'

const MAX_QUERY_CHARACTERS = 16_384

/**
 * What the URL parser encodes in a query by itself (WHATWG URL, special-query percent-encode set).
 */
const ENCODED_WHEN_RAW = /["<>']/g

/** Canonical form of a raw query without its `?`. */
export function canonicalQuery(rawQuery: string): Canonical {
  const mistake = queryMistake(rawQuery)
  if (mistake !== null) return { ok: false, reason: mistake }
  return { ok: true, text: rawQuery.replace(ENCODED_WHEN_RAW, escapeCharacter) }
}

function queryMistake(query: string): string | null {
  if (query.length > MAX_QUERY_CHARACTERS) return 'query_too_long'
  if (/\p{Cc}/u.test(query)) return 'query_control_character'
  if (/[^\x21-\x7E]/.test(query)) return 'query_not_ascii'
  if (query.includes('#')) return 'query_fragment'
  if (/%(?![0-9A-Fa-f]{2})/.test(query)) return 'query_invalid_escape'
  if (query.includes('%00')) return 'query_control_character'
  return null
}

/**
 * Decoded names, sorted, each once; `;` counts as a separator too, for the servers that take it as
 * one.
 */
export function formNames(query: string): readonly string[] {
  const names = new Set<string>()
  for (const separator of ['&', /[&;]/]) {
    for (const pair of query.split(separator)) {
      if (pair !== '') names.add(decodeForm(pair.slice(0, endOfName(pair))))
    }
  }
  return [...names].sort()
}

function endOfName(pair: string): number {
  const equals = pair.indexOf('=')
  return equals === -1 ? pair.length : equals
}

/** As application/x-www-form-urlencoded is decoded: `+` is a space, broken bytes become U+FFFD. */
function decodeForm(text: string): string {
  const [pair] = new URLSearchParams(`${text.replaceAll('&', '%26')}=`)
  return pair?.[0] ?? ''
}

/** Names under which frameworks take the method from a query or a form. */
const METHOD_PARAMETERS: ReadonlySet<string> = new Set([
  '_method',
  '_httpmethod',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
])

/** A name that would make the server perform another method than the one that was judged (G-6). */
export function overridesMethod(names: readonly string[]): boolean {
  return names.some((name) => {
    const folded = name.trim().toLowerCase()
    return METHOD_PARAMETERS.has(folded) || METHOD_PARAMETERS.has(folded.replace(/\[.*$/, ''))
  })
}
