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

/** A check that has begun, on another thread where the runtime has one. Never rejects. */
export type SignatureCheck = { readonly proof: Promise<Proof> }

/** What has begun for one parsed token, by questionOf(); it dies with the token. */
export type SignatureChecks = Map<string, Promise<SignatureCheck>>

export type ProveSignature = (
  jws: UntrustedJws,
  rules: KeyRules,
  begun: { readonly question: string; readonly checks: SignatureChecks },
) => Promise<SignatureCheck>

/**
 * A prover that begins once for the same parsed token and the same keys. Expects a header that passed
 * headerFault(): `alg` is on the method's list and `kid` is a name.
 */
export function signatureProver(keySets: KeySets): ProveSignature {
  return (jws, rules, { question, checks }) => {
    const check = checks.get(question) ?? begin(jws, rules, keySets)
    checks.set(question, check)
    return check
  }
}

/** Equal where the answer must be; told once when a method is compiled. */
export function questionOf({ keys, keyUse, config }: KeyRules): string {
  return canonicalJson([{ ...keys }, keyUse ?? null, config.maxStaleSeconds])
}

async function begin(
  jws: UntrustedJws,
  rules: KeyRules,
  keySets: KeySets,
): Promise<SignatureCheck> {
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
    return refused({ reason, claim: 'kid', ...(rule === undefined ? {} : { got: rule }) })
  }
  const { key, ageSeconds } = found.value
  // One key, one algorithm: said again where it counts (JB-01).
  if (key.kid !== kid || !key.algorithms.includes(alg)) {
    return refused({ reason: 'key_mismatch', claim: 'alg' })
  }
  return { proof: proofBy(key, jws, { alg, kid, jwks_age_s: ageSeconds }) }
}

function refused(fault: AttestationFault): SignatureCheck {
  return { proof: Promise.resolve(fail(fault)) }
}

async function proofBy(
  key: VerificationKey,
  jws: UntrustedJws,
  evidence: { readonly alg: string; readonly kid: string; readonly jwks_age_s: number },
): Promise<Proof> {
  const { alg } = evidence
  try {
    const verdict = await key.verify(alg, jws.signingInput, jws.signature)
    return verdict ? ok(evidence) : fail({ reason: 'bad_signature' })
  } catch {
    // The runtime cannot verify with this key at all; its error text is not for the log.
    return fail({ reason: 'verifier_error', claim: 'alg', got: alg })
  }
}
