// Which key of a set verifies a token. The token names at most a `kid` and an `alg`; both are compared
// and neither is interpreted (RB-04).
import type { Seconds } from '../core/ports.ts'
import type { VerificationKey } from '../crypto/jwk.ts'

export type KeyLookup = {
  readonly kid: string | null
  readonly alg: string
  /** Only keys with exactly this `use`; otherwise keys for signatures (`sig`, or no `use`). */
  readonly use?: string
  /** How old a set may be that its source cannot renew. */
  readonly maxStaleSeconds: Seconds
}

export type PickedKey = VerificationKey | 'unknown' | 'ambiguous' | 'mismatch'

/** Without a `kid`, exactly one key must fit. */
export function pickKey(keys: readonly VerificationKey[], { kid, alg, use }: KeyLookup): PickedKey {
  const eligible = keys.filter((key) =>
    use === undefined ? key.use === null || key.use === 'sig' : key.use === use,
  )
  if (kid !== null) {
    const named = eligible.find((key) => key.kid === kid)
    if (named === undefined) return 'unknown'
    return named.algorithms.includes(alg) ? named : 'mismatch'
  }
  const [only, second] = eligible.filter((key) => key.algorithms.includes(alg))
  if (only === undefined) return 'unknown'
  return second === undefined ? only : 'ambiguous'
}
