// Contract of the secrets/ family: where a target's credential comes from.
import type { Secret } from './credential.ts'
import type { Result } from './result.ts'

export type SecretFault = {
  readonly reason: 'not_found' | 'not_allowed' | 'unreadable'
  readonly reference: string
}

export interface SecretSource {
  /** The part of a reference before the colon, e.g. `sealed`. */
  readonly scheme: string
  /** Reads one secret. Throws StoreUnavailable when its store does not answer. */
  read(name: string): Promise<Result<Secret, SecretFault>>
  /** Past any cache, where there is one: policy checks must see what was just written. */
  readStored?(name: string): Promise<Result<Secret, SecretFault>>
}

/** Resolves `scheme:name` over the configured sources. */
export interface Secrets {
  resolve(reference: string): Promise<Result<Secret, SecretFault>>
}
