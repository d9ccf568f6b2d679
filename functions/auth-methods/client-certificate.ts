// What both certificate methods share: from the certificate that the platform vouches for to verified
// claims. The identity is read from the leaf that was verified and from nothing else (MTLS-3), on every
// request anew: a resumed connection proves no more than a new one (MTLS-2).
import type { AttestationFault, Selector, UntrustedAttestation } from '../core/auth-method.ts'
import type { Identity, JsonObject } from '../core/identity.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { claimsToBeSpiffeId, parseSpiffeId } from '../core/spiffe-id.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { type Certificate, fingerprint } from '../crypto/x509/certificate.ts'
import { distinguishedName } from '../crypto/x509/names.ts'
import { type ChainFault, readChain } from '../crypto/x509/verify-chain.ts'

export const CERTIFICATE_TOKEN_TYPES: readonly string[] = [TOKEN_TYPES.mtls]

/** The `subject_token` that stands for the certificate of the connection. */
const TLS = 'tls'

export type PresentedChain = readonly [Certificate, ...Certificate[]]

type Presented = Result<PresentedChain, AttestationFault>

// Keyed by the attestation object, which one request holds and then drops.
const presentations = new WeakMap<UntrustedAttestation, Presented>()

/** The parsed chain of a client that holds the leaf's key, as far as the platform says so. */
export function presentedChain(attestation: UntrustedAttestation): Presented {
  const known = presentations.get(attestation)
  if (known !== undefined) return known
  const presented = readPresented(attestation)
  presentations.set(attestation, presented)
  return presented
}

function readPresented({ tokenType, token, certificate }: UntrustedAttestation): Presented {
  if (!CERTIFICATE_TOKEN_TYPES.includes(tokenType)) return fail({ reason: 'unsupported_type' })
  if (token !== TLS) return fail({ reason: 'malformed', claim: 'subject_token', expected: TLS })
  if (certificate === undefined || certificate === null) {
    return fail({ reason: 'certificate_missing' })
  }
  // A certificate is public: whoever has seen it can show it.
  if (!certificate.provenByPlatform) return fail({ reason: 'certificate_unproven' })
  const chain = readChain(certificate.chain)
  return chain.ok ? chain : fail(certificateFault(chain.failure))
}

export function certificateFault(fault: ChainFault): AttestationFault {
  if (fault === 'no_certificate') return { reason: 'certificate_missing' }
  if (fault === 'expired' || fault === 'not_yet_valid') return { reason: fault }
  return { reason: 'certificate_refused', got: fault }
}

/**
 * A leaf with a SPIFFE ID belongs to the methods of that trust domain and to no other (SPIFFE-2), and
 * with anything beside the ID it belongs to none (SP-09).
 */
export function selectByCertificate(
  attestation: UntrustedAttestation,
): Result<Selector, AttestationFault> {
  const chain = presentedChain(attestation)
  if (!chain.ok) return chain
  const [{ names }] = chain.value
  if (!names.uri.some(claimsToBeSpiffeId)) {
    return ok({ by: 'token_type', tokenType: attestation.tokenType })
  }
  const [only = '', ...others] = names.uri
  const id = parseSpiffeId(only)
  if (others.length > 0) return fail({ reason: 'invalid_spiffe_id', got: 'several_uris' })
  if (!id.ok) return fail({ reason: 'invalid_spiffe_id', got: id.failure })
  return ok({ by: 'trust_domain', trustDomain: id.value.trustDomain })
}

/** What a verified path says; `sub` is for the method to choose among it. */
export function certificateClaims(
  leaf: Certificate,
  root: Certificate | null,
  sub: string,
): JsonObject {
  return {
    sub,
    // What parsed as a Name prints as one; anything else matches no configured subject.
    subject: distinguishedName(leaf.subject) ?? '',
    issuer: distinguishedName(leaf.issuer) ?? '',
    serial: leaf.serial,
    fingerprint: fingerprint(leaf),
    sans: { ...leaf.names },
    root: root === null ? null : fingerprint(root),
    exp: leaf.notAfter,
  }
}

/** `claims` are those of certificateClaims(), `sub` in place. */
export function certificateIdentity(
  method: AuthMethodPolicy,
  claims: JsonObject,
  facts: { readonly expiresAt: number; readonly evidence: JsonObject },
): Identity {
  return {
    method: method.name,
    methodType: method.type,
    kind: method.subject,
    subject: String(claims['sub']),
    claims,
    act: null,
    expiresAt: facts.expiresAt,
    // The certificate is what was presented; the token is only a word for it.
    attestationHash: String(claims['fingerprint']),
    evidence: facts.evidence,
  }
}
