// The part of JSONPath (RFC 9535) that masks are written in: `$`, `.name`, `['name']`, `["a","b"]`,
// `[n]`, `.*`, `[*]` and the same after `..`. It is matched while the text is read, never on parsed
// objects, so that a member that comes twice is masked twice. Slices, filters and negative indices
// are refused when the target is saved.

export type JsonPath = readonly Segment[]

type Segment = { readonly descends: boolean; readonly selectors: readonly Selector[] }
type Selector = { readonly name: string } | { readonly index: number } | '*'

/** A state is a bit of a number, one for each segment. */
const MAX_SEGMENTS = 30
const MAX_LENGTH = 1024

export function parseJsonPath(text: string): JsonPath | { readonly mistake: string } {
  if (text.length > MAX_LENGTH) return { mistake: `must have at most ${MAX_LENGTH} characters` }
  if (!text.startsWith('$')) return { mistake: 'must begin with `$`' }
  const segments: Segment[] = []
  let at = 1
  while (at < text.length) {
    const segment = readSegment(text, at)
    if ('mistake' in segment) return segment
    segments.push(segment.segment)
    at = segment.end
  }
  if (segments.length === 0) return { mistake: 'must select something below `$`' }
  if (segments.length > MAX_SEGMENTS)
    return { mistake: `must have at most ${MAX_SEGMENTS} segments` }
  return segments
}

type Read = { readonly segment: Segment; readonly end: number } | { readonly mistake: string }

const SHORTHAND = /\*|[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_\u0080-\u{10ffff}]*/uy

function readSegment(text: string, start: number): Read {
  const descends = text.startsWith('..', start)
  const dot = descends ? 2 : text.startsWith('.', start) ? 1 : 0
  const at = start + dot
  if (text[at] === '[' && dot !== 1) return readBracket(text, at + 1, descends)
  if (dot === 0) return unsupported(start)
  SHORTHAND.lastIndex = at
  const name = SHORTHAND.exec(text)?.[0]
  if (name === undefined) return unsupported(at)
  const selector = name === '*' ? '*' : { name }
  return { segment: { descends, selectors: [selector] }, end: at + name.length }
}

const SELECTOR =
  /\s*(?:(\*)|(0|[1-9][0-9]{0,8})|('(?:[^'\\\p{Cc}]|\\.)*'|"(?:[^"\\\p{Cc}]|\\.)*"))\s*([,\]])/uy

function readBracket(text: string, start: number, descends: boolean): Read {
  const selectors: Selector[] = []
  let at = start
  for (;;) {
    SELECTOR.lastIndex = at
    const match = SELECTOR.exec(text)
    const selector = match === null ? null : selectorOf(match)
    if (match === null || selector === null) return unsupported(at)
    selectors.push(selector)
    at += match[0].length
    if (match[4] === ']') return { segment: { descends, selectors }, end: at }
  }
}

function selectorOf(match: RegExpExecArray): Selector | null {
  if (match[1] !== undefined) return '*'
  if (match[2] !== undefined) return { index: Number(match[2]) }
  const name = unquote(match[3] ?? '')
  return name === null ? null : { name }
}

/** A quoted name of RFC 9535 §2.3.1 as its JSON counterpart; null for an escape it does not know. */
function unquote(quoted: string): string | null {
  const inner = quoted.slice(1, -1)
  const json = quoted[0] === "'" ? inner.replace(/\\'|"/g, (c) => (c === '"' ? '\\"' : "'")) : inner
  try {
    const name: unknown = JSON.parse(`"${json}"`)
    return typeof name === 'string' ? name : null
  } catch {
    // An escape that JSON does not know is a mistake in the path, told by position.
    return null
  }
}

function unsupported(at: number): { readonly mistake: string } {
  return {
    mistake: `is not understood at character ${at + 1}; slices and filters are not supported`,
  }
}

/** Which segments of one path are to be met by the children of a value. */
export type PathState = number

export const AT_ROOT: PathState = 1

/** The state below a child, or `selected` when the path ends there. Runs once for each member and path. */
export function stepInto(
  path: JsonPath,
  state: PathState,
  child: string | number,
): PathState | 'selected' {
  let next = 0
  for (let i = 0; i < path.length; i++) {
    const segment = path[i]
    if (segment === undefined || (state & (1 << i)) === 0) continue
    if (segment.descends) next |= 1 << i
    if (!selects(segment.selectors, child)) continue
    if (i === path.length - 1) return 'selected'
    next |= 1 << (i + 1)
  }
  return next
}

function selects(selectors: readonly Selector[], child: string | number): boolean {
  for (const selector of selectors) {
    if (selector === '*') return true
    if (('name' in selector ? selector.name : selector.index) === child) return true
  }
  return false
}
