// HTTP/1.1, over TLS where it is told, in front of the app on Node. It hands over the request exactly as received and writes the
// answer; what is ambiguous on the wire is refused here, and nobody may hold a connection for free.
// It never puts the text of an error into an answer.
import { createServer } from 'node:http'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Platform, RequestFacts } from '../platform.ts'
import { writeResponse } from './node-response.ts'
import { createTlsServer, peerCertificate, type ServerTls } from './node-tls.ts'
import { entryProblem } from './served-app.ts'
import { errorFacts } from './system.ts'

export type NodeServerLimits = {
  readonly maxHeaderBytes: number
  readonly maxHeaderLines: number
  /** Headers have to be complete by then (G-8). */
  readonly headersTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** A reader that takes nothing for this long is cut off. */
  readonly stalledReaderMs: number
  /** After the first period a body has to move by at least `minUploadBytes` in each period. */
  readonly uploadPeriodMs: number
  readonly minUploadBytes: number
  readonly maxRequestsPerSocket: number
  readonly maxConnections: number
}

/**
 * Node's own `requestTimeout` counts the whole body and would cut long uploads that move well, so it is
 * off and the pace of the body is watched instead. Keep-alive outlives the 60 s of common load balancers.
 */
export const nodeServerLimits: NodeServerLimits = {
  maxHeaderBytes: 32 * 1024,
  maxHeaderLines: 256,
  headersTimeoutMs: 8_000,
  keepAliveTimeoutMs: 65_000,
  stalledReaderMs: 60_000,
  uploadPeriodMs: 15_000,
  minUploadBytes: 1_024,
  maxRequestsPerSocket: 10_000,
  maxConnections: 4_096,
}

type Server = HttpServer | HttpsServer

export type NodeServer = {
  readonly server: Server
  /** Takes no more connections, lets running requests end, cuts what is left after `graceMs`. */
  drain(graceMs: number): Promise<void>
}

export type NodeServerOptions = {
  readonly limits?: NodeServerLimits
  /** Null: something in front ends TLS, or nobody does. */
  readonly tls?: ServerTls | null
}

type Fetch = (request: Request, facts: RequestFacts) => Promise<Response>

export function createNodeServer(
  fetch: Fetch,
  log: Platform['log'],
  { limits = nodeServerLimits, tls = null }: NodeServerOptions = {},
): NodeServer {
  const connections = new Connections(limits)
  const refused = new WeakSet<Socket>()
  const state = { isDraining: false }
  const server = listeningServer(tls, limits)
  // Node's own limit drops the lines beyond it silently, a second Authorization included.
  server.maxHeadersCount = 0
  server.maxRequestsPerSocket = limits.maxRequestsPerSocket
  server.maxConnections = limits.maxConnections
  server.setTimeout(limits.stalledReaderMs, (socket?: Socket) => {
    if (socket !== undefined) connections.timedOut(socket)
  })

  const listener = requestListener(fetch, log)
  server.on('request', (incoming, outgoing) => {
    if (state.isDraining) outgoing.shouldKeepAlive = false
    // Pipelined behind a refused request, perhaps inside its body: never a request of its own (G-4).
    if (refused.has(incoming.socket)) return
    connections.track(incoming, outgoing)
    const refusal = refusalOf(incoming, limits)
    if (refusal === null) {
      void listener(incoming, outgoing)
      return
    }
    refused.add(incoming.socket)
    outgoing.shouldKeepAlive = false
    void writeResponse(refusal, outgoing)
  })
  server.on(tls === null ? 'connection' : 'secureConnection', (socket: Socket) =>
    connections.opened(socket),
  )
  server.on('close', () => connections.close())
  return {
    server,
    drain: async (graceMs) => {
      state.isDraining = true
      await drain(server, connections, graceMs)
    },
  }
}

function listeningServer(tls: ServerTls | null, limits: NodeServerLimits): Server {
  const options = {
    insecureHTTPParser: false,
    // Checked below instead, where a refusal also stops what was pipelined behind it.
    requireHostHeader: false,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(2_000, limits.headersTimeoutMs),
  }
  return tls === null
    ? createServer(options)
    : createTlsServer(tls, options, limits.headersTimeoutMs)
}

function requestListener(fetch: Fetch, log: Platform['log']) {
  return getRequestListener(
    async (request, { incoming, outgoing }) => {
      // This server speaks HTTP/1.1 only; the listener's type also allows for HTTP/2.
      const plainIncoming = incoming as IncomingMessage
      const plainOutgoing = outgoing as ServerResponse
      let response: Response
      try {
        response = await fetch(request, factsOf(plainIncoming))
      } catch (error) {
        log('error', 'the app threw', errorFacts(error))
        response = entryProblem(500, 'internal_error')
      }
      await writeResponse(response, plainOutgoing)
      return RESPONSE_ALREADY_SENT
    },
    {
      // The globals stay the platform's: outbound calls and tests must not meet half a Response.
      overrideGlobalObjects: false,
      errorHandler: () => entryProblem(400, 'invalid_request'),
    },
  )
}

function factsOf(incoming: IncomingMessage): RequestFacts {
  return {
    rawTarget: incoming.url ?? '/',
    clientAddress: clientAddress(incoming.socket),
    headerLines: headerLines(incoming.rawHeaders),
    // Made when asked for: most requests never look at it.
    get clientCertificate() {
      return peerCertificate(incoming.socket)
    },
  }
}

/** The peer of the connection. A proxy in front makes itself the client; headers never speak for it. */
function clientAddress(socket: Socket): string | null {
  const address = socket.remoteAddress ?? null
  return address?.startsWith('::ffff:') === true ? address.slice('::ffff:'.length) : address
}

function headerLines(rawHeaders: readonly string[]): readonly (readonly [string, string])[] {
  const lines: [string, string][] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    lines.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? ''])
  }
  return lines
}

/** What the parser lets through and two readers could understand differently (G-4, G-6). */
function refusalOf(incoming: IncomingMessage, limits: NodeServerLimits): Response | null {
  if (incoming.method === 'TRACE' || incoming.method === 'TRACK') {
    return entryProblem(405, 'method_not_allowed')
  }
  // Origin-form only: this is no proxy, and an absolute target would bring a second host.
  if (incoming.url?.startsWith('/') !== true) return entryProblem(400, 'invalid_request')
  if (incoming.rawHeaders.length > limits.maxHeaderLines * 2) {
    return entryProblem(431, 'headers_too_large')
  }
  let hosts = 0
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    if (incoming.rawHeaders[i]?.toLowerCase() === 'host') hosts += 1
  }
  return hosts !== 1 ? entryProblem(400, 'invalid_request') : null
}

type Upload = { readonly incoming: IncomingMessage; bytesReadBefore: number; isNew: boolean }

/** Who is using a connection, and whether the client keeps its side moving. */
class Connections {
  readonly #open = new Set<Socket>()
  readonly #running = new Map<Socket, number>()
  readonly #uploads = new Set<Upload>()
  readonly #limits: NodeServerLimits
  readonly #timer: NodeJS.Timeout

  constructor(limits: NodeServerLimits) {
    this.#limits = limits
    this.#timer = setInterval(() => this.#cutSlowUploads(), limits.uploadPeriodMs)
    this.#timer.unref()
  }

  opened(socket: Socket): void {
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
  }

  /** Connections opened in advance, on which nothing has been asked: Node does not count them as idle. */
  closeUnused(): void {
    for (const socket of this.#open) if (socket.bytesRead === 0) socket.destroy()
  }

  track(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming
    this.#running.set(socket, (this.#running.get(socket) ?? 0) + 1)
    const upload = hasBody(incoming)
      ? { incoming, bytesReadBefore: socket.bytesRead, isNew: true }
      : null
    if (upload !== null) this.#uploads.add(upload)
    outgoing.once('close', () => {
      if (upload !== null) this.#uploads.delete(upload)
      const left = (this.#running.get(socket) ?? 1) - 1
      if (left === 0) this.#running.delete(socket)
      else this.#running.set(socket, left)
    })
  }

  /** Nothing moved on the socket. Waiting for the app or its upstream is fine, not reading is not. */
  timedOut(socket: Socket): void {
    if (this.#running.has(socket) && socket.writableLength === 0) return
    socket.destroy()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #cutSlowUploads(): void {
    for (const upload of this.#uploads) {
      const { incoming } = upload
      if (incoming.complete) {
        this.#uploads.delete(upload)
        continue
      }
      const moved = incoming.socket.bytesRead - upload.bytesReadBefore
      upload.bytesReadBefore = incoming.socket.bytesRead
      // A full buffer means that the app (its upstream) is the slow side.
      const isWaitingForUs = incoming.readableLength >= incoming.readableHighWaterMark
      if (!upload.isNew && !isWaitingForUs && moved < this.#limits.minUploadBytes) {
        incoming.socket.destroy()
      }
      upload.isNew = false
    }
  }
}

function hasBody(incoming: IncomingMessage): boolean {
  const length = incoming.headers['content-length']
  return (
    incoming.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
  )
}

const DRAIN_POLL_MS = 50

async function drain(server: Server, connections: Connections, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const closeIdle = () => {
    server.closeIdleConnections()
    connections.closeUnused()
  }
  const poll = setInterval(closeIdle, DRAIN_POLL_MS)
  const deadline = setTimeout(() => server.closeAllConnections(), graceMs)
  closeIdle()
  await closed
  clearInterval(poll)
  clearTimeout(deadline)
}
