// One certificate, read once from its bytes (RFC 5280 §4). Everything that is used later is read here
// from what the signature covers, and nothing is read from anywhere else (RB-13, MTLS-3).
import { createHash } from 'node:crypto'
import { fail, ok, type Result } from '../../core/result.ts'
import {
  bits,
  boolean,
  type DerElement,
  DerReader,
  hex,
  integer,
  MalformedDer,
  only,
  parsed,
  small,
  TAG,
  time,
  wholeBytes,
} from './der.ts'
import {
  type AlternativeNames,
  alternativeNames,
  type NameConstraints,
  nameConstraints,
  NO_NAMES,
} from './names.ts'

export type KeyUsage = {
  readonly isCritical: boolean
  readonly digitalSignature: boolean
  readonly keyCertSign: boolean
  readonly crlSign: boolean
}

export type Certificate = {
  /** The whole certificate: what is pinned and compared (CVE-2024-2048). */
  readonly der: Uint8Array
  /** What the signature covers. */
  readonly tbs: Uint8Array
  /** AlgorithmIdentifier, whole. */
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
  /** Hex, as two's complement stands in it. */
  readonly serial: string
  /** Names, whole; compared byte for byte. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: number
  readonly notAfter: number
  /** SubjectPublicKeyInfo, whole. */
  readonly spki: Uint8Array
  readonly names: AlternativeNames
  readonly isCa: boolean
  readonly pathLength: number | null
  readonly keyUsage: KeyUsage | null
  /** Purposes as hex of their OIDs. */
  readonly extendedKeyUsage: readonly string[] | null
  readonly nameConstraints: NameConstraints | null
  readonly authorityKeyId: string | null
  readonly subjectKeyId: string | null
  /** Marked critical, and not understood here: the certificate must be refused (§4.2). */
  readonly hasUnknownCritical: boolean
}

const V3 = 2
/** §4.1.2.2; one more for the zero of the sign. */
const MAX_SERIAL_BYTES = 21

export function parseCertificate(der: Uint8Array): Result<Certificate, 'malformed'> {
  const certificate = parsed(() => readCertificate(der))
  return certificate === null ? fail('malformed') : ok(certificate)
}

function readCertificate(der: Uint8Array): Certificate {
  const outer = new DerReader(only(der, TAG.sequence))
  const tbs = outer.next(TAG.sequence)
  const signatureAlgorithm = outer.next(TAG.sequence).whole
  const signature = wholeBytes(outer.next(TAG.bitString).content)
  outer.end()

  const reader = new DerReader(tbs.content)
  const version = reader.next(0xa0)
  if (small(only(version.content, TAG.integer)) !== V3) throw new MalformedDer()
  const serial = integer(reader.next(TAG.integer).content)
  if (serial.length > MAX_SERIAL_BYTES) throw new MalformedDer()
  // §4.1.1.2: the algorithm inside, which is signed, is the one outside.
  if (!sameBytes(reader.next(TAG.sequence).whole, signatureAlgorithm)) throw new MalformedDer()
  const issuer = reader.next(TAG.sequence).whole
  const validity = reader.inside(TAG.sequence)
  const notBefore = time(validity.next())
  const notAfter = time(validity.next())
  validity.end()
  const subject = reader.next(TAG.sequence).whole
  const spki = reader.next(TAG.sequence).whole
  // Unique identifiers, which nobody uses.
  reader.optional(0x81)
  reader.optional(0x82)
  const extensions = readExtensions(reader.optional(0xa3))
  reader.end()
  return {
    der,
    tbs: tbs.whole,
    signatureAlgorithm,
    signature,
    serial: hex(serial),
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    ...extensions,
  }
}

type Extension = { readonly isCritical: boolean; readonly value: Uint8Array }

/** By hex of their OIDs: the extensions that are understood, all others must not be critical. */
const OID = {
  subjectKeyId: '551d0e',
  keyUsage: '551d0f',
  alternativeNames: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  authorityKeyId: '551d23',
  extendedKeyUsage: '551d25',
} as const
const UNDERSTOOD: readonly string[] = Object.values(OID)

function readExtensions(element: DerElement | null) {
  const extensions = listExtensions(element)
  const read = <T>(oid: string, readValue: (value: Uint8Array, extension: Extension) => T) => {
    const extension = extensions.get(oid)
    return extension === undefined ? null : readValue(extension.value, extension)
  }
  const { isCa, pathLength } = read(OID.basicConstraints, basicConstraints) ?? {
    isCa: false,
    pathLength: null,
  }
  return {
    names: read(OID.alternativeNames, alternativeNames) ?? NO_NAMES,
    isCa,
    pathLength,
    keyUsage: read(OID.keyUsage, keyUsage),
    extendedKeyUsage: read(OID.extendedKeyUsage, extendedKeyUsage),
    nameConstraints: read(OID.nameConstraints, nameConstraints),
    authorityKeyId: read(OID.authorityKeyId, authorityKeyId),
    subjectKeyId: read(OID.subjectKeyId, (value) => hex(only(value, TAG.octetString))),
    hasUnknownCritical: [...extensions].some(
      ([oid, { isCritical }]) => isCritical && !UNDERSTOOD.includes(oid),
    ),
  }
}

function listExtensions(element: DerElement | null): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  if (element === null) return found
  for (const { content } of new DerReader(only(element.content, TAG.sequence)).rest(TAG.sequence)) {
    const reader = new DerReader(content)
    const oid = hex(reader.next(TAG.oid).content)
    // An explicit FALSE is against DER and common; it says the same.
    const critical = reader.optional(TAG.boolean)
    const { content: value } = reader.next(TAG.octetString)
    reader.end()
    // §4.2: once each; two readers could pick different ones.
    if (found.has(oid)) throw new MalformedDer()
    found.set(oid, { isCritical: critical !== null && boolean(critical.content), value })
  }
  return found
}

function basicConstraints(value: Uint8Array): { isCa: boolean; pathLength: number | null } {
  const reader = new DerReader(only(value, TAG.sequence))
  const flag = reader.optional(TAG.boolean)
  const length = reader.optional(TAG.integer)
  reader.end()
  const isCa = flag !== null && boolean(flag.content)
  // §4.2.1.9: a path length without CA means nothing, and somebody thought it did.
  if (length !== null && !isCa) throw new MalformedDer()
  return { isCa, pathLength: length === null ? null : small(length.content) }
}

function keyUsage(value: Uint8Array, { isCritical }: Extension): KeyUsage {
  const [first = 0] = bits(only(value, TAG.bitString))
  return {
    isCritical,
    digitalSignature: (first & 0x80) !== 0,
    keyCertSign: (first & 0x04) !== 0,
    crlSign: (first & 0x02) !== 0,
  }
}

function extendedKeyUsage(value: Uint8Array): readonly string[] {
  return new DerReader(only(value, TAG.sequence)).rest(TAG.oid).map(({ content }) => hex(content))
}

function authorityKeyId(value: Uint8Array): string | null {
  const keyId = new DerReader(only(value, TAG.sequence)).optional(0x80)
  return keyId === null ? null : hex(keyId.content)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** SHA-256 of the whole certificate, hex. */
export function fingerprint({ der }: Certificate): string {
  return createHash('sha256').update(der).digest('hex')
}
