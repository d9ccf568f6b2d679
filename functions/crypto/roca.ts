// Recognises RSA moduli made by the defective Infineon generator (CVE-2017-15361, "ROCA"): their
// private keys can be computed from the public ones, so such a key vouches for nobody.

/** The primes in whose residues the generator's structure shows. */
const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157] as const

/** The residues that powers of 65537 take modulo each prime; vulnerable moduli have no others. */
const RESIDUES: readonly (readonly [bigint, ReadonlySet<number>])[] = PRIMES.map((prime) => {
  const residues = new Set<number>()
  for (let power = 1; !residues.has(power); power = (power * 65_537) % prime) residues.add(power)
  return [BigInt(prime), residues]
})

export function hasRocaFingerprint(modulus: bigint): boolean {
  return RESIDUES.every(([prime, residues]) => residues.has(Number(modulus % prime)))
}
