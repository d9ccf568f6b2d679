// Public keys that may verify a token, from JWKs. What a key is for is decided by the key alone: its
// kty, crv, use, key_ops and alg must agree before it is imported, and the token's `alg` can only
// choose among what they leave (RB-02, JB-01). Symmetric and private keys are never taken.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { decodeBase64url, encodeBase64url } from './base64url.ts'
import { hasRocaFingerprint } from './roca.ts'

export type VerificationKey = {
  readonly kid: string | null
  readonly use: string | null
  /** JWS `alg` values this key answers to; one if the JWK names it. */
  readonly algorithms: readonly string[]
  verify(alg: string, signingInput: Uint8Array, signature: Uint8Array): Promise<boolean>
}

type PublicKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>
type Bytes = Uint8Array<ArrayBuffer>

type Algorithm = {
  readonly kty: 'RSA' | 'EC' | 'OKP'
  readonly crv: string | null
  readonly importAs: { readonly name: string; readonly hash?: string; readonly namedCurve?: string }
  readonly verifyAs: { readonly name: string; readonly hash?: string; readonly saltLength?: number }
}

type PublicMaterial = {
  readonly kty: Algorithm['kty']
  readonly crv: string | null
  /** Exactly what is imported, so that no other member of the JWK reaches the runtime. */
  readonly jwk: { readonly kty: string; readonly [member: string]: string }
  readonly signatureBytes: number
}

const ED25519: Algorithm = {
  kty: 'OKP',
  crv: 'Ed25519',
  importAs: { name: 'Ed25519' },
  verifyAs: { name: 'Ed25519' },
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ['RS256', rsa('RSASSA-PKCS1-v1_5', 256)],
  ['RS384', rsa('RSASSA-PKCS1-v1_5', 384)],
  ['RS512', rsa('RSASSA-PKCS1-v1_5', 512)],
  ['PS256', rsa('RSA-PSS', 256)],
  ['PS384', rsa('RSA-PSS', 384)],
  ['PS512', rsa('RSA-PSS', 512)],
  ['ES256', ecdsa('P-256', 256)],
  ['ES384', ecdsa('P-384', 384)],
  ['ES512', ecdsa('P-521', 512)],
  ['Ed25519', ED25519],
  // RFC 9864: the older, polymorphic name, taken to mean Ed25519 and never Ed448.
  ['EdDSA', ED25519],
])

/** Every algorithm there is a verifier for. Exact, case-sensitive; none of them is symmetric. */
export const ASYMMETRIC_ALGORITHMS: readonly string[] = [...ALGORITHMS.keys()]

/** `use` of keys that sign: RFC 7517 §4.2 and the SPIFFE bundle's own. */
const SIGNATURE_USES: readonly string[] = ['sig', 'jwt-svid', 'wit-svid']
/** RFC 7518 §6.2.2, §6.3.2 and §6.4: members that only a secret has. */
const SECRET_MEMBERS: readonly string[] = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const MIN_MODULUS_BITS = 2048
/** Beyond this one verification costs milliseconds: a way to spend the broker's time. */
const MAX_MODULUS_BITS = 8192
/** FIPS 186-5 §A.1.1 asks for more than 2^16; nobody uses more than four bytes but to slow a verifier. */
const MIN_EXPONENT = 65_537n
const MAX_EXPONENT_BYTES = 4

const COORDINATE_BYTES: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }
const ED25519_BYTES = 32

/** Whether the JWK holds what must stay secret: a symmetric key or a private member. */
function isSecretJwk(jwk: JsonObject): boolean {
  return jwk.kty === 'oct' || SECRET_MEMBERS.some((member) => Object.hasOwn(jwk, member))
}

/** Whether the JWK says it is for something else than signatures, such as encryption. */
export function isForeignUse(jwk: JsonObject): boolean {
  return typeof jwk.use === 'string' && !SIGNATURE_USES.includes(jwk.use)
}

/** The key, or null where anything about it is unknown, contradictory, weak or secret. */
export async function importVerificationKey(jwk: JsonObject): Promise<VerificationKey | null> {
  if (isSecretJwk(jwk) || isForeignUse(jwk) || !mayVerify(jwk.key_ops)) return null
  const { kid = null, use = null } = jwk
  if (kid !== null && typeof kid !== 'string') return null
  if (use !== null && typeof use !== 'string') return null
  const material = publicMaterial(jwk)
  if (material === null) return null
  const algorithms = permittedAlgorithms(material, jwk.alg)
  const [first] = algorithms
  if (first === undefined) return null
  const imported = new Map<string, PublicKey>()
  if ((await importInto(imported, material, first)) === null) return null
  return {
    kid,
    use,
    algorithms,
    async verify(alg, signingInput, signature) {
      const algorithm = ALGORITHMS.get(alg)
      if (algorithm === undefined || !algorithms.includes(alg)) return false
      if (signature.length !== material.signatureBytes) return false
      const key = imported.get(alg) ?? (await importInto(imported, material, alg))
      if (key === null) return false
      // A Uint8Array over shared memory is not made anywhere here, and WebCrypto would throw on one.
      return crypto.subtle.verify(algorithm.verifyAs, key, signature, signingInput)
    },
  }
}

/** WebCrypto binds a key to one algorithm; an RSA JWK without `alg` is imported once for each it meets. */
async function importInto(
  imported: Map<string, PublicKey>,
  material: PublicMaterial,
  alg: string,
): Promise<PublicKey | null> {
  const algorithm = ALGORITHMS.get(alg)
  if (algorithm === undefined) return null
  try {
    const key = await crypto.subtle.importKey('jwk', material.jwk, algorithm.importAs, false, [
      'verify',
    ])
    imported.set(alg, key)
    return key
  } catch {
    // The one thing left to be wrong: a point that is not on its curve.
    return null
  }
}

function permittedAlgorithms(material: PublicMaterial, alg: JsonValue | undefined): string[] {
  return [...ALGORITHMS]
    .filter(([, { kty, crv }]) => kty === material.kty && crv === material.crv)
    .map(([name]) => name)
    .filter((name) => alg === undefined || alg === name)
}

function mayVerify(keyOps: JsonValue | undefined): boolean {
  if (keyOps === undefined) return true
  if (!Array.isArray(keyOps)) return false
  return keyOps.includes('verify') && keyOps.every((op) => op === 'verify' || op === 'sign')
}

function publicMaterial(jwk: JsonObject): PublicMaterial | null {
  switch (jwk.kty) {
    case 'RSA':
      return rsaMaterial(jwk)
    case 'EC':
      return ecMaterial(jwk)
    case 'OKP':
      return okpMaterial(jwk)
    default:
      return null
  }
}

function rsaMaterial(jwk: JsonObject): PublicMaterial | null {
  const modulus = unsignedBytes(jwk.n)
  const exponent = unsignedBytes(jwk.e)
  if (modulus === null || exponent === null) return null
  if (modulus.length * 8 > MAX_MODULUS_BITS || exponent.length > MAX_EXPONENT_BYTES) return null
  const n = toBigInt(modulus)
  const e = toBigInt(exponent)
  if (n >> BigInt(MIN_MODULUS_BITS - 1) === 0n || n % 2n === 0n) return null
  if (e < MIN_EXPONENT || e % 2n === 0n || hasRocaFingerprint(n)) return null
  return {
    kty: 'RSA',
    crv: null,
    jwk: { kty: 'RSA', n: encodeBase64url(modulus), e: encodeBase64url(exponent) },
    signatureBytes: modulus.length,
  }
}

function ecMaterial(jwk: JsonObject): PublicMaterial | null {
  const { crv, x, y } = jwk
  if (typeof crv !== 'string' || typeof x !== 'string' || typeof y !== 'string') return null
  const bytes = Object.hasOwn(COORDINATE_BYTES, crv) ? COORDINATE_BYTES[crv] : undefined
  if (bytes === undefined) return null
  // RFC 7518 §6.2.1.2: full length, leading zeros included.
  if (decodeBase64url(x)?.length !== bytes || decodeBase64url(y)?.length !== bytes) return null
  return { kty: 'EC', crv, jwk: { kty: 'EC', crv, x, y }, signatureBytes: 2 * bytes }
}

function okpMaterial(jwk: JsonObject): PublicMaterial | null {
  const { crv, x } = jwk
  if (crv !== 'Ed25519' || typeof x !== 'string') return null
  if (decodeBase64url(x)?.length !== ED25519_BYTES) return null
  return { kty: 'OKP', crv, jwk: { kty: 'OKP', crv, x }, signatureBytes: 64 }
}

/** Bytes of a positive integer without leading zeros; some issuers write one in front of the modulus. */
function unsignedBytes(value: JsonValue | undefined): Bytes | null {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : null
  const start = bytes?.findIndex((byte) => byte !== 0) ?? -1
  return bytes === null || start < 0 ? null : bytes.subarray(start)
}

function toBigInt(bytes: Uint8Array): bigint {
  let hex = '0x'
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return BigInt(hex)
}

function rsa(name: string, bits: number): Algorithm {
  const verifyAs = name === 'RSA-PSS' ? { name, saltLength: bits / 8 } : { name }
  return { kty: 'RSA', crv: null, importAs: { name, hash: `SHA-${bits}` }, verifyAs }
}

function ecdsa(namedCurve: string, bits: number): Algorithm {
  return {
    kty: 'EC',
    crv: namedCurve,
    importAs: { name: 'ECDSA', namedCurve },
    verifyAs: { name: 'ECDSA', hash: `SHA-${bits}` },
  }
}
