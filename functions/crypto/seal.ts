// Seals what must not be read from the store (signing keys, target secrets) under the KEK, with
// AES-256-GCM. The purpose is authenticated with the value, so that a sealed row copied into the place
// of another does not open there. Must never fall back to plaintext.
import { decodeBase64url, encodeBase64url } from './base64url.ts'

export interface Sealer {
  /** `v1.<key id>.<nonce>.<ciphertext and tag>`, base64url; always under the current KEK. */
  seal(purpose: string, plaintext: string): Promise<string>
  /** Null for whatever was not sealed for this purpose under the current or the previous KEK. */
  open(
    purpose: string,
    sealed: string,
  ): Promise<{ readonly plaintext: string; readonly usedPrevious: boolean } | null>
}

const VERSION = 'v1'
const KEK_BYTES = 32
/** Random 96-bit nonces: SP 800-38D §8.3 allows 2^32 of them for one key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const FORMAT = /^v1\.([A-Za-z0-9_-]{11})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)$/

/** WebCrypto's key, under the name that every runtime's types share. */
type ImportedKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

type Kek = { readonly id: string; readonly key: ImportedKey }

/** Keys are copied at the call; they are imported once, at the first use. */
export function createSealer(keks: {
  readonly kek: Uint8Array
  readonly kekPrevious: Uint8Array | null
}): Sealer {
  const current = lazily(copyOf(keks.kek))
  const previous = keks.kekPrevious === null ? null : lazily(copyOf(keks.kekPrevious))

  return {
    async seal(purpose, plaintext) {
      const { id, key } = await current()
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
      const ciphertext = await crypto.subtle.encrypt(
        parameters(nonce, purpose),
        key,
        new TextEncoder().encode(plaintext),
      )
      return `${VERSION}.${id}.${encodeBase64url(nonce)}.${encodeBase64url(new Uint8Array(ciphertext))}`
    },

    async open(purpose, sealed) {
      const [, keyId, nonce, ciphertext] = FORMAT.exec(sealed) ?? []
      if (keyId === undefined || nonce === undefined || ciphertext === undefined) return null
      const first = await current()
      if (keyId === first.id) {
        const plaintext = await decrypt(first.key, purpose, nonce, ciphertext)
        return plaintext === null ? null : { plaintext, usedPrevious: false }
      }
      const second = await previous?.()
      if (second === undefined || keyId !== second.id) return null
      const plaintext = await decrypt(second.key, purpose, nonce, ciphertext)
      return plaintext === null ? null : { plaintext, usedPrevious: true }
    },
  }
}

async function decrypt(
  key: ImportedKey,
  purpose: string,
  nonce: string,
  ciphertext: string,
): Promise<string | null> {
  const iv = decodeBase64url(nonce)
  const bytes = decodeBase64url(ciphertext)
  if (iv === null || bytes === null || bytes.length < TAG_BYTES) return null
  try {
    const opened = await crypto.subtle.decrypt(parameters(iv, purpose), key, bytes)
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(opened)
  } catch {
    // WebCrypto says OperationError for a tag that does not fit, and nothing that would tell more.
    return null
  }
}

/** The version and the purpose are bound to the ciphertext: another row's value does not open here. */
function parameters(iv: Uint8Array<ArrayBuffer>, purpose: string) {
  const additionalData = new TextEncoder().encode(`sallyport ${VERSION} ${purpose}`)
  return { name: 'AES-GCM', iv, additionalData, tagLength: TAG_BYTES * 8 }
}

function copyOf(kek: Uint8Array): Uint8Array<ArrayBuffer> {
  if (kek.length !== KEK_BYTES) throw new RangeError(`a KEK has ${KEK_BYTES} bytes`)
  return new Uint8Array(kek)
}

function lazily(bytes: Uint8Array<ArrayBuffer>): () => Promise<Kek> {
  let imported: Promise<Kek> | null = null
  return () => (imported ??= importKek(bytes))
}

async function importKek(bytes: Uint8Array<ArrayBuffer>): Promise<Kek> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const key = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
  return { id: encodeBase64url(digest.subarray(0, 8)), key }
}
