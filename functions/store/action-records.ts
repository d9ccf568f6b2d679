// The action path: one read, the action with what it spends, the outcome with what comes back.
import type { EventDraft } from '../core/audit.ts'
import type { LimitName } from '../core/failure.ts'
import type { HistoryEntry } from '../core/intent.ts'
import type { BindingPolicy } from '../core/policy.ts'
import type {
  ActionRead,
  ActionResult,
  ActionWrite,
  OutcomeWrite,
  Records,
} from '../core/records.ts'
import { READ_SESSION_APPROVALS, toApproval, USE_APPROVAL } from './approval-row.ts'
import {
  HEAD,
  HEAD_COLUMNS,
  headOf,
  INSERT_EVENT_ONCE,
  insertEvent,
  insertEventWhere,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import { insertCredential, NOT_KILLED } from './credential-row.ts'
import type { Driver, Row } from './driver.ts'
import {
  ABOVE_HOLDS,
  areStanding,
  haveLostNone,
  LINEAGE_STATEMENTS,
  sharedFacts,
  DIAGNOSE_ABOVE,
  METHODS_OF_TREE,
  REFUND_ABOVE,
  refusalAbove,
  SPEND_ABOVE,
  SPEND_BELOW,
} from './lineage-sql.ts'
import { LIMITS, usedUp } from './limits-sql.ts'
import { flag, integer, json, only, textOrNull } from './row.ts'
import { SESSION_COLUMNS, toSession, toUsage } from './session-row.ts'
import { CONSUME_KEYS, replayed, singleUseKeys } from './single-use-row.ts'

const SECONDS_PER_WINDOW = 60
/** Larger reservations mean "whatever is left"; sums of them stay exact integers. */
const MAX_RESERVATION = 2 ** 40

const READ_STATE = `SELECT p.revision, p.killed, ${SESSION_COLUMNS}, ${HEAD_COLUMNS}
  FROM policy_state p LEFT JOIN session s ON s.id = ?1 LEFT JOIN ${HEAD} WHERE p.id = 1`

/** Nothing, and no work, while the policy is the one that the session was opened on. */
const READ_CHANGED_BINDINGS = `SELECT b.document
  FROM policy_state p CROSS JOIN session s CROSS JOIN binding b
  WHERE p.id = 1 AND s.id = ?1 AND s.policy_revision <> p.revision
    AND b.auth_method IN ${METHODS_OF_TREE} AND b.target = ?2 AND b.enabled = 1`

/** What an evaluator is shown of the past: enough to see a pattern, little enough to read with each action. */
const MAX_HISTORY = 20
const READ_HISTORY = `SELECT draft FROM audit_event
  WHERE chain = ?1 AND type IN ('action', 'refusal') ORDER BY chain_seq DESC LIMIT ${MAX_HISTORY}`

/** Whether a limit, bound as the parameters from `limits` on, is used up. */
function exhausted(
  limit: LimitName,
  at: { readonly writes: string; readonly minute: string; readonly limits: number },
): string {
  return usedUp(limit, { ...at, row: 's', bound: `?${at.limits + LIMITS.indexOf(limit)}` })
}

function approved(id: string, now: string, session: string): string {
  return `(${id} IS NULL OR EXISTS (SELECT 1 FROM approval
    WHERE id = ${id} AND state = 'approved' AND expires_at > ${now} AND session_id = ${session}))`
}

/**
 * ?9 now, ?10 revision, ?11 approval, ?12 writes, ?13 minute, ?14 to ?18 limits, ?19 effects removed,
 * ?20 keys of a proof or null; ?2 is chain and session.
 */
const mayAct = (lineage: string) => `(SELECT revision FROM policy_state WHERE id = 1) = ?10
  AND EXISTS (SELECT 1 FROM session s WHERE s.id = ?2
    AND s.state IN ('active', 'narrowed') AND s.expires_at > ?9 AND s.removed_effects = ?19
    ${lineage}
    ${LIMITS.map((limit) => `AND NOT ${exhausted(limit, { writes: '?12', minute: '?13', limits: 14 })}`).join('\n    ')})
  AND ${approved('?11', '?9', '?2')} AND NOT ${replayed('?20')}`
/** A session that has ancestors spends by the statements below, or not at all. */
const INSERT_ACTION = insertEventWhere(mayAct('AND s.ancestors IS NULL'))
const INSERT_ACTION_BELOW = insertEventWhere(mayAct(`AND ${ABOVE_HOLDS}`))

/** Behind the event ?2, whose guard saw the same row in the same batch: one atomic spend. ?6 limits bytes. */
const SPEND = `UPDATE session AS s SET
  used_actions = s.used_actions + 1,
  used_writes = s.used_writes + ?3,
  reserved_bytes = min(?4, coalesce(?6 - s.used_bytes, ?4)),
  used_bytes = s.used_bytes + min(?4, coalesce(?6 - s.used_bytes, ?4)),
  minute_actions = CASE WHEN s.minute < ?5 THEN 1 ELSE s.minute_actions + 1 END,
  minute = max(s.minute, ?5)
  WHERE s.id = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)
  RETURNING reserved_bytes, used_actions, used_writes, used_rows, used_bytes`

const DIAGNOSIS = `${HEAD_COLUMNS},
  (SELECT revision FROM policy_state WHERE id = 1) = ?3 AS revision_holds,
  ${approved('?4', '?2', '?1')} AS approved,
  ${replayed('?13')} AS replayed,
  coalesce(s.state IN ('active', 'narrowed') AND s.expires_at > ?2, 0) AS may_act,
  coalesce(s.state = 'suspended' AND s.expires_at > ?2, 0) AS suspended,
  coalesce(s.removed_effects = ?12, 0) AS as_read,
  ${LIMITS.map((limit) => `${exhausted(limit, { writes: '?5', minute: '?6', limits: 7 })} AS no_${limit}`).join(',\n  ')}`
const DIAGNOSED = `FROM ${HEAD} LEFT JOIN session s ON s.id = ?1`
const DIAGNOSE_ACTION = `SELECT ${DIAGNOSIS} ${DIAGNOSED}`
const DIAGNOSE_ACTION_BELOW = `SELECT ${DIAGNOSIS},
  ${DIAGNOSE_ABOVE} ${DIAGNOSED}`

/** Once: a repeated outcome finds its event and refunds nothing. ?1 session, ?2 chain head, ?3 event. */
const REFUND = `UPDATE session SET
  used_bytes = max(0, used_bytes - ?4 + ?5), used_rows = used_rows + ?6
  WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM audit_event WHERE id = ?3)
    AND (SELECT hash FROM audit_event WHERE chain = ?1 ORDER BY chain_seq DESC LIMIT 1) IS ?2`

const DIAGNOSE_ONCE = `SELECT ${HEAD_COLUMNS},
  EXISTS (SELECT 1 FROM audit_event WHERE id = ?2) AS recorded
  FROM ${HEAD}`

const ITS_TREE = `(
  SELECT json_insert(coalesce(ancestors, '[]'), '$[#]', id) FROM session WHERE id = ?9)`
/**
 * An outcome that hands over what cannot be taken back: not after the session or the broker was stopped, or
 * one of the effects ?10 was taken away.
 */
const INSERT_HANDED_OVER = insertEventWhere(
  `${NOT_KILLED} AND ${areStanding(ITS_TREE)} AND ${haveLostNone('?10', ITS_TREE)}`,
)

export const ACTION_STATEMENTS = {
  INSERT_HANDED_OVER,
  READ_STATE,
  READ_CHANGED_BINDINGS,
  READ_SESSION_APPROVALS,
  READ_HISTORY,
  INSERT_ACTION,
  INSERT_ACTION_BELOW,
  DIAGNOSE_ACTION_BELOW,
  ...LINEAGE_STATEMENTS,
  SPEND,
  USE_APPROVAL,
  DIAGNOSE_ACTION,
  REFUND,
  INSERT_EVENT_ONCE,
  DIAGNOSE_ONCE,
}

type ActionRecords = Pick<Records, 'readAction' | 'recordAction' | 'recordOutcome'>

export function createActionRecords(deps: {
  readonly driver: Driver
  readonly log: AuditLog
}): ActionRecords {
  return {
    readAction: (query) => readAction(deps.driver, deps.log, query),
    recordAction: (write) => recordAction(deps.log, write),
    recordOutcome: (write) => recordOutcome(deps.log, write),
  }
}

async function readAction(
  driver: Driver,
  log: AuditLog,
  { sessionId, target, withHistory, withApprovals }: Parameters<Records['readAction']>[0],
): Promise<ActionRead> {
  const rows = await driver.read([
    { sql: READ_STATE, args: [sessionId] },
    { sql: READ_CHANGED_BINDINGS, args: [sessionId, target] },
    ...(withApprovals ? [{ sql: READ_SESSION_APPROVALS, args: [sessionId] }] : []),
    ...(withHistory ? [{ sql: READ_HISTORY, args: [sessionId] }] : []),
  ])
  const [, bindings = []] = rows
  const approvals = withApprovals ? (rows[2] ?? []) : []
  const history = withHistory ? (rows.at(-1) ?? []) : []
  const state = only(rows, 0)
  const session = textOrNull(state, 'facts') === null ? null : toSession(state)
  if (session !== null) log.noteHead(sessionId, headOf(state))
  const revision = integer(state, 'revision')
  const changed = session !== null && session.policyRevision !== revision
  return {
    revision,
    killed: flag(state, 'killed'),
    session,
    bindings: changed ? bindings.map((row) => json<BindingPolicy>(row, 'document')) : null,
    approvals: approvals.map(toApproval).toReversed(),
    // Only evaluators read it, and most actions are settled without one.
    get history() {
      return history.flatMap(toHistory).toReversed()
    },
  }
}

/** A refusal before the request was understood names no action. */
function toHistory(row: Row): readonly HistoryEntry[] {
  const { action, outcome } = json<EventDraft>(row, 'draft')
  if (action?.['name'] === undefined) return []
  const { verdict } = outcome
  return [{ action, verdict: typeof verdict === 'string' ? verdict : 'deny' }]
}

function recordAction(log: AuditLog, write: ActionWrite): Promise<ActionResult> {
  const { event: draft, sessionId, spend, approvalId } = write
  const shared = write.shared === null ? [] : [sharedFacts(write.shared)]
  const isBelow = shared.length > 0
  const now = write.nowSeconds
  const minute = Math.floor(now / SECONDS_PER_WINDOW)
  const reserve = Math.max(0, Math.min(Math.trunc(spend.maxBytes), MAX_RESERVATION))
  const limits = LIMITS.map((limit) => write.limits[limit] ?? null)
  const maxBytes = write.limits.bytes ?? null
  const removed = JSON.stringify(write.removedEffects)
  const keys = write.singleUse.length === 0 ? null : singleUseKeys(write.singleUse)
  const facts = [approvalId, spend.writes, minute, ...limits, removed, keys, ...shared]
  const spent = [sessionId, draft.id, spend.writes]
  return log.append<ActionResult>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(isBelow ? INSERT_ACTION_BELOW : INSERT_ACTION, event, [
        now,
        write.expectedRevision,
        ...facts,
      ]),
      {
        sql: isBelow ? SPEND_BELOW : SPEND,
        args: [...spent, reserve, minute, maxBytes, ...shared],
      },
      ...(isBelow ? [{ sql: SPEND_ABOVE, args: [...spent, minute] }] : []),
      ...(keys === null ? [] : [{ sql: CONSUME_KEYS, args: [keys, draft.id] }]),
      ...(approvalId === null ? [] : [{ sql: USE_APPROVAL, args: [approvalId, draft.id] }]),
    ],
    diagnosis: {
      sql: isBelow ? DIAGNOSE_ACTION_BELOW : DIAGNOSE_ACTION,
      args: [sessionId, now, write.expectedRevision, ...facts],
    },
    taken: (rows) => {
      const row = only(rows, 1)
      const reservedBytes = integer(row, 'reserved_bytes')
      return { kind: 'recorded', reservedBytes, usage: toUsage(row) }
    },
    refused: (diagnosis) => (isBelow ? refusalAbove(diagnosis) : null) ?? actionRefusal(diagnosis),
  })
}

function actionRefusal(diagnosis: Row): ActionResult | null {
  if (!flag(diagnosis, 'revision_holds')) return { kind: 'policy_changed' }
  if (flag(diagnosis, 'suspended')) return { kind: 'session_suspended' }
  if (!flag(diagnosis, 'may_act')) return { kind: 'session_ended' }
  if (!flag(diagnosis, 'as_read')) return { kind: 'session_narrowed' }
  const limit = LIMITS.find((name) => flag(diagnosis, `no_${name}`))
  if (limit !== undefined) return { kind: 'exhausted', limit }
  if (flag(diagnosis, 'replayed')) return { kind: 'replayed' }
  return flag(diagnosis, 'approved') ? null : { kind: 'approval_used' }
}

/** Refund and event have the same condition, and the event comes second: both happen or neither. */
function recordOutcome(log: AuditLog, write: OutcomeWrite): Promise<void> {
  const { event: draft, sessionId, reservedBytes, usedBytes, usedRows, credential } = write
  const used = [draft.id, reservedBytes, usedBytes, usedRows]
  return log.append<void>({
    chain: sessionId,
    draft,
    statements: (event) => {
      if (credential !== undefined) {
        // Nothing was reserved for it, so nothing comes back.
        return [
          insertEvent(INSERT_HANDED_OVER, event, [sessionId, JSON.stringify(credential.effects)]),
          insertCredential(credential, sessionId, draft.id),
        ]
      }
      const args = [sessionId, event.prev_hash, ...used]
      return [
        { sql: REFUND, args },
        ...(write.isShared ? [{ sql: REFUND_ABOVE, args }] : []),
        insertEvent(INSERT_EVENT_ONCE, event),
      ]
    },
    diagnosis: { sql: DIAGNOSE_ONCE, args: [sessionId, draft.id] },
    taken: () => undefined,
    refused: (diagnosis) => (flag(diagnosis, 'recorded') ? undefined : null),
  })
}
