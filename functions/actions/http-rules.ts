// The part of an http target's `config` that decides what its requests mean: where it is, which
// methods and paths have another effect than their method says, and what its paths may hold.
import { isJsonObject } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { patternMistake } from '../core/object-pattern.ts'
import type { DocumentError, Effect } from '../core/policy.ts'
import { asEffect } from '../core/scope.ts'
import { canonicalPath, STRICT_PATH } from './http-path.ts'
import type { PathOptions } from './http-path.ts'

export type EffectRule = { readonly match: string; readonly effect: Effect }

export type HttpTargetRules = {
  readonly name: string
  readonly labels: readonly string[]
  readonly baseUrl: URL
  /** The first that matches decides. */
  readonly effects: readonly EffectRule[]
  readonly path: PathOptions
  /** Paths below the base URL that speak GraphQL; there the document decides, and no rule. */
  readonly graphqlPaths: readonly string[]
}

export type ParsedHttpRules = {
  /** Null when there are errors. */
  readonly rules: Omit<HttpTargetRules, 'name' | 'labels'> | null
  readonly errors: readonly DocumentError[]
}

const PATH_MEMBERS = [
  ['allow_encoded_slash', 'allowEncodedSlash'],
  ['allow_semicolon', 'allowSemicolon'],
  ['allow_empty_segments', 'allowEmptySegments'],
] as const
/** The members of `config` that are read here, besides `base_url`. */
export const HTTP_RULE_MEMBERS: readonly string[] = [
  'effects',
  'graphql_paths',
  ...PATH_MEMBERS.map(([member]) => member),
]
const MAX_RULES = 200
const MAX_GRAPHQL_PATHS = 20

type Report = (path: string, code: string, message: string) => void

/**
 * Reads `base_url`, `effects: [{ match, effect }]`, `graphql_paths: ["/graphql"]`,
 * `allow_encoded_slash`, `allow_semicolon` and `allow_empty_segments` of a target's `config`. Every
 * mistake at once; paths are relative to `config`. Other members of `config` are the target's to
 * read or to refuse.
 */
export function parseHttpRules(config: JsonObject): ParsedHttpRules {
  const errors: DocumentError[] = []
  const report: Report = (path, code, message) => {
    errors.push({ path, code, message })
  }
  const baseUrl = parseBaseUrl(config['base_url'], report)
  const effects = parseEffects(config['effects'], report)
  const path = parsePathOptions(config, report)
  const graphqlPaths = parseGraphqlPaths(config['graphql_paths'], path, report)
  if (baseUrl === null || errors.length > 0) return { rules: null, errors }
  return { rules: { baseUrl, effects, path, graphqlPaths }, errors }
}

function refuseUnknown(
  object: JsonObject,
  path: string,
  known: readonly string[],
  report: Report,
): void {
  for (const name of Object.keys(object)) {
    if (!known.includes(name)) report(`${path}/${name}`, 'unknown_member', 'is not known')
  }
}

function parseBaseUrl(value: JsonValue | undefined, report: Report): URL | null {
  const refuse = (code: string, message: string): null => {
    report('/base_url', code, message)
    return null
  }
  if (value === undefined) return refuse('required', 'is required')
  if (typeof value !== 'string') return refuse('type', 'must be a string')
  if (!URL.canParse(value)) return refuse('invalid', 'must be an absolute URL')
  const url = new URL(value)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return refuse('invalid', 'must be an https URL')
  }
  if (url.username !== '' || url.password !== '') {
    return refuse('unsafe', 'must not hold a user name or a password; use `credential`')
  }
  if (value.includes('?') || value.includes('#')) {
    return refuse('invalid', 'must not hold a query or a fragment')
  }
  // What was written must be what is sent: no dot segments, no backslashes, no odd host notation.
  if (url.href !== value && url.href !== `${value}/`) {
    return refuse('invalid', `must be written in its normal form, ${url.href}`)
  }
  const path = canonicalPath(url.pathname, STRICT_PATH)
  if (!path.ok || path.text !== url.pathname) {
    return refuse('invalid', `has a path that servers read differently`)
  }
  return url
}

function parseEffects(value: JsonValue | undefined, report: Report): readonly EffectRule[] {
  return listOf(value, '/effects', MAX_RULES, report).flatMap((entry, index) => {
    const path = `/effects/${index}`
    if (!isJsonObject(entry)) {
      report(path, 'type', 'must be an object { match, effect }')
      return []
    }
    refuseUnknown(entry, path, ['match', 'effect'], report)
    const match = parseMatch(entry['match'], `${path}/match`, report)
    const word = entry['effect']
    const effect = typeof word === 'string' ? asEffect(word) : null
    if (effect === null) report(`${path}/effect`, 'invalid', 'must be an effect')
    return match === null || effect === null ? [] : [{ match, effect }]
  })
}

function parseMatch(value: JsonValue | undefined, path: string, report: Report): string | null {
  const isMatch = typeof value === 'string' && /^(?:\*|[A-Z][A-Z-]*) \//.test(value)
  if (!isMatch) {
    report(path, 'invalid', 'must be `METHOD /path`, with `*` for a segment or the method')
    return null
  }
  const mistake = patternMistake(value)
  if (mistake !== null) report(path, 'invalid', mistake)
  return mistake === null ? value : null
}

function parsePathOptions(config: JsonObject, report: Report): PathOptions {
  const options: { -readonly [option in keyof PathOptions]: boolean } = { ...STRICT_PATH }
  for (const [member, option] of PATH_MEMBERS) {
    const allowed = config[member]
    if (typeof allowed === 'boolean') options[option] = allowed
    else if (allowed !== undefined) report(`/${member}`, 'type', 'must be true or false')
  }
  return options
}

function parseGraphqlPaths(
  value: JsonValue | undefined,
  options: PathOptions,
  report: Report,
): readonly string[] {
  return listOf(value, '/graphql_paths', MAX_GRAPHQL_PATHS, report).flatMap((entry, index) => {
    const canonical = typeof entry === 'string' ? canonicalPath(entry, options) : null
    if (canonical !== null && canonical.ok && canonical.text === entry) return [entry]
    report(
      `/graphql_paths/${index}`,
      'invalid',
      'must be a path in its canonical form, e.g. `/graphql`',
    )
    return []
  })
}

function listOf(
  value: JsonValue | undefined,
  path: string,
  maxEntries: number,
  report: Report,
): readonly JsonValue[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    report(path, 'type', 'must be a list')
    return []
  }
  if (value.length > maxEntries) report(path, 'too_many', `must have at most ${maxEntries} entries`)
  return value as readonly JsonValue[]
}
