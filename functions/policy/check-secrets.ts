// What a policy's references to secrets must satisfy: each leads to a secret, which may go where it is sent.
// Looking one up may be a call to somebody else, so it is done once a check.
import type { DocumentError, PolicyDocument, PolicyKind } from '../core/policy.ts'
import type { Result } from '../core/result.ts'
import type { SecretFault } from '../core/secret-source.ts'
import type { PolicyObject } from '../store/contract.ts'
import type { PolicyTypes } from './check.ts'
import { secretUses } from './secret-uses.ts'

/** `unread`: it goes with what names it, and was not looked up. */
export type SecretOrigins = Result<readonly string[] | 'any' | 'unread', SecretFault>

export async function secretMistakes(
  kind: PolicyKind,
  object: PolicyObject,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  const errors: DocumentError[] = []
  for (const { reference, path, origins } of secretUses(kind, object, types.issuer)) {
    const allowed = await types.secretAllowedOrigins(reference)
    if (!allowed.ok) {
      errors.push({ path, ...secretMistake(allowed.failure) })
      continue
    }
    if (origins.length === 0)
      errors.push({ path, code: 'unsafe', message: 'it cannot be told where this secret would go' })
    const { value } = allowed
    if (value === 'any' || value === 'unread') continue
    for (const origin of origins.filter((candidate) => !value.includes(candidate)))
      errors.push({
        path,
        code: 'origin_not_allowed',
        message: `${reference} may not be sent to ${origin}`,
      })
  }
  return errors
}

/** Followed by the reference, which is all that is told of a secret. */
const SAYS: Readonly<Record<SecretFault['reason'], string>> = {
  not_found: 'there is no secret',
  not_allowed: 'this broker may not read',
  unreadable: 'this broker cannot use',
  malformed: 'is no reference to a secret:',
  unconfigured: 'this broker cannot ask for',
  unavailable: 'could not be read:',
}

function secretMistake({ reason, reference, hint }: SecretFault): Omit<DocumentError, 'path'> {
  const code = reason === 'malformed' ? 'malformed' : 'unknown_secret'
  const message = `${SAYS[reason]} ${reference}`
  return { code, message: hint === undefined ? message : `${message}: ${hint}` }
}

/** Secrets are looked up once, however many objects name them. */
export function withMemory(types: PolicyTypes): PolicyTypes {
  const known = new Map<string, Promise<SecretOrigins>>()
  return {
    ...types,
    secretAllowedOrigins: (reference) => {
      const before = known.get(reference)
      if (before !== undefined) return before
      const asked = types.secretAllowedOrigins(reference)
      known.set(reference, asked)
      return asked
    },
  }
}

/** One after the other, a source that does not answer would hold up a document for minutes. */
const LOOK_UPS_AT_ONCE = 16

export async function lookUpTogether(
  document: PolicyDocument,
  remembering: PolicyTypes,
): Promise<void> {
  const references = new Set(
    (['auth_methods', 'targets', 'intent_policies'] as const).flatMap((kind) =>
      document[kind].flatMap((object) =>
        secretUses(kind, object, remembering.issuer).map(({ reference }) => reference),
      ),
    ),
  )
  const left = references.values()
  const lookUp = async () => {
    for (const reference of left) await remembering.secretAllowedOrigins(reference)
  }
  await Promise.all(Array.from({ length: LOOK_UPS_AT_ONCE }, lookUp))
}
