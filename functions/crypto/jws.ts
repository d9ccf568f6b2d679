// Compact JWS, RFC 7515 §7.1, as the only form a token can have (RFC 8725bis §3.14). Takes a token
// apart and decides nothing: what comes out is untrusted until a VerificationKey has said yes.
import { Buffer } from 'node:buffer'
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { decodeDigits } from './base64url.ts'

export { ASYMMETRIC_ALGORITHMS, importVerificationKey, type VerificationKey } from './jwk.ts'

export type UntrustedJws = {
  readonly header: JsonObject
  readonly payload: JsonObject
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

/** A JWS whose payload is bytes; a JWT is one whose payload is a JSON object. */
export type UntrustedParts = Omit<UntrustedJws, 'payload'> & { readonly payload: Uint8Array }

export type JwsFault = { readonly reason: 'malformed' }

const DEFAULT_MAX_BYTES = 16_384

// Three non-empty parts: a JWE has five, an unsecured or detached JWS has an empty one, and `{`, `"`,
// `=` and white space are not in the alphabet (JB-02, JB-03).
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

// A byte order mark stays in the text, where it is a syntax error.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The JWT in `token`: header and payload are JSON objects without duplicate members. */
export function parseCompactJws(
  token: string,
  options: { readonly maxBytes?: number } = {},
): Result<UntrustedJws, JwsFault> {
  const parts = splitCompactJws(token, options)
  if (!parts.ok) return parts
  const payload = parseObject(parts.value.payload)
  if (payload === null) return fail({ reason: 'malformed' })
  return ok({ ...parts.value, payload })
}

/** The same for any payload. */
export function splitCompactJws(
  token: string,
  options: { readonly maxBytes?: number } = {},
): Result<UntrustedParts, JwsFault> {
  const malformed = fail({ reason: 'malformed' } as const)
  if (token.length > (options.maxBytes ?? DEFAULT_MAX_BYTES) || !COMPACT.test(token)) {
    return malformed
  }
  const headerEnd = token.indexOf('.')
  const payloadEnd = token.lastIndexOf('.')
  const headerBytes = decodeDigits(token.slice(0, headerEnd))
  const payload = decodeDigits(token.slice(headerEnd + 1, payloadEnd))
  const signature = decodeDigits(token.slice(payloadEnd + 1))
  if (headerBytes === null || payload === null || signature === null) return malformed
  const header = parseObject(headerBytes)
  if (header === null) return malformed
  const signingInput = asciiBytes(token.slice(0, payloadEnd))
  return ok({ header, payload, signingInput, signature })
}

/**
 * Header members that would have a verifier fetch a key, take one from the token, or apply a rule it
 * does not know: none of them is ever honoured, so a token that carries one is refused (JB-05, JB-10).
 */
const REFUSED_HEADER_MEMBERS: ReadonlySet<string> = new Set([
  'crit',
  'b64',
  'jku',
  'jwk',
  'x5u',
  'x5c',
  'zip',
  'enc',
])

/** The first header member that no token may carry, or null. */
export function refusedHeaderMember(header: JsonObject): string | null {
  return Object.keys(header).find((member) => REFUSED_HEADER_MEMBERS.has(member)) ?? null
}

function parseObject(bytes: Uint8Array): JsonObject | null {
  const text = decodeUtf8(bytes)
  if (text === null) return null
  const parsed = parseStrictJson(text)
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : null
}

/** Several times faster than a TextEncoder. */
function asciiBytes(text: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(text, 'latin1')
  return new Uint8Array(buffer, byteOffset, length)
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}
