// From what a caller presented to one identity: candidates by issuer or trust domain, before any I/O,
// and exactly one of them must accept (design/api.md, "Which Auth Method").
import {
  type AttestationFault,
  type CompiledAuthMethod,
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

type SelectionInput = {
  readonly snapshot: PolicySnapshot
  readonly authMethod: string | null
  readonly select: SelectAttestation
}

/** Verifies an attestation against the snapshot. The reason of a refusal is for the log only. */
export async function verifyAttestation(
  attestation: UntrustedAttestation,
  input: SelectionInput,
): Promise<Result<Identity, RefusedAttestation>> {
  const candidates = candidatesFor(attestation, input)
  return candidates.ok ? (await verifyBy(candidates.value, attestation)).verified : candidates
}

/** The methods that may look at it, one at least; found without any I/O. */
export function candidatesFor(
  attestation: UntrustedAttestation,
  input: SelectionInput,
): Result<readonly CompiledAuthMethod[], RefusedAttestation> {
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
  return candidates.length === 0 ? fail({ reason: 'unknown_issuer' }) : ok(candidates)
}

export type Verification = {
  readonly verified: Result<Identity, RefusedAttestation>
  readonly refusedAfterAsking: readonly string[]
}

/** Exactly one of the candidates must accept. */
export async function verifyBy(
  candidates: readonly CompiledAuthMethod[],
  attestation: UntrustedAttestation,
): Promise<Verification> {
  const accepted: Identity[] = []
  const refusedAfterAsking: string[] = []
  let refusal: RefusedAttestation = { reason: 'unknown_issuer' }
  for (const method of candidates) {
    const verified = await method.verify(attestation)
    if (verified.ok) {
      accepted.push(verified.value)
      continue
    }
    if (verified.failure.asked === true) refusedAfterAsking.push(method.name)
    // A verifier that could not be asked outranks refusals: it might have accepted.
    if (refusal.reason !== 'verifier_unavailable') {
      refusal = { ...verified.failure, method: method.name }
    }
  }
  const [identity] = accepted
  if (identity === undefined) return { verified: fail(refusal), refusedAfterAsking }
  if (accepted.length > 1)
    return { verified: fail({ reason: 'ambiguous_method' }), refusedAfterAsking }
  return { verified: ok(identity), refusedAfterAsking }
}
