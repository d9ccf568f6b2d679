// Finds the injected credential in an answer and takes it out, at any chunking (LEAK-4). A multi-pattern
// search (Wu and Manber 1994) that skips most bytes; only what may be the start of a form is held back,
// so that an event of a stream is not delayed.
import { Buffer } from 'node:buffer'
import { credentialForms, type CredentialText } from './credential-forms.ts'

const MARK = Buffer.from('[redacted]', 'latin1')

/** The shift table is indexed by a hash of two bytes; 4 KiB stay in the first-level cache. */
const TABLE_SIZE = 4096

type Hit = { readonly start: number; readonly end: number }

export class CredentialScan {
  readonly #shift = new Uint8Array(TABLE_SIZE)
  readonly #startsForm = new Uint8Array(256)
  /** Forms by the hash of the last two bytes of their window, longest first. */
  readonly #byWindow = new Map<number, Uint8Array[]>()
  readonly #forms: readonly Uint8Array[]
  readonly #window: number
  readonly #longest: number

  constructor(credential: CredentialText) {
    this.#forms = [...credentialForms(credential)].sort((a, b) => b.length - a.length)
    const lengths = this.#forms.map((form) => form.length)
    this.#longest = Math.max(0, ...lengths)
    this.#window = Math.min(256, ...lengths)
    this.#shift.fill(this.#window - 1)
    for (const form of this.#forms) this.#enter(form)
  }

  #enter(form: Uint8Array): void {
    this.#startsForm[form[0] ?? 0] = 1
    const last = this.#window - 1
    for (let i = 1; i <= last; i++) {
      const hash = hashOf(form, i)
      this.#shift[hash] = Math.min(this.#shift[hash] ?? 0, last - i)
    }
    const key = hashOf(form, last)
    const sharing = this.#byWindow.get(key)
    if (sharing === undefined) this.#byWindow.set(key, [form])
    else sharing.push(form)
  }

  /** A scan of one body. */
  begin(): BodyRedaction {
    return new BodyRedaction(this)
  }

  /** One header value, which is a string of bytes. */
  redactText(text: string): { readonly text: string; readonly found: boolean } {
    const redaction = this.begin()
    const bytes = Buffer.from(text, 'utf8')
    const pieces = [...redaction.push(bytes), ...redaction.end()]
    if (!redaction.found) return { text, found: false }
    return { text: Buffer.concat(pieces).toString('utf8'), found: true }
  }

  /** The leftmost form in `bytes` from `from`, the longest of those that start there. */
  find(bytes: Uint8Array, from: number): Hit | null {
    const last = this.#window - 1
    const shift = this.#shift
    let at = from + last
    while (at < bytes.length) {
      const skip = shift[hashOf(bytes, at)] ?? 0
      if (skip > 0) {
        at += skip
        continue
      }
      const hit = this.#match(bytes, at - last, hashOf(bytes, at))
      if (hit !== null) return hit
      at++
    }
    return null
  }

  #match(bytes: Uint8Array, start: number, hash: number): Hit | null {
    for (const form of this.#byWindow.get(hash) ?? []) {
      const end = start + form.length
      if (end <= bytes.length && agrees(form, bytes, start, end)) return { start, end }
    }
    return null
  }

  /** Where the first form may begin that `bytes` ends too early to tell; its length when none does. */
  firstOpen(bytes: Uint8Array, from: number): number {
    const end = bytes.length
    for (let start = Math.max(from, end - this.#longest + 1); start < end; start++) {
      if (this.#startsForm[bytes[start] ?? 0] === 0) continue
      for (const form of this.#forms) {
        if (form.length > end - start && agrees(form, bytes, start, end)) return start
      }
    }
    return end
  }

  /** Whether no form that starts at or before `start` can still be undecided. */
  isDecided(bytes: Uint8Array, start: number): boolean {
    return start + this.#longest <= bytes.length
  }
}

function hashOf(bytes: Uint8Array, at: number): number {
  return (((bytes[at - 1] ?? 0) << 4) ^ (bytes[at] ?? 0)) & (TABLE_SIZE - 1)
}

function agrees(form: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (form[i - start] !== bytes[i]) return false
  return true
}

/** The result does not depend on how the body was cut into chunks. */
export class BodyRedaction {
  found = false
  readonly #scan: CredentialScan
  #carry: Uint8Array | null = null

  constructor(scan: CredentialScan) {
    this.#scan = scan
  }

  /** What may be released after this chunk. */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    return this.#step(this.#carry === null ? chunk : Buffer.concat([this.#carry, chunk]), false)
  }

  /** What was held back, now that nothing follows. */
  end(): readonly Uint8Array[] {
    const rest = this.#carry
    return rest === null ? [] : this.#step(rest, true)
  }

  #step(bytes: Uint8Array, isEnd: boolean): readonly Uint8Array[] {
    const pieces: Uint8Array[] = []
    let from = 0
    let open = bytes.length
    for (;;) {
      const hit = this.#scan.find(bytes, from)
      if (hit === null || !(isEnd || this.#scan.isDecided(bytes, hit.start))) {
        open = isEnd ? bytes.length : this.#scan.firstOpen(bytes, from)
        if (hit === null || hit.start >= open) break
      }
      if (hit.start > from) pieces.push(bytes.subarray(from, hit.start))
      // A copy: a consumer may detach the buffer of a chunk it was given.
      pieces.push(new Uint8Array(MARK))
      this.found = true
      from = hit.end
    }
    if (open > from) pieces.push(bytes.subarray(from, open))
    this.#carry = open < bytes.length ? new Uint8Array(bytes.subarray(open)) : null
    return pieces
  }
}
