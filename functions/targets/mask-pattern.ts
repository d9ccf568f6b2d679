// Patterns of masks run in time linear in the text (RE2): an answer is written by somebody else, and a
// backtracking engine could be kept busy by it.
import { RE2JS } from '@bufbuild/re2'
import { findIn, type Find } from './pike.ts'

export type Pattern = { readonly test: (text: string) => boolean; readonly find: Find }

export type PatternMask = { readonly pattern: Pattern; readonly replacement: string }

export type Masked = { readonly text: string; readonly count: number }

const MAX_LENGTH = 512

/** How often a text may be read again behind a match, as `a(.*b)?` does at every `a` of many. */
const MAX_REREADINGS = 16

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

export function compilePattern(pattern: string): Pattern {
  const compiled = RE2JS.compile(pattern)
  return { test: (text) => compiled.test(text), find: findIn(compiled.re2().prog) }
}

/** Every match of every pattern, in the order of the rules. The replacement is literal. */
export function replaceAll(patterns: readonly PatternMask[], text: string): Masked {
  let count = 0
  let masked = text
  for (const mask of patterns) {
    // Most texts hold no match, and telling that is much cheaper than finding where it is.
    if (!mask.pattern.test(masked)) continue
    const edited = replaceMatches(mask, masked)
    masked = edited.text
    count += edited.count
  }
  return { text: masked, count }
}

/** A text that is read over and over is cut short: from there on it is masked as a whole. */
function replaceMatches({ pattern, replacement }: PatternMask, text: string): Masked {
  const maxReread = text.length * MAX_REREADINGS
  let edited = ''
  let count = 0
  let from = 0
  let reread = 0
  for (;;) {
    const match = pattern.find(text, from)
    if (match === null) return { text: edited + text.slice(from), count }
    count++
    edited += text.slice(from, match.start) + replacement
    from = match.end
    reread += match.readTo - match.end
    if (reread > maxReread) return { text: edited, count }
  }
}
