// Form bodies, in which some frameworks look for the method (`_method`, reliability.md G-6). A
// short form is read before it is judged; a multipart body, which may be an upload, is watched as
// it passes.
import { formNames, overridesMethod } from './http-query.ts'
import { readCapped } from '../net/read-body.ts'

/** A form somebody fills in; what is longer is an upload and has another content type. */
export const MAX_FORM_BYTES = 262_144

/** `multipart/form-data` names a part in its header: `name="_method"`, with or without quotes. */
const METHOD_PART = /name\s*=\s*["']?(?:_method|_httpmethod)\b/i
/** The longest match of METHOD_PART without white space games is shorter. */
const OVERLAP = 64

export type FormBody =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'method_override' }

/** Reads an application/x-www-form-urlencoded body whole. */
export async function readForm(body: ReadableStream<Uint8Array>): Promise<FormBody> {
  const bytes = await readCapped(body, MAX_FORM_BYTES)
  if (bytes === null) return { kind: 'too_large' }
  const names = formNames(new TextDecoder().decode(bytes))
  return overridesMethod(names) ? { kind: 'method_override' } : { kind: 'read', bytes }
}

/**
 * Thrown into the body when a multipart form turns out to override the method: the call is aborted.
 */
export class MethodOverride extends Error {
  override readonly name = 'MethodOverride'
}

/**
 * Passes a multipart body on and breaks it off where a part names the method. The server has not
 * seen the end of the request then, and so performs nothing.
 */
export function watchMultipart(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  // One byte a character: a match cannot hide between two decodings.
  const decoder = new TextDecoder('latin1')
  let seen = ''
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        seen = seen.slice(-OVERLAP) + decoder.decode(chunk, { stream: true })
        if (METHOD_PART.test(seen)) controller.error(new MethodOverride())
        else controller.enqueue(chunk)
      },
    }),
  )
}
