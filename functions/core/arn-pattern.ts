// Objects of AWS: ARN patterns with IAM's wildcards (`*` any characters, `?` one) and IAM's escapes
// (`${*}`, `${?}`, `${$}` are the characters themselves). Six parts between colons; a wildcard stays in
// its part. Comparison is byte-exact, and what cannot be compared is not covered.
import { claimAt } from './claim-match.ts'
import type { JsonObject, JsonValue } from './identity.ts'
import type { Grant } from './policy.ts'

const PREFIX = 'arn:'
const MAX_LENGTH = 1024
/** `arn`, partition, service, region, account, resource; the resource may hold further colons. */
const PARTS = 6

/** A claim longer than this names nothing that anybody called a bucket, a prefix or a table. */
const MAX_CLAIM_LENGTH = 256
/** Separators would reach into another part of the ARN; quotes and backslash have no business there. */
const UNSAFE_IN_CLAIM = /[/:"'`\\\p{Cc}\p{Surrogate}]/u
const TEMPLATE = /\$\{(claims|subject)\.([^{}]+)\}/g
const ESCAPES = /\$\{[*?$]\}/g
const WILDCARDS = /[*?$]/g

export const ANY = 0
export const ONE = 1
/** A wildcard, or the character that must stand there. */
export type ArnToken = typeof ANY | typeof ONE | string

export function isArn(pattern: string): boolean {
  return pattern.startsWith(PREFIX)
}

/**
 * Whether everything that `narrow` matches is matched by `wide`. Decided by the form alone, part by
 * part, so it holds whatever a wildcard of AWS may stand for; a concrete ARN is a pattern of itself.
 */
export function arnCovers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true
  const outer = arnParts(wide)
  const inner = arnParts(narrow)
  if (outer === null || inner === null) return false
  return outer.every((part, i) => partCovers(part, inner[i] ?? ''))
}

/** Of two patterns the one that the other covers; null where neither does, which only narrows. */
export function intersectArns(left: string, right: string): string | null {
  if (arnCovers(left, right)) return right
  return arnCovers(right, left) ? left : null
}

/** A mistake in a pattern, or null. A name of a claim is one: it stands only in a binding. */
export function arnMistake(pattern: string): string | null {
  if (pattern.length > MAX_LENGTH) return 'must have 1 to 1024 characters'
  if (/[\p{Cc}\p{Surrogate}]/u.test(pattern)) return 'must not hold control characters'
  const parts = arnParts(pattern)
  if (parts === null) return 'must be `arn:partition:service:region:account:resource`'
  const [, partition = '', service = '', , , resource = ''] = parts
  if (!/^[a-z0-9-]+$/.test(partition)) return 'must name its partition, without wildcards'
  if (!/^[a-z0-9-]+$/.test(service)) return 'must name its service, without wildcards'
  if (resource === '') return 'must name a resource, or `*`'
  if (pattern.replace(ESCAPES, '').includes('${'))
    return 'must hold no `${` but `${*}`, `${?}` and `${$}`'
  return null
}

/** A mistake in a pattern of a binding, where `${claims.name}` and `${subject.name}` may stand. */
export function arnTemplateMistake(template: string): string | null {
  return arnMistake(withoutClaims(template))
}

/** As if every claim in it were `X`, which no partition and no service has in its name. */
export function withoutClaims(template: string): string {
  return template.replace(TEMPLATE, 'X')
}

/**
 * Whether the names of two callers can meet there: only `/` and `:` are in no claim, so `${claims.team}-*`
 * of the team `a` is also what begins with `a-b-`, and two claims side by side share out one name in
 * different ways.
 */
export function letsClaimsMeet(template: string): boolean {
  if (!isTemplate(template)) return false
  const names = template.replace(ESCAPES, '').replace(TEMPLATE, '\0').split(/[/:]/)
  return names.some((name) => /\0.*[*?\0]|[*?].*\0/.test(name))
}

export type ClaimSource = {
  /** Verified claims of who acts. */
  readonly claims: JsonObject
  /** Verified claims of the user acted for; null without one. */
  readonly subject: JsonObject | null
}

/**
 * The grants of bindings with the caller's claims in them. A claim is a name and nothing else: its
 * wildcards are escaped, and an object whose claim is missing, no text, or could mean more than a
 * name, grants nothing.
 */
export function expandClaims(grants: readonly Grant[], source: ClaimSource): readonly Grant[] {
  if (!grants.some(({ objects }) => objects.some(isTemplate))) return grants
  return grants.flatMap((grant) => {
    const objects = grant.objects.flatMap((object) => expandObject(object, source) ?? [])
    return objects.length === 0 ? [] : [{ ...grant, objects }]
  })
}

function isTemplate(object: string): boolean {
  return isArn(object) && (object.includes('${claims.') || object.includes('${subject.'))
}

function expandObject(object: string, source: ClaimSource): string | null {
  if (!isTemplate(object)) return object
  let isWhole = true
  const expanded = object.replace(TEMPLATE, (_, of: string, name: string) => {
    const claims = of === 'claims' ? source.claims : source.subject
    const text = claims === null ? null : escapedClaim(claimAt(claims, name))
    if (text === null) isWhole = false
    return text ?? ''
  })
  return isWhole && arnMistake(expanded) === null ? expanded : null
}

function escapedClaim(value: JsonValue | undefined): string | null {
  if (typeof value !== 'string' || value === '' || value.length > MAX_CLAIM_LENGTH) return null
  if (UNSAFE_IN_CLAIM.test(value)) return null
  return value.replace(WILDCARDS, (character) => `\${${character}}`)
}

/** Six parts, or null. Escapes and names of claims hold no colon that is one of the five. */
export function arnParts(pattern: string): readonly string[] | null {
  const parts = pattern.split(':')
  if (parts.length < PARTS || parts[0] !== 'arn') return null
  return [...parts.slice(0, PARTS - 1), parts.slice(PARTS - 1).join(':')]
}

function partCovers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === '*') return true
  return tokensCover(arnTokens(wide), arnTokens(narrow))
}

/** Patterns that anybody means take one or two; those that take more were written to. Short ones may. */
const MAX_STEPS_PER_TOKEN = 4
const FREE_STEPS = 1024

/**
 * Whether the tokens of `wide` absorb those of `narrow`: `*` any, `?` one that is not `*`, a character
 * itself. A glob match with one point to return to: linear in practice, quadratic at worst, which is not
 * waited for. Callers write patterns, and a hundred of them are held against a hundred.
 */
function tokensCover(wide: readonly ArnToken[], narrow: readonly ArnToken[]): boolean {
  let w = 0
  let n = 0
  let starAt = -1
  let resumeAt = 0
  let stepsLeft = Math.max(FREE_STEPS, MAX_STEPS_PER_TOKEN * (wide.length + narrow.length))
  while (n < narrow.length) {
    if (stepsLeft-- === 0) return false
    const token = wide[w]
    if (token === ANY) {
      starAt = w
      w += 1
      resumeAt = n
    } else if (token !== undefined && absorbs(token, narrow[n])) {
      w += 1
      n += 1
    } else if (starAt >= 0) {
      resumeAt += 1
      n = resumeAt
      w = starAt + 1
    } else return false
  }
  while (wide[w] === ANY) w += 1
  return w === wide.length
}

function absorbs(token: ArnToken, other: ArnToken | undefined): boolean {
  return token === ONE ? other !== ANY : token === other
}

/** By code point, as IAM counts a `?`. */
export function arnTokens(part: string): readonly ArnToken[] {
  const tokens: ArnToken[] = []
  for (let at = 0; at < part.length;) {
    const escaped = part.startsWith('${', at) && part[at + 3] === '}' ? part[at + 2] : undefined
    if (escaped === '*' || escaped === '?' || escaped === '$') {
      tokens.push(escaped)
      at += 4
      continue
    }
    const character = String.fromCodePoint(part.codePointAt(at) ?? 0)
    tokens.push(character === '*' ? ANY : character === '?' ? ONE : character)
    at += character.length
  }
  return tokens
}
