// The one canonical form of a path: what is checked is what is sent. Whatever two parsers could
// read differently is refused, never repaired (reliability.md G-5).

export type PathOptions = {
  /** `%2F` inside a segment, as in GitLab's project ids. Dot segments stay refused around it. */
  readonly allowEncodedSlash: boolean
  /** `;` parameters, sent as they are; servers that strip them see another path than the policy. */
  readonly allowSemicolon: boolean
  /** `//` inside the path, as in object stores. Never at the beginning. */
  readonly allowEmptySegments: boolean
}

export const STRICT_PATH: PathOptions = {
  allowEncodedSlash: false,
  allowSemicolon: false,
  allowEmptySegments: false,
}

export type Canonical =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly reason: string }

const MAX_PATH_CHARACTERS = 4_096

/**
 * Unreserved characters (RFC 3986 §2.3), which may be written either way: they lose their encoding.
 */
const UNRESERVED = /^[A-Za-z0-9\-._~]$/
/** May be written raw but is no `pchar`; gets the encoding that every URL parser can agree on. */
const ENCODED_WHEN_RAW = /["<>[\]^`{|}*]/g

/** Canonical form of a raw path that begins with `/`; '' is the root. */
export function canonicalPath(rawPath: string, options: PathOptions): Canonical {
  const path = rawPath === '' ? '/' : rawPath
  if (path.length > MAX_PATH_CHARACTERS) return refuse('path_too_long')
  if (!path.startsWith('/')) return refuse('path_not_absolute')
  const raw = rawMistake(path)
  if (raw !== null) return refuse(raw)
  const text = path.replace(/%../g, canonicalEscape).replace(ENCODED_WHEN_RAW, escapeCharacter)
  const mistake = canonicalMistake(text, options)
  return mistake === null ? { ok: true, text } : refuse(mistake)
}

function refuse(reason: string): Canonical {
  return { ok: false, reason }
}

function rawMistake(path: string): string | null {
  if (/\p{Cc}/u.test(path)) return 'path_control_character'
  if (/[^\x21-\x7E]/.test(path)) return 'path_not_ascii'
  if (path.includes('\\')) return 'path_backslash'
  if (/[?#]/.test(path)) return 'path_delimiter'
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return 'path_invalid_escape'
  return null
}

/** Unreserved characters lose their encoding, once; every other escape gets upper-case digits. */
function canonicalEscape(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return UNRESERVED.test(character) ? character : escape.toUpperCase()
}

/** `*` is among them: an object never holds a character that a pattern reads as a wildcard. */
export function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}

function canonicalMistake(path: string, options: PathOptions): string | null {
  if (/%(?:[01][0-9A-F]|7F)/.test(path)) return 'path_control_character'
  // Looked at after the first decoding, so that `%25%32%65` is seen as what it becomes.
  if (/%25[0-9A-Fa-f]{2}/.test(path)) return 'path_double_encoding'
  if (path.includes('%5C')) return 'path_backslash'
  if (!options.allowEncodedSlash && path.includes('%2F')) return 'path_encoded_slash'
  if (!options.allowSemicolon && path.includes(';')) return 'path_semicolon'
  const doubled = path.indexOf('//')
  if (doubled === 0 || (doubled > 0 && !options.allowEmptySegments)) return 'path_empty_segment'
  return segmentMistake(path)
}

/**
 * Looks at the segments as the most eager server would: decoded, compatibility forms folded, `;`
 * cut.
 */
function segmentMistake(path: string): string | null {
  let decoded: string
  try {
    decoded = decodeURIComponent(path).normalize('NFKC')
  } catch {
    // Overlong forms such as `%C0%AF`, and other bytes that are no UTF-8.
    return 'path_invalid_utf8'
  }
  // U+FF3C and U+FF0F fold into separators; a path without encoded slashes must not gain one.
  if (decoded.includes('\\')) return 'path_backslash'
  const segments = decoded.split('/')
  const written = path.split(/\/|%2F/)
  if (segments.length > written.length) return 'path_encoded_slash'
  if (segments.some((segment) => /^\.{1,2}(?:;|$)/.test(segment))) return 'path_dot_segment'
  return null
}
