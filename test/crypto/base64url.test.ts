import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase64url, encodeBase64url } from '../../functions/crypto/base64url.ts'

describe('base64url', () => {
  it('writes and reads what Node writes and reads, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64url')
        expect(encodeBase64url(bytes)).toBe(text)
        expect(decodeBase64url(text)).toEqual(new Uint8Array(bytes))
      }),
    )
  })

  it('takes exactly one spelling of each byte string', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        const bytes = decodeBase64url(text)
        if (bytes !== null) expect(encodeBase64url(bytes)).toBe(text)
      }),
    )
  })

  it.each([
    'A',
    'AAAAA',
    'AA==',
    'AAA=',
    'AB',
    'AAB',
    'A+',
    'A/',
    'A A',
    'AA\n',
    'Ａ',
    'AA\u0141',
    'AA.',
  ])('refuses padding, foreign characters, impossible lengths and spare bits: %j', (text) => {
    expect(decodeBase64url(text)).toBeNull()
  })
})
