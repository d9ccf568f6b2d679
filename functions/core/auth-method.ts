// Contract of the auth-methods/ family: a rule that turns an attestation of one kind into an identity,
// or refuses it. One file and one line in auth-methods/index.ts per member.
import type { AttestationReason } from './failure.ts'
import type { Identity, JsonObject } from './identity.ts'
import type { AuthMethodPolicy, DocumentError } from './policy.ts'
import type { Result } from './result.ts'

/** What a caller presented. Nothing in it is trusted. */
export type UntrustedAttestation = {
  readonly tokenType: string
  readonly token: string
}

export type AttestationFault = {
  readonly reason: AttestationReason
  readonly claim?: string
  readonly expected?: string
  readonly got?: string
}

/** An Auth Method whose configuration was compiled; holds no per-request state. */
export interface CompiledAuthMethod {
  readonly name: string
  readonly type: string
  /** Where a token of this method can be recognised before any I/O (design/api.md, "Which Auth Method"). */
  readonly selector:
    | { readonly by: 'issuer'; readonly issuer: string }
    | { readonly by: 'trust_domain'; readonly trustDomain: string }
  /** Token types of its family member. */
  readonly tokenTypes: readonly string[]
  /** Whether these verified claims of an open session would still be accepted (policy changed meanwhile). */
  accepts(claims: JsonObject): boolean
  /** Verifies the attestation. Never throws for what a caller can cause. */
  verify(attestation: UntrustedAttestation): Promise<Result<Identity, AttestationFault>>
}

export interface AuthMethodType {
  readonly type: string
  /** `urn:ietf:params:oauth:token-type:…` values it accepts. */
  readonly tokenTypes: readonly string[]
  /** Every mistake and every unsafe setting of `config`, all at once; paths are relative to the method. */
  validate(method: AuthMethodPolicy): readonly DocumentError[]
  /** Compiles a method that validates; a method that does not is a bug of the caller. */
  compile(method: AuthMethodPolicy): CompiledAuthMethod
}
