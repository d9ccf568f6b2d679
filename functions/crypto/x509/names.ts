// Names in certificates: alternative names, the constraints on them, and distinguished names as text.
import ipaddr from 'ipaddr.js'
import { ascii, type DerElement, DerReader, hex, MalformedDer, only, parsed, TAG } from './der.ts'

export type AlternativeNames = {
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly email: readonly string[]
  readonly ip: readonly string[]
}

export const NO_NAMES: AlternativeNames = { dns: [], uri: [], email: [], ip: [] }

/**
 * Of one certificate, and of constraints in one list: each name is compared with each constraint, and a
 * hostile chain is full of both.
 */
const MAX_NAMES = 100

const EMAIL = 0x81
const DNS = 0x82
const URI = 0x86
const IP = 0x87
/** otherName, x400Address, directoryName, ediPartyName, registeredID: read past, never matched. */
const OTHER_NAMES = [0xa0, 0xa3, 0xa4, 0xa5, 0x88]

/** SubjectAltName (RFC 5280 §4.2.1.6). */
export function alternativeNames(value: Uint8Array): AlternativeNames {
  const elements = new DerReader(only(value, TAG.sequence)).rest()
  const known = [EMAIL, DNS, URI, IP, ...OTHER_NAMES]
  if (elements.length === 0 || elements.length > MAX_NAMES) throw new MalformedDer()
  if (elements.some(({ tag }) => !known.includes(tag))) throw new MalformedDer()
  const texts = (tag: number) =>
    elements.filter((element) => element.tag === tag).map(({ content }) => ascii(content))
  return {
    // One host has one name, in whatever case it was asked for (RFC 5280 §7.2).
    dns: texts(DNS).map((name) => name.toLowerCase()),
    uri: texts(URI),
    email: texts(EMAIL),
    ip: elements.filter(({ tag }) => tag === IP).map(({ content }) => addressText(content)),
  }
}

function addressText(content: Uint8Array): string {
  if (content.length !== 4 && content.length !== 16) throw new MalformedDer()
  return ipaddr.fromByteArray([...content]).toString()
}

export type Subtrees = { readonly dns: readonly string[]; readonly uri: readonly string[] }

export type NameConstraints = {
  readonly permitted: Subtrees
  readonly excluded: Subtrees
  /** False: it constrains names of another form, or in a way that is not defined here. */
  readonly isUnderstood: boolean
}

/** NameConstraints (RFC 5280 §4.2.1.10), for host names and URIs. */
export function nameConstraints(value: Uint8Array): NameConstraints {
  const reader = new DerReader(only(value, TAG.sequence))
  const permitted = subtrees(reader.optional(0xa0))
  const excluded = subtrees(reader.optional(0xa1))
  reader.end()
  const isUnderstood = permitted.isUnderstood && excluded.isUnderstood
  return { permitted, excluded, isUnderstood }
}

function subtrees(list: DerElement | null): Subtrees & { readonly isUnderstood: boolean } {
  const dns: string[] = []
  const uri: string[] = []
  let isUnderstood = true
  const elements = list === null ? [] : new DerReader(list.content).rest(TAG.sequence)
  if (elements.length > MAX_NAMES) throw new MalformedDer()
  for (const { content } of elements) {
    const reader = new DerReader(content)
    const base = reader.next()
    // `minimum` and `maximum` must not be used (§4.2.1.10).
    if (!reader.isAtEnd) isUnderstood = false
    if (base.tag === DNS) dns.push(ascii(base.content).toLowerCase())
    else if (base.tag === URI) uri.push(ascii(base.content).toLowerCase())
    else isUnderstood = false
  }
  return { dns, uri, isUnderstood }
}

/** Whether every DNS and URI name stays inside the constraints. */
export function satisfies(names: AlternativeNames, constraints: NameConstraints): boolean {
  const { permitted, excluded, isUnderstood } = constraints
  if (!isUnderstood) return false
  const dnsHolds = names.dns.every((name) => {
    const host = name.toLowerCase()
    const isIn = (base: string) => isHostWithin(host, base)
    return holds(permitted.dns, excluded.dns, isIn)
  })
  return (
    dnsHolds &&
    names.uri.every((uri) => {
      const host = hostOfUri(uri)
      const isIn = (base: string) => host !== null && isUriHostWithin(host, base)
      if (host === null && permitted.uri.length + excluded.uri.length > 0) return false
      return holds(permitted.uri, excluded.uri, isIn)
    })
  )
}

function holds(
  permitted: readonly string[],
  excluded: readonly string[],
  isIn: (base: string) => boolean,
): boolean {
  return (permitted.length === 0 || permitted.some(isIn)) && !excluded.some(isIn)
}

/** A DNS base holds itself and all below; with a leading dot, only what is below. */
function isHostWithin(host: string, base: string): boolean {
  if (base === '') return true
  return base.startsWith('.') ? host.endsWith(base) : host === base || host.endsWith(`.${base}`)
}

/** A URI base is one host; with a leading dot, every host below. */
function isUriHostWithin(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) : host === base
}

/** Null where there is no host name: such a URI cannot be shown to be inside any constraint. */
function hostOfUri(uri: string): string | null {
  return (
    /^[a-z][a-z0-9+.-]*:\/\/([a-z0-9._-]+)(?::\d*)?(?:[/?#]|$)/i.exec(uri)?.[1]?.toLowerCase() ??
    null
  )
}

/** Short names of RFC 4514 §3, and the two others that OpenSSL prints in this form. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  '550403': 'CN',
  '550405': 'serialNumber',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '550409': 'street',
  '55040a': 'O',
  '55040b': 'OU',
  '0992268993f22c640119': 'DC',
  '0992268993f22c640101': 'UID',
  '2a864886f70d010901': 'emailAddress',
}

const TEXT_TAGS: readonly number[] = [TAG.utf8String, TAG.printableString, TAG.ia5String]

/** A Name as RFC 4514 writes it, last RDN first; as does
 * `openssl x509 -nameopt RFC2253,utf8`. */
export function distinguishedName(name: Uint8Array): string | null {
  return parsed(() =>
    new DerReader(only(name, TAG.sequence))
      .rest(TAG.set)
      .toReversed()
      .map(({ content }) => new DerReader(content).rest(TAG.sequence).map(attribute).join('+'))
      .join(','),
  )
}

const COMMON_NAME = '550403'
/** With a dot, as openssl has it: `agent-7` is nobody's host. */
const HOST = /^[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_-]+)+$/

/**
 * Common names that read as host names. Constraints on hosts hold for them too, although RFC 5280 does
 * not say so: a subject is matched as well, and whoever may name the hosts of one domain only could
 * otherwise name any host there.
 */
export function hostsInSubject(subject: Uint8Array): readonly string[] {
  const hosts = parsed(() =>
    new DerReader(only(subject, TAG.sequence)).rest(TAG.set).flatMap(({ content }) =>
      new DerReader(content).rest(TAG.sequence).flatMap((element) => {
        const reader = new DerReader(element.content)
        const isCommonName = hex(reader.next(TAG.oid).content) === COMMON_NAME
        const text = isCommonName ? (utf8(reader.next().content) ?? '').toLowerCase() : ''
        return HOST.test(text) ? [text] : []
      }),
    ),
  )
  return hosts ?? []
}

function attribute({ content }: DerElement): string {
  const reader = new DerReader(content)
  const type = reader.next(TAG.oid).content
  const value = reader.next()
  reader.end()
  const name = ATTRIBUTES[hex(type)]
  const text = TEXT_TAGS.includes(value.tag) ? utf8(value.content) : null
  // What has no name or no text is written in hex, so that no two values look the same (§2.4).
  if (name === undefined || text === null) return `${name ?? dotted(type)}=#${hex(value.whole)}`
  return `${name}=${escaped(text)}`
}

function utf8(content: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return null
  }
}

function escaped(text: string): string {
  return text
    .replace(/[,+"\\<>;]/g, '\\$&')
    .replace(/ $/, '\\ ')
    .replace(/^[# ]/, '\\$&')
    .replace(/\p{Cc}/gu, escapedControl)
}

function escapedControl(control: string): string {
  let text = ''
  for (const byte of new TextEncoder().encode(control)) text += `\\${hex(Uint8Array.of(byte))}`
  return text
}

/** Components beyond 2^53 are rounded, which no attribute type has. */
function dotted(oid: Uint8Array): string {
  const arcs: number[] = []
  let arc = 0
  for (const byte of oid) {
    arc = arc * 128 + (byte & 0x7f)
    if (byte >= 0x80) continue
    arcs.push(arc)
    arc = 0
  }
  const [first = 0, ...rest] = arcs
  const root = Math.min(Math.floor(first / 40), 2)
  return [root, first - root * 40, ...rest].join('.')
}
