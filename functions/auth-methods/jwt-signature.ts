// The signature of an attestation, by a key of the issuer that the configuration names and of no other
// (JB-04). A token that several methods of one issuer look at is verified once.
import type { AttestationFault } from '../core/auth-method.ts'
import { canonicalJson } from '../core/audit.ts'
import type { JsonObject } from '../core/identity.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { UntrustedJws, VerificationKey } from '../crypto/jws.ts'
import type { KeySets, KeySource } from '../net/key-sets.ts'

type KeyRules = {
  readonly keys: KeySource
  readonly keyUse?: 'jwt-svid'
  readonly config: { readonly maxStaleSeconds: number }
}

/** Facts of the verification for the audit event (DEP-3). */
type SignatureEvidence = JsonObject

type Proof = Result<SignatureEvidence, AttestationFault>

export type ProveSignature = (jws: UntrustedJws, rules: KeyRules) => Promise<Proof>

/**
 * A prover that answers once for the same parsed token and the same keys. Expects a header that passed
 * headerFault(): `alg` is on the method's list and `kid` is a name.
 */
export function signatureProver(keySets: KeySets): ProveSignature {
  // A parsed token dies with its request, and its answers with it.
  const proofs = new WeakMap<UntrustedJws, Map<string, Promise<Proof>>>()
  return (jws, rules) => {
    const known = proofs.get(jws) ?? new Map<string, Promise<Proof>>()
    proofs.set(jws, known)
    const { keys, keyUse = null, config } = rules
    const question = canonicalJson([{ ...keys }, keyUse, config.maxStaleSeconds])
    const proof = known.get(question) ?? prove(jws, rules, keySets)
    known.set(question, proof)
    return proof
  }
}

async function prove(jws: UntrustedJws, rules: KeyRules, keySets: KeySets): Promise<Proof> {
  // headerFault() has seen two texts.
  const { alg, kid } = jws.header as { readonly alg: string; readonly kid: string }
  const found = await keySets.find(rules.keys, {
    kid,
    alg,
    ...(rules.keyUse === undefined ? {} : { use: rules.keyUse }),
    maxStaleSeconds: rules.config.maxStaleSeconds,
  })
  if (!found.ok) {
    const { reason, rule } = found.failure
    return fail({ reason, claim: 'kid', ...(rule === undefined ? {} : { got: rule }) })
  }
  const { key, ageSeconds } = found.value
  // One key, one algorithm: said again where it counts (JB-01).
  if (key.kid !== kid || !key.algorithms.includes(alg)) {
    return fail({ reason: 'key_mismatch', claim: 'alg' })
  }
  const verdict = await verdictOf(key, alg, jws)
  if (verdict === null) return fail({ reason: 'verifier_error', claim: 'alg', got: alg })
  return verdict ? ok({ alg, kid, jwks_age_s: ageSeconds }) : fail({ reason: 'bad_signature' })
}

/** Null where the runtime cannot verify with this key at all; its error text is not for the log. */
async function verdictOf(
  key: VerificationKey,
  alg: string,
  jws: UntrustedJws,
): Promise<boolean | null> {
  try {
    return await key.verify(alg, jws.signingInput, jws.signature)
  } catch {
    return null
  }
}
