// SPIFFE IDs, read by a parser of their own (SPIFFE-ID §2, SP-01). It accepts or refuses and never
// normalises: a URL parser would resolve dot segments, fold case and decode escapes, and so hide the
// attack (SP-02). Patterns compare whole segments only (SP-03).
import type { Result } from './result.ts'
import { fail, ok } from './result.ts'

export type SpiffeId = {
  readonly trustDomain: string
  /** Empty, or `/` and the segments. */
  readonly path: string
}

export type SpiffeIdFault = 'too_long' | 'scheme' | 'trust_domain' | 'path'

const SCHEME = 'spiffe://'
const MAX_ID_BYTES = 2048
const MAX_TRUST_DOMAIN_BYTES = 255
const LOWER_AND_DIGITS = 'abcdefghijklmnopqrstuvwxyz0123456789'
const TRUST_DOMAIN_CHARACTERS = new Set(`${LOWER_AND_DIGITS}.-_`)
const PATH_CHARACTERS = new Set(`${LOWER_AND_DIGITS}${LOWER_AND_DIGITS.toUpperCase()}.-_`)

/** Reads an ID. Every accepted character is ASCII, so that its length in characters is its length in bytes. */
export function parseSpiffeId(text: string): Result<SpiffeId, SpiffeIdFault> {
  if (text.length > MAX_ID_BYTES) return fail('too_long')
  if (!text.startsWith(SCHEME)) return fail('scheme')
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  const trustDomain = slash === -1 ? rest : rest.slice(0, slash)
  if (!isTrustDomain(trustDomain)) return fail('trust_domain')
  const path = slash === -1 ? '' : rest.slice(slash)
  if (path !== '' && !path.slice(1).split('/').every(isSegment)) return fail('path')
  return ok({ trustDomain, path })
}

/** Whether the text says that it is a SPIFFE ID, in whatever case; it may still be a wrong one. */
export function claimsToBeSpiffeId(text: string): boolean {
  return text.slice(0, SCHEME.length).toLowerCase() === SCHEME
}

export function isTrustDomain(text: string): boolean {
  return (
    text !== '' &&
    text.length <= MAX_TRUST_DOMAIN_BYTES &&
    [...text].every((character) => TRUST_DOMAIN_CHARACTERS.has(character))
  )
}

function isSegment(text: string): boolean {
  return (
    text !== '' &&
    text !== '.' &&
    text !== '..' &&
    [...text].every((character) => PATH_CHARACTERS.has(character))
  )
}

/**
 * Whether the path of a parsed ID matches a pattern: `*` is exactly one segment, `**` (last) is one or
 * more, anything else is compared byte for byte. `/agents` does not match `/agents-evil`, nor `/agents/x`.
 */
export function spiffePathMatches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const got = path.split('/')
  for (const [i, segment] of wanted.entries()) {
    if (segment === '**') return got.length > i
    const actual = got[i]
    if (actual === undefined || (segment !== '*' && segment !== actual)) return false
  }
  return wanted.length === got.length
}

/** What is wrong with a path pattern, or null. The first segment is literal: an open pattern is refused. */
export function spiffePatternMistake(
  pattern: string,
): { readonly code: 'format' | 'unsafe'; readonly message: string } | null {
  if (!pattern.startsWith('/') || pattern.length > MAX_ID_BYTES) {
    return { code: 'format', message: 'must be a path that begins with `/`' }
  }
  const segments = pattern.slice(1).split('/')
  for (const [i, segment] of segments.entries()) {
    const isLast = i === segments.length - 1
    if (segment === '*' || (segment === '**' && isLast) || isSegment(segment)) continue
    return {
      code: 'format',
      message: 'holds a segment that is neither a literal, `*`, nor `**` at the end',
    }
  }
  if (segments[0] === '*' || segments[0] === '**') {
    return { code: 'unsafe', message: 'must begin with a literal segment' }
  }
  return null
}
