// Who a session is, in the character sets of AWS (SC-05, SC-06): deterministic, and two different values
// never become the same one. What fits is itself; what does not keeps its end, which tells most, and a
// hash of all of it.
import { createHash } from 'node:crypto'
import type { MintFacts } from '../core/minting.ts'

export type AwsTag = { readonly key: string; readonly value: string }

export type AwsNames = {
  /** In the ARN of whatever the credential does: the session. */
  readonly roleSessionName: string
  /** Who acts, through every role that is assumed from here. */
  readonly sourceIdentity: string
  readonly tags: readonly AwsTag[]
  readonly transitiveTagKeys: readonly string[]
}

export function awsNames(facts: MintFacts): AwsNames {
  return {
    roleSessionName: encoded(facts.sessionId, NAME),
    // A method's name holds no `=`, so the first one ends it.
    sourceIdentity: encoded(`${facts.authMethod}=${facts.subject}`, NAME),
    tags: tagsOf(facts),
    transitiveTagKeys: [],
  }
}

/** The tag that a deny of one session matches (`aws:PrincipalTag/…`). */
export const SESSION_TAG = 'sallyport_session'

type Form = { readonly allowed: RegExp; readonly minLength: number; readonly maxLength: number }

/** RoleSessionName by web identity and SourceIdentity: the characters that both have. */
const NAME: Form = { allowed: /^[A-Za-z0-9_=,.@-]*$/, minLength: 2, maxLength: 64 }
/** ASCII of what AWS allows: the same letter in two encodings stays two values. */
const TAG_VALUE: Form = { allowed: /^[A-Za-z0-9 _.:/=+@-]*$/, minLength: 1, maxLength: 256 }

/** What ends so is taken for a hash, so nothing that is not one may end so. */
const HASHED = /=[0-9a-f]{40}$/
/** Reserved by AWS, whatever its case. */
const RESERVED = /^aws:/i

function encoded(value: string, { allowed, minLength, maxLength }: Form): string {
  const isItself =
    allowed.test(value) &&
    value.length >= minLength &&
    value.length <= maxLength &&
    !HASHED.test(value) &&
    !RESERVED.test(value) &&
    // AWS trims tags; two values that differ by a space would be one.
    value.trim() === value
  if (isItself) return value
  const hash = `=${createHash('sha256').update(encodeText(value)).digest('hex').slice(0, 40)}`
  const readable = [...value].map((character) => (allowed.test(character) ? character : '-'))
  const kept = readable.join('').slice(-(maxLength - hash.length))
  return kept.trim().replace(RESERVED, 'aws-') + hash
}

/** Lone surrogates stay apart, which UTF-8 would make one replacement character. */
function encodeText(value: string): Buffer {
  return Buffer.from(value, 'utf16le')
}

function tagsOf(facts: MintFacts): readonly AwsTag[] {
  const { intent, onBehalfOf, lineage, attestedOrigin } = facts
  const { agent, origin } = intent ?? {}
  const values: Readonly<Record<string, string | undefined>> = {
    [SESSION_TAG]: facts.sessionId,
    sallyport_root: lineage?.ancestors[0],
    sallyport_method: facts.authMethod,
    sallyport_subject: facts.subject,
    sallyport_user: onBehalfOf?.identity,
    sallyport_origin: attestedOrigin === null ? undefined : originText(attestedOrigin),
    // Declared, and told apart by name from what is proven.
    sallyport_declared_agent: joined([agent?.name, agent?.version, agent?.instance]),
    sallyport_declared_origin: joined([origin?.kind, origin?.id]),
  }
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined || value === '' ? [] : [{ key, value: encoded(value, TAG_VALUE) }],
  )
}

function originText(origin: NonNullable<MintFacts['attestedOrigin']>): string | undefined {
  const { kind, id } = origin
  return joined([typeof kind === 'string' ? kind : undefined, textOf(id)])
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Parts with their places kept: `a/b` and `c` is not `a` and `b/c`. */
function joined(parts: readonly (string | undefined)[]): string | undefined {
  if (parts.every((part) => part === undefined)) return undefined
  const escaped = parts.map(
    (part) => part?.replace(/[+/]/g, (c) => (c === '+' ? '+p' : '+s')) ?? '',
  )
  return escaped.join('/').replace(/\/+$/, '')
}
