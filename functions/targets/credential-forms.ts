// The ways an answer can spell the injected credential (LEAK-4): as it is, and as the usual encodings
// write it. What is not listed here is not found: compressed bodies inside an uncompressed answer,
// encodings of single characters mixed at will, base64 folded into lines, pieces of the secret.
import { Buffer } from 'node:buffer'

/** Shorter secrets are looked for as they are only: their encodings would match by chance. */
const SHORT_BYTES = 8

/** Forms shorter than this would redact half of every answer. */
const SHORTEST_FORM_BYTES = 4

/** What JSON writers escape although RFC 8259 does not ask for it: Go, Python, both, .NET. */
const JSON_ESCAPED = [
  /[<>&]/,
  /[^\x20-\x7e]/,
  /[<>&]|[^\x20-\x7e]/,
  /[<>&'"`+]|[^\x20-\x7e]/,
] as const

/** No percent-encoding, JSON or HTML changes these; most tokens are made of nothing else. */
const UNESCAPED = /^[A-Za-z0-9._-]*$/

export type CredentialText = {
  readonly secret: string
  /** For `basic`: what RFC 7617 joins to the secret. */
  readonly username?: string
}

/** Every byte string that must not leave, without duplicates. */
export function credentialForms(credential: CredentialText): readonly Uint8Array[] {
  const forms = new Set<string>()
  for (const text of wholes(credential)) addForms(forms, text)
  if (credential.username !== undefined) {
    addBase64(forms, Buffer.from(`${credential.username}:${credential.secret}`, 'utf8'))
  }
  return [...forms]
    .filter((form) => form.length >= SHORTEST_FORM_BYTES)
    .map((form) => Buffer.from(form, 'latin1'))
}

/** `Token abc` also leaks as `abc`: the secret, and its words that are long enough to be one. */
function wholes({ secret }: CredentialText): readonly string[] {
  const words = secret.split(' ').filter((word) => Buffer.byteLength(word) >= SHORT_BYTES)
  return [secret, ...words]
}

/** Forms are kept as latin1 text, one character a byte, so that a Set tells them apart. */
function addForms(forms: Set<string>, text: string): void {
  const bytes = Buffer.from(text, 'utf8')
  forms.add(bytes.toString('latin1'))
  if (bytes.length < SHORT_BYTES) return
  addBase64(forms, bytes)
  addHex(forms, bytes.toString('hex'), text)
  if (!UNESCAPED.test(text)) {
    addPercent(forms, text)
    addJson(forms, text)
    addHtml(forms, text)
  }
  const utf16 = Buffer.from(text, 'utf16le')
  forms.add(utf16.toString('latin1'))
  forms.add(utf16.swap16().toString('latin1'))
}

function addText(forms: Set<string>, ...texts: readonly string[]): void {
  for (const text of texts) forms.add(Buffer.from(text, 'utf8').toString('latin1'))
}

/** By itself; and at each of the three alignments, only the characters that no neighbouring byte has a part in. */
function addBase64(forms: Set<string>, bytes: Buffer): void {
  forms.add(bytes.toString('base64'))
  forms.add(bytes.toString('base64url'))
  for (const before of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(before), bytes])
    const from = Math.ceil((before * 8) / 6)
    const to = Math.floor((shifted.length * 8) / 6)
    forms.add(shifted.toString('base64').slice(from, to))
    forms.add(shifted.toString('base64url').slice(from, to))
  }
}

/** Bytes as digits, and what writes every character as an escape. */
function addHex(forms: Set<string>, hex: string, text: string): void {
  const percent = hex.replace(/../g, '%$&')
  const escapes = Buffer.from(text, 'utf16le').swap16().toString('hex').replace(/.{4}/g, '\\u$&')
  for (const form of [hex, percent]) forms.add(form).add(form.toUpperCase())
  forms.add(escapes).add(escapes.toUpperCase().replaceAll('\\U', '\\u'))
}

function addPercent(forms: Set<string>, text: string): void {
  const loose = encodeURIComponent(text)
  const strict = loose.replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  for (const form of [loose, strict, strict.replaceAll('%20', '+')]) {
    addText(
      forms,
      form,
      form.replace(/%../g, (escape) => escape.toLowerCase()),
    )
  }
}

function addJson(forms: Set<string>, text: string): void {
  const plain = JSON.stringify(text).slice(1, -1)
  const escaped = JSON_ESCAPED.map((set) => text.replace(/[^]/g, (c) => jsonCharacter(c, set)))
  for (const form of [plain, ...escaped]) {
    const lower = form.replace(/\\u..../g, (escape) => escape.toLowerCase())
    addText(forms, form, lower, form.replaceAll('/', '\\/'), lower.replaceAll('/', '\\/'))
  }
}

function jsonCharacter(character: string, escaped: RegExp): string {
  if (!escaped.test(character)) return JSON.stringify(character).slice(1, -1)
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`
}

function addHtml(forms: Set<string>, text: string): void {
  const named = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  addText(
    forms,
    named,
    named.replaceAll('"', '&quot;').replaceAll("'", '&#39;'),
    named.replaceAll('"', '&quot;').replaceAll("'", '&#x27;'),
    named.replaceAll('"', '&#34;').replaceAll("'", '&#39;').replaceAll('+', '&#43;'),
  )
}
