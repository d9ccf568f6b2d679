// base64url without padding, RFC 4648 §5. The decoder takes exactly one spelling of each byte string:
// a second spelling of a signature would be a second token with the same meaning.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const NOT_A_DIGIT = 64

const VALUES = new Uint8Array(128).fill(NOT_A_DIGIT)
for (let value = 0; value < 64; value += 1) VALUES[ALPHABET.charCodeAt(value)] = value

/** The bytes, or null for padding, foreign characters, impossible lengths and non-zero spare bits. */
export function decodeBase64url(text: string): Uint8Array<ArrayBuffer> | null {
  const spare = text.length % 4
  if (spare === 1) return null
  const bytes = new Uint8Array((text.length * 3) >> 2)
  let held = 0
  let bits = 0
  let length = 0
  for (let at = 0; at < text.length; at += 1) {
    const value = VALUES[text.charCodeAt(at)] ?? NOT_A_DIGIT
    if (value === NOT_A_DIGIT) return null
    held = ((held << 6) | value) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[length] = held >> bits
      length += 1
    }
  }
  const leftOver = held & ((1 << bits) - 1)
  return leftOver === 0 ? bytes : null
}

export function encodeBase64url(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff
    bits += 8
    while (bits >= 6) {
      bits -= 6
      text += ALPHABET[(held >> bits) & 63] ?? ''
    }
  }
  return bits === 0 ? text : text + (ALPHABET[(held << (6 - bits)) & 63] ?? '')
}
