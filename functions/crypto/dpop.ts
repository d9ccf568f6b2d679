// DPoP proofs, RFC 9449: the twelve checks of §4.3 in one place. The key comes with the proof and is
// trusted for nothing but being the one that a handle is bound to; a replay is the caller's to refuse, by
// consuming `singleUse` with what the proof is used for.
import { createHash } from 'node:crypto'
import type { UntrustedCertificate } from '../core/auth-method.ts'
import type { ProofReason } from '../core/failure.ts'
import { normaliseHttpUri } from '../core/http-uri.ts'
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { CLOCK_SKEW_SECONDS, type Seconds } from '../core/ports.ts'
import type { ProofPlace, ProofVerifier, SingleUse, UntrustedProof } from '../core/proof.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { encodeBase64url } from './base64url.ts'
import {
  ASYMMETRIC_ALGORITHMS,
  importVerificationKey,
  parseCompactJws,
  refusedHeaderMember,
  type UntrustedJws,
} from './jws.ts'
import type { ProofNonces } from './proof-nonce.ts'

const PROOF_TYPE = 'dpop+jwt'
/** An 8192-bit RSA key with its signature fits; nothing that anybody makes is larger. */
const MAX_PROOF_BYTES = 8192
const MAX_JTI_CHARACTERS = 256
/** How long a proof may be on its way, the skew of the client's clock included (§11.1). */
const MAX_AGE_SECONDS = 60 + CLOCK_SKEW_SECONDS

export type ProofRules = {
  readonly nonces: ProofNonces
  /** SALLYPORT_DPOP_NONCE: a proof without a nonce of ours is refused. */
  readonly requiresNonce: boolean
}

type Checked<T> = Result<T, ProofReason>

export function createProofVerifier(rules: ProofRules): ProofVerifier {
  return {
    async verify(proof, beside, now) {
      const parsed = parseCompactJws(proof.dpop, { maxBytes: MAX_PROOF_BYTES })
      if (!parsed.ok) return fail('malformed')
      const signer = readHeader(parsed.value.header)
      if (!signer.ok) return signer
      const { payload } = parsed.value
      const target = targetFault(payload, proof) ?? timeFault(payload, now)
      if (target !== null) return fail(target)
      const bound = tokenFault(payload, beside) ?? nonceFault(payload, rules, now)
      if (bound !== null) return fail(bound)
      const signed = await signatureFault(parsed.value, signer.value)
      if (signed !== null) return fail(signed)
      return usableOnce(payload, proof, thumbprint(signer.value.jwk))
    },
    thumbprint: certificateThumbprint,
  }
}

type Signer = { readonly alg: string; readonly jwk: JsonObject }

/** §4.3 checks 4, 5 and 7, and no member that would bring another key or rule (JB-05, JB-10). */
function readHeader({ jwk, ...header }: JsonObject): Checked<Signer> {
  const { typ, alg } = header
  if (typ !== PROOF_TYPE) return fail('type')
  if (typeof alg !== 'string' || !ASYMMETRIC_ALGORITHMS.includes(alg)) return fail('algorithm')
  if (refusedHeaderMember(header) !== null) return fail('header')
  return jwk !== undefined && isJsonObject(jwk) ? ok({ alg, jwk }) : fail('key')
}

/** §4.3 checks 8 and 9. */
function targetFault({ htm, htu }: JsonObject, proof: UntrustedProof): ProofReason | null {
  if (typeof htm !== 'string' || typeof htu !== 'string') return 'missing_claim'
  if (htm !== proof.method) return 'method'
  const named = normaliseHttpUri(htu)
  return named !== null && named === normaliseHttpUri(proof.url) ? null : 'url'
}

/** §4.3 check 11; `exp` and `nbf` are not asked for and hold where they are given (RFC 7519 §4.1). */
function timeFault({ iat, exp, nbf }: JsonObject, now: Seconds): ProofReason | null {
  if (!isTime(iat)) return 'missing_claim'
  if (iat > now + CLOCK_SKEW_SECONDS) return 'not_yet_valid'
  if (iat < now - MAX_AGE_SECONDS) return 'too_old'
  if (exp !== undefined && !(isTime(exp) && exp > now - CLOCK_SKEW_SECONDS)) return 'too_old'
  if (nbf !== undefined && !(isTime(nbf) && nbf <= now + CLOCK_SKEW_SECONDS)) return 'not_yet_valid'
  return null
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

/** §4.3 check 12. */
function tokenFault({ ath }: JsonObject, { at, token }: ProofPlace): ProofReason | null {
  if (ath === undefined && at === 'token_endpoint') return null
  const expected = createHash('sha256').update(token).digest('base64url')
  return ath === expected ? null : 'token_hash'
}

/** §4.3 check 10. One that is given has to be ours, even where none is asked for. */
function nonceFault(
  { nonce }: JsonObject,
  { nonces, requiresNonce }: ProofRules,
  now: Seconds,
): ProofReason | null {
  if (nonce === undefined) return requiresNonce ? 'nonce_required' : null
  return typeof nonce === 'string' && nonces.isFresh(nonce, now) ? null : 'nonce_stale'
}

/** §4.3 checks 6 and 7: last, because it is what costs. A private or symmetric `jwk` imports as null. */
async function signatureFault(jws: UntrustedJws, signer: Signer): Promise<ProofReason | null> {
  const key = await importVerificationKey(signer.jwk)
  if (key === null || !key.algorithms.includes(signer.alg)) return 'key'
  const isSigned = await key.verify(signer.alg, jws.signingInput, jws.signature)
  return isSigned ? null : 'bad_signature'
}

/** §11.1: `jti` counts once per key and URI. It is hashed, and kept for as long as the proof could pass. */
function usableOnce(
  { jti, iat }: JsonObject,
  { url }: UntrustedProof,
  jkt: string,
): Checked<{ readonly jkt: string; readonly singleUse: SingleUse }> {
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_CHARACTERS) {
    return fail('missing_claim')
  }
  const parts = JSON.stringify([jkt, normaliseHttpUri(url), jti])
  const key = `dpop:${createHash('sha256').update(parts).digest('base64url')}`
  // timeFault() has seen a finite number; another isolate's clock may be behind or ahead.
  const expiresAt = Math.ceil(iat as number) + MAX_AGE_SECONDS + CLOCK_SKEW_SECONDS
  return ok({ jkt, singleUse: { key, expiresAt, isProof: true } })
}

/** RFC 7638 §3.2: the required members of each key type, in lexical order. */
const THUMBPRINT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}

/** Of a key that was imported, which has checked that every member is a text. */
function thumbprint(jwk: JsonObject): string {
  const members = THUMBPRINT_MEMBERS[String(jwk['kty'])] ?? []
  const canonical = JSON.stringify(Object.fromEntries(members.map((name) => [name, jwk[name]])))
  return createHash('sha256').update(canonical).digest('base64url')
}

function certificateThumbprint({ chain }: UntrustedCertificate): string | null {
  const [leaf] = chain
  if (leaf === undefined) return null
  return encodeBase64url(createHash('sha256').update(leaf).digest())
}
