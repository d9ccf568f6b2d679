// `scope` of a request for a token that is issued for others: items of our own, or words of the downstream as
// they are. Which effect a word has, its target says, so it is asked for with any; grants narrow it as ever.
import type { Failure } from '../core/failure.ts'
import { EFFECTS } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { parseScope, type ScopeItem } from '../core/scope.ts'

/** RFC 6749 §3.3, without the wildcard of object patterns. */
const WORD = /^[\x21\x23-\x29\x2B-\x5B\x5D-\x7E]{1,256}$/
const MAX_WORDS = 100

export function parseDownstreamScope(scope: string): Result<readonly ScopeItem[], Failure> {
  const words = scope.split(' ', MAX_WORDS + 1)
  const items: ScopeItem[] = []
  for (const word of words) {
    const own = parseScope(word)
    if (own.ok) items.push(...own.value)
    else if (WORD.test(word)) items.push(...EFFECTS.map((effect) => ({ effect, object: word })))
    else return own
  }
  return words.length > MAX_WORDS ? fail({ kind: 'invalid_scope', reason: 'syntax' }) : ok(items)
}
