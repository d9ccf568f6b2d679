// Sessions as administration sees them: read, list, end one, end all that match.
import type { EventDraft } from '../core/audit.ts'
import type { Clock } from '../core/ports.ts'
import type { DescribedSession, SessionState } from '../core/session.ts'
import {
  ADMIN_CHAIN,
  HEAD,
  HEAD_COLUMNS,
  insertEvent,
  INSERT_EVENT_ALWAYS,
  insertEventWhere,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { Page, SessionFilter, SessionStore } from './contract.ts'
import { decodeSeqCursor, toPage } from './cursor.ts'
import type { Driver, Row, Value } from './driver.ts'
import { first, flag, integer, json, only, text, textOrNull } from './row.ts'
import { IS_LIVE, SESSION_COLUMNS, toSession } from './session-row.ts'
import { restoreSession, tightenSession } from './session-states.ts'

/** The last change of state, where there was one: why it is what it is. */
const CHANGE = 'LEFT JOIN audit_event change ON change.id = s.state_event'
const DESCRIBED_COLUMNS = `${SESSION_COLUMNS}, change.draft AS change`

export const READ_SESSION = `SELECT ${DESCRIBED_COLUMNS} FROM session s ${CHANGE} WHERE s.id = ?1`

const END = `UPDATE session SET state = 'ended', state_event = ?2
  WHERE id = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`
const INSERT_END = insertEventWhere(`EXISTS (
  SELECT 1 FROM session s WHERE s.id = ?9 AND s.state <> 'ended' AND s.expires_at > ?10)`)
const DIAGNOSE_END = `SELECT ${HEAD_COLUMNS},
  EXISTS (SELECT 1 FROM session s WHERE s.id = ?3 AND ${IS_LIVE}) AS live
  FROM ${HEAD}`

/** What finds the sessions of a filter, most selective first; the rest of the filter is checked on them. */
const FOUND_BY = {
  // Who acts, or whom it acts for: whoever is shut out, nobody goes on in their name.
  identity: '(s.identity = ?3 OR s.on_behalf_of = ?3)',
  agent: 's.agent = ?4',
  binding: 's.id IN (SELECT session_id FROM session_binding WHERE binding = ?5)',
  target: 's.id IN (SELECT session_id FROM session_binding WHERE target = ?6)',
  // ';' comes behind ':', which no name of a method contains.
  authMethod: `(s.on_behalf_of > ?7 || ':' AND s.on_behalf_of < ?7 || ';' OR s.auth_method = ?7)`,
  root: 's.root = ?8',
  parent: "s.ancestors ->> '$[#-1]' = ?9",
  state: 's.state = ?10',
} as const satisfies Record<keyof SessionFilter, string>

type Finder = keyof typeof FOUND_BY | 'all'
// The keys of the literal above.
const FINDERS = Object.keys(FOUND_BY) as (keyof typeof FOUND_BY)[]

/** Every parameter is used in each statement, as D1 demands: ?3 to ?10 are the filter. */
function matches(finder: Finder): string {
  const rest = FINDERS.map((name) => {
    const parameter = FOUND_BY[name].slice(-3).replace(')', '').trim()
    return name === finder ? FOUND_BY[name] : `(${parameter} IS NULL OR ${FOUND_BY[name]})`
  })
  return rest.join('\n    AND ')
}

function statementsBy(finder: Finder) {
  return {
    LIST: `SELECT s.seq, ${DESCRIBED_COLUMNS} FROM session s ${CHANGE}
  WHERE s.seq < coalesce(?1, 9007199254740991) AND ${matches(finder)}
  ORDER BY s.seq DESC LIMIT ?2`,
    COUNT: `SELECT count(*) AS ended FROM session s
  WHERE s.state <> 'ended' AND s.expires_at > ?1
    AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2) AND ${matches(finder)}`,
    END_ALL: `UPDATE session AS s SET state = 'ended', state_event = ?2
  WHERE s.state <> 'ended' AND s.expires_at > ?1
    AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2) AND ${matches(finder)}`,
  }
}

export const SESSION_STATEMENTS_BY: Record<Finder, ReturnType<typeof statementsBy>> = {
  identity: statementsBy('identity'),
  agent: statementsBy('agent'),
  binding: statementsBy('binding'),
  target: statementsBy('target'),
  authMethod: statementsBy('authMethod'),
  root: statementsBy('root'),
  parent: statementsBy('parent'),
  state: statementsBy('state'),
  all: statementsBy('all'),
}

export const SESSION_STATEMENTS = { READ_SESSION, INSERT_END, END, DIAGNOSE_END }

export function createSessionStore(deps: {
  readonly driver: Driver
  readonly log: AuditLog
  readonly clock: Clock
}): SessionStore {
  const { driver, log, clock } = deps
  return {
    get: (id) => readSession(driver, id),
    list: (filter, page) => list(driver, filter, page),
    end: (id, event) => endSession(log, id, clock.nowSeconds(), event),
    tighten: (id, tightening, event) =>
      tightenSession(log, id, tightening, clock.nowSeconds(), event),
    restore: (id, seen, event) => restoreSession(log, id, seen, clock.nowSeconds(), event),
    endWhere: (filter, event) => endWhere(log, filter, clock.nowSeconds(), event),
  }
}

export async function readSession(driver: Driver, id: string): Promise<DescribedSession | null> {
  const row = first(await driver.read([{ sql: READ_SESSION, args: [id] }]), 0)
  return row === null ? null : toDescribed(row)
}

function toDescribed(row: Row): DescribedSession {
  const change = textOrNull(row, 'change') === null ? null : json<EventDraft>(row, 'change')
  // The schema admits no others.
  return { ...toSession(row), change, ownState: text(row, 'state') as SessionState }
}

/** The event goes into the session's own chain. */
export function endSession(
  log: AuditLog,
  id: string,
  now: number,
  draft: EventDraft,
): Promise<boolean> {
  return log.append<boolean>({
    chain: id,
    draft,
    statements: (event) => [
      insertEvent(INSERT_END, event, [id, now]),
      { sql: END, args: [id, draft.id] },
    ],
    diagnosis: { sql: DIAGNOSE_END, args: [id, now, id] },
    taken: () => true,
    refused: (diagnosis) => (flag(diagnosis, 'live') ? null : false),
  })
}

/** Newest first. */
async function list(
  driver: Driver,
  filter: SessionFilter,
  { cursor, limit }: { readonly cursor: string | null; readonly limit: number },
): Promise<Page<DescribedSession>> {
  const sql = SESSION_STATEMENTS_BY[finderOf(filter)].LIST
  const args = [decodeSeqCursor(cursor), limit + 1, ...filterArgs(filter)]
  const [rows = []] = await driver.read([{ sql, args }])
  return toPage(rows, limit, toDescribed, (row) => integer(row, 'seq'))
}

/** One event in the chain of administration for all of them, whatever their number. */
function endWhere(
  log: AuditLog,
  filter: SessionFilter,
  now: number,
  draft: EventDraft,
): Promise<number> {
  const { COUNT, END_ALL } = SESSION_STATEMENTS_BY[finderOf(filter)]
  const args = [now, draft.id, ...filterArgs(filter)]
  return log.append<number>({
    chain: ADMIN_CHAIN,
    draft,
    statements: (event) => [
      insertEvent(INSERT_EVENT_ALWAYS, event),
      { sql: COUNT, args },
      { sql: END_ALL, args },
    ],
    taken: (rows) => integer(only(rows, 1), 'ended'),
  })
}

function finderOf(filter: SessionFilter): Finder {
  return FINDERS.find((name) => filter[name] !== undefined) ?? 'all'
}

function filterArgs(filter: SessionFilter): readonly Value[] {
  return FINDERS.map((name) => filter[name] ?? null)
}
