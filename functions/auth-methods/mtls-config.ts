// The `config` of mtls: which CAs, and which of their certificates. A CA alone admits everybody it ever
// signs for, so something that names the caller must be configured as well.
import ipaddr from 'ipaddr.js'
import { globMatches, globMistake, isPlainText } from '../core/claim-match.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { claimsToBeSpiffeId } from '../core/spiffe-id.ts'
import { type Certificate, parseCertificate } from '../crypto/x509/certificate.ts'
import { decodePem } from '../crypto/x509/pem.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { type MatchRules, readMatch } from './jwt-config.ts'

const MEMBERS = ['ca', 'subjects', 'sans', 'fingerprints', 'match']
const MAX_VALUES = 256
const MAX_LENGTH = 2048
const MAX_CAS = 32

/** In the order in which they name the caller. */
export const SAN_KINDS = ['uri', 'dns', 'email', 'ip'] as const
type SanKind = (typeof SAN_KINDS)[number]

export type MtlsConfig = {
  /** Empty where certificates are pinned by fingerprint alone. */
  readonly cas: readonly Certificate[]
  /** Every kind that is here must match, and no other kind counts (CA-08). */
  readonly sans: readonly (readonly [SanKind, readonly string[]])[]
  readonly subjects: readonly string[] | null
  readonly fingerprints: readonly string[] | null
  readonly match: MatchRules
}

export function readMtls(method: AuthMethodPolicy): {
  readonly reader: ConfigReader
  readonly config: MtlsConfig
} {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const config = {
    cas: readCas(reader),
    subjects: readList(reader, 'subjects', nameMistake),
    sans: readSans(reader),
    fingerprints: readFingerprints(reader),
    match: readMatch(reader),
  }
  const has = (member: string) => reader.get(member) !== undefined
  if (!has('subjects') && !has('sans') && !has('fingerprints')) {
    const message = 'admits whatever its CAs sign: must have subjects, sans or fingerprints'
    reader.note({ code: 'unsafe', message })
  }
  if (!has('ca') && !has('fingerprints')) {
    reader.note({ code: 'required', message: 'is required, or `fingerprints`' }, 'ca')
  }
  return { reader, config }
}

function readCas(reader: ConfigReader): readonly Certificate[] {
  const pem = reader.text('ca', () => null)
  if (pem === undefined) return []
  const ders = decodePem(pem)
  if (ders === null || ders.length === 0 || ders.length > MAX_CAS) {
    const message = `must be PEM of 1 to ${MAX_CAS} certificates and nothing else`
    reader.note({ code: 'format', message }, 'ca')
    return []
  }
  const cas = ders.map(parseCertificate).flatMap((ca) => (ca.ok && ca.value.isCa ? [ca.value] : []))
  if (cas.length < ders.length) {
    // A leaf among the CAs is trusted as itself alone, which is what a fingerprint says (CVE-2024-2048).
    const message = 'must hold CA certificates; a single certificate goes into `fingerprints`'
    reader.note({ code: 'unsafe', message }, 'ca')
  }
  return cas
}

function readList(
  reader: ConfigReader,
  member: string,
  mistakeOf: (text: string) => Mistake | null,
): readonly string[] | null {
  if (reader.get(member) === undefined) return null
  return reader.texts(member, { maxItems: MAX_VALUES, mistakeOf })
}

function nameMistake(text: string): Mistake | null {
  if (text !== '' && text.length <= MAX_LENGTH && isPlainText(text)) return null
  return {
    code: 'format',
    message: `must have 1 to ${MAX_LENGTH} characters, no control characters`,
  }
}

/** As openssl prints it (`AB:CD:…`) or plain hex. */
function readFingerprints(reader: ConfigReader): readonly string[] | null {
  const plain = (text: string) => text.replaceAll(':', '').toLowerCase()
  const listed = readList(reader, 'fingerprints', (text) =>
    /^[0-9a-f]{64}$/.test(plain(text))
      ? null
      : { code: 'format', message: 'must be the SHA-256 of the whole certificate, in hex' },
  )
  return listed?.map(plain) ?? null
}

function readSans(reader: ConfigReader): MtlsConfig['sans'] {
  const value = reader.get('sans')
  if (value === undefined) return []
  if (!isJsonObject(value) || Object.keys(value).length === 0) {
    reader.note({ code: 'type', message: `must be an object of ${SAN_KINDS.join(', ')}` }, 'sans')
    return []
  }
  const inner = new ConfigReader(value)
  inner.allowOnly(SAN_KINDS)
  const sans = SAN_KINDS.flatMap((kind) => {
    const list = readList(
      inner,
      kind,
      (text) => nameMistake(text) ?? SAN_RULES[kind].mistakeOf(text),
    )
    return list === null ? [] : [[kind, list] as const]
  })
  reader.adopt(inner, 'sans')
  return sans
}

type SanRule = {
  readonly mistakeOf: (pattern: string) => Mistake | null
  readonly matches: (pattern: string, name: string) => boolean
}

export const SAN_RULES: Readonly<Record<SanKind, SanRule>> = {
  uri: { mistakeOf: uriMistake, matches: globMatches },
  dns: { mistakeOf: dnsMistake, matches: dnsMatches },
  // A mailbox is compared as it is written: what is before the `@` has no other form (RFC 5321 §2.4).
  email: {
    mistakeOf: (text) =>
      text.includes('*') ? { code: 'unsafe', message: 'is compared exactly; no wildcard' } : null,
    matches: (pattern, name) => pattern === name,
  },
  ip: { mistakeOf: addressMistake, matches: (pattern, name) => pattern === name },
}

function uriMistake(pattern: string): Mistake | null {
  if (claimsToBeSpiffeId(pattern)) {
    return { code: 'unsafe', message: 'is a SPIFFE ID, which only `spiffe-x509` can verify' }
  }
  return globMistake(pattern)
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/

/** `*` is one whole label, and two that are literal end the pattern: `*.agents.example`. */
function dnsMistake(pattern: string): Mistake | null {
  const labels = pattern.split('.')
  if (!labels.every((label) => label === '*' || LABEL.test(label))) {
    return { code: 'format', message: 'must be a host name in lower case; `*` is a whole label' }
  }
  if (
    pattern.includes('*') &&
    labels.slice(-2).some((label) => label === '*' || labels.length < 3)
  ) {
    return { code: 'unsafe', message: 'is an open pattern: must end in two literal labels' }
  }
  return null
}

function dnsMatches(pattern: string, name: string): boolean {
  const wanted = pattern.split('.')
  const got = name.toLowerCase().split('.')
  // A wildcard in the certificate is no host, and matches nothing.
  if (wanted.length !== got.length || !got.every((label) => LABEL.test(label))) return false
  return wanted.every((label, i) => label === '*' || label === got[i])
}

function addressMistake(text: string): Mistake | null {
  if (ipaddr.isValid(text) && ipaddr.parse(text).toString() === text) return null
  return { code: 'format', message: 'must be an IP address in its shortest form' }
}
