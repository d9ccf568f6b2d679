// application/x-www-form-urlencoded as a multimap, strictly: names are decoded before they are compared
// (`%73cope` is `scope`, RB-10), and what is not UTF-8 is refused rather than repaired.
import type { Failure } from '../core/failure.ts'
import { fail, ok, type Result } from '../core/result.ts'

export type Form = ReadonlyMap<string, readonly string[]>

/** Pairs beyond this are an attack, not a request. */
const MAX_PAIRS = 200

export function parseForm(text: string): Result<Form, Failure> {
  const form = new Map<string, string[]>()
  const pairs = text === '' ? [] : text.split('&')
  if (pairs.length > MAX_PAIRS)
    return fail({ kind: 'malformed_request', reason: 'too_many_parameters' })
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    const value = decode(equals < 0 ? '' : pair.slice(equals + 1))
    if (name === null || value === null)
      return fail({ kind: 'malformed_request', reason: 'bad_encoding' })
    const values = form.get(name)
    if (values === undefined) form.set(name, [value])
    else values.push(value)
  }
  return ok(form)
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // A broken escape: the caller's mistake, told apart by null.
    return null
  }
}

/** The body as text, or why not: media type, size, UTF-8. */
export async function readForm(request: Request, maxBytes: number): Promise<Result<Form, Failure>> {
  const mediaType = (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (mediaType !== 'application/x-www-form-urlencoded') {
    return fail({ kind: 'unsupported_media_type', expected: 'application/x-www-form-urlencoded' })
  }
  const text = await readText(request, maxBytes)
  return text.ok ? parseForm(text.value) : text
}

/** Reads at most `maxBytes` of UTF-8. */
export async function readText(
  request: Request,
  maxBytes: number,
): Promise<Result<string, Failure>> {
  const bytes = await readBytes(request, maxBytes)
  if (bytes === null) return fail({ kind: 'payload_too_large', maxBytes })
  try {
    return ok(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    // Not UTF-8: the caller's mistake.
    return fail({ kind: 'malformed_request', reason: 'not_utf8' })
  }
}

/** Null when there are more. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array | null> {
  const declared = request.headers.get('content-length') ?? ''
  if (Number(declared) > maxBytes) return null
  if (/^\d+$/.test(declared) && !request.headers.has('transfer-encoding')) {
    // The framing holds the body to what was declared: read at once, which no stream is made for.
    const bytes = new Uint8Array(await request.arrayBuffer())
    return bytes.length > maxBytes ? null : bytes
  }
  const chunks: Uint8Array[] = []
  let size = 0
  if (request.body !== null) {
    for await (const chunk of request.body as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength
      if (size > maxBytes) return null
      chunks.push(chunk)
    }
  }
  return joined(chunks, size)
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return only
  const all = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.byteLength
  }
  return all
}
