// The exchange path: one read, the decision, the grant. Each is one round trip.
import type { BindingPolicy } from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import type { SingleUse } from '../core/proof.ts'
import {
  type DecisionResult,
  type DecisionWrite,
  type ExchangeRead,
  type GrantWrite,
  type Records,
  StoreUnavailable,
} from '../core/records.ts'
import { READ_EXCHANGE_APPROVAL, toApproval, USE_APPROVAL } from './approval-row.ts'
import {
  HEAD,
  HEAD_COLUMNS,
  INSERT_EVENT_ALWAYS,
  insertEvent,
  insertEventWhere,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import { CREDENTIAL_STATEMENTS, insertCredential, NOT_KILLED } from './credential-row.ts'
import type { Driver, Row, Statement } from './driver.ts'
import { first, flag, integer, json, only, text } from './row.ts'
import {
  areStanding,
  BUDGETS_ABOVE,
  DIAGNOSE_LISTED,
  haveLostNone,
  LISTED_HOLD,
  readTreeBindings,
  refusalAbove,
  sharedFacts,
  SPEND_LISTED,
  toBudgets,
} from './lineage-sql.ts'
import { insertSession, SESSION_COLUMNS, toSession } from './session-row.ts'
import { CONSUME_KEYS, replayed, revocationKeys, revoked, singleUseKeys } from './single-use-row.ts'

export const READ_POLICY_STATE = 'SELECT revision, killed FROM policy_state WHERE id = 1'

const READ_BINDINGS = `SELECT document FROM binding
  WHERE auth_method = ?1 AND target = ?2 AND enabled = 1`

const APPROVAL_USABLE = `(?11 IS NULL OR EXISTS (
  SELECT 1 FROM approval WHERE id = ?11 AND state = 'approved' AND expires_at > ?12))`

/** ?9 revision, ?10 keys as [[key, expires_at], …], ?11 approval, ?12 now, ?13 what may be revoked. */
const MAY_DECIDE = `(SELECT revision FROM policy_state WHERE id = 1) = ?9
  AND NOT ${replayed('?10')} AND NOT ${revoked('?13')}
  AND ${APPROVAL_USABLE}`
const INSERT_DECISION = insertEventWhere(MAY_DECIDE)
const INSERT_DECISION_BELOW = insertEventWhere(`${MAY_DECIDE} AND ${LISTED_HOLD}`)

const DIAGNOSIS = `${HEAD_COLUMNS},
  (SELECT revision FROM policy_state WHERE id = 1) = ?2 AS revision_holds,
  (SELECT json_group_array(key) FROM single_use
    WHERE key IN (SELECT value ->> 0 FROM json_each(?3))) AS replayed,
  (?4 IS NULL OR EXISTS (
    SELECT 1 FROM approval WHERE id = ?4 AND state = 'approved' AND expires_at > ?5)) AS approved,
  ${revoked('?6')} AS revoked`
const DIAGNOSE_DECISION = `SELECT ${DIAGNOSIS} FROM ${HEAD}`
const DIAGNOSE_DECISION_BELOW = `SELECT ${DIAGNOSIS}, ${DIAGNOSE_LISTED} FROM ${HEAD}`

/**
 * Of a credential. ?9: a security event may have come since the decision, and found no session yet. What is
 * handed over cannot be taken back: not after the kill switch, nor below a session, of ?10, that ended, or
 * lost one of the effects ?11.
 */
const INSERT_GRANT = insertEventWhere(
  `NOT ${revoked('?9')} AND ${NOT_KILLED} AND ${areStanding('?10')} AND ${haveLostNone('?11', '?10')}`,
)
const DIAGNOSE_GRANT = `SELECT ${HEAD_COLUMNS}, ${revoked('?2')} AS revoked FROM ${HEAD}`

const READ_PARENT = `SELECT ${SESSION_COLUMNS}, ${BUDGETS_ABOVE} FROM session s WHERE s.id = ?1`

export const EXCHANGE_STATEMENTS = {
  READ_PARENT,
  READ_POLICY_STATE,
  READ_BINDINGS,
  READ_EXCHANGE_APPROVAL,
  INSERT_DECISION,
  INSERT_DECISION_BELOW,
  SPEND_LISTED,
  DIAGNOSE_DECISION_BELOW,
  INSERT_GRANT,
  ...CREDENTIAL_STATEMENTS,
  DIAGNOSE_GRANT,
  CONSUME_KEYS,
  USE_APPROVAL,
  DIAGNOSE_DECISION,
}

type ExchangeRecords = Pick<Records, 'readExchange' | 'recordDecision' | 'recordGrant'>

export function createExchangeRecords(deps: {
  readonly driver: Driver
  readonly log: AuditLog
  readonly clock: Clock
}): ExchangeRecords {
  return {
    readExchange: (query) => readExchange(deps.driver, query),
    recordDecision: (write) => recordDecision(deps.log, deps.clock.nowSeconds(), write),
    recordGrant: (write) => recordGrant(deps.log, write),
  }
}

async function readExchange(
  driver: Driver,
  { method, targets, approvalHash, parent = null }: Parameters<Records['readExchange']>[0],
): Promise<ExchangeRead> {
  const statements: Statement[] = [
    { sql: READ_POLICY_STATE, args: [] },
    ...(approvalHash === null ? [] : [{ sql: READ_EXCHANGE_APPROVAL, args: [approvalHash] }]),
    ...targets.map((target) => ({ sql: READ_BINDINGS, args: [method, target] })),
    ...(parent === null ? [] : targets.map((target) => readTreeBindings(parent, target))),
    ...(parent === null ? [] : [{ sql: READ_PARENT, args: [parent] }]),
  ]
  const rows = await driver.read(statements)
  const state = only(rows, 0)
  const approval = approvalHash === null ? null : first(rows, 1)
  const ofParent = parent === null ? null : first(rows, rows.length - 1)
  const bindings = rows
    .slice(approvalHash === null ? 1 : 2, parent === null ? undefined : -1)
    .flat()
  return {
    revision: integer(state, 'revision'),
    killed: flag(state, 'killed'),
    bindings: bindings.map((row) => json<BindingPolicy>(row, 'document')),
    approval:
      approval === null ? null : { ...toApproval(approval), subject: text(approval, 'subject') },
    parent: ofParent === null ? null : { session: toSession(ofParent), above: toBudgets(ofParent) },
  }
}

/** The event is inserted only while every condition holds; what it consumes follows in the same batch. */
function recordDecision(log: AuditLog, now: number, write: DecisionWrite): Promise<DecisionResult> {
  const { event: draft, sessionId, singleUse, approvalId, expectedRevision, opens } = write
  const keys = singleUseKeys(singleUse)
  const { revocable = [] } = write
  const subjects = revocable.length === 0 ? null : revocationKeys(revocable)
  const above = aboveFacts(write, now)
  const facts = [expectedRevision, keys, approvalId, now, subjects]
  return log.append<DecisionResult>({
    chain: sessionId,
    draft,
    ...(opens === undefined ? {} : { next: opens.event }),
    statements: (event, next) => [
      above === null
        ? insertEvent(INSERT_DECISION, event, facts)
        : insertEvent(INSERT_DECISION_BELOW, event, [...facts, ...above]),
      ...(above === null ? [] : [spendListed(above, draft.id)]),
      ...(singleUse.length === 0 ? [] : [{ sql: CONSUME_KEYS, args: [keys, draft.id] }]),
      ...(approvalId === null ? [] : [{ sql: USE_APPROVAL, args: [approvalId, draft.id] }]),
      // Chained on the decision: where that is not taken, neither is this.
      ...(opens === undefined || next === null
        ? []
        : [insertEvent(INSERT_EVENT_ALWAYS, next), ...insertSession(opens.session, next.id)]),
    ],
    diagnosis: {
      sql: above === null ? DIAGNOSE_DECISION : DIAGNOSE_DECISION_BELOW,
      args: [sessionId, ...facts, ...(above ?? [])],
    },
    taken: () => 'recorded',
    refused: (diagnosis) =>
      decisionRefusal(diagnosis, singleUse) ?? (above === null ? null : refusedAbove(diagnosis)),
  })
}

/** Writes, minute, sharedFacts(), ancestors. */
type AboveFacts = readonly [number, number, string, string]

function aboveFacts({ spendAbove }: DecisionWrite, now: number): AboveFacts | null {
  if (spendAbove === undefined) return null
  const { ancestors, writes, shared } = spendAbove
  return [writes, Math.floor(now / 60), sharedFacts(shared), JSON.stringify(ancestors)]
}

function spendListed([writes, minute, , ancestors]: AboveFacts, eventId: string): Statement {
  return { sql: SPEND_LISTED, args: [ancestors, eventId, writes, minute] }
}

function refusedAbove(diagnosis: Row): DecisionResult | null {
  const refusal = refusalAbove(diagnosis)
  if (refusal === null) return null
  return refusal.kind === 'exhausted' ? 'exhausted' : 'parent_changed'
}

function decisionRefusal(diagnosis: Row, singleUse: readonly SingleUse[]): DecisionResult | null {
  if (!flag(diagnosis, 'revision_holds')) return 'policy_changed'
  if (flag(diagnosis, 'revoked')) return 'revoked'
  const used = json<readonly string[]>(diagnosis, 'replayed')
  const again = singleUse.filter(({ key }) => used.includes(key))
  if (again.length > 0) {
    return again.every(({ isProof }) => isProof === true) ? 'proof_replayed' : 'replayed'
  }
  return flag(diagnosis, 'approved') ? null : 'approval_used'
}

function recordGrant(log: AuditLog, write: GrantWrite): Promise<void> {
  const { event: draft, session, revocable = [], credential } = write
  const ancestors = JSON.stringify(session.lineage?.ancestors ?? [])
  const subjects = revocable.length === 0 ? null : revocationKeys(revocable)
  return log.append<void>({
    chain: session.id,
    draft,
    statements: (event) => [
      insertEvent(INSERT_GRANT, event, [subjects, ancestors, JSON.stringify(credential.effects)]),
      ...insertSession(session, draft.id),
      insertCredential(credential, session.id, draft.id),
    ],
    diagnosis: { sql: DIAGNOSE_GRANT, args: [session.id, subjects] },
    taken: () => undefined,
    refused(diagnosis) {
      // Nothing of it is there. The caller tries again, and then its decision is refused.
      if (flag(diagnosis, 'revoked')) throw new StoreUnavailable('revoked before it was granted')
      return null
    },
  })
}
