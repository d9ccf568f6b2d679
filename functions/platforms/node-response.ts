// Writes one Response to a Node connection: streamed with back-pressure, framed by Node alone. When the
// body fails the connection is cut, so that a reader never takes half an answer for a whole one.
import type { ServerResponse } from 'node:http'

export async function writeResponse(response: Response, outgoing: ServerResponse): Promise<void> {
  const reader = response.body?.getReader() ?? null
  try {
    await write(response, reader, outgoing)
  } catch (error) {
    // The reason is the app's business and already in its log; the wire learns of a broken stream only.
    outgoing.destroy()
    await reader?.cancel(error).catch(() => undefined)
  }
}

/** So long the status waits for a body that is about to be whole: one write then carries the answer. */
const HEADERS_WAIT_MS = 10

type BodyReader = ReadableStreamDefaultReader<Uint8Array>

async function write(
  response: Response,
  reader: BodyReader | null,
  outgoing: ServerResponse,
): Promise<void> {
  const headers = headerList(response.headers)
  if (reader === null || outgoing.req.method === 'HEAD') {
    outgoing.writeHead(response.status, headers).end()
    await reader?.cancel()
    return
  }
  const first = reader.read()
  const early = (await settledSoon(first)) ?? (await settledWithin(HEADERS_WAIT_MS, first))
  if (early === null) {
    // The first byte may be long in coming; the status and headers need not wait for it.
    outgoing.writeHead(response.status, headers).flushHeaders()
    return pump(reader, first, outgoing)
  }
  const second = early.done ? null : reader.read()
  const isWhole = second === null || (await settledSoon(second))?.done === true
  const bytes = early.value ?? new Uint8Array(0)
  if (isWhole) {
    if (!response.headers.has('content-length')) headers.push('content-length', `${bytes.length}`)
    outgoing.writeHead(response.status, headers).end(bytes)
    return
  }
  outgoing.writeHead(response.status, headers)
  await writeChunk(bytes, outgoing)
  await pump(reader, second, outgoing)
}

/** Flat name, value, name, value; each `set-cookie` stays a line of its own. */
function headerList(headers: Headers): string[] {
  const list: string[] = []
  for (const [name, value] of headers) list.push(name, value)
  return list
}

async function pump(
  reader: BodyReader,
  next: ReturnType<BodyReader['read']>,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = onceClosed(outgoing)
  for (let chunk = await Promise.race([next, gone]); ;) {
    // Asked for directly too: a body that is always ready would never let the event through.
    if (chunk === null || outgoing.destroyed) return cancelled(reader)
    if (chunk.done) break
    await writeChunk(chunk.value, outgoing)
    chunk = await Promise.race([reader.read(), gone])
  }
  outgoing.end()
}

/** Ends the upstream of an answer whose reader has gone away (G-10). */
async function cancelled(reader: BodyReader): Promise<void> {
  await reader.cancel(new DOMException('The client went away', 'AbortError'))
}

function onceClosed(outgoing: ServerResponse): Promise<null> {
  return new Promise((resolve) => {
    if (outgoing.destroyed) resolve(null)
    else outgoing.once('close', () => resolve(null))
  })
}

async function writeChunk(bytes: Uint8Array, outgoing: ServerResponse): Promise<void> {
  if (outgoing.destroyed || outgoing.write(bytes)) return
  await new Promise<void>((resolve) => {
    const settle = () => {
      outgoing.off('drain', settle)
      outgoing.off('close', settle)
      resolve()
    }
    outgoing.on('drain', settle)
    outgoing.on('close', settle)
  })
}

/** The read's result when it is there already, without waiting for I/O; null when it is not. */
async function settledSoon<T>(promise: Promise<T>): Promise<T | null> {
  return Promise.race([promise, Promise.resolve().then(async () => Promise.resolve(null))])
}

/** The same, with a wait for what is about to come. */
async function settledWithin<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
