// Under whose name a session runs in AWS: the names that every session has, and the tags of the target.
import type { Failure } from '../core/failure.ts'
import { claimAt } from '../core/claim-match.ts'
import type { MintFacts } from '../core/minting.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { awsNames } from './aws-names.ts'
import type { AwsStsSettings } from './aws-sts-config.ts'
import type { SessionNames } from './aws-sts-mint.ts'
import { MAX_TAGS } from './aws-sts-tags.ts'

/** SC-05. Policies compare a value as it is, so none is rewritten to fit. */
const TAG_VALUE = /^[\p{L}\p{Z}\p{N}_.:/=+@-]{0,256}$/u

export function sessionNames(
  facts: MintFacts,
  settings: Pick<AwsStsSettings, 'tags' | 'transitiveTagKeys'>,
): Result<SessionNames, Failure> {
  const own = awsNames(facts)
  const tags = [...own.tags]
  for (const { key, claim } of settings.tags) {
    const value = claimAt(facts.claims, claim)
    const isText = typeof value === 'string' && isTagValue(value)
    // Left out, a tag could be what a policy denies by.
    if (!isText) return refused(`needs the claim ${claim} in the characters of a tag of AWS`)
    tags.push({ key, value })
  }
  const known = tags.map(({ key }) => key)
  if (known.length > MAX_TAGS) return refused(`needs at most ${MAX_TAGS} tags`)
  const transitive = [...own.transitiveTagKeys, ...settings.transitiveTagKeys]
  const transitiveTagKeys = [...new Set(transitive)].filter((key) => known.includes(key))
  return ok({ ...own, tags, transitiveTagKeys })
}

/** AWS trims tags: two claims that differ by a space would be one. */
function isTagValue(value: string): boolean {
  return TAG_VALUE.test(value) && value.length <= 256 && value.trim() === value
}

function refused(hint: string): Result<never, Failure> {
  return fail({ kind: 'mint_refused', reason: 'tags', hint })
}
