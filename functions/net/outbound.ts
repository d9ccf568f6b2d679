// The contract of every call that leaves the broker. Two transports implement it (platform.ts): Node
// pins the checked address at connect time, Workers fetch. Neither ever follows a redirect.

export type OutboundRequest = {
  readonly method: string
  readonly url: URL
  /** In order; a name may repeat. Framing headers are the transport's own. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: ReadableStream<Uint8Array> | Uint8Array | null
  /** From connect to the response headers. */
  readonly timeoutMs: number
  /** Ends the call, body included. */
  readonly signal?: AbortSignal
  /** What this call may reach besides public addresses. Link-local and metadata addresses: never. */
  readonly reach: Reach
  /**
   * PEM: the only certificate authorities that the server's certificate may come from. A transport that
   * cannot hold a call to them refuses it.
   */
  readonly ca?: string
  /**
   * Judges the certificates that the server presents (DER, leaf first) in place of any authority, before
   * anything is sent. A transport that cannot ask refuses the call.
   */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => Promise<boolean>
}

export type Reach = {
  /** RFC 1918, ULA, CGNAT: only for targets with `private_network`. */
  readonly privateNetwork: boolean
  /** Loopback and plain http: only under SALLYPORT_ALLOW_INSECURE_LOOPBACK=1. */
  readonly loopback: boolean
}

export type OutboundResponse = {
  readonly status: number
  /** In order; names lower-case; a name may repeat (`set-cookie`). */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: ReadableStream<Uint8Array> | null
}

export type OutboundReason =
  | 'timeout'
  | 'address_refused'
  | 'unresolvable'
  | 'connect_failed'
  | 'protocol_error'
  | 'aborted'

/** Carries a reason only: runtimes put header values into their own error text (reliability.md F6). */
export class OutboundError extends Error {
  override readonly name = 'OutboundError'
  readonly reason: OutboundReason

  constructor(reason: OutboundReason) {
    super(`outbound call failed: ${reason}`)
    this.reason = reason
  }
}

/** Sends one request. Throws OutboundError and nothing else. */
export type Outbound = (request: OutboundRequest) => Promise<OutboundResponse>
