// What `aws-secrets-manager:` and `aws-ssm:` have in common: grammar, cache, a member of a JSON value, and
// what each refusal of AWS means to whoever wrote the reference. A secret has no origins of its own.
import { Secret } from '../core/credential.ts'
import type { JsonValue } from '../core/identity.ts'
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import type { Clock } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { SecretFault, SecretSource } from '../core/secret-source.ts'
import type { AwsSecretFault, ReadAwsSecret } from '../aws/secrets-contract.ts'
import { createAwsCache, type Held } from './aws-cache.ts'
import type { AwsReference } from './aws-reference.ts'

export type AwsSourceDeps = {
  /** Asked for at the first read. */
  readonly reader: () => Promise<ReadAwsSecret>
  /** Of references that are no ARN; null where the environment names none. */
  readonly region: string | null
  readonly clock: Clock
  readonly log: (
    level: 'warn',
    message: string,
    facts: Readonly<Record<string, string | null>>,
  ) => void
}

type Grammar = {
  readonly scheme: string
  readonly read: (text: string, region: string | null) => Result<AwsReference, string>
}

export function createAwsSource(grammar: Grammar, deps: AwsSourceDeps): SecretSource {
  const { scheme } = grammar
  const cache = createAwsCache({
    clock: deps.clock,
    read: async (question) => (await deps.reader())(question),
  })

  function parse(name: string): Result<AwsReference, SecretFault> {
    const read = grammar.read(name, deps.region)
    if (read.ok) return read
    return fail({ reason: 'malformed', reference: `${scheme}:${name}`, hint: read.failure })
  }

  async function readBy(
    ask: typeof cache.read,
    name: string,
  ): Promise<Result<Secret, SecretFault>> {
    const parsed = parse(name)
    if (!parsed.ok) return parsed
    const { question, path } = parsed.value
    const reference = `${scheme}:${name}`
    const held = await ask(question)
    if (held.ok) return secretOf(held.value, path, reference)
    const fault = faultOf(held.failure, reference)
    const { kind, code } = held.failure
    deps.log('warn', 'a secret was not read', { reference, reason: fault.reason, kind, code })
    return fail(fault)
  }

  return {
    scheme,
    read: (name) => readBy(cache.read, name),
    async readStored(name) {
      const known = await readBy(cache.read, name)
      // A member, a stage or a permission may have been added since.
      const isFinal = known.ok || FINAL.includes(known.failure.reason)
      return isFinal ? known : readBy(cache.readNow, name)
    },
    inspect(name) {
      const parsed = parse(name)
      return Promise.resolve(parsed.ok ? null : parsed.failure)
    },
    doubt(name) {
      const parsed = parse(name)
      if (parsed.ok) cache.doubt(parsed.value.question)
    },
  }
}

/** What asking once more would not change. */
const FINAL: readonly SecretFault['reason'][] = ['malformed', 'unavailable']

/** Many members of one secret are no reason to hold them all. */
const MAX_MADE = 64

function secretOf(
  { text, made }: Held,
  path: AwsReference['path'],
  reference: string,
): Result<Secret, SecretFault> {
  const key = JSON.stringify(path)
  const known = made.get(key)
  if (known !== undefined) return ok(known)
  const value = path === null ? ok(text) : memberOf(text, path, reference)
  if (!value.ok) return value
  const mistake = valueMistake(value.value)
  if (mistake !== null) return fail({ reason: 'unreadable', reference, hint: mistake })
  if (made.size >= MAX_MADE) made.clear()
  const secret = new Secret(value.value, null)
  made.set(key, secret)
  return ok(secret)
}

function memberOf(
  text: string,
  path: readonly string[],
  reference: string,
): Result<string, SecretFault> {
  const parsed = parseStrictJson(text)
  if (!parsed.ok) return fail({ reason: 'unreadable', reference, hint: 'it is not JSON' })
  let here: JsonValue | undefined = parsed.value
  for (const member of path) here = here === undefined ? undefined : stepInto(here, member)
  if (here === undefined) {
    return fail({ reason: 'not_found', reference, hint: 'it has no such member' })
  }
  if (typeof here === 'string') return ok(here)
  return fail({ reason: 'unreadable', reference, hint: 'the member is not a string' })
}

function stepInto(here: JsonValue, member: string): JsonValue | undefined {
  if (isJsonObject(here)) return Object.hasOwn(here, member) ? here[member] : undefined
  if (!Array.isArray(here) || !/^(?:0|[1-9]\d{0,8})$/.test(member)) return undefined
  // Array.isArray does not narrow a readonly array; `here` is a JsonValue all the same.
  return (here as readonly JsonValue[])[Number(member)]
}

function valueMistake(value: string): string | null {
  if (value === '') return 'it is empty'
  if (/\p{Cc}/u.test(value)) return 'it has control characters, perhaps a line break at its end'
  return /\p{Surrogate}/u.test(value) ? 'it is not text' : null
}

type Meaning = Pick<SecretFault, 'reason'> & { readonly hint?: string }

const UNUSABLE: Readonly<Record<string, string>> = {
  binary: 'it is binary',
  not_secure_string: 'it is not a SecureString',
  too_large: 'it is longer than 64 KiB',
}

/** By AWS's own code, where the kind alone says too little. */
const REFUSALS: Readonly<Record<string, Meaning>> = {
  // Marked for deletion, or without a version of that stage.
  InvalidRequestException: { reason: 'not_found' },
  InvalidParameterException: { reason: 'malformed', hint: 'AWS does not take this name' },
  ValidationException: { reason: 'malformed', hint: 'AWS does not take this name' },
  DecryptionFailure: { reason: 'not_allowed', hint: 'its key may not be used' },
  InvalidKeyId: { reason: 'not_allowed', hint: 'its key may not be used' },
  AccessDeniedException: { reason: 'not_allowed' },
}

const KINDS: Readonly<Partial<Record<AwsSecretFault['kind'], Meaning>>> = {
  not_found: { reason: 'not_found' },
  throttled: { reason: 'unavailable' },
  unavailable: { reason: 'unavailable' },
  foreign: { reason: 'unavailable' },
  endpoint: { reason: 'unconfigured', hint: 'the endpoint of AWS cannot be used' },
}

function faultOf({ kind, code }: AwsSecretFault, reference: string): SecretFault {
  if (kind === 'unusable') return { reason: 'unreadable', reference, ...hinted(UNUSABLE[code]) }
  const refusal = kind === 'refused' && Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined
  const known = refusal ?? KINDS[kind]
  if (known !== undefined) return { reason: known.reason, reference, ...hinted(known.hint) }
  // What is left is about the keys of the broker, not about one secret.
  const hint = `the broker has no AWS credentials that AWS takes (${code})`
  return { reason: 'unconfigured', reference, hint }
}

function hinted(hint: string | undefined): { readonly hint?: string } {
  return hint === undefined ? {} : { hint }
}
