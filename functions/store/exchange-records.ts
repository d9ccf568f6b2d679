// The exchange path: one read, the decision, the grant. Each is one round trip.
import type { BindingPolicy } from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import type {
  DecisionResult,
  DecisionWrite,
  ExchangeRead,
  GrantWrite,
  Records,
} from '../core/records.ts'
import { READ_EXCHANGE_APPROVAL, toApproval, USE_APPROVAL } from './approval-row.ts'
import {
  HEAD,
  HEAD_COLUMNS,
  insertEvent,
  insertEventWhere,
  INSERT_EVENT_ALWAYS,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { Driver, Row, Statement } from './driver.ts'
import { first, flag, integer, json, only } from './row.ts'
import { insertSession } from './session-row.ts'

export const READ_POLICY_STATE = 'SELECT revision, killed FROM policy_state WHERE id = 1'

const READ_BINDINGS = `SELECT document FROM binding
  WHERE auth_method = ?1 AND target = ?2 AND enabled = 1`

const APPROVAL_USABLE = `(?11 IS NULL OR EXISTS (
  SELECT 1 FROM approval WHERE id = ?11 AND state = 'approved' AND expires_at > ?12))`

/** ?9 revision, ?10 keys as [[key, expires_at], …], ?11 approval, ?12 now. */
const INSERT_DECISION = insertEventWhere(`(SELECT revision FROM policy_state WHERE id = 1) = ?9
  AND NOT EXISTS (SELECT 1 FROM single_use WHERE key IN (SELECT value ->> 0 FROM json_each(?10)))
  AND ${APPROVAL_USABLE}`)

const CONSUME_KEYS = `INSERT INTO single_use (key, expires_at)
  SELECT value ->> 0, value ->> 1 FROM json_each(?1)
  WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`

const DIAGNOSE_DECISION = `SELECT ${HEAD_COLUMNS},
  (SELECT revision FROM policy_state WHERE id = 1) = ?2 AS revision_holds,
  EXISTS (SELECT 1 FROM single_use WHERE key IN (SELECT value ->> 0 FROM json_each(?3))) AS replayed,
  (?4 IS NULL OR EXISTS (
    SELECT 1 FROM approval WHERE id = ?4 AND state = 'approved' AND expires_at > ?5)) AS approved
  FROM ${HEAD}`

export const EXCHANGE_STATEMENTS = {
  READ_POLICY_STATE,
  READ_BINDINGS,
  READ_EXCHANGE_APPROVAL,
  INSERT_DECISION,
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
  { method, targets, approvalHash }: Parameters<Records['readExchange']>[0],
): Promise<ExchangeRead> {
  const statements: Statement[] = [
    { sql: READ_POLICY_STATE, args: [] },
    ...(approvalHash === null ? [] : [{ sql: READ_EXCHANGE_APPROVAL, args: [approvalHash] }]),
    ...targets.map((target) => ({ sql: READ_BINDINGS, args: [method, target] })),
  ]
  const rows = await driver.read(statements)
  const state = only(rows, 0)
  const approval = approvalHash === null ? null : first(rows, 1)
  const bindings = rows.slice(approvalHash === null ? 1 : 2).flat()
  return {
    revision: integer(state, 'revision'),
    killed: flag(state, 'killed'),
    bindings: bindings.map((row) => json<BindingPolicy>(row, 'document')),
    approval: approval === null ? null : toApproval(approval),
  }
}

/** The event is inserted only while every condition holds; what it consumes follows in the same batch. */
function recordDecision(log: AuditLog, now: number, write: DecisionWrite): Promise<DecisionResult> {
  const { event: draft, sessionId, singleUse, approvalId, expectedRevision } = write
  const keys = JSON.stringify([...new Map(singleUse.map((use) => [use.key, use.expiresAt]))])
  return log.append<DecisionResult>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(INSERT_DECISION, event, [expectedRevision, keys, approvalId, now]),
      ...(singleUse.length === 0 ? [] : [{ sql: CONSUME_KEYS, args: [keys, draft.id] }]),
      ...(approvalId === null ? [] : [{ sql: USE_APPROVAL, args: [approvalId, draft.id] }]),
    ],
    diagnosis: {
      sql: DIAGNOSE_DECISION,
      args: [sessionId, expectedRevision, keys, approvalId, now],
    },
    taken: () => 'recorded',
    refused: decisionRefusal,
  })
}

function decisionRefusal(diagnosis: Row): DecisionResult | null {
  if (!flag(diagnosis, 'revision_holds')) return 'policy_changed'
  if (flag(diagnosis, 'replayed')) return 'replayed'
  return flag(diagnosis, 'approved') ? null : 'approval_used'
}

function recordGrant(log: AuditLog, { event: draft, session }: GrantWrite): Promise<void> {
  return log.append<void>({
    chain: session.id,
    draft,
    statements: (event) => [
      insertEvent(INSERT_EVENT_ALWAYS, event),
      ...insertSession(session, draft.id),
    ],
    taken: () => undefined,
  })
}
