// base64url without padding, RFC 4648 §5. The decoder takes exactly one spelling of each byte string:
// a second spelling of a signature would be a second token with the same meaning.
import { Buffer } from 'node:buffer'

/** The runtimes' own decoders skip or translate whatever is not in it. */
const DIGITS = /^[A-Za-z0-9_-]*$/

/** Last digits whose spare bits are zero, by the number of digits beyond the last four. */
const LAST_OF_TWO = 'AQgw'
const LAST_OF_THREE = 'AEIMQUYcgkosw048'

/** The bytes, or null for padding, foreign characters, impossible lengths and non-zero spare bits. */
export function decodeBase64url(text: string): Uint8Array<ArrayBuffer> | null {
  return DIGITS.test(text) ? decodeDigits(text) : null
}

/** The same for a text that has been found to hold nothing but digits of the alphabet. */
export function decodeDigits(digits: string): Uint8Array<ArrayBuffer> | null {
  const beyond = digits.length % 4
  const last = digits.charAt(digits.length - 1)
  if (beyond === 1) return null
  if (beyond === 2 && !LAST_OF_TWO.includes(last)) return null
  if (beyond === 3 && !LAST_OF_THREE.includes(last)) return null
  const { buffer, byteOffset, length } = Buffer.from(digits, 'base64url')
  return new Uint8Array(buffer, byteOffset, length)
}

export function encodeBase64url({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('base64url')
}
