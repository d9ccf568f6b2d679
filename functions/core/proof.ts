// Proof of possession: what came with a request to prove a key (a DPoP header, RFC 9449; the client
// certificate of the connection, RFC 8705), and whether it proves the key that a token is bound to. A
// bound token must never pass without its proof.
import type { UntrustedCertificate } from './auth-method.ts'
import type { Failure, ProofReason } from './failure.ts'
import type { JsonObject } from './identity.ts'
import type { Clock, Seconds } from './ports.ts'
import { fail, ok, type Result } from './result.ts'

/** `cnf` of a handle (RFC 7800): at least one member, and every one of them has to be proven. */
export type Confirmation = { readonly jkt?: string; readonly 'x5t#S256'?: string }

/** What `require_proof` can ask for. */
export const PROOF_KINDS = ['dpop', 'mtls'] as const
export type ProofKind = (typeof PROOF_KINDS)[number]

/** What came with a request. Nothing in it is trusted. */
export type UntrustedProof = {
  /** The one `DPoP` header; null where there was none. */
  readonly dpop: string | null
  /** Of the connection, whatever it is used for. */
  readonly certificate: UntrustedCertificate | null
  readonly method: string
  /** SALLYPORT_ISSUER and the raw path: never made from `Host`. */
  readonly url: string
}

/** Consumed by the same write as the decision or the action that it stands behind. */
export type SingleUse = {
  readonly key: string
  readonly expiresAt: Seconds
  /** Of a proof; else of an attestation. */
  readonly isProof?: true
}

/** The keys that a request has proven. A proof counts once: whoever acts on it consumes `singleUse`. */
export type Proven = {
  /** RFC 7638 thumbprint of the key that signed the DPoP proof. */
  readonly jkt: string | null
  /** SHA-256 of the client certificate, when the platform saw its key proven. */
  readonly 'x5t#S256': string | null
  readonly singleUse: readonly SingleUse[]
}

export const NOTHING_PROVEN: Proven = { jkt: null, 'x5t#S256': null, singleUse: [] }

/** Where a proof is shown, and the token beside it: `ath` is its hash, which only a resource demands. */
export type ProofPlace = {
  readonly at: 'token_endpoint' | 'resource'
  readonly token: string
}

export interface ProofVerifier {
  /** RFC 9449 §4.3 in full, but for the replay. */
  verify(
    proof: UntrustedProof & { readonly dpop: string },
    beside: ProofPlace,
    now: Seconds,
  ): Promise<Result<{ readonly jkt: string; readonly singleUse: SingleUse }, ProofReason>>
  /** `x5t#S256` of the leaf (RFC 8705 §3.1). */
  thumbprint(certificate: UntrustedCertificate): string | null
}

export type ProofDeps = { readonly proofs: ProofVerifier; readonly clock: Clock }

/** Checks whatever proof came along; that none came is no failure here. */
export async function proveRequest(
  proof: UntrustedProof,
  beside: ProofPlace,
  { proofs, clock }: ProofDeps,
): Promise<Result<Proven, Failure>> {
  const { dpop, certificate } = proof
  if (dpop === null && certificate === null) return ok(NOTHING_PROVEN)
  // A certificate is public: whoever has seen it can show it.
  const x5t = certificate?.provenByPlatform === true ? proofs.thumbprint(certificate) : null
  if (dpop === null) return ok({ ...NOTHING_PROVEN, 'x5t#S256': x5t })
  const verified = await proofs.verify({ ...proof, dpop }, beside, clock.nowSeconds())
  if (!verified.ok) {
    return fail({ kind: 'invalid_proof', reason: verified.failure, at: beside.at })
  }
  const { jkt, singleUse } = verified.value
  return ok({ jkt, 'x5t#S256': x5t, singleUse: [singleUse] })
}

export type Unproven = 'proof_required' | 'wrong_key' | 'wrong_certificate'

/** Whether the request proved every key that the token is bound to; an unbound one asks for nothing. */
export function verifyProofFor(
  confirmation: Confirmation | null,
  proven: Proven,
): Result<null, Unproven> {
  const { jkt, 'x5t#S256': x5t } = confirmation ?? {}
  if (jkt !== undefined && proven.jkt === null) return fail('proof_required')
  if (jkt !== undefined && proven.jkt !== jkt) return fail('wrong_key')
  if (x5t !== undefined && proven['x5t#S256'] !== x5t) return fail('wrong_certificate')
  return ok(null)
}

/** The same for verified claims of somebody else's token, which may be bound in ways unknown here. */
export function verifyProofOfClaims(
  claims: JsonObject,
  proven: Proven,
): Result<null, Unproven | 'unknown'> {
  const confirmation = readConfirmation(claims)
  return confirmation === 'unknown' ? fail(confirmation) : verifyProofFor(confirmation, proven)
}

/**
 * What a new handle is bound to: the key of a DPoP proof whenever one came, the certificate where the
 * bindings ask for it. Fails where something they ask for is missing.
 */
export function bindHandle(
  asked: readonly ProofKind[],
  proven: Proven,
): Result<Confirmation | null, Failure> {
  const { jkt, 'x5t#S256': x5t } = proven
  if (asked.includes('dpop') && jkt === null) {
    return fail({ kind: 'invalid_proof', reason: 'missing', at: 'token_endpoint' })
  }
  const bindsCertificate = asked.includes('mtls')
  if (bindsCertificate && x5t === null) {
    return fail({ kind: 'malformed_request', reason: 'client_certificate_required' })
  }
  if (jkt === null && !bindsCertificate) return ok(null)
  return ok({
    ...(jkt === null ? {} : { jkt }),
    ...(bindsCertificate && x5t !== null ? { 'x5t#S256': x5t } : {}),
  })
}

/** Whether a handle that is bound like this satisfies what bindings ask for now. */
export function isBoundAs(asked: readonly ProofKind[], confirmation: Confirmation | null): boolean {
  return asked.every((kind) => confirmation?.[kind === 'dpop' ? 'jkt' : 'x5t#S256'] !== undefined)
}

/**
 * The `cnf` of verified claims. `unknown`: bound to something that this broker cannot check, so that it
 * must not be taken for unbound.
 */
export function readConfirmation({ cnf }: JsonObject): Confirmation | 'unknown' | null {
  if (cnf === undefined) return null
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return 'unknown'
  // An object that is no array and not null is a JsonObject.
  const { jkt, 'x5t#S256': x5t, ...others } = cnf as JsonObject
  const isText = (value: unknown) => value === undefined || typeof value === 'string'
  if (!isText(jkt) || !isText(x5t) || Object.keys(others).length > 0) return 'unknown'
  if (jkt === undefined && x5t === undefined) return 'unknown'
  return {
    ...(typeof jkt === 'string' ? { jkt } : {}),
    ...(typeof x5t === 'string' ? { 'x5t#S256': x5t } : {}),
  }
}
