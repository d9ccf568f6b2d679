// Bounds a request body that is passed on as it comes.

export type LimitedBody = {
  readonly body: ReadableStream<Uint8Array> | Uint8Array | null
  /** It was read before, and is too long: nothing is sent. */
  readonly isExceededAtOnce: boolean
  /** Whether the body was longer than allowed; the call has been ended then. */
  isExceeded(): boolean
}

/** `exceeded` ends the call: an upstream may answer before it has read everything. */
export function limitBody(
  body: ReadableStream<Uint8Array> | Uint8Array | null,
  maxBytes: number,
  exceeded: () => void,
): LimitedBody {
  if (body === null || body instanceof Uint8Array) {
    const isExceededAtOnce = (body?.length ?? 0) > maxBytes
    return { body, isExceededAtOnce, isExceeded: () => isExceededAtOnce }
  }
  let bytes = 0
  const counted = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.length
        if (bytes <= maxBytes) return controller.enqueue(chunk)
        exceeded()
        controller.error(new Error('the request is too large'))
      },
    }),
  )
  return { body: counted, isExceededAtOnce: false, isExceeded: () => bytes > maxBytes }
}
