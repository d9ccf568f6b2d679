// The stores over one driver. This is all that the rest of the broker sees of SQL.
import type { Clock, Hashing, Seconds } from '../core/ports.ts'
import type { Records } from '../core/records.ts'
import { createApprovalStore } from './approval-store.ts'
import { createAuditLog } from './audit-log.ts'
import { createAuditStore } from './audit-store.ts'
import type {
  ApprovalStore,
  AuditStore,
  PolicyStore,
  SecretStore,
  SessionStore,
  SigningKeyStore,
} from './contract.ts'
import type { Driver } from './driver.ts'
import { migrate } from './migrate.ts'
import { createPolicyStore } from './policy-store.ts'
import { purge } from './purge.ts'
import { createRecords } from './records.ts'
import { createSecretStore } from './secret-store.ts'
import { createSessionStore } from './session-store.ts'
import { createSigningKeyStore } from './signing-key-store.ts'

export type Stores = {
  readonly records: Records
  readonly policy: PolicyStore
  readonly secrets: SecretStore
  readonly signingKeys: SigningKeyStore
  readonly sessions: SessionStore
  readonly approvals: ApprovalStore
  readonly audit: AuditStore
  /** Brings the database to this code's schema; how many migrations this call applied. */
  migrate(): Promise<number>
  /** Removes what expired. Never touches the audit log. */
  purge(nowSeconds: Seconds): Promise<void>
}

/** One per process or isolate: it remembers the heads of the audit chains. */
export function createStores(deps: {
  readonly driver: Driver
  readonly hashing: Hashing
  readonly clock: Clock
}): Stores {
  const { driver, hashing, clock } = deps
  const log = createAuditLog(driver, hashing)
  return {
    records: createRecords({ driver, log, clock }),
    policy: createPolicyStore({ driver, log, clock }),
    secrets: createSecretStore(driver, log),
    signingKeys: createSigningKeyStore(driver),
    sessions: createSessionStore({ driver, log, clock }),
    approvals: createApprovalStore(driver, log),
    audit: createAuditStore(driver),
    migrate: () => migrate(driver),
    purge: (nowSeconds) => purge(driver, nowSeconds),
  }
}
