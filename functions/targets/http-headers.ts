// Which headers pass, in both directions: lists of what is allowed, so that a header nobody thought of
// is not forwarded (MC-08, G-1, G-3). No list of a target can add one that carries credentials, framing,
// routing or the broker's own words.
import type { Failure } from '../core/failure.ts'
import { fail, ok, type Result } from '../core/result.ts'

export type HeaderLine = readonly [name: string, value: string]

/** `range` is not here: answers cut at will would carry the credential past the scan, piece by piece. */
const REQUEST_HEADERS = [
  'accept',
  'accept-language',
  'content-language',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-unmodified-since',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-request-id',
] as const

/** Lists by their grammar; any other header that comes twice has two readings. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'accept',
  'accept-language',
  'content-language',
  'if-match',
  'if-none-match',
  'tracestate',
])

/** `location`, `content-location` and `link` are rewritten before they pass (locations.ts). */
const RESPONSE_HEADERS: ReadonlySet<string> = new Set([
  'accept-ranges',
  'allow',
  'content-disposition',
  'content-language',
  'content-location',
  'content-range',
  'content-type',
  'deprecation',
  'etag',
  'last-modified',
  'link',
  'location',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'sunset',
  'x-request-id',
  'x-total-count',
])

const RESPONSE_PREFIXES = ['ratelimit-', 'x-ratelimit-', 'x-rate-limit-'] as const

/** Said by the broker of every answer: it is for this caller alone, and never a page of this origin. */
export const ANSWER_HEADERS: readonly HeaderLine[] = [
  ['cache-control', 'no-store'],
  ['content-security-policy', "default-src 'none'; sandbox"],
  ['x-content-type-options', 'nosniff'],
]

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/
const PRINTABLE = /^[\t\x20-\x7e]*$/

/** Framing and hop-by-hop (RFC 9110 §7.6.1). */
const FRAMING =
  /^(connection|content-encoding|content-length|expect|host|http2-settings|keep-alive|te|trailer|trailers|transfer-encoding|upgrade|via)$/

const NEVER_SENT =
  /^(accept-charset|accept-encoding|dpop|forwarded|true-client-ip|x-(cluster-)?client-ip|x-real-ip|x-forwarded|x-host|x-http-method|x-method|x-rewrite|x-original|cf-)|^(x-forwarded|x-original|x-rewrite|x-http-method|x-method|proxy|sallyport|cf)-|^range$|^if-range$|authorization|cookie|method-override|base-url/

const NEVER_RETURNED =
  /^(access-control|cf|content-security-policy|cross-origin|proxy|sallyport|x-accel|x-amz|x-amzn|x-middleware)(-|$)|^(alt-svc|cache-control|clear-site-data|expires|nel|pragma|public-key-pins|refresh|report-to|reporting-endpoints|service-worker-allowed|sourcemap|status|strict-transport-security|vary|x-content-type-options|x-frame-options|x-sendfile|x-sourcemap)$|authenticat|cookie/

/** `X_Api_Key` reaches many servers as `X-Api-Key`: names are compared as the most lenient reader would. */
export function foldName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-')
}

export function isHeaderName(name: string): boolean {
  return TOKEN.test(name)
}

/** Whether a target may have the agent send it; `range` only where nothing is injected or masked. */
export function mayBeSent(name: string, isPlain: boolean): boolean {
  const folded = foldName(name)
  if (isPlain && (folded === 'range' || folded === 'if-range')) return true
  return !FRAMING.test(folded) && !NEVER_SENT.test(folded)
}

/** Whether the credential may be put there: `Authorization`, but nothing that frames or routes. */
export function mayCarryCredential(name: string): boolean {
  return foldName(name) === 'authorization' || mayBeSent(name, false)
}

export function mayBeReturned(name: string): boolean {
  const folded = foldName(name)
  return !FRAMING.test(folded) && !NEVER_RETURNED.test(folded)
}

/** What of the agent's headers is sent, or why the request is refused (G-2). */
export function requestHeaders(
  lines: readonly HeaderLine[],
  options: { readonly allowed: ReadonlySet<string> },
): Result<readonly HeaderLine[], Failure> {
  const listed = connectionListed(lines)
  const sent: HeaderLine[] = []
  const seen = new Set<string>()
  for (const [rawName, value] of lines) {
    const name = rawName.toLowerCase()
    if (!TOKEN.test(name)) return malformed('header_name')
    if (!options.allowed.has(name) || listed.has(name)) continue
    if (!PRINTABLE.test(value)) return malformed('header_value')
    if (seen.has(name) && !REPEATABLE.has(name)) return malformed('header_repeated')
    seen.add(name)
    sent.push([name, value.trim()])
  }
  return ok(sent)
}

/** The names that pass for one target. */
export function allowedRequestHeaders(options: {
  readonly optIns: readonly string[]
  readonly credentialHeader: string | null
}): ReadonlySet<string> {
  const { optIns, credentialHeader } = options
  const names = [...REQUEST_HEADERS, ...optIns.map((name) => name.toLowerCase())]
  const taken = credentialHeader === null ? null : foldName(credentialHeader)
  return new Set(names.filter((name) => foldName(name) !== taken))
}

/** What of the upstream's headers may be returned; values are still to be rewritten and scanned. */
export function responseHeaders(
  lines: readonly HeaderLine[],
  optIns: ReadonlySet<string>,
): readonly HeaderLine[] {
  const listed = connectionListed(lines)
  return lines.filter(
    ([name, value]) =>
      (RESPONSE_HEADERS.has(name) ||
        optIns.has(name) ||
        RESPONSE_PREFIXES.some((prefix) => name.startsWith(prefix))) &&
      TOKEN.test(name) &&
      PRINTABLE.test(value) &&
      !listed.has(name),
  )
}

/** Names that `Connection` makes hop-by-hop. */
function connectionListed(lines: readonly HeaderLine[]): ReadonlySet<string> {
  return new Set(
    lines
      .filter(([name]) => name.toLowerCase() === 'connection')
      .flatMap(([, value]) => value.split(',').map((name) => name.trim().toLowerCase())),
  )
}

function malformed(reason: string): Result<never, Failure> {
  return fail({ kind: 'action_malformed', reason })
}
