// What both transports do to request headers before the runtime sees them. A bad value must not get as
// far as the runtime: its error text would repeat it, credential included (reliability.md F6).
import { OutboundError } from './outbound.ts'

type HeaderLine = readonly [string, string]

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** RFC 9110 §5.5: no control characters but the tab; one byte a character. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Framing, connection and Host belong to the transport (RFC 9110 §7.6.1, RFC 9112). */
const TRANSPORT_OWN: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** The lines to send, without the transport's own. Throws OutboundError for what cannot be sent. */
export function sendableHeaders(headers: readonly HeaderLine[]): HeaderLine[] {
  const sendable: HeaderLine[] = []
  for (const line of headers) {
    if (!TOKEN.test(line[0]) || !VALUE.test(line[1])) throw new OutboundError('protocol_error')
    if (!TRANSPORT_OWN.has(line[0].toLowerCase())) sendable.push(line)
  }
  return sendable
}

/** A method that can be sent: CONNECT would turn the connection into a tunnel. */
export function checkMethod(method: string): void {
  if (!TOKEN.test(method) || method.toUpperCase() === 'CONNECT') {
    throw new OutboundError('protocol_error')
  }
}

/** Statuses whose answer has no body (fetch's "null body status"). */
export function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 205 || status === 304
}
