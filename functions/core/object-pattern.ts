// Object patterns: `METHOD /path` for http, ARNs for AWS (arn-pattern.ts), dotted or colon names
// elsewhere. `*` is exactly one segment, `**` (last) is one or more further segments, and the bare `*`
// or `**` is everything. Literal comparison is byte-exact: no case folding, no normalisation (RFC 9396
// §12).
import { arnCovers, arnMistake, intersectArns, isArn } from './arn-pattern.ts'

/**
 * `GET /v1/customers/*` -> ['GET', '', 'v1', 'customers', '*']; `public.orders` ->
 * ['public','orders'].
 */
function segmentsOf(pattern: string): readonly string[] {
  const space = pattern.indexOf(' ')
  if (space > 0) return [pattern.slice(0, space), ...pattern.slice(space + 1).split('/')]
  return pattern.split('.')
}

/** `GET /x` against `public.x`: the two forms never match each other, whatever their segments. */
function isPath(pattern: string): boolean {
  return pattern.indexOf(' ') > 0
}

/** The bare wildcard, which matches objects of either form. */
export function isEverything(pattern: string): boolean {
  return pattern === '*' || pattern === '**'
}

/**
 * Whether the concrete object (no wildcards are honoured in it) matches the pattern. ARNs alone may be
 * patterns on both sides: an action that is as wide as `arn:…:*` must be covered as a whole.
 */
export function objectMatches(pattern: string, object: string): boolean {
  if (isEverything(pattern)) return true
  if (isArn(pattern) || isArn(object)) {
    return isArn(pattern) && isArn(object) && arnCovers(pattern, object)
  }
  if (isPath(pattern) !== isPath(object)) return false
  const wanted = segmentsOf(pattern)
  const got = segmentsOf(object)
  for (let i = 0; i < wanted.length; i++) {
    const segment = wanted[i]
    if (segment === '**' && i === wanted.length - 1) return got.length > i
    const actual = got[i]
    if (actual === undefined) return false
    if (segment === '*') {
      if (actual === '') return false
    } else if (segment !== actual) return false
  }
  return wanted.length === got.length
}

/** The objects matched by both patterns, as one pattern; null when there are none. */
export function intersectPatterns(left: string, right: string): string | null {
  if (isEverything(left)) return right
  if (isEverything(right)) return left
  if (isArn(left) || isArn(right)) {
    return isArn(left) && isArn(right) ? intersectArns(left, right) : null
  }
  if (isPath(left) !== isPath(right)) return null
  const a = segmentsOf(left)
  const b = segmentsOf(right)
  const joined: string[] = []
  for (let i = 0; ; i++) {
    const x = a[i]
    const y = b[i]
    if (x === undefined && y === undefined) break
    if (x === '**' && i === a.length - 1) {
      if (y === undefined) return null
      joined.push(...b.slice(i))
      break
    }
    if (y === '**' && i === b.length - 1) {
      if (x === undefined) return null
      joined.push(...a.slice(i))
      break
    }
    if (x === undefined || y === undefined) return null
    if (x === '*') {
      if (y === '') return null
      joined.push(y)
    } else if (y === '*') {
      if (x === '') return null
      joined.push(x)
    } else if (x === y) joined.push(x)
    else return null
  }
  return isPath(left) ? `${joined[0]} ${joined.slice(1).join('/')}` : joined.join('.')
}

/**
 * A mistake in a pattern, or null. Wildcards stand for whole segments; `**` only at the end
 * (JW-09).
 */
export function patternMistake(pattern: string): string | null {
  if (pattern === '' || pattern.length > 1024) return 'must have 1 to 1024 characters'
  if (/[\p{Cc}\p{Surrogate}]/u.test(pattern)) return 'must not hold control characters'
  if (isEverything(pattern)) return null
  if (isArn(pattern)) return arnMistake(pattern)
  const segments = segmentsOf(pattern)
  for (const [i, segment] of segments.entries()) {
    if (segment === '**') {
      if (i !== segments.length - 1) return '`**` may only be the last segment'
    } else if (segment !== '*' && segment.includes('*')) return '`*` must stand for a whole segment'
  }
  return null
}
