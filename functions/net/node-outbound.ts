// The transport of Node and Lambda, on the gateway's hot path: one pooled HTTP/1.1 exchange. The name is
// resolved once, by the connection itself, and every address is checked there, so that the connected
// address is the checked one (SSRF-2). No redirect is followed, no proxy setting is read.
import { lookup } from 'node:dns/promises'
import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIPv6, type LookupFunction, type Socket } from 'node:net'
import { addressRefusal, hostRefusal } from './addresses.ts'
import { responseBody } from './node-response-body.ts'
import {
  OutboundError,
  type Outbound,
  type OutboundReason,
  type OutboundRequest,
  type OutboundResponse,
  type Reach,
} from './outbound.ts'
import { checkMethod, hasNoBody, sendableHeaders } from './request-headers.ts'
import { peerVerifyingAgent } from './verified-peer.ts'

/** Every address of a name, in the order to try them. */
export type Resolver = (hostname: string) => Promise<readonly string[]>

type Agents = { readonly http: http.Agent; readonly https: https.Agent }

/** There are as many authorities as configurations ever held; far fewer are in use. */
const MAX_POOLS = 64
/** Shorter than what servers commonly keep an idle connection for, so that few are found dead. */
const IDLE_CONNECTION_MS = 4_000
/** Methods that may be sent again when a pooled connection turns out to be closed (RFC 9110 §9.2.2). */
const REPEATABLE: readonly string[] = ['GET', 'HEAD', 'OPTIONS']

export function createNodeOutbound(options: { readonly resolve?: Resolver } = {}): Outbound {
  const agentsFor = agentPools(options.resolve ?? resolveBySystem)
  return async (request) => {
    if (request.signal?.aborted === true) throw new OutboundError('aborted')
    if (hostRefusal(request.url, request.reach) !== null) {
      throw new OutboundError('address_refused')
    }
    checkMethod(request.method)
    const lines = rawHeaders(request)
    if (request.verifyPeer !== undefined && request.url.protocol !== 'https:') {
      throw new OutboundError('protocol_error')
    }
    const agents = agentsFor(request)
    const first = await exchange(request, lines, agents)
    if (first !== 'connection_was_closed') return first
    const second = await exchange(request, lines, agents)
    if (second !== 'connection_was_closed') return second
    throw new OutboundError('connect_failed')
  }
}

/**
 * Connections are pooled by reach and authorities: one made for a private target, or checked against
 * somebody's own authority, is no use to any other call.
 */
function agentPools(resolve: Resolver): (request: OutboundRequest) => Agents {
  const pools = new Map<string, Agents>()
  return ({ reach, ca, verifyPeer, timeoutMs }) => {
    const settings = {
      keepAlive: true,
      timeout: IDLE_CONNECTION_MS,
      lookup: checkedLookup(resolve, reach),
    }
    if (verifyPeer !== undefined) {
      const only = peerVerifyingAgent(settings, { verifyPeer, timeoutMs })
      return { http: only, https: only }
    }
    const pool = `${reach.privateNetwork} ${reach.loopback} ${ca ?? ''}`
    const found = pools.get(pool)
    if (found !== undefined) return found
    dropOldest(pools)
    const made: Agents = {
      http: new http.Agent(settings),
      https: new https.Agent({
        ...settings,
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca }),
      }),
    }
    pools.set(pool, made)
    return made
  }
}

/** Calls under way keep their sockets; idle ones time out by themselves. */
function dropOldest(pools: Map<string, Agents>): void {
  const [oldest] = pools.keys()
  if (pools.size >= MAX_POOLS && oldest !== undefined) pools.delete(oldest)
}

/** One refused address among several refuses the name: a public name has no private address. */
function checkedLookup(resolve: Resolver, reach: Reach): LookupFunction {
  return (hostname, { all }, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses
        if (first === undefined) return callback(new OutboundError('unresolvable'), '')
        if (addresses.some((address) => addressRefusal(address, reach) !== null)) {
          return callback(new OutboundError('address_refused'), '')
        }
        if (all !== true) return callback(null, first, familyOf(first))
        callback(
          null,
          addresses.map((address) => ({ address, family: familyOf(address) })),
        )
      },
      () => callback(new OutboundError('unresolvable'), ''),
    )
  }
}

async function resolveBySystem(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address)
}

function familyOf(address: string): 4 | 6 {
  return isIPv6(address) ? 6 : 4
}

/** Names and values in turn, as node:http takes them; Host and the framing are ours. */
function rawHeaders({ method, url, headers, body }: OutboundRequest): string[] {
  const lines = ['Host', url.host]
  for (const [name, value] of sendableHeaders(headers)) lines.push(name, value)
  if (body instanceof Uint8Array) lines.push('Content-Length', String(body.length))
  else if (body !== null) lines.push('Transfer-Encoding', 'chunked')
  else if (method !== 'GET' && method !== 'HEAD') lines.push('Content-Length', '0')
  return lines
}

function exchange(
  request: OutboundRequest,
  lines: string[],
  agents: Agents,
): Promise<OutboundResponse | 'connection_was_closed'> {
  return new Promise((resolve, reject) => {
    const sent = open(request, lines, agents)
    let isConnected = false
    let endedBecause: OutboundReason | null = null
    const end = (reason: OutboundReason): void => {
      endedBecause = reason
      sent.destroy(new OutboundError(reason))
    }
    const timer = setTimeout(end, request.timeoutMs, 'timeout')
    const onAbort = (): void => end('aborted')
    request.signal?.addEventListener('abort', onAbort, { once: true })
    const finish = (): void => {
      clearTimeout(timer)
      request.signal?.removeEventListener('abort', onAbort)
    }

    sent.once('socket', (socket) => whenConnected(socket, request.url, () => (isConnected = true)))
    // A switch of protocols was never asked for. Its socket is ours now, errors included.
    sent.once('upgrade', (_received, socket) => {
      socket.on('error', () => undefined).destroy()
      finish()
      reject(new OutboundError('protocol_error'))
    })
    sent.once('response', (received) => {
      clearTimeout(timer)
      const answer = toResponse(request, received, () => endedBecause ?? 'protocol_error')
      if (answer === null) return end('protocol_error')
      resolve(answer)
    })
    sent.on('error', (error) => {
      if (wasIdleAndClosed(sent, error, request)) return resolve('connection_was_closed')
      reject(new OutboundError(endedBecause ?? reasonOf(error, isConnected)))
    })
    // The last event of all, whichever way it went.
    sent.once('close', finish)
    sendBody(sent, request.body, end)
  })
}

function open({ method, url }: OutboundRequest, headers: string[], agents: Agents): ClientRequest {
  const isTls = url.protocol === 'https:'
  const options = {
    method,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port),
    path: `${url.pathname}${url.search}`,
    headers,
    agent: isTls ? agents.https : agents.http,
    insecureHTTPParser: false,
  }
  try {
    return isTls ? https.request(options) : http.request(options)
  } catch {
    // Only the reason: the runtime's own error may repeat a header (reliability.md F6).
    throw new OutboundError('protocol_error')
  }
}

function whenConnected(socket: Socket, url: URL, note: () => void): void {
  if (!socket.connecting) note()
  else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', note)
}

function toResponse(
  request: OutboundRequest,
  received: IncomingMessage,
  reasonNow: () => OutboundReason,
): OutboundResponse | null {
  const status = received.statusCode ?? 0
  // Nothing else fits a Response; 1xx never comes here.
  if (status < 200 || status > 599) return null
  const headers: [string, string][] = []
  const { rawHeaders: raw } = received
  for (let at = 0; at + 1 < raw.length; at += 2) {
    headers.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? ''])
  }
  if (!hasNoBody(request.method, status)) {
    return { status, headers, body: responseBody(received, reasonNow) }
  }
  received.on('error', () => undefined)
  received.resume()
  return { status, headers, body: null }
}

/** A pooled connection that the server had closed by the time it was used; nothing was answered on it. */
function wasIdleAndClosed(sent: ClientRequest, error: Error, request: OutboundRequest): boolean {
  const code = codeOf(error)
  return (
    sent.reusedSocket &&
    (code === 'ECONNRESET' || code === 'EPIPE') &&
    request.body === null &&
    REPEATABLE.includes(request.method)
  )
}

function reasonOf(error: Error, isConnected: boolean): OutboundReason {
  if (error instanceof OutboundError) return error.reason
  return isConnected ? 'protocol_error' : 'connect_failed'
}

function codeOf(error: Error): unknown {
  return 'code' in error ? error.code : undefined
}

function sendBody(
  sent: ClientRequest,
  body: OutboundRequest['body'],
  end: (reason: OutboundReason) => void,
): void {
  if (body === null) sent.end()
  else if (body instanceof Uint8Array) sent.end(body)
  // A body that breaks off is the caller's doing.
  else pump(body, sent).catch(() => end('aborted'))
}

async function pump(body: ReadableStream<Uint8Array>, sent: ClientRequest): Promise<void> {
  const reader = body.getReader()
  sent.once('close', () => {
    // Cancelling a body that has already failed reports that failure a second time.
    reader.cancel().catch(() => undefined)
  })
  for (;;) {
    const { done, value } = await reader.read()
    if (sent.destroyed) return
    if (done) break
    if (!sent.write(value)) await drained(sent)
  }
  sent.end()
}

function drained(sent: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      sent.off('drain', settle)
      sent.off('close', settle)
      resolve()
    }
    sent.on('drain', settle)
    sent.on('close', settle)
  })
}
