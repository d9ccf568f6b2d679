// TLS where the caller, and not a store of public authorities, judges the server's certificate: a SPIFFE
// bundle endpoint that authenticates with an X509-SVID (SPIFFE Federation §5.2.2). Nothing is sent before
// the judgement, and no connection is kept for another call.
import https from 'node:https'
import type { Socket } from 'node:net'
import { connect, type ConnectionOptions, type DetailedPeerCertificate } from 'node:tls'
import { OutboundError, type OutboundRequest } from './outbound.ts'

export type VerifyPeer = NonNullable<OutboundRequest['verifyPeer']>

/** More than any path needs; the judge bounds its own work besides. */
const MAX_CERTIFICATES = 16

type Connected = (error: Error | null, socket: Socket) => void

/** For one call; `settings` are those of the pooled agents, the checked look-up among them. */
export function peerVerifyingAgent(
  settings: https.AgentOptions,
  request: { readonly verifyPeer: VerifyPeer; readonly timeoutMs: number },
): https.Agent {
  const agent = new https.Agent({ ...settings, keepAlive: false, maxCachedSessions: 0 })
  // The type knows only the form that returns its socket; the callback is documented all the same.
  const creating = agent as { createConnection: unknown }
  creating.createConnection = (options: ConnectionOptions, connected: Connected): undefined => {
    // Right only because verifyPeer() has the last word below, before the socket is handed over.
    const socket = connect({ ...options, rejectUnauthorized: false })
    const give = once(connected)
    const refuse = (error?: unknown): void => {
      socket.destroy()
      // The look-up has reasons of its own; the runtime's are not for the log (F6).
      give(error instanceof OutboundError ? error : new OutboundError('connect_failed'), socket)
    }
    socket.setTimeout(request.timeoutMs)
    socket.once('timeout', refuse)
    socket.once('error', refuse)
    socket.once('close', refuse)
    socket.once('secureConnect', () => {
      request.verifyPeer(presented(socket.getPeerCertificate(true))).then((isTrusted) => {
        if (!isTrusted) return refuse()
        for (const event of ['error', 'close', 'timeout']) socket.removeListener(event, refuse)
        socket.setTimeout(0)
        give(null, socket)
      }, refuse)
    })
  }
  return agent
}

function once(connected: Connected): Connected {
  let isDone = false
  return (error, socket) => {
    if (isDone) return
    isDone = true
    connected(error, socket)
  }
}

/** DER, leaf first. The last one of a chain names itself as its issuer. */
function presented(leaf: DetailedPeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = []
  const seen = new Set<string>()
  let current: DetailedPeerCertificate | undefined = leaf
  // A peer without a certificate is an empty object, whatever the type says.
  while (current?.raw !== undefined && chain.length < MAX_CERTIFICATES) {
    const id = current.fingerprint256
    if (seen.has(id)) break
    seen.add(id)
    chain.push(new Uint8Array(current.raw))
    current = current.issuerCertificate
  }
  return chain
}
