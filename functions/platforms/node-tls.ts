// TLS on the Node server: it asks every client for a certificate, takes whichever one is shown and hands
// it on. Whom it belongs to is judged per request by the Auth Methods; no trust store is asked here.
import { constants } from 'node:crypto'
import { createServer, type Server as HttpsServer, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { UntrustedCertificate } from '../core/auth-method.ts'

export type ServerTls = { readonly cert: string; readonly key: string }

/** One more than any method takes, so that a longer chain is refused and not cut. */
const MAX_CERTIFICATES = 11

export function createTlsServer(
  { cert, key }: ServerTls,
  options: ServerOptions,
  handshakeTimeoutMs: number,
): HttpsServer {
  return createServer({
    ...options,
    cert,
    key,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    requestCert: true,
    // The handshake still proves that the client holds the key; what is not checked is who signed it.
    // OpenSSL works its way up to 100 KB of any chain all the same, which Node gives no way to lower: a
    // listener that strangers can reach belongs behind a limit on connections.
    rejectUnauthorized: false,
    // Names no CA, so that a client offers what it has, and keeps the system's store out of it.
    ca: [],
    // A resumed session brings the leaf without its chain, and the proof of an earlier day (MTLS-2).
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    handshakeTimeout: handshakeTimeoutMs,
  })
}

// Node takes the chain out of the connection as it hands it over, so that it can be read once only. It
// cannot change afterwards: there is no renegotiation.
const peers = new WeakMap<TLSSocket, UntrustedCertificate | null>()

/** The chain as the client sent it, leaf first; null without TLS or without a certificate. */
export function peerCertificate(socket: Socket): UntrustedCertificate | null {
  if (!(socket instanceof TLSSocket)) return null
  const known = peers.get(socket)
  if (known !== undefined) return known
  const certificate = readPeer(socket)
  peers.set(socket, certificate)
  return certificate
}

function readPeer(socket: TLSSocket): UntrustedCertificate | null {
  const chain: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && chain.length < MAX_CERTIFICATES) {
    chain.push(next.raw)
    next = next.issuerCertificate
  }
  // A handshake that ended with a certificate ended with its key's signature (RFC 8446 §4.4.3).
  return chain.length === 0 ? null : { chain, provenByPlatform: true }
}
