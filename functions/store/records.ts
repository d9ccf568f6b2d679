// The store of the two paths (core/records.ts): the exchange, the action, and what both share.
import type { EventDraft } from '../core/audit.ts'
import type { Clock } from '../core/ports.ts'
import type { ApprovalWrite, PolicyState, Records } from '../core/records.ts'
import { createActionRecords } from './action-records.ts'
import { insertApproval } from './approval-row.ts'
import { insertEvent, INSERT_EVENT_ALWAYS } from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import { findCredential, readEndedHolders, readHandedOver } from './credential-row.ts'
import type { Driver } from './driver.ts'
import { createExchangeRecords, READ_POLICY_STATE } from './exchange-records.ts'
import { flag, integer, only } from './row.ts'
import { createSecurityEventRecords } from './security-event-records.ts'
import { createSelfTightening } from './session-states.ts'
import { endSession, readSession } from './session-store.ts'
import { consumeKeys } from './single-use-row.ts'

export function createRecords(deps: {
  readonly driver: Driver
  readonly log: AuditLog
  readonly clock: Clock
}): Records {
  const { driver, log, clock } = deps
  return {
    ...createExchangeRecords(deps),
    ...createActionRecords(deps),
    recordRefusal: (event) => recordRefusal(log, event),
    ...createSelfTightening(deps),
    ...createSecurityEventRecords(deps),
    recordReview: (write) => recordReview(log, write),
    endSession: (id, event) => endSession(log, id, clock.nowSeconds(), event),
    consume: (singleUse) => consumeKeys(driver, singleUse),
    readHandedOver: (sessionId) => readHandedOver(driver, sessionId, clock.nowSeconds()),
    readEndedHolders: (target) => readEndedHolders(driver, target, clock.nowSeconds()),
    findCredential: (sha256) => findCredential(driver, sha256),
    readPolicyState: () => readPolicyState(driver),
    readSession: (id) => readSession(driver, id),
  }
}

/** Without a session an event has a chain of its own. */
function chainOf(draft: EventDraft, sessionId: string | null): string {
  return sessionId ?? draft.decision_id
}

function recordRefusal(log: AuditLog, draft: EventDraft): Promise<void> {
  const chain = chainOf(draft, draft.session_id)
  return log.append<void>({
    chain,
    draft,
    statements: (event) => [insertEvent(INSERT_EVENT_ALWAYS, event)],
    taken: () => undefined,
  })
}

function recordReview(log: AuditLog, write: ApprovalWrite): Promise<void> {
  const chain = chainOf(write.event, write.sessionId)
  return log.append<void>({
    chain,
    draft: write.event,
    statements: (event) => [insertEvent(INSERT_EVENT_ALWAYS, event), insertApproval(write)],
    taken: () => undefined,
  })
}

async function readPolicyState(driver: Driver): Promise<PolicyState> {
  const state = only(await driver.read([{ sql: READ_POLICY_STATE, args: [] }]), 0)
  return { revision: integer(state, 'revision'), killed: flag(state, 'killed') }
}
