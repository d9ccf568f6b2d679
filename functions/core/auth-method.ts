// Contract of the auth-methods/ family: a rule that turns an attestation of one kind into an identity,
// or refuses it. One file and one line in auth-methods/index.ts per member.
import type { AttestationReason } from './failure.ts'
import type { Identity, JsonObject, JsonValue } from './identity.ts'
import type { AuthMethodPolicy, DocumentError } from './policy.ts'
import type { Result } from './result.ts'
import type { Transmitter } from './security-event.ts'

/**
 * The client certificate of the connection, as the platform saw it: never from a header that anyone can
 * set (CA-09). It proves nothing yet; a method builds the path to its own roots.
 */
export type UntrustedCertificate = {
  /** DER, leaf first, as far as the platform hands the chain on. */
  readonly chain: readonly Uint8Array[]
  /** Whether the platform says that the client holds the leaf's key and its own checks passed. */
  readonly provenByPlatform: boolean
}

/** What a caller presented. Nothing in it is trusted. */
export type UntrustedAttestation = {
  readonly tokenType: string
  /** For `urn:sallyport:token-type:mtls` the literal `tls`. */
  readonly token: string
  /** The certificate of the connection, whatever the token type; null where there is none. */
  readonly certificate?: UntrustedCertificate | null
}

/** Where an attestation is looked up, before any I/O (design/api.md, "Which Auth Method"). */
export type Selector =
  | { readonly by: 'issuer'; readonly issuer: string }
  | { readonly by: 'trust_domain'; readonly trustDomain: string }
  /** Methods whose attestations name nothing that could select one: SigV4, certificates, opaque tokens. */
  | { readonly by: 'token_type'; readonly tokenType: string }

/** Equal for equal selectors. */
export function selectorKey(selector: Selector): string {
  switch (selector.by) {
    case 'issuer':
      return `issuer ${selector.issuer}`
    case 'trust_domain':
      return `trust_domain ${selector.trustDomain}`
    case 'token_type':
      return `token_type ${selector.tokenType}`
  }
}

export type AttestationFault = {
  readonly reason: AttestationReason
  readonly claim?: string
  readonly expected?: string
  readonly got?: string
  /** The authority of the method was asked before. */
  readonly asked?: true
}

/** One rule, judged by itself: for people who ask why (`sallyport explain`), never for the wire. */
export type AttestationCheck = {
  readonly check: string
  readonly fault: AttestationFault | null
  readonly expected?: JsonValue
  /** What the attestation says; never the attestation itself or its signature. */
  readonly got?: JsonValue
}

export type Explanation = {
  readonly checks: readonly AttestationCheck[]
  /** As bindings would see them; null where they cannot be told without asking. */
  readonly claims: JsonObject | null
}

/** An Auth Method whose configuration was compiled; holds no per-request state. */
export interface CompiledAuthMethod {
  readonly name: string
  readonly type: string
  readonly selector: Selector
  /** Token types of its family member. */
  readonly tokenTypes: readonly string[]
  /** Shows each attestation to an authority (STS, TokenReview, introspection): refusals are rationed. */
  readonly asks?: boolean
  /** Whose security events it believes about its own identities; absent: nobody's. */
  readonly transmitter?: Transmitter
  /** Whether these verified claims of an open session would still be accepted (policy changed meanwhile). */
  accepts(claims: JsonObject): boolean
  /** All that can be told without I/O: the rules of verify(), every one of them; absent: nothing. */
  explain?(attestation: UntrustedAttestation): Explanation
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
