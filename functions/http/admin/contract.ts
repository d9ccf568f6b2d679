// What the routes of /admin/v1 are made of, and what they are given.
import type { Context } from 'hono'
import type { Failure } from '../../core/failure.ts'
import type { Clock, Hashing, Ids } from '../../core/ports.ts'
import type { Records } from '../../core/records.ts'
import type { Result } from '../../core/result.ts'
import type { Withdraw } from '../../core/withdrawn.ts'
import type { AdminRole } from '../../policy/admin-target.ts'
import type { PolicyTypes } from '../../policy/index.ts'
import type {
  ApprovalStore,
  AuditStore,
  PolicyStore,
  SecretStore,
  SessionStore,
} from '../../store/contract.ts'

export type { AdminRole }

export type Admin = {
  /** `admin-token`, or `{auth_method}:{subject}`. */
  readonly name: string
  /** `admin` whenever that role is held, whatever was asked for. */
  readonly role: AdminRole
  readonly sessionId: string | null
}

export type AdminDeps = {
  readonly policies: PolicyStore
  readonly secrets: SecretStore
  readonly sessions: SessionStore
  readonly approvals: ApprovalStore
  readonly audit: AuditStore
  readonly records: Pick<Records, 'readPolicyState' | 'readHandedOver' | 'recordRefusal'>
  readonly types: PolicyTypes
  /** Who asks; fails with `unauthenticated`, or `forbidden` with who it was when no role of theirs permits `role`. */
  readonly authenticate: (request: Request, role: AdminRole) => Promise<Result<Admin, Failure>>
  readonly sealSecret: (secret: {
    readonly name: string
    readonly value: string
    readonly allowedOrigins: readonly string[]
  }) => Promise<string>
  readonly withdraw: Withdraw
  readonly issuer: string
  /** SALLYPORT_ALLOW_INSECURE_LOOPBACK: plain http to loopback may be an origin of a secret. */
  readonly allowInsecureLoopback: boolean
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
  readonly sendFailure: (c: Context, failure: Failure, decisionId: string) => Response
  /** Called after each write of a policy object or secret, so that this isolate loads it at once. */
  readonly onPolicyChanged: () => void
}

/** One request that was authenticated. */
export type AdminCall = {
  readonly request: Request
  readonly deps: AdminDeps
  readonly admin: Admin
  readonly decisionId: string
  readonly parameter: (name: string) => string
  /** Declared query parameters that were given. */
  readonly query: ReadonlyMap<string, string>
}

export type Answer = {
  readonly status: 200 | 201
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export type AdminRoute = {
  /** `operationId` of the OpenAPI document. */
  readonly operation: string
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Below /admin/v1, as Hono writes it. */
  readonly path: string
  readonly role: AdminRole
  /** The query parameters it knows; any other is refused. */
  readonly query?: readonly string[]
  readonly handle: (call: AdminCall) => Promise<Result<Answer, Failure>>
}
