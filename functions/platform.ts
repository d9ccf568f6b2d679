// What differs by runtime, filled in by the entries and nowhere else.
import type { AwsSdk } from './aws/contract.ts'
import type { UntrustedCertificate } from './core/auth-method.ts'
import type { Clock, Hashing, Ids } from './core/ports.ts'
import type { Outbound } from './net/outbound.ts'
import type { Driver } from './store/driver.ts'

export type RuntimeName = 'node' | 'workerd' | 'lambda'

export type Platform = {
  readonly runtime: RuntimeName
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly outbound: Outbound
  readonly driver: Driver
  /** AWS's own SDK, where there is one; loaded when it is first asked for. */
  readonly awsSdk?: () => Promise<AwsSdk>
  /** Environment of the deployment; read per request where a setting must act at once (SALLYPORT_KILL). */
  readonly env: (name: string) => string | undefined
  /** One structured log line. Never given a secret. */
  readonly log: (
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    facts?: Readonly<Record<string, unknown>>,
  ) => void
}

/** What the entry knows of one request and Hono does not. */
export type RequestFacts = {
  /** The path and query exactly as received, where the runtime shows them; else as parsed. */
  readonly rawTarget: string
  /** Address of the client as the platform vouches for it; null when it does not. Never from a header anyone can set. */
  readonly clientAddress: string | null
  /** Every header line, in order, where the runtime keeps them apart; else as joined by it. */
  readonly headerLines: readonly (readonly [string, string])[]
  /** The client certificate that the platform vouches for, by the connection or the event; else absent. */
  readonly clientCertificate?: UntrustedCertificate | null
  /** Work that must end even when the client goes away, where the runtime would drop it. */
  readonly keepAlive?: (work: Promise<unknown>) => void
}
