// The credential with which a method asks an authority: a reference in the config, resolved at each use,
// revealed for the one origin that is asked and never for another.
import { SECRET_REFERENCE } from '../core/secret-source.ts'
import type { AuthMethodDeps } from './jwt.ts'
import type { Mistake } from '../policy/config-reader.ts'

/** What a header line carries; a runtime would put anything else into its own error text (F6). */
const SENDABLE = /^[\x21-\x7e]{1,8192}$/

export function secretReferenceMistake(reference: string): Mistake | null {
  if (SECRET_REFERENCE.test(reference)) return null
  return { code: 'format', message: 'must be a secret reference, e.g. sealed:name' }
}

/** Null when there is no such secret, or it may not be sent there. */
export async function secretValueFor(
  reference: string,
  origin: string,
  { secrets }: Pick<AuthMethodDeps, 'secrets'>,
): Promise<string | null> {
  const secret = await secrets(reference)
  const value = secret.ok ? secret.value.revealFor(origin) : null
  return value !== null && SENDABLE.test(value) ? value : null
}
