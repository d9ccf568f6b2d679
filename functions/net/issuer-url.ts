// What an issuer, a JWKS URL or a bundle endpoint may look like when it is saved (JW-02). An issuer is
// compared as text and fetched as a URL, so it must have one spelling for both.
import { hostRefusal } from './addresses.ts'
import type { Reach } from './outbound.ts'

const MAX_CHARACTERS = 255
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/
/** Separators and dot segments in disguise: servers disagree on what they mean. */
const ENCODED_PATH = /%(?:2e|2f|5c|00)/i

/** Why the URL cannot be the issuer of an Auth Method, as a stable word, or null when it can. */
export function issuerUrlMistake(url: string, reach: Reach): string | null {
  return textMistake(url) ?? parsedMistake(url, reach)
}

function textMistake(url: string): string | null {
  if (url.length > MAX_CHARACTERS) return 'too_long'
  if (!PRINTABLE_ASCII.test(url)) return 'not_ascii'
  if (url.includes('?')) return 'query'
  if (url.includes('#')) return 'fragment'
  if (url.includes('@')) return 'userinfo'
  if (url.includes('\\') || ENCODED_PATH.test(url)) return 'path'
  return null
}

function parsedMistake(url: string, reach: Reach): string | null {
  if (!URL.canParse(url)) return 'not_a_url'
  const parsed = new URL(url)
  const refusal = hostRefusal(parsed, reach)
  if (refusal !== null) return refusal
  if (parsed.pathname.includes('//')) return 'path'
  // Upper case, default ports, dot segments, numeric hosts: whatever the parser had to mend.
  if (parsed.href !== url && parsed.href !== `${url}/`) return 'not_canonical'
  return null
}
