// Patterns of masks run in time linear in the text (RE2): an answer is written by somebody else, and a
// backtracking engine could be kept busy by it.
import { RE2JS } from 're2js'

export type PatternMask = { readonly pattern: RE2JS; readonly replacement: string }

export type Masked = { readonly text: string; readonly count: number }

const MAX_LENGTH = 512

/** A mistake in a pattern, or null. */
export function patternMistake(pattern: string): string | null {
  if (pattern === '' || pattern.length > MAX_LENGTH)
    return `must have 1 to ${MAX_LENGTH} characters`
  try {
    return compilePattern(pattern).test('') ? 'must not match the empty text' : null
  } catch {
    // The engine's message repeats the pattern; its position is not worth that.
    return 'must be a regular expression in RE2 syntax'
  }
}

export function compilePattern(pattern: string): RE2JS {
  return RE2JS.compile(pattern)
}

/** Every match of every pattern, in the order of the rules. The replacement is literal. */
export function replaceAll(patterns: readonly PatternMask[], text: string): Masked {
  let count = 0
  let masked = text
  for (const { pattern, replacement } of patterns) {
    // Most texts hold no match, and telling that is much cheaper than finding where it is.
    if (!pattern.test(masked)) continue
    const matcher = pattern.matcher(masked)
    let edited = ''
    let from = 0
    while (matcher.find()) {
      if (matcher.end() === matcher.start()) continue
      edited += masked.slice(from, matcher.start()) + replacement
      from = matcher.end()
      count++
    }
    if (from > 0) masked = edited + masked.slice(from)
  }
  return { text: masked, count }
}
