// An app that reports back what an entry handed to it and answers in every form that an entry has to
// carry. The adapters are tested with it, so that their tests know nothing of the broker.
import { createHash } from 'node:crypto'
import type { Config } from '../../functions/config.ts'
import { ok } from '../../functions/core/result.ts'
import type { Platform, RequestFacts } from '../../functions/platform.ts'
import type { ServedApp } from '../../functions/platforms/served-app.ts'

export type EchoReport = {
  readonly runtime: string
  readonly method: string
  readonly path: string
  readonly rawTarget: string
  readonly headerLines: readonly (readonly [string, string])[]
  readonly joinedAuthorization: string | null
  readonly clientAddress: string | null
  readonly bodyBytes: number
  readonly bodySha256: string
}

type Answer = (request: Request, url: URL) => Response | Promise<Response>

/** Text that must never reach a client or a log. */
export const ECHO_SECRET = 'echo-app-secret-0123456789'

export async function createEchoApp(platform: Platform, _config: Config): Promise<ServedApp> {
  const seen = { cancelled: 0, aborted: 0, migrated: 0, uploadedBytes: 0 }
  const answers: Readonly<Record<string, Answer>> = {
    '/healthz': () => new Response('ok'),
    '/empty': () => new Response(null, { status: 204 }),
    '/not-modified': () => new Response(null, { status: 304, headers: { etag: '"1"' } }),
    '/cookies': () => {
      const headers = new Headers({ 'content-type': 'text/plain', link: '<a>' })
      headers.append('set-cookie', 'a=1; Path=/')
      headers.append('set-cookie', 'b=2, with comma')
      headers.append('link', '<b>')
      return new Response('cookies', { headers })
    },
    '/bytes': (_request, url) =>
      new Response(patternBytes(Number(url.searchParams.get('n'))), {
        headers: { 'content-type': url.searchParams.get('type') ?? 'application/octet-stream' },
      }),
    '/sized': () =>
      new Response(patternBytes(1000), {
        headers: { 'content-type': 'text/plain', 'content-length': '1000' },
      }),
    '/stream': () => new Response(chunksLater(['first', 'second', 'third'])),
    '/endless': () => new Response(endless(() => (seen.cancelled += 1))),
    '/mirror': (request) => new Response(request.body),
    '/upload': async (request) => {
      seen.uploadedBytes = 0
      for await (const chunk of request.body ?? []) seen.uploadedBytes += chunk.byteLength
      return Response.json(seen)
    },
    '/break': () => new Response(breaking('begun')),
    '/break-at-once': () => new Response(breaking(null)),
    '/throw': () => {
      throw new Error(ECHO_SECRET)
    },
    '/wait-for-abort': async (request) => {
      await new Promise<void>((resolve) =>
        request.signal.addEventListener('abort', () => resolve()),
      )
      seen.aborted += 1
      return new Response(null)
    },
    '/seen': () => Response.json(seen),
  }
  return {
    fetch: async (request, facts) => {
      const url = new URL(request.url)
      const answer = Object.hasOwn(answers, url.pathname) ? answers[url.pathname] : undefined
      if (answer !== undefined) return answer(request, url)
      return Response.json(await report(platform, request, facts))
    },
    ready: async () => {},
    applyPolicy: async () => ok(0),
    maintain: async () => undefined,
    migrate: async () => {
      seen.migrated += 1
    },
    close: async () => {},
  }
}

async function report(
  platform: Platform,
  request: Request,
  facts: RequestFacts,
): Promise<EchoReport> {
  const hash = createHash('sha256')
  let bodyBytes = 0
  const reader = request.body?.getReader()
  for (;;) {
    const chunk = await reader?.read()
    if (chunk === undefined || chunk.done) break
    bodyBytes += chunk.value.byteLength
    hash.update(chunk.value)
  }
  return {
    runtime: platform.runtime,
    method: request.method,
    path: new URL(request.url).pathname,
    rawTarget: facts.rawTarget,
    headerLines: facts.headerLines,
    joinedAuthorization: request.headers.get('authorization'),
    clientAddress: facts.clientAddress,
    bodyBytes,
    bodySha256: hash.digest('hex'),
  }
}

/** Every byte value, in an order that is not valid UTF-8. */
export function patternBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i += 1) bytes[i] = (i * 31 + (i >> 8)) & 0xff
  return bytes
}

function chunksLater(texts: readonly string[]): ReadableStream<Uint8Array> {
  let next = 0
  return new ReadableStream({
    async pull(controller) {
      if (next > 0) await pause(300)
      const text = texts[next]
      next += 1
      if (text === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(text))
    },
  })
}

function endless(onCancel: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      await pause(20)
      controller.enqueue(new TextEncoder().encode('tick\n'))
    },
    cancel: onCancel,
  })
}

function breaking(first: string | null): ReadableStream<Uint8Array> {
  let isFirst = first !== null
  return new ReadableStream({
    async pull(controller) {
      if (isFirst) controller.enqueue(new TextEncoder().encode(first ?? ''))
      else controller.error(new Error(ECHO_SECRET))
      isFirst = false
      await pause(50)
    },
  })
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
