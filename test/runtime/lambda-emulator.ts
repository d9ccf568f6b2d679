// A Lambda service small enough to read: an HTTP front that turns requests into events, the Runtime API,
// and execution environments that run the shipped bundle, each one invocation at a time.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { resolve as resolvePath } from 'node:path'
import { listen } from './listen.ts'
import { answerOf, eventOf } from './lambda-events.ts'
import type { LambdaKind } from './lambda-events.ts'

export type LambdaEmulator = { readonly baseUrl: string; stop(): Promise<void> }

export type LambdaOptions = {
  readonly kind: LambdaKind
  readonly bundle: string
  readonly env: Readonly<Record<string, string>>
  readonly environments: number
  readonly timeoutMs: number
}

type Invocation = {
  readonly id: string
  readonly event: string
  readonly client: ServerResponse
}

/** Quotas of synchronous invocations: 6 MiB in, 100 bytes more out. */
const MAX_EVENT_BYTES = 6 * 1024 * 1024
const MAX_RESULT_BYTES = MAX_EVENT_BYTES + 100

export async function startLambdaEmulator(
  frontPort: number,
  options: LambdaOptions,
): Promise<LambdaEmulator> {
  const queue: Invocation[] = []
  const idle: ServerResponse[] = []
  const running = new Map<string, Invocation>()

  const hand = (waiting: ServerResponse, invocation: Invocation) => {
    running.set(invocation.id, invocation)
    waiting.writeHead(200, {
      'content-type': 'application/json',
      'lambda-runtime-aws-request-id': invocation.id,
      'lambda-runtime-deadline-ms': String(Date.now() + options.timeoutMs),
      'lambda-runtime-invoked-function-arn':
        'arn:aws:lambda:eu-west-1:000000000000:function:sallyport',
    })
    waiting.end(invocation.event)
  }
  const runtimeApi = createServer((incoming, outgoing) => {
    const call = /^\/2018-06-01\/runtime\/invocation\/(next|([^/]+)\/(response|error))$/.exec(
      incoming.url ?? '',
    )
    if (call?.[1] === 'next') {
      const invocation = queue.shift()
      if (invocation !== undefined) hand(outgoing, invocation)
      else idle.push(outgoing)
      return
    }
    const invocation = running.get(call?.[2] ?? '')
    if (invocation === undefined) return void outgoing.writeHead(404).end()
    running.delete(invocation.id)
    void settle(invocation, call?.[3] ?? '', incoming).then(
      () => outgoing.writeHead(202).end('{}'),
      () => outgoing.destroy(),
    )
  })
  const front = createServer((incoming, outgoing) => {
    void readAll(incoming).then((body) => {
      const id = randomUUID()
      const event = JSON.stringify(eventOf(options.kind, { incoming, body, requestId: id }))
      if (Buffer.byteLength(event) > MAX_EVENT_BYTES) {
        outgoing.writeHead(413).end('{"Message":"Request must be smaller than 6291456 bytes"}')
        return
      }
      const invocation = { id, event, client: outgoing }
      const waiting = idle.shift()
      if (waiting === undefined) queue.push(invocation)
      else hand(waiting, invocation)
    }, ignoreGoneClient)
  })
  const apiPort = await listen(runtimeApi, 0)
  const port = await listen(front, frontPort)
  const children = Array.from({ length: options.environments }, () => environment(apiPort, options))
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    stop: async () => {
      for (const child of children) child.kill()
      await Promise.all([closed(front), closed(runtimeApi)])
    },
  }
}

/** A client that leaves while it sends is no invocation. */
function ignoreGoneClient(): void {}

/** A process per execution environment, with the environment variables that AWS sets. */
function environment(apiPort: number, options: LambdaOptions): ChildProcess {
  const runtime = resolvePath('test/runtime/lambda-runtime.mjs')
  return spawn(process.execPath, [runtime, resolvePath(options.bundle)], {
    stdio: process.env.RIG_LOGS === undefined ? 'ignore' : 'inherit',
    env: {
      ...(process.env.PATH === undefined ? {} : { PATH: process.env.PATH }),
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${apiPort}`,
      AWS_LAMBDA_FUNCTION_NAME: 'sallyport',
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
      AWS_REGION: 'eu-west-1',
      ...(options.kind === 'url-streaming' ? { SALLYPORT_LAMBDA_STREAMING: '1' } : {}),
      ...options.env,
    },
  })
}

async function settle(
  { client }: Invocation,
  outcome: string,
  incoming: IncomingMessage,
): Promise<void> {
  if (outcome === 'error') {
    await readAll(incoming)
    client.writeHead(502).end('{"message":"Internal server error"}')
    return
  }
  if (incoming.headers['lambda-runtime-function-response-mode'] === 'streaming') {
    await settleStreamed(client, incoming)
    return
  }
  const text = (await readAll(incoming)).toString('utf8')
  const result: unknown = Buffer.byteLength(text) > MAX_RESULT_BYTES ? null : JSON.parse(text)
  const answer = answerOf(result)
  if (answer === null) {
    client.writeHead(502).end('{"message":"Internal server error"}')
    return
  }
  const { body, isBase64Encoded } = result as { body?: string; isBase64Encoded?: boolean }
  client.writeHead(answer.statusCode, withoutFraming(answer.headers))
  client.end(Buffer.from(body ?? '', isBase64Encoded === true ? 'base64' : 'utf8'))
}

/** Metadata, eight NUL bytes, then the body as it comes. */
async function settleStreamed(client: ServerResponse, incoming: IncomingMessage): Promise<void> {
  let head: Buffer | null = Buffer.alloc(0)
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    if (head === null) {
      client.write(chunk)
      continue
    }
    head = Buffer.concat([head, chunk])
    const end = head.indexOf(Buffer.alloc(8))
    if (end < 0) continue
    const answer = answerOf(JSON.parse(head.subarray(0, end).toString('utf8')))
    client.writeHead(answer?.statusCode ?? 502, withoutFraming(answer?.headers ?? []))
    client.flushHeaders()
    if (head.length > end + 8) client.write(head.subarray(end + 8))
    head = null
  }
  if (incoming.trailers['lambda-runtime-function-error-type'] === undefined) client.end()
  else client.destroy()
}

function withoutFraming(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const [name = '', value = ''] = headers.slice(i, i + 2)
    if (!/^(content-length|transfer-encoding|connection)$/i.test(name)) kept.push(name, value)
  }
  return kept
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
