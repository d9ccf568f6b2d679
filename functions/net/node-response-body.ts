// A node:http answer as a web stream: read on demand, cancelled down to the socket, and broken off with
// a reason instead of the runtime's error. Leaner than Readable.toWeb, which sits on the hot path.
import type { IncomingMessage } from 'node:http'
import { OutboundError, type OutboundReason } from './outbound.ts'

/** Read ahead of the consumer; beyond it the connection is paused. */
const READ_AHEAD_BYTES = 65_536

/** `reasonNow` tells why the exchange ended, at the moment it breaks off. */
export function responseBody(
  received: IncomingMessage,
  reasonNow: () => OutboundReason,
): ReadableStream<Uint8Array> {
  let isOver = false
  const source = {
    start(controller: ReadableStreamDefaultController<Uint8Array>): void {
      const breakOff = (): void => {
        if (isOver) return
        isOver = true
        controller.error(new OutboundError(reasonNow()))
      }
      received.on('data', (chunk: Uint8Array) => {
        if (isOver) return
        controller.enqueue(chunk)
        if ((controller.desiredSize ?? 0) <= 0) received.pause()
      })
      received.once('end', () => {
        if (isOver) return
        isOver = true
        controller.close()
      })
      received.on('error', breakOff)
      // A close without an end: fewer bytes than the framing promised.
      received.once('close', breakOff)
    },
    pull(): void {
      received.resume()
    },
    cancel(): void {
      isOver = true
      received.destroy()
    },
  }
  return new ReadableStream(source, {
    highWaterMark: READ_AHEAD_BYTES,
    size: (chunk: Uint8Array) => chunk.length,
  })
}
