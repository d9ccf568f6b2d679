// `scopes` of a target that issues tokens for a downstream: its scope words, each with the effect that using
// it has, so that grants can speak of them. A word is an object; a token carries words that are granted.
import { grantsAllow } from '../core/grants.ts'
import { isJsonObject } from '../core/json.ts'
import type { MintFacts } from '../core/minting.ts'
import { objectMatches, patternMistake } from '../core/object-pattern.ts'
import type { DocumentError, Effect, Grant } from '../core/policy.ts'
import { asEffect } from '../core/scope.ts'
import type { ConfigReader } from '../policy/config-reader.ts'
import { pointer } from '../policy/pointer.ts'

export type DownstreamScopes = ReadonlyMap<string, Effect>

const MAX_WORDS = 100
/** RFC 6749 §3.3, without the wildcard of object patterns. */
const WORD = /^[\x21\x23-\x29\x2B-\x5B\x5D-\x7E]{1,256}$/

export function readScopes(reader: ConfigReader): DownstreamScopes {
  const value = reader.get('scopes')
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must say the effect of each scope' }, 'scopes')
    return new Map()
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || entries.length > MAX_WORDS) {
    reader.note({ code: 'range', message: `must have 1 to ${MAX_WORDS} members` }, 'scopes')
  }
  const scopes = new Map<string, Effect>()
  for (const [word, name] of entries) {
    const effect = typeof name === 'string' ? asEffect(name) : null
    if (WORD.test(word) && effect !== null) scopes.set(word, effect)
    else reader.note({ code: 'value', message: 'must be a scope with its effect' }, 'scopes', word)
  }
  return scopes
}

/** The words that the grants allow, in the order of the target; the session's scope is in the grants. */
export function grantedWords(
  scopes: DownstreamScopes,
  { grants }: Pick<MintFacts, 'grants'>,
): readonly string[] {
  return [...scopes].flatMap(([word, effect]) =>
    grantsAllow(grants, [effect], [word]) ? [word] : [],
  )
}

/** Objects of a binding that no word of the target is: they would grant nothing. */
export function unknownWords(
  grants: readonly Grant[],
  scopes: DownstreamScopes,
): readonly DocumentError[] {
  return grants.flatMap(({ objects }, i) =>
    objects.flatMap((object, j) => {
      const isKnown = [...scopes.keys()].some((word) => objectMatches(object, word))
      const message = patternMistake(object) ?? (isKnown ? null : 'is no scope of this target')
      return message === null
        ? []
        : [{ path: pointer('grants', i, 'objects', j), code: 'pattern', message }]
    }),
  )
}

/** Whether every word that was asked for is in the token, and with an effect that was asked for. */
export function carriesAll(
  scopes: DownstreamScopes,
  words: readonly string[],
  asked: MintFacts['scope'],
): boolean {
  const wanted = asked ?? []
  const isCarried = (word: string) =>
    words.includes(word) &&
    wanted.some(({ effect, object }) => object === word && scopes.get(word) === effect)
  return wanted.every(({ effect, object }) =>
    object === null ? words.some((word) => scopes.get(word) === effect) : isCarried(object),
  )
}

export function effectsOf(scopes: DownstreamScopes, words: readonly string[]): readonly Effect[] {
  return [...new Set(words.flatMap((word) => scopes.get(word) ?? []))]
}
