// Signatures of certificates. What a key is, is decided from the key alone; the certificate's algorithm
// only chooses among what that leaves (RB-02). Sizes are checked before any arithmetic (SPIFFE-4).
import { encodeBase64url } from '../base64url.ts'
import { importVerificationKey } from '../jwk.ts'
import type { Certificate } from './certificate.ts'
import {
  DerReader,
  hex,
  MalformedDer,
  only,
  parsed,
  small,
  TAG,
  unsigned,
  wholeBytes,
} from './der.ts'

type Bytes = Uint8Array<ArrayBuffer>

/** Null: the key is of a kind or size that is not trusted. */
export type CertificateKey = {
  verify(algorithm: Algorithm, tbs: Uint8Array, signature: Uint8Array): Promise<boolean>
}

/** `jws`: the name of the same algorithm in JWS, for keys that serve both. */
type Algorithm =
  | { readonly kind: 'jws'; readonly jws: string }
  | { readonly kind: 'ecdsa'; readonly hash: string }

const HASHES: Readonly<Record<string, string>> = {
  '608648016503040201': '256',
  '608648016503040202': '384',
  '608648016503040203': '512',
}
const RSA_PKCS1: Readonly<Record<string, string>> = {
  '2a864886f70d01010b': 'RS256',
  '2a864886f70d01010c': 'RS384',
  '2a864886f70d01010d': 'RS512',
}
const ECDSA: Readonly<Record<string, string>> = {
  '2a8648ce3d040302': 'SHA-256',
  '2a8648ce3d040303': 'SHA-384',
  '2a8648ce3d040304': 'SHA-512',
}
const RSA_PSS = '2a864886f70d01010a'
const MGF1 = '2a864886f70d010108'
const ED25519 = '2b6570'
const RSA_KEY = '2a864886f70d010101'
const EC_KEY = '2a8648ce3d0201'
const CURVES: Readonly<Record<string, { readonly namedCurve: string; readonly bytes: number }>> = {
  '2a8648ce3d030107': { namedCurve: 'P-256', bytes: 32 },
  '2b81040022': { namedCurve: 'P-384', bytes: 48 },
  '2b81040023': { namedCurve: 'P-521', bytes: 66 },
}

/** The algorithm that the certificate says it is signed with; null for SHA-1 and whatever else is not here. */
export function signatureAlgorithm(certificate: Certificate): Algorithm | null {
  return parsed(() => {
    const reader = new DerReader(only(certificate.signatureAlgorithm, TAG.sequence))
    const oid = hex(reader.next(TAG.oid).content)
    if (oid === RSA_PSS) {
      const hash = pssHash(reader.inside(TAG.sequence))
      reader.end()
      return { kind: 'jws', jws: `PS${hash}` } as const
    }
    const rsa = RSA_PKCS1[oid]
    noParameters(reader, rsa !== undefined)
    if (rsa !== undefined) return { kind: 'jws', jws: rsa } as const
    if (oid === ED25519) return { kind: 'jws', jws: 'Ed25519' } as const
    const hash = ECDSA[oid]
    return hash === undefined ? null : ({ kind: 'ecdsa', hash } as const)
  })
}

/** Parameters: NULL for RSA (RFC 4055 §5), none for the others. */
function noParameters(reader: DerReader, isNull: boolean): void {
  if (isNull && reader.next(TAG.null).content.length > 0) throw new MalformedDer()
  reader.end()
}

/** RFC 4055 §3.1: the same hash for both, and a salt of its length, as PS256 and its like have it. */
function pssHash(parameters: DerReader): string {
  const hash = hashOf(parameters.inside(0xa0).inside(TAG.sequence))
  const mask = parameters.inside(0xa1).inside(TAG.sequence)
  if (hex(mask.next(TAG.oid).content) !== MGF1) throw new MalformedDer()
  const maskHash = hashOf(mask.inside(TAG.sequence))
  const salt = small(parameters.inside(0xa2).next(TAG.integer).content)
  mask.end()
  parameters.end()
  if (maskHash !== hash || salt !== Number(hash) / 8) throw new MalformedDer()
  return hash
}

function hashOf(reader: DerReader): string {
  const hash = HASHES[hex(reader.next(TAG.oid).content)]
  if (hash === undefined) throw new MalformedDer()
  reader.optional(TAG.null)
  reader.end()
  return hash
}

/** The public key of a certificate, or null. */
export async function certificateKey({ spki }: Certificate): Promise<CertificateKey | null> {
  const key = parsed(() => {
    const reader = new DerReader(only(spki, TAG.sequence))
    const algorithm = reader.inside(TAG.sequence)
    const oid = hex(algorithm.next(TAG.oid).content)
    const bytes = wholeBytes(reader.next(TAG.bitString).content)
    reader.end()
    return { oid, algorithm, bytes }
  })
  if (key === null) return null
  const jwk = parsed(() => publicJwk(key))
  if (jwk !== null) return jwkKey(jwk)
  return key.oid === EC_KEY ? ecKey(key.algorithm, key.bytes) : null
}

type Spki = {
  readonly oid: string
  readonly algorithm: DerReader
  readonly bytes: Uint8Array
}

function publicJwk({ oid, algorithm, bytes }: Spki): Record<string, string> | null {
  if (oid === ED25519) {
    algorithm.end()
    return { kty: 'OKP', crv: 'Ed25519', x: encodeBase64url(bytes) }
  }
  if (oid !== RSA_KEY) return null
  noParameters(algorithm, true)
  const reader = new DerReader(only(bytes, TAG.sequence))
  const n = unsigned(reader.next(TAG.integer).content)
  const e = unsigned(reader.next(TAG.integer).content)
  reader.end()
  return { kty: 'RSA', n: encodeBase64url(n), e: encodeBase64url(e) }
}

async function jwkKey(jwk: Record<string, string>): Promise<CertificateKey | null> {
  const key = await importVerificationKey(jwk)
  if (key === null) return null
  return {
    verify: async (algorithm, tbs, signature) =>
      algorithm.kind === 'jws' && (await key.verify(algorithm.jws, tbs, signature)),
  }
}

/** X.509 pairs any curve with any hash, which JWS does not. */
async function ecKey(parameters: DerReader, point: Uint8Array): Promise<CertificateKey | null> {
  const curve = parsed(() => {
    const oid = hex(parameters.next(TAG.oid).content)
    parameters.end()
    return CURVES[oid] ?? null
  })
  // Uncompressed (RFC 5480 §2.2 allows the other form, which runtimes do not read).
  if (curve === null || point.length !== 2 * curve.bytes + 1 || point[0] !== 4) return null
  const { namedCurve, bytes } = curve
  const imported = await importPoint(point, namedCurve)
  if (imported === null) return null
  return {
    async verify(algorithm, tbs, signature) {
      const raw = rawSignature(signature, bytes)
      if (algorithm.kind !== 'ecdsa' || raw === null) return false
      const { hash } = algorithm
      return crypto.subtle.verify({ name: 'ECDSA', hash }, imported, raw, tbs)
    },
  }
}

async function importPoint(point: Uint8Array, namedCurve: string) {
  try {
    const algorithm = { name: 'ECDSA', namedCurve }
    // Nothing here is over shared memory, which is all that the type leaves open.
    return await crypto.subtle.importKey('raw', point as Bytes, algorithm, false, ['verify'])
  } catch {
    // Not on its curve.
    return null
  }
}

/** Ecdsa-Sig-Value (RFC 3279 §2.2.3) to r || s. */
function rawSignature(signature: Uint8Array, bytes: number): Bytes | null {
  return parsed(() => {
    const reader = new DerReader(only(signature, TAG.sequence))
    const raw = new Uint8Array(2 * bytes)
    for (const end of [bytes, 2 * bytes]) {
      const number = unsigned(reader.next(TAG.integer).content)
      if (number.length > bytes) throw new MalformedDer()
      raw.set(number, end - number.length)
    }
    reader.end()
    return raw
  })
}
