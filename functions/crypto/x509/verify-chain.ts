// Certification path validation (RFC 5280 §6), one for every method and every entry. Trust comes from the
// roots it is handed and from nowhere else: there is no system store here (CA-11). Whatever is presented,
// the work is bounded: certificates, bytes, path length and signature checks (SPIFFE-4).
import { fail, ok, type Result } from '../../core/result.ts'
import { CLOCK_SKEW_SECONDS, type Seconds } from '../../core/ports.ts'
import { type Certificate, parseCertificate, sameBytes } from './certificate.ts'
import { hostsInSubject, NO_NAMES, satisfies } from './names.ts'
import { certificateKey, type CertificateKey, signatureAlgorithm } from './signature.ts'

export type ChainFault =
  | 'no_certificate'
  | 'too_many'
  | 'too_large'
  | 'malformed'
  | 'unknown_issuer'
  | 'bad_signature'
  | 'algorithm'
  | 'weak_key'
  | 'expired'
  | 'not_yet_valid'
  | 'critical_extension'
  | 'not_a_ca'
  | 'path_length'
  | 'name_constraints'
  | 'purpose'
  | 'key_usage'
  | 'signing_certificate'
  | 'too_complex'

/** `svid`: besides what a TLS client needs, what the X509-SVID standard asks of a leaf. */
export type ChainPurpose = 'client' | 'svid'

export type VerifiedChain = {
  readonly leaf: Certificate
  /** The trusted certificate that the path ends in. */
  readonly root: Certificate
  readonly length: number
  /** When the first certificate of the path ends. */
  readonly notAfter: Seconds
}

const MAX_PRESENTED = 10
const MAX_PRESENTED_BYTES = 64 * 1024
/** Leaf and root included. */
const MAX_PATH = 8
/** A path needs seven at most; the rest is for cross-signed and renewed issuers of one name. */
const MAX_SIGNATURE_CHECKS = 16

const CLIENT_AUTH = '2b06010505070302'
const SERVER_AUTH = '2b06010505070301'

/** The presented certificates, leaf first, parsed once. */
export function readChain(
  chain: readonly Uint8Array[],
): Result<readonly [Certificate, ...Certificate[]], ChainFault> {
  if (chain.length > MAX_PRESENTED) return fail('too_many')
  if (chain.reduce((sum, { length }) => sum + length, 0) > MAX_PRESENTED_BYTES) {
    return fail('too_large')
  }
  const certificates: Certificate[] = []
  for (const der of chain) {
    const certificate = parseCertificate(der)
    if (!certificate.ok) return certificate
    certificates.push(certificate.value)
  }
  const [leaf, ...others] = certificates
  return leaf === undefined ? fail('no_certificate') : ok([leaf, ...others])
}

export async function verifyChain(input: {
  readonly chain: readonly [Certificate, ...Certificate[]]
  /** Each is trusted as it stands, intermediates included; their own limits hold all the same. */
  readonly roots: readonly Certificate[]
  readonly now: Seconds
  readonly purpose: ChainPurpose
}): Promise<Result<VerifiedChain, ChainFault>> {
  const [leaf, ...intermediates] = input.chain
  const { roots, now, purpose } = input
  const unusable = leafFault(leaf, purpose) ?? commonFault(leaf, now)
  if (unusable !== null) return fail(unusable)
  if ((await keyOf(leaf)) === null) return fail('weak_key')
  const search: Search = {
    intermediates,
    roots,
    now,
    byRoots: freshChecks(),
    byPresented: checksAmong(leaf),
    fault: null,
  }
  const path = await extend([leaf], search)
  if (path === null) return fail(search.fault ?? 'unknown_issuer')
  return ok({
    leaf,
    root: path.at(-1) ?? leaf,
    length: path.length,
    notAfter: Math.min(...path.map((certificate) => certificate.notAfter)),
  })
}

/**
 * A certificate that the caller compares with a pinned one, byte for byte. Nobody else vouches for it:
 * its signature says nothing, and whether it calls itself a CA matters to nobody; its limits hold.
 */
export async function verifyPinned(
  leaf: Certificate,
  now: Seconds,
): Promise<Result<Omit<VerifiedChain, 'root'> & { readonly root: null }, ChainFault>> {
  const unusable = usageFault(leaf, 'client') ?? commonFault(leaf, now)
  if (unusable !== null) return fail(unusable)
  if ((await keyOf(leaf)) === null) return fail('weak_key')
  return ok({ leaf, root: null, length: 1, notAfter: leaf.notAfter })
}

/** What disqualifies a certificate from authenticating anybody, whoever issued it. */
export function leafFault(leaf: Certificate, purpose: ChainPurpose): ChainFault | null {
  const { isCa, keyUsage } = leaf
  // A certificate that signs others never authenticates (X509-SVID §5).
  if (isCa || keyUsage?.keyCertSign === true || keyUsage?.crlSign === true) {
    return 'signing_certificate'
  }
  return usageFault(leaf, purpose)
}

function usageFault(leaf: Certificate, purpose: ChainPurpose): ChainFault | null {
  const { keyUsage, extendedKeyUsage: purposes } = leaf
  if (keyUsage?.digitalSignature === false) return 'key_usage'
  if (purpose === 'svid' && keyUsage?.isCritical !== true) return 'key_usage'
  if (purposes === null) return null
  const needed = purpose === 'svid' ? [CLIENT_AUTH, SERVER_AUTH] : [CLIENT_AUTH]
  return needed.every((oid) => purposes.includes(oid)) ? null : 'purpose'
}

type Search = {
  readonly intermediates: readonly Certificate[]
  readonly roots: readonly Certificate[]
  readonly now: Seconds
  readonly byRoots: Checks
  readonly byPresented: Checks
  /** The first thing that stood in the way, for the log. */
  fault: ChainFault | null
}

type Checks = {
  left: number
  /** Of each pair whose signature was checked. */
  readonly verdicts: Map<Certificate, Map<Certificate, boolean>>
}

function freshChecks(): Checks {
  return { left: MAX_SIGNATURE_CHECKS, verdicts: new Map() }
}

// A chain is shown to every method in turn. What its own keys say is the same each time, and as dear as
// whoever made them likes; only what a method's roots say is new.
const amongPresented = new WeakMap<Certificate, Checks>()

function checksAmong(leaf: Certificate): Checks {
  const known = amongPresented.get(leaf) ?? freshChecks()
  amongPresented.set(leaf, known)
  return known
}

type Path = readonly Certificate[]

/** Depth first, roots before intermediates; a certificate is in a path once, so that no loop is one. */
async function extend(path: Path, search: Search): Promise<Path | null> {
  for (const root of search.roots) {
    if (await mayFollow(path, root, search)) return [...path, root]
  }
  // One place is left for the root.
  if (path.length + 1 >= MAX_PATH) return null
  for (const intermediate of search.intermediates) {
    if (path.some(({ der }) => sameBytes(der, intermediate.der))) continue
    if (!(await mayFollow(path, intermediate, search))) continue
    const found = await extend([...path, intermediate], search)
    if (found !== null) return found
  }
  return null
}

/** Whether the certificate issued the last of the path and may have all of the path below it. */
async function mayFollow(path: Path, issuer: Certificate, search: Search): Promise<boolean> {
  const child = path.at(-1)
  if (child === undefined || !mayHaveIssued(issuer, child)) return false
  // Names last: they are the dearest to compare, and only a real signature makes it worth it.
  const fault =
    issuerFault(path, issuer, search.now) ??
    (await signatureFault(child, issuer, search)) ??
    nameFault(path, issuer)
  search.fault ??= fault
  return fault === null
}

/** By names, byte for byte, and by key identifiers where both sides have one. */
export function mayHaveIssued(issuer: Certificate, child: Certificate): boolean {
  const { authorityKeyId } = child
  const { subjectKeyId } = issuer
  const isOtherKey =
    authorityKeyId !== null && subjectKeyId !== null && authorityKeyId !== subjectKeyId
  return !isOtherKey && sameBytes(issuer.subject, child.issuer)
}

function issuerFault(path: Path, issuer: Certificate, now: Seconds): ChainFault | null {
  if (!issuer.isCa || issuer.keyUsage?.keyCertSign === false) return 'not_a_ca'
  // §6.1.4 (l): certificates that renew a CA's own key do not count.
  const below = path.slice(1).filter(({ subject, issuer: by }) => !sameBytes(subject, by))
  if (issuer.pathLength !== null && below.length > issuer.pathLength) return 'path_length'
  // Not in RFC 5280, and what every verifier does: a CA with purposes has no others to give.
  if (issuer.extendedKeyUsage?.includes(CLIENT_AUTH) === false) return 'purpose'
  return commonFault(issuer, now)
}

function nameFault(path: Path, { nameConstraints }: Certificate): ChainFault | null {
  if (nameConstraints === null) return null
  const [leaf] = path
  const isWithin =
    path.every(({ names }) => satisfies(names, nameConstraints)) &&
    (leaf === undefined ||
      satisfies({ ...NO_NAMES, dns: hostsInSubject(leaf.subject) }, nameConstraints))
  return isWithin ? null : 'name_constraints'
}

function commonFault(certificate: Certificate, now: Seconds): ChainFault | null {
  if (certificate.hasUnknownCritical) return 'critical_extension'
  if (certificate.notBefore > now + CLOCK_SKEW_SECONDS) return 'not_yet_valid'
  return certificate.notAfter <= now - CLOCK_SKEW_SECONDS ? 'expired' : null
}

async function signatureFault(
  child: Certificate,
  issuer: Certificate,
  search: Search,
): Promise<ChainFault | null> {
  const checks = search.roots.includes(issuer) ? search.byRoots : search.byPresented
  const ofChild = checks.verdicts.get(child) ?? new Map<Certificate, boolean>()
  checks.verdicts.set(child, ofChild)
  const known = ofChild.get(issuer)
  if (known !== undefined) return known ? null : 'bad_signature'
  const algorithm = signatureAlgorithm(child)
  if (algorithm === null) return 'algorithm'
  const key = await keyOf(issuer)
  if (key === null) return 'weak_key'
  if (checks.left === 0) return 'too_complex'
  checks.left -= 1
  const isSigned = await key.verify(algorithm, child.tbs, child.signature)
  ofChild.set(issuer, isSigned)
  return isSigned ? null : 'bad_signature'
}

// Roots live as long as the policy or the bundle; presented certificates die with their request.
const keys = new WeakMap<Certificate, { readonly key: CertificateKey | null }>()

async function keyOf(certificate: Certificate): Promise<CertificateKey | null> {
  const known = keys.get(certificate)
  if (known !== undefined) return known.key
  const key = await certificateKey(certificate)
  keys.set(certificate, { key })
  return key
}
