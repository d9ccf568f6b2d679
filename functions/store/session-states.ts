// Changes of a session's state: what tightens it, by an admin, by itself or by a security event, and what
// an admin gives back. Each is one atomic write with its event, and every statement says for itself from
// which state it goes, so that no order of arrival can loosen what somebody else tightened.
import type { EventDraft } from '../core/audit.ts'
import type { Clock } from '../core/ports.ts'
import type { Records, TighteningWrite } from '../core/records.ts'
import type { Restorable, Tightening } from '../core/session-state.ts'
import {
  HEAD,
  HEAD_COLUMNS,
  insertEvent,
  INSERT_EVENT_ALWAYS,
  insertEventWhere,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { RestoreResult } from './contract.ts'
import type { Row, Statement, Value } from './driver.ts'
import { flag, integer, textOrNull } from './row.ts'

/** The assignments of each change. ?2 is the event that says so, ?3 the effects that are taken away. */
export const SET = {
  // Besides what was taken before, in one spelling for equal sets; a suspended session stays suspended.
  narrowed: `state_event = ?2, removed_effects = (SELECT json_group_array(value) FROM (
    SELECT value FROM json_each(s.removed_effects) UNION SELECT value FROM json_each(?3) ORDER BY 1)),
    state = CASE s.state WHEN 'active' THEN 'narrowed' ELSE s.state END`,
  suspended: `state_event = ?2, state = 'suspended'`,
  ended: `state_event = ?2, state = 'ended'`,
} as const satisfies Record<Tightening['to'], string>

const IS_NEW = 'EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)'

/** ?1 session, ?2 event. */
const COUNT_DENIAL = `UPDATE session AS s SET denials = s.denials + 1
  WHERE s.id = ?1 AND ${IS_NEW} RETURNING denials`

/** Whether some of these effects have not been taken away yet. */
function hasMore(effects: string): string {
  return `EXISTS (SELECT 1 FROM json_each(${effects}) AS e
    WHERE e.value NOT IN (SELECT value FROM json_each(s.removed_effects)))`
}

// The event's parameters are ?1 to ?8; ?9 session, ?10 now, and where named ?11.
const LIVE = `s.id = ?9 AND s.state <> 'ended' AND s.expires_at > ?10`
const INSERT_TIGHTENING = insertEventWhere(`EXISTS (SELECT 1 FROM session s WHERE ${LIVE})`)
const INSERT_SELF_NARROWING = insertEventWhere(
  `EXISTS (SELECT 1 FROM session s WHERE ${LIVE} AND s.state <> 'suspended' AND s.denials >= ?11
    AND ${hasMore('?12')})`,
)
const INSERT_SELF_SUSPENSION = insertEventWhere(
  `EXISTS (SELECT 1 FROM session s WHERE ${LIVE} AND s.state <> 'suspended' AND s.denials >= ?11)`,
)
/** ?11: the event that the admin saw as the last change, null for none. */
const INSERT_RESTORE = insertEventWhere(
  `EXISTS (SELECT 1 FROM session s WHERE ${LIVE} AND s.state_event IS ?11)`,
)

const NARROW = `UPDATE session AS s SET ${SET.narrowed} WHERE s.id = ?1 AND ${IS_NEW}`
const SUSPEND = `UPDATE session AS s SET ${SET.suspended} WHERE s.id = ?1 AND ${IS_NEW}`
const RESTORE = `UPDATE session AS s SET state = 'active', removed_effects = '[]', denials = 0,
  state_event = ?2 WHERE s.id = ?1 AND ${IS_NEW}`

const DIAGNOSE = `SELECT ${HEAD_COLUMNS}, s.state_event,
  coalesce(s.state <> 'ended' AND s.expires_at > ?2, 0) AS live
  FROM ${HEAD} LEFT JOIN session s ON s.id = ?1`

/** Whether the session is still to be tightened: then only the chain's head has moved. ?4 effects. */
const DIAGNOSE_SELF = `SELECT ${HEAD_COLUMNS},
  coalesce(s.state IN ('active', 'narrowed') AND s.expires_at > ?2 AND s.denials >= ?3
    AND (?4 IS NULL OR ${hasMore('?4')}), 0) AS due
  FROM ${HEAD} LEFT JOIN session s ON s.id = ?1`

export const STATE_STATEMENTS = {
  DIAGNOSE_SELF,
  COUNT_DENIAL,
  INSERT_TIGHTENING,
  INSERT_SELF_NARROWING,
  INSERT_SELF_SUSPENSION,
  INSERT_RESTORE,
  NARROW,
  SUSPEND,
  RESTORE,
  DIAGNOSE_STATE: DIAGNOSE,
}

type Deps = { readonly log: AuditLog; readonly clock: Clock }

export function createSelfTightening({
  log,
  clock,
}: Deps): Pick<Records, 'recordDenial' | 'tightenAfterDenials'> {
  return {
    recordDenial: (sessionId, event) => recordDenial(log, sessionId, event),
    tightenAfterDenials: (write) => tightenAfterDenials(log, clock.nowSeconds(), write),
  }
}

function recordDenial(log: AuditLog, sessionId: string, draft: EventDraft): Promise<number> {
  return log.append<number>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(INSERT_EVENT_ALWAYS, event),
      { sql: COUNT_DENIAL, args: [sessionId, draft.id] },
    ],
    // A session that was purged meanwhile counts nothing.
    taken: (rows) => {
      const [counted] = rows[1] ?? []
      return counted === undefined ? 0 : integer(counted, 'denials')
    },
  })
}

function tightenAfterDenials(log: AuditLog, now: number, write: TighteningWrite): Promise<boolean> {
  const { event: draft, sessionId, tightening, atLeastDenials } = write
  const isNarrowing = tightening.to === 'narrowed'
  const removes = isNarrowing ? JSON.stringify(tightening.removes) : null
  const insert = isNarrowing ? INSERT_SELF_NARROWING : INSERT_SELF_SUSPENSION
  const guard = [sessionId, now, atLeastDenials, ...(removes === null ? [] : [removes])]
  return log.append<boolean>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(insert, event, guard),
      change(sessionId, tightening, draft.id),
    ],
    diagnosis: { sql: DIAGNOSE_SELF, args: [sessionId, now, atLeastDenials, removes] },
    taken: () => true,
    refused: (found) => (flag(found, 'due') ? null : false),
  })
}

/** The event goes into the session's own chain. False when it is over already. */
export function tightenSession(
  log: AuditLog,
  sessionId: string,
  tightening: Restorable,
  now: number,
  draft: EventDraft,
): Promise<boolean> {
  return log.append<boolean>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(INSERT_TIGHTENING, event, [sessionId, now]),
      change(sessionId, tightening, draft.id),
    ],
    diagnosis: { sql: DIAGNOSE, args: [sessionId, now] },
    taken: () => true,
    refused: (found) => (flag(found, 'live') ? null : false),
  })
}

/** `seen`: the last change that the admin knew of. What tightened the session since then stands. */
export function restoreSession(
  log: AuditLog,
  sessionId: string,
  seen: string | null,
  now: number,
  draft: EventDraft,
): Promise<RestoreResult> {
  return log.append<RestoreResult>({
    chain: sessionId,
    draft,
    statements: (event) => [
      insertEvent(INSERT_RESTORE, event, [sessionId, now, seen]),
      { sql: RESTORE, args: [sessionId, draft.id] },
    ],
    diagnosis: { sql: DIAGNOSE, args: [sessionId, now] },
    taken: () => 'restored',
    refused: (found) => restoreRefusal(found, seen),
  })
}

function restoreRefusal(found: Row, seen: string | null): RestoreResult | null {
  if (!flag(found, 'live')) return 'ended'
  return textOrNull(found, 'state_event') === seen ? null : 'changed'
}

function change(sessionId: string, tightening: Restorable, eventId: string): Statement {
  if (tightening.to === 'suspended') return { sql: SUSPEND, args: [sessionId, eventId] }
  const args: readonly Value[] = [sessionId, eventId, JSON.stringify(tightening.removes)]
  return { sql: NARROW, args }
}
