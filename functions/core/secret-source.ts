// Contract of the secrets/ family: where a target's credential comes from.
import type { Secret } from './credential.ts'
import type { Result } from './result.ts'

export type SecretFault = {
  readonly reason:
    | 'not_found'
    /** The broker itself may not read it. */
    | 'not_allowed'
    /** It is there, and is nothing that can be sent. */
    | 'unreadable'
    /** No reference that its source knows. */
    | 'malformed'
    /** The deployment has no way to its source. */
    | 'unconfigured'
    /** Its source did not answer; no other one is asked. */
    | 'unavailable'
  readonly reference: string
  /** For whoever wrote the reference: what to mend. Never anything of a value. */
  readonly hint?: string
}

/** What any reference looks like; its source says more. */
export const SECRET_REFERENCE = /^[a-z][a-z0-9-]{0,31}:[\x21-\x7e]{1,512}$/

/**
 * Whether a secret brings the origins that it may be sent to. Any other goes where the object goes that
 * names it, so only an admin writes such an object (policy/admin-target.ts).
 */
export function bringsItsOrigins(reference: string): boolean {
  return reference.startsWith('sealed:')
}

/**
 * Names of secrets that the broker makes for itself: no reference reads one, and nobody writes, sees or
 * deletes one.
 */
export function isReservedSecret(name: string): boolean {
  return name.startsWith('sallyport-')
}

export interface SecretSource {
  /** The part of a reference before the colon, e.g. `sealed`. */
  readonly scheme: string
  /** Reads one secret. Throws StoreUnavailable when its store does not answer. */
  read(name: string): Promise<Result<Secret, SecretFault>>
  /** Past any cache, where there is one: policy checks must see what was just written. */
  readStored?(name: string): Promise<Result<Secret, SecretFault>>
  /**
   * Of a source outside of the broker: what can be told of a name without asking it. Only an admin has it
   * asked when a policy is checked; anybody else could find out what it holds.
   */
  inspect?(name: string): Promise<SecretFault | null>
  /** The secret was refused where it was sent: it may have been replaced. Costs its source next to nothing. */
  doubt?(name: string): void
}

/** Resolves `scheme:name` over the configured sources. */
export interface Secrets {
  resolve(reference: string): Promise<Result<Secret, SecretFault>>
  /** See SecretSource.doubt. */
  doubt?(reference: string): void
}
