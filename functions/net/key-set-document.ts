// Turns a JWKS or a SPIFFE bundle into verification keys. A key that is secret, ambiguous or broken is
// left out; the set as a whole is refused where it could be a mistake or a flood.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { importVerificationKey, isForeignUse, type VerificationKey } from '../crypto/jwk.ts'

export type KeySetFault = 'no_keys_member' | 'too_many_keys' | 'no_usable_key'

const MAX_KEYS = 100

/**
 * `kind: 'bundle'`: a SPIFFE bundle, whose silence is an order. An empty `keys`, or one with keys for
 * other purposes only, means that no token of the trust domain is valid (SPIFFE Bundle §4.2). For a
 * JWKS the same is taken for a mistake of the issuer and refused.
 */
export async function readKeySet(
  document: JsonObject,
  kind: 'jwks' | 'bundle',
): Promise<Result<readonly VerificationKey[], KeySetFault>> {
  const entries = document.keys
  if (!isArray(entries)) return fail('no_keys_member')
  if (entries.length > MAX_KEYS) return fail('too_many_keys')
  const candidates = entries.filter((entry) => !isJsonObject(entry) || !isForeignUse(entry))
  const keys: VerificationKey[] = []
  const ambiguous = repeatedNames(candidates)
  for (const candidate of candidates) {
    if (!isJsonObject(candidate) || ambiguous.has(nameOf(candidate))) continue
    const key = await importVerificationKey(candidate)
    if (key !== null) keys.push(key)
  }
  const isOrder = kind === 'bundle' && candidates.length === 0
  return keys.length > 0 || isOrder ? ok(keys) : fail('no_usable_key')
}

/**
 * A `kid` that two keys carry tells neither, so both are left out. A secret key counts: a published
 * private key is known to everybody, and with its `kid` goes the public half beside it. The rest of
 * the set stays, since dropping it would turn an issuer's blunder into an outage.
 */
function repeatedNames(entries: readonly JsonValue[]): ReadonlySet<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const entry of entries) {
    if (!isJsonObject(entry) || typeof entry.kid !== 'string') continue
    const name = nameOf(entry)
    if (seen.has(name)) repeated.add(name)
    seen.add(name)
  }
  return repeated
}

/** Keys are told apart by purpose and `kid`; no `use` and `sig` serve the same tokens. */
function nameOf({ use, kid }: JsonObject): string {
  return JSON.stringify([use ?? 'sig', kid ?? null])
}

function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}
