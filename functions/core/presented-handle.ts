// A handle as a caller presents it at a resource: gateway, administration, introspection. The one place
// that says whether it may be used by whoever sent it; session and grants come after.
import type { Failure } from './failure.ts'
import type { HandleVerifier } from './ports.ts'
import {
  type ProofDeps,
  proveRequest,
  type SingleUse,
  type UntrustedProof,
  verifyProofFor,
} from './proof.ts'
import { fail, ok, type Result } from './result.ts'
import type { HandleClaims } from './token.ts'

export type PresentedHandle = {
  readonly token: string
  readonly scheme: 'Bearer' | 'DPoP'
  readonly proof: UntrustedProof
}

export type VerifiedHandle = {
  readonly claims: HandleClaims
  /** Consumed by what the handle is used for; empty for one that is not bound to a key. */
  readonly singleUse: readonly SingleUse[]
}

export type PresentedDeps = ProofDeps & {
  readonly handles: HandleVerifier
  readonly issuer: string
}

/** The caller checks audience and session. */
export async function verifyPresented(
  presented: PresentedHandle,
  deps: PresentedDeps,
): Promise<Result<VerifiedHandle, Failure>> {
  const { token, scheme } = presented
  const verified = await deps.handles.verify(token, deps.clock.nowSeconds())
  if (!verified.ok) return fail({ kind: 'invalid_handle', reason: verified.failure })
  const claims = verified.value
  if (claims.iss !== deps.issuer) return fail({ kind: 'invalid_handle', reason: 'wrong_audience' })
  if (claims.cnf === undefined && scheme === 'Bearer') return ok({ claims, singleUse: [] })
  const singleUse = await provePossession(presented, claims, deps)
  return singleUse.ok ? ok({ claims, singleUse: singleUse.value }) : singleUse
}

async function provePossession(
  { token, scheme, proof }: PresentedHandle,
  { cnf = {} }: HandleClaims,
  deps: ProofDeps,
): Promise<Result<readonly SingleUse[], Failure>> {
  const isBoundToKey = cnf.jkt !== undefined
  // RFC 9449 §7.1 and §7.2: neither a proof for a token without a key, nor a bound token without a proof.
  if (scheme === 'DPoP' && !isBoundToKey)
    return fail({ kind: 'invalid_handle', reason: 'not_bound' })
  if (scheme === 'Bearer' && isBoundToKey) {
    return fail({ kind: 'invalid_handle', reason: 'proof_required' })
  }
  if (isBoundToKey && proof.dpop === null) {
    return fail({ kind: 'invalid_proof', reason: 'missing', at: 'resource' })
  }
  const relevant = isBoundToKey ? proof : { ...proof, dpop: null }
  const proven = await proveRequest(relevant, { at: 'resource', token }, deps)
  if (!proven.ok) return proven
  const fits = verifyProofFor(cnf, proven.value)
  if (!fits.ok) return fail({ kind: 'invalid_handle', reason: fits.failure })
  return ok(proven.value.singleUse)
}
