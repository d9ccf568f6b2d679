// What a target of type `http` may say: every mistake and unsafe setting at once, and the settings that
// are left when there is none.
import { HTTP_RULE_MEMBERS, parseHttpRules } from '../actions/http.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { CredentialPolicy, DocumentError, MaskRule, TargetPolicy } from '../core/policy.ts'
import { SECRET_REFERENCE } from '../core/secret-source.ts'
import { hostRefusal } from '../net/addresses.ts'
import type { Reach } from '../net/outbound.ts'
import {
  foldName,
  isHeaderName,
  mayBeReturned,
  mayBeSent,
  mayCarryCredential,
} from './http-headers.ts'
import { headerOf } from './inject.ts'
import { parseJsonPath } from './json-path.ts'
import { patternMistake } from './mask-pattern.ts'

const MIB = 1024 * 1024

type Range = { readonly min: number; readonly max: number; readonly byDefault: number }

/** `max_masked_bytes` is held in memory, twice as text: 8 of them fit into an isolate of 128 MiB. */
const SIZES = {
  max_response_bytes: { min: 1, max: 1024 * MIB, byDefault: 10 * MIB },
  max_masked_bytes: { min: 1, max: 4 * MIB, byDefault: MIB },
} as const satisfies Record<string, Range>

const NUMBERS = {
  max_request_bytes: { min: 0, max: 1024 * MIB, byDefault: 10 * MIB },
  /** To the response's headers, and between two pieces of its body. */
  timeout_ms: { min: 1, max: 300_000, byDefault: 30_000 },
} as const satisfies Record<string, Range>

const LISTS = ['request_headers', 'response_headers'] as const

const MEMBERS: readonly string[] = [
  'base_url',
  ...HTTP_RULE_MEMBERS,
  ...Object.keys(NUMBERS),
  ...LISTS,
  'on_reflection',
]

const MAX_LIST = 64

export type HttpSettings = {
  readonly requestHeaders: readonly string[]
  readonly responseHeaders: readonly string[]
  readonly onReflection: 'redact' | 'block'
  readonly maxRequestBytes: number
  readonly maxMaskedBytes: number
  readonly timeoutMs: number
  readonly reach: Reach
}

export function httpTargetMistakes(target: TargetPolicy, reach: Reach): readonly DocumentError[] {
  const { config } = target
  return [
    ...unknownMembers('/config', config, MEMBERS),
    ...parseHttpRules(config).errors.map(({ path, ...rest }) => ({
      path: `/config${path}`,
      ...rest,
    })),
    ...reachMistakes(config['base_url'], reachOf(target, reach)),
    ...headerListMistakes(target),
    ...Object.entries(NUMBERS).flatMap(([name, range]) =>
      rangeMistakes(`/config/${name}`, config[name], range),
    ),
    ...Object.entries(SIZES).flatMap(([name, range]) =>
      rangeMistakes(`/${name}`, target[name as keyof typeof SIZES], range),
    ),
    ...reflectionMistakes(config['on_reflection']),
    ...credentialMistakes(target.credential),
    ...(target.mask ?? []).flatMap((rule, i) => maskMistakes(`/mask/${i}`, rule)),
  ]
}

/** Settings of a target that has no mistakes. */
export function httpSettings(target: TargetPolicy, reach: Reach): HttpSettings {
  const { config } = target
  return {
    requestHeaders: names(config['request_headers']),
    responseHeaders: names(config['response_headers']),
    onReflection: config['on_reflection'] === 'block' ? 'block' : 'redact',
    maxRequestBytes: numberOr(config['max_request_bytes'], NUMBERS.max_request_bytes),
    maxMaskedBytes: numberOr(target.max_masked_bytes, SIZES.max_masked_bytes),
    timeoutMs: numberOr(config['timeout_ms'], NUMBERS.timeout_ms),
    reach: reachOf(target, reach),
  }
}

/** Private addresses are the target's to ask for, loopback and plain http the deployment's. */
function reachOf(target: TargetPolicy, deployment: Reach): Reach {
  return { privateNetwork: target.private_network === true, loopback: deployment.loopback }
}

/** Told from the URL alone; addresses behind a name are checked by each call (SSRF-1, SSRF-5). */
function reachMistakes(value: JsonValue | undefined, reach: Reach): DocumentError[] {
  if (typeof value !== 'string' || !URL.canParse(value)) return []
  const refusal = hostRefusal(new URL(value), reach)
  if (refusal === null || refusal === 'userinfo') return []
  return [mistake('/config/base_url', 'unsafe', `may not be reached: ${refusal}`)]
}

function headerListMistakes(target: TargetPolicy): DocumentError[] {
  const { config, credential } = target
  const taken = headerOf(credential)
  // A range would take the credential, or a masked value, out of the answer in pieces.
  const isPlain = credential === undefined && (target.mask ?? []).length === 0
  const sent = (name: string): string | null => {
    if (taken !== null && foldName(name) === foldName(taken)) return 'carries the credential'
    return mayBeSent(name, isPlain) ? null : 'may not be forwarded'
  }
  const returned = (name: string): string | null =>
    mayBeReturned(name) ? null : 'may not be returned'
  return [
    ...headerNameMistakes('/config/request_headers', config['request_headers'], sent),
    ...headerNameMistakes('/config/response_headers', config['response_headers'], returned),
  ]
}

function headerNameMistakes(
  path: string,
  value: JsonValue | undefined,
  refusal: (name: string) => string | null,
): DocumentError[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) return [mistake(path, 'type', 'must be an array of header names')]
  if (value.length > MAX_LIST)
    return [mistake(path, 'range', `must have at most ${MAX_LIST} items`)]
  // Array.isArray does not narrow a readonly array; `value` is a JsonValue all the same.
  return (value as readonly JsonValue[]).flatMap((name, i) => {
    const at = `${path}/${i}`
    if (typeof name !== 'string') return [mistake(at, 'type', 'must be a string')]
    if (!isHeaderName(name)) return [mistake(at, 'format', 'must be a header name')]
    const why = refusal(name)
    return why === null ? [] : [mistake(at, 'unsafe', why)]
  })
}

function reflectionMistakes(value: JsonValue | undefined): DocumentError[] {
  if (value === undefined || value === 'redact' || value === 'block') return []
  return [mistake('/config/on_reflection', 'value', 'must be redact or block')]
}

const INJECTS: readonly string[] = ['bearer', 'basic', 'header', 'query', 'cookie']

function credentialMistakes(credential: CredentialPolicy | undefined): DocumentError[] {
  if (credential === undefined) return []
  const at = '/credential'
  const errors = unknownMembers(at, credential, ['inject', 'name', 'username', 'secret'])
  if (!INJECTS.includes(credential.inject)) {
    errors.push(mistake(`${at}/inject`, 'value', `must be one of ${INJECTS.join(', ')}`))
  }
  if (typeof credential.secret !== 'string' || !SECRET_REFERENCE.test(credential.secret)) {
    errors.push(mistake(`${at}/secret`, 'format', 'must be a reference such as sealed:{name}'))
  }
  return [...errors, ...placeMistakes(credential), ...usernameMistakes(credential)]
}

function placeMistakes({ inject, name }: CredentialPolicy): DocumentError[] {
  const at = '/credential/name'
  const isNamed = inject === 'header' || inject === 'query' || inject === 'cookie'
  if (!isNamed) {
    if (name === undefined) return []
    return [mistake(at, 'unexpected', 'stands only with header, query and cookie')]
  }
  if (name === undefined) return [mistake(at, 'required', `is required with ${inject}`)]
  // RFC 6265 §4.1.1 and RFC 9110 §5.1 share the grammar; a query name is held to it for its readers.
  if (!isHeaderName(name)) return [mistake(at, 'format', 'must be a token (RFC 9110)')]
  if (inject === 'header' && !mayCarryCredential(name)) {
    return [mistake(at, 'unsafe', 'may not carry a credential')]
  }
  return []
}

function usernameMistakes({ inject, username }: CredentialPolicy): DocumentError[] {
  const at = '/credential/username'
  if (inject !== 'basic') {
    return username === undefined ? [] : [mistake(at, 'unexpected', 'stands only with basic')]
  }
  if (username === undefined) return [mistake(at, 'required', 'is required with basic')]
  if (/[:\p{Cc}\p{Surrogate}]/u.test(username) || username.length > 255) {
    return [mistake(at, 'format', 'must have no colon and no control characters (RFC 7617)')]
  }
  return []
}

function maskMistakes(at: string, rule: MaskRule): DocumentError[] {
  const errors = unknownMembers(at, rule, ['json_path', 'pattern', 'with'])
  if ((rule.json_path === undefined) === (rule.pattern === undefined)) {
    return [...errors, mistake(at, 'value', 'must have either json_path or pattern')]
  }
  if (rule.pattern !== undefined) {
    const why = patternMistake(rule.pattern)
    if (why !== null) errors.push(mistake(`${at}/pattern`, 'unsafe', why))
  }
  const path = rule.json_path === undefined ? [] : parseJsonPath(rule.json_path)
  if ('mistake' in path) errors.push(mistake(`${at}/json_path`, 'format', path.mistake))
  return errors
}

function rangeMistakes(path: string, value: JsonValue | undefined, range: Range): DocumentError[] {
  if (value === undefined) return []
  if (typeof value === 'number' && Number.isInteger(value)) {
    if (value >= range.min && value <= range.max) return []
    return [mistake(path, 'range', `must be from ${range.min} to ${range.max}`)]
  }
  return [mistake(path, 'type', 'must be a whole number')]
}

function unknownMembers(
  at: string,
  object: JsonObject | CredentialPolicy | MaskRule,
  known: readonly string[],
): DocumentError[] {
  return Object.keys(object)
    .filter((member) => !known.includes(member))
    .map((member) => {
      const escaped = member.replaceAll('~', '~0').replaceAll('/', '~1')
      return mistake(`${at}/${escaped}`, 'unknown_member', 'is not a member of this object')
    })
}

function mistake(path: string, code: string, message: string): DocumentError {
  return { path, code, message }
}

function names(value: JsonValue | undefined): readonly string[] {
  if (!Array.isArray(value)) return []
  return value.filter((name) => typeof name === 'string').map((name) => name.toLowerCase())
}

function numberOr(value: JsonValue | undefined, range: Range): number {
  return typeof value === 'number' ? value : range.byDefault
}
