// Certificates as text: PEM (RFC 7468), base64 in `x5c` (RFC 7517 §4.7), byte sequences of RFC 9440.

const BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** The bytes, or null where the text is not padded base64. */
export function decodeBase64(text: string): Uint8Array | null {
  if (!BASE64.test(text)) return null
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** Every certificate of the text in order, or null where a block is broken or something else is in it. */
export function decodePem(text: string): readonly Uint8Array[] | null {
  const blocks = [...text.matchAll(BLOCK)]
  // A key, or a block that the pattern did not take: whoever wrote it meant something.
  if (text.replace(BLOCK, '').includes('-----')) return null
  const ders: Uint8Array[] = []
  for (const [, body = ''] of blocks) {
    const der = decodeBase64(body.replace(/\s+/g, ''))
    if (der === null) return null
    ders.push(der)
  }
  return ders
}

/** `:base64:, :base64:` (RFC 9440 §2), or null. An empty text is no certificate. */
export function decodeByteSequences(text: string): readonly Uint8Array[] | null {
  if (text === '') return []
  const ders: Uint8Array[] = []
  for (const item of text.split(',')) {
    const body = /^ *:([A-Za-z0-9+/=]*): *$/.exec(item)?.[1]
    const der = body === undefined ? null : decodeBase64(body)
    if (der === null) return null
    ders.push(der)
  }
  return ders
}
