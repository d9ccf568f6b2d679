// DER, as far as certificates need it (X.690 §§8-11): one spelling of a length and of a number, nothing
// after the end, no more depth than the caller's own steps. It throws MalformedDer, which the functions
// of this folder that are called from outside catch: a nested structure has too many places to fail in
// for each to answer by itself.

export class MalformedDer extends Error {
  override readonly name = 'MalformedDer'
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export type DerElement = {
  readonly tag: number
  readonly content: Uint8Array
  /** Tag and length included: what is compared and signed. */
  readonly whole: Uint8Array
}

/** No certificate has a member beyond 2^24 bytes; a longer length is an attack on a sum. */
const MAX_LENGTH_BYTES = 3

export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The next element, which must have the tag if one is named. */
  next(tag?: number): DerElement {
    const start = this.#at
    const found = this.#byte()
    // Tags beyond 30 do not occur here; their long form would be a second spelling.
    if ((found & 0x1f) === 0x1f || (tag !== undefined && found !== tag)) throw new MalformedDer()
    const length = this.#length()
    const contentAt = this.#at
    if (length > this.#bytes.length - contentAt) throw new MalformedDer()
    this.#at = contentAt + length
    return {
      tag: found,
      content: this.#bytes.subarray(contentAt, this.#at),
      whole: this.#bytes.subarray(start, this.#at),
    }
  }

  optional(tag: number): DerElement | null {
    return this.#bytes[this.#at] === tag ? this.next(tag) : null
  }

  /** A reader of what the next element, of this tag, holds. */
  inside(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** Every element that is left. */
  rest(tag?: number): readonly DerElement[] {
    const elements: DerElement[] = []
    while (!this.isAtEnd) elements.push(this.next(tag))
    return elements
  }

  end(): void {
    if (!this.isAtEnd) throw new MalformedDer()
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new MalformedDer()
    this.#at += 1
    return byte
  }

  /** Definite and minimal (X.690 §10.1). */
  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > MAX_LENGTH_BYTES) throw new MalformedDer()
    let length = 0
    for (let i = 0; i < count; i += 1) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (count - 1)) throw new MalformedDer()
    return length
  }
}

/** Runs a parser; null where the bytes are not what it expects. */
export function parsed<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch (error) {
    if (error instanceof MalformedDer) return null
    throw error
  }
}

/** The one element that the bytes are. */
export function only(bytes: Uint8Array, tag: number): Uint8Array {
  const reader = new DerReader(bytes)
  const { content } = reader.next(tag)
  reader.end()
  return content
}

/** Content of an INTEGER, minimal (X.690 §8.3.2); two's complement as it stands. */
export function integer(content: Uint8Array): Uint8Array {
  const [first, second = 0] = content
  if (first === undefined) throw new MalformedDer()
  const isPadded = (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)
  if (content.length > 1 && isPadded) throw new MalformedDer()
  return content
}

/** Magnitude of an INTEGER that is not negative, without the zero of its sign. */
export function unsigned(content: Uint8Array): Uint8Array {
  const bytes = integer(content)
  if ((bytes[0] ?? 0) >= 0x80) throw new MalformedDer()
  return bytes[0] === 0 && bytes.length > 1 ? bytes.subarray(1) : bytes
}

/** A small number that is not negative: a version, a path length, a salt length. */
export function small(content: Uint8Array): number {
  const bytes = unsigned(content)
  if (bytes.length > 2) throw new MalformedDer()
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0)
}

export function boolean(content: Uint8Array): boolean {
  const [value] = content
  if (content.length !== 1 || (value !== 0x00 && value !== 0xff)) throw new MalformedDer()
  return value === 0xff
}

/** Bits of a BIT STRING; those that are not used must be zero (X.690 §11.2.1). */
export function bits(content: Uint8Array): Uint8Array {
  const [unused = 8] = content
  const bytes = content.subarray(1)
  const last = bytes.at(-1) ?? 0
  if (unused > 7 || (bytes.length === 0 && unused > 0)) throw new MalformedDer()
  if ((last & ((1 << unused) - 1)) !== 0) throw new MalformedDer()
  return bytes
}

/** A BIT STRING of whole bytes: a signature, a key. */
export function wholeBytes(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw new MalformedDer()
  return bits(content)
}

/** Printable ASCII: no NUL or line break can end a name early. */
export function ascii(content: Uint8Array): string {
  const isPrintable = content.every((byte) => byte >= 0x20 && byte <= 0x7e)
  if (!isPrintable || content.length > MAX_TEXT_BYTES) throw new MalformedDer()
  return String.fromCharCode(...content)
}

/** Names are far shorter: a SPIFFE ID has 2048 at most. */
const MAX_TEXT_BYTES = 4_096

export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

/** UTCTime or GeneralizedTime in the one form of RFC 5280 §4.1.2.5: UTC, seconds, no fraction. */
export function time({ tag, content }: DerElement): number {
  const text = ascii(content)
  const isUtc = tag === TAG.utcTime
  if (!isUtc && tag !== TAG.generalizedTime) throw new MalformedDer()
  const digits = isUtc ? `${text < '50' ? '20' : '19'}${text}` : text
  const fields = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits)
  if (fields === null) throw new MalformedDer()
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = fields
    .slice(1)
    .map(Number)
  const ms = Date.UTC(year, month - 1, day, hour, minute, second)
  // 30 February and 24:00 would silently become another moment.
  const written = `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6, 8)}`
  const clock = `${digits.slice(8, 10)}:${digits.slice(10, 12)}:${digits.slice(12, 14)}`
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== `${written}T${clock}.000Z`) {
    throw new MalformedDer()
  }
  return ms / 1000
}
