// Which regular expressions a condition may hold. The engine is linear, so nothing here is about
// backtracking alone: a pattern that is not anchored at both ends, or that can run over a `/`, lets in
// what its author did not mean (POL-4, RB-12).

const MAX_PATTERN_LENGTH = 256

/** Together: the engine copies the repeated part that often. */
const MAX_COUNTED_REPETITIONS = 128
const MAX_QUANTIFIERS = 8
/** Classes by name that cannot hold `/`. */
const NARROW_CLASSES = 'dws'
const QUANTIFIERS = '*+?{'

type Scan = {
  readonly pattern: string
  at: number
  quantifiers: number
  counted: number
  /** One entry per open group: whether something in it is repeated. */
  readonly groups: boolean[]
}

/** What is wrong with the pattern, or null. It says nothing about whether the engine takes it. */
export function patternMistake(pattern: string): string | null {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    return `is longer than ${MAX_PATTERN_LENGTH} characters`
  }
  if (!pattern.startsWith('^') || !pattern.endsWith('$')) {
    return 'must be anchored: begin with `^` and end with `$`'
  }
  const scan: Scan = { pattern, at: 1, quantifiers: 0, counted: 0, groups: [] }
  const end = pattern.length - 1
  while (scan.at < end) {
    const mistake = step(scan)
    if (mistake !== null) return mistake
  }
  if (scan.at > end) return 'ends with an escaped `$`'
  if (scan.quantifiers > MAX_QUANTIFIERS) return `repeats more than ${MAX_QUANTIFIERS} times`
  if (scan.counted > MAX_COUNTED_REPETITIONS) {
    return `counts to more than ${MAX_COUNTED_REPETITIONS}`
  }
  return null
}

function step(scan: Scan): string | null {
  const character = scan.pattern[scan.at]
  switch (character) {
    case '\\':
      return escape(scan)
    case '[':
      return characterClass(scan)
    case '(':
      return openGroup(scan)
    case ')':
      return closeGroup(scan)
    case '|':
      scan.at += 1
      return scan.groups.length > 0 ? null : '`|` outside a group leaves each side half-anchored'
    case '.':
      return '`.` matches any character: write `\\.`, or a class'
    case '^':
    case '$':
      return `\`${character}\` may stand only at its end of the pattern`
    default:
      return QUANTIFIERS.includes(character ?? '') ? quantifier(scan) : literal(scan)
  }
}

function literal(scan: Scan): null {
  scan.at += 1
  return null
}

function escape(scan: Scan): string | null {
  const character = scan.pattern[scan.at + 1] ?? ''
  scan.at += 2
  const isLetterOrDigit = character.toLowerCase() !== character.toUpperCase() || isDigit(character)
  if (!isLetterOrDigit || NARROW_CLASSES.includes(character)) return null
  return `\`\\${character}\` is not allowed`
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9'
}

function characterClass(scan: Scan): string | null {
  const start = scan.at
  scan.at += 1
  const isNegated = scan.pattern[scan.at] === '^'
  if (isNegated) scan.at += 1
  const first = scan.at
  let hasSlash = false
  for (;;) {
    const character = scan.pattern[scan.at]
    if (character === undefined) return 'holds a class without an end'
    if (character === ']' && scan.at > first) break
    if (character === '[') return 'holds a class inside a class'
    if (character === '/') hasSlash = true
    if (character === '-' && spansSlash(scan)) return 'holds a range that takes in `/`'
    const mistake = character === '\\' ? escape(scan) : literal(scan)
    if (mistake !== null) return mistake
  }
  scan.at += 1
  if (!isNegated || hasSlash) return null
  return `\`${scan.pattern.slice(start, scan.at)}\` can match \`/\`: exclude it`
}

/** Whether the `-` at this place makes a range around `/`. */
function spansSlash(scan: Scan): boolean {
  const from = scan.pattern[scan.at - 1] ?? ''
  const to = scan.pattern[scan.at + 1] ?? ''
  return to !== ']' && from < '/' && to > '/'
}

function openGroup(scan: Scan): string | null {
  const rest = scan.pattern.slice(scan.at + 1)
  if (rest.startsWith('?') && !rest.startsWith('?:')) return 'holds a flag or a named group'
  scan.at += rest.startsWith('?:') ? 3 : 1
  scan.groups.push(false)
  return null
}

function closeGroup(scan: Scan): string | null {
  const repeats = scan.groups.pop()
  if (repeats === undefined) return 'closes a group that is not open'
  scan.at += 1
  const outer = scan.groups.length - 1
  if (repeats && outer >= 0) scan.groups[outer] = true
  const next = scan.pattern[scan.at] ?? ''
  return repeats && '*+{'.includes(next) && next !== ''
    ? 'repeats a group in which something is repeated'
    : null
}

function quantifier(scan: Scan): string | null {
  scan.quantifiers += 1
  if (scan.groups.length > 0) scan.groups[scan.groups.length - 1] = true
  if (scan.pattern[scan.at] !== '{') return literal(scan)
  const end = scan.pattern.indexOf('}', scan.at)
  if (end === -1) return 'holds `{` without `}`'
  const bounds = scan.pattern.slice(scan.at + 1, end).split(',')
  scan.at = end + 1
  const isCount = bounds.length <= 2 && bounds.every((bound) => [...bound].every(isDigit))
  if (!isCount || bounds[0] === '') return 'holds `{` that is not a repetition'
  scan.counted += Math.max(...bounds.map(Number))
  return null
}
