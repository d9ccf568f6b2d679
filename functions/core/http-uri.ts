// http and https URIs as they are compared (RFC 9449 §4.3): after the syntax-based and scheme-based
// normalisation of RFC 3986 §6.2.2 and §6.2.3, without query and fragment. It resolves and fetches
// nothing; what it does not understand is equal to nothing.

/** Scheme, authority, path: visible ASCII, no backslash, no user information, no broken escape. */
const HTTP_URI = /^(https?):\/\/([^/?#@\\]+)((?:\/(?:[^?#%\\]|%[0-9a-f]{2})*)?)(?:[?#].*)?$/i
const VISIBLE = /^[\x21-\x7e]+$/
const UNRESERVED = /[A-Za-z0-9\-._~]/
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: ':80', https: ':443' }

/** Equal for equivalent URIs; null for what is none of http or https. */
export function normaliseHttpUri(uri: string): string | null {
  if (!VISIBLE.test(uri)) return null
  const [, scheme = '', authority = '', path = ''] = HTTP_URI.exec(uri) ?? []
  if (scheme === '' || authority === '') return null
  const lower = scheme.toLowerCase()
  const host = withoutDefaultPort(authority.toLowerCase(), DEFAULT_PORTS[lower] ?? '')
  return host === '' ? null : `${lower}://${host}${withoutDotSegments(normaliseEscapes(path))}`
}

function withoutDefaultPort(authority: string, port: string): string {
  const bare = authority.endsWith(':') ? authority.slice(0, -1) : authority
  return bare.endsWith(port) ? bare.slice(0, -port.length) : bare
}

/** RFC 3986 §6.2.2.1 and §6.2.2.2: upper-case digits, and no escape for what needs none. */
function normaliseEscapes(path: string): string {
  return path.replace(/%[0-9a-f]{2}/gi, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
    return UNRESERVED.test(character) ? character : escape.toUpperCase()
  })
}

/** RFC 3986 §5.2.4 for a path that is empty or begins with a slash. */
function withoutDotSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split('/').slice(1)
  for (const [at, segment] of segments.entries()) {
    const isDots = segment === '.' || segment === '..'
    if (segment === '..') kept.pop()
    if (!isDots) kept.push(segment)
    else if (at === segments.length - 1) kept.push('')
  }
  return `/${kept.join('/')}`
}
