// From what a caller presented to one identity: candidates by issuer or trust domain, before any I/O,
// and exactly one of them must accept (design/api.md, "Which Auth Method").
import {
  type AttestationFault,
  type Selector,
  selectorKey,
  type UntrustedAttestation,
} from './auth-method.ts'
import type { Identity } from './identity.ts'
import type { Result } from './result.ts'
import { fail, ok } from './result.ts'
import type { PolicySnapshot } from './snapshot.ts'
import { TOKEN_TYPES } from './token.ts'

/** Read from unverified content: it selects rules, and grants nothing. */
export type UntrustedSelector = Selector

export type SelectAttestation = (
  attestation: UntrustedAttestation,
) => Result<UntrustedSelector, AttestationFault>

export type RefusedAttestation = AttestationFault & { readonly method?: string }

/** Verifies an attestation against the snapshot. The reason of a refusal is for the log only. */
export async function verifyAttestation(
  attestation: UntrustedAttestation,
  input: { snapshot: PolicySnapshot; authMethod: string | null; select: SelectAttestation },
): Promise<Result<Identity, RefusedAttestation>> {
  const selected = input.select(attestation)
  if (!selected.ok) return selected
  // An opaque token is shown to the authority of one method, never to all of them in turn.
  if (attestation.tokenType === TOKEN_TYPES.opaque && input.authMethod === null) {
    return fail({ reason: 'ambiguous_method', expected: 'auth_method' })
  }
  const listed = input.snapshot.methodsBySelector.get(selectorKey(selected.value)) ?? []
  const candidates = listed.filter(
    (method) =>
      (input.authMethod === null || method.name === input.authMethod) &&
      method.tokenTypes.includes(attestation.tokenType),
  )
  if (candidates.length === 0) return fail({ reason: 'unknown_issuer' })
  const accepted: Identity[] = []
  let refusal: RefusedAttestation = { reason: 'unknown_issuer' }
  for (const method of candidates) {
    const verified = await method.verify(attestation)
    if (verified.ok) accepted.push(verified.value)
    // A verifier that could not be asked outranks refusals: it might have accepted.
    else if (refusal.reason !== 'verifier_unavailable') {
      refusal = { ...verified.failure, method: method.name }
    }
  }
  const [identity] = accepted
  if (identity === undefined) return fail(refusal)
  if (accepted.length > 1) return fail({ reason: 'ambiguous_method' })
  return ok(identity)
}
