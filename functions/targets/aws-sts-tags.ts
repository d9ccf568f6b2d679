// Session tags of a target of type `aws-sts` (SC-05): AWS's key, and the claim that its value comes from.
import { isJsonObject } from '../core/json.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'

export type ClaimTag = { readonly key: string; readonly claim: string }

/** Of a session, the broker's own among them. */
export const MAX_TAGS = 50
const MAX_OWN_TAGS = 10
const MAX_TAG_KEY = 128
/** Tags of the broker's own making begin so; AWS compares keys without regard to case. */
const OWN_TAGS = 'sallyport_'
const TAG_KEY = /^[\p{L}\p{Z}\p{N}_.:/=+@-]+$/u

export function readTags(reader: ConfigReader): readonly ClaimTag[] {
  const value = reader.get('tags')
  if (value === undefined) return []
  if (!isJsonObject(value)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'tags')
    return []
  }
  const entries = Object.entries(value)
  if (entries.length > MAX_TAGS - MAX_OWN_TAGS) {
    const message = `must have at most ${MAX_TAGS - MAX_OWN_TAGS} members: AWS takes ${MAX_TAGS}, the broker's own among them`
    reader.note({ code: 'range', message }, 'tags')
  }
  const folded = new Set<string>()
  return entries.flatMap(([key, claim]) => {
    const mistake = tagKeyMistake(key, folded) ?? claimMistake(claim)
    folded.add(key.toLowerCase())
    if (mistake !== null) reader.note(mistake, 'tags', key)
    return typeof claim === 'string' ? [{ key, claim }] : []
  })
}

function tagKeyMistake(key: string, before: ReadonlySet<string>): Mistake | null {
  const folded = key.toLowerCase()
  if (key.length > MAX_TAG_KEY || !TAG_KEY.test(key) || key.trim() !== key) {
    const message = `must have 1 to ${MAX_TAG_KEY} of the characters of a tag key of AWS`
    return { code: 'format', message }
  }
  if (folded.startsWith('aws:') || folded.startsWith(OWN_TAGS)) {
    return { code: 'value', message: `must not begin with aws: or ${OWN_TAGS}` }
  }
  // SC-05: AWS takes `Team` and `team` for one key.
  return before.has(folded) ? { code: 'value', message: 'is there twice, but for its case' } : null
}

function claimMistake(claim: unknown): Mistake | null {
  if (typeof claim !== 'string') return { code: 'type', message: 'must be the name of a claim' }
  const isName = claim !== '' && claim.length <= 512
  return isName ? null : { code: 'format', message: 'must have 1 to 512 characters' }
}

export function readTransitiveTags(
  reader: ConfigReader,
  tags: readonly ClaimTag[],
): readonly string[] {
  return reader.texts('transitive_tags', {
    maxItems: MAX_TAGS,
    absent: [],
    mistakeOf: (key) => transitiveMistake(key, tags),
  })
}

function transitiveMistake(key: string, tags: readonly ClaimTag[]): Mistake | null {
  const isKnown = tags.some((tag) => tag.key === key) || key.startsWith(OWN_TAGS)
  return isKnown
    ? null
    : { code: 'value', message: `must be a key of tags, or begin with ${OWN_TAGS}` }
}
