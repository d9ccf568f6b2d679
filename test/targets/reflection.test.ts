import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { credentialForms } from '../../functions/targets/credential-forms.ts'
import { CredentialScan } from '../../functions/targets/reflection.ts'

const SECRET = 'canary-7f3A/+9q"x&<Zé=wQ'
const PLAIN = 'sk_live_51H8xCanaryKeyZq0'

function redact(scan: CredentialScan, chunks: readonly Uint8Array[]): string {
  const redaction = scan.begin()
  const pieces = chunks.flatMap((chunk) => [...redaction.push(chunk)])
  return Buffer.concat([...pieces, ...redaction.end()]).toString('latin1')
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length))
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const SPELLINGS: readonly (readonly [string, (secret: string) => string])[] = [
  ['as it is', (s) => s],
  ['base64', base64],
  ['base64, one byte in', (s) => base64(`x${s}`)],
  ['base64, two bytes in, with a tail', (s) => base64(`xy${s}tail`)],
  ['base64url in JSON', (s) => Buffer.from(`{"k":"${s}"}`).toString('base64url')],
  ['percent-encoded', encodeURIComponent],
  [
    'percent-encoded, lower case',
    (s) => encodeURIComponent(s).replace(/%../g, (x) => x.toLowerCase()),
  ],
  ['percent-encoded throughout', (s) => Buffer.from(s).toString('hex').replace(/../g, '%$&')],
  ['as a form', (s) => new URLSearchParams({ s }).toString().slice(2)],
  ['as JSON', (s) => JSON.stringify(s)],
  ['as JSON of PHP', (s) => JSON.stringify(s).replaceAll('/', '\\/')],
  [
    'as JSON of Go',
    (s) => JSON.stringify(s).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`),
  ],
  [
    'as JSON escapes throughout',
    (s) => [...s].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  ],
  ['hex', (s) => Buffer.from(s).toString('hex')],
  ['hex, upper case', (s) => Buffer.from(s).toString('hex').toUpperCase()],
  ['as HTML', (s) => s.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')],
  ['UTF-16', (s) => Buffer.from(s, 'utf16le').toString('latin1')],
]

describe('LEAK-4 the injected credential in an answer', () => {
  for (const [name, spell] of SPELLINGS) {
    for (const secret of [SECRET, PLAIN]) {
      test(`is found ${name} (${secret === PLAIN ? 'plain' : 'with special characters'})`, () => {
        const scan = new CredentialScan({ secret })
        const isLatin1 = name === 'UTF-16'
        const body = Buffer.from(`before ${spell(secret)} after`, isLatin1 ? 'latin1' : 'utf8')
        const out = redact(scan, [body])
        expect(out).toContain('[redacted]')
        expect(out.startsWith('before ')).toBe(true)
        expect(out.endsWith(' after')).toBe(true)
        for (const form of credentialForms({ secret })) {
          expect(out).not.toContain(Buffer.from(form).toString('latin1'))
        }
      })
    }
  }

  test('is found as the whole value of Basic, and inside it', () => {
    const scan = new CredentialScan({ secret: PLAIN, username: 'bot' })
    expect(redact(scan, [Buffer.from(`Basic ${base64(`bot:${PLAIN}`)}`)])).toMatch(
      /^Basic \[redacted\]=*$/,
    )
    expect(redact(scan, [Buffer.from(PLAIN)])).toBe('[redacted]')
  })

  test('is found without the scheme that a header carries it with', () => {
    const scan = new CredentialScan({ secret: `Token ${PLAIN}` })
    expect(redact(scan, [Buffer.from(`the key ${PLAIN} is unknown`)])).toBe(
      'the key [redacted] is unknown',
    )
  })

  test('is taken out the same way however the body is cut into chunks', () => {
    const scan = new CredentialScan({ secret: SECRET, username: 'bot' })
    const forms = credentialForms({ secret: SECRET, username: 'bot' }).map((f) => Buffer.from(f))
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(...forms),
      // The beginnings of forms: what a scan is led astray by.
      fc.constantFrom(...forms).chain((f) => fc.nat(f.length).map((n) => f.subarray(0, n))),
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }).map((pieces) => Buffer.concat(pieces)),
        fc.array(fc.nat(4000), { maxLength: 20 }),
        (body, cuts) => {
          const whole = redact(scan, [body])
          expect(redact(scan, cut(body, cuts))).toBe(whole)
          for (const form of forms) expect(whole).not.toContain(form.toString('latin1'))
        },
      ),
      { numRuns: 400 },
    )
  })

  test('is taken out when every byte is a chunk', () => {
    const scan = new CredentialScan({ secret: PLAIN })
    const body = Buffer.from(`a${PLAIN}b${PLAIN}${PLAIN}c${PLAIN.slice(0, -1)}`)
    const bytes = [...body].map((byte) => Uint8Array.of(byte))
    expect(redact(scan, bytes)).toBe(`a[redacted]b[redacted][redacted]c${PLAIN.slice(0, -1)}`)
  })

  test('leaves a body without it as it is, and holds nothing back that cannot begin it', () => {
    const scan = new CredentialScan({ secret: PLAIN })
    const event = Buffer.from('data: {"token":"hello"}\n\n')
    const redaction = scan.begin()
    expect(Buffer.concat(redaction.push(event)).equals(event)).toBe(true)
    expect(redaction.end()).toEqual([])
    expect(redaction.found).toBe(false)
  })

  test('is looked for only as it is when it is short', () => {
    const forms = credentialForms({ secret: 'abcde' }).map((f) => Buffer.from(f).toString())
    expect(forms).toEqual(['abcde'])
  })

  test('is found in a header value', () => {
    const scan = new CredentialScan({ secret: PLAIN })
    expect(scan.redactText(`id=${PLAIN}`)).toEqual({ text: 'id=[redacted]', found: true })
    expect(scan.redactText('id=1')).toEqual({ text: 'id=1', found: false })
  })
})
