// Reads the audit log, oldest first. The log has one writer, audit-log.ts.
import type { EventDraft } from '../core/audit.ts'
import type { AuditQuery, AuditStore, StoredEvent } from './contract.ts'
import { decodeSeqCursor, toPage } from './cursor.ts'
import type { Driver, Row } from './driver.ts'
import { integer, json, text, textOrNull } from './row.ts'

/** What finds the events of a query, most selective first. A session's events are its chain. */
const FOUND_BY = {
  decision: 'decision_id = ?3',
  session: 'chain = ?4',
  type: 'type = ?5',
} as const
// The keys of the literal above.
const FINDERS = Object.keys(FOUND_BY) as (keyof typeof FOUND_BY)[]

function listBy(finder: keyof typeof FOUND_BY | 'all'): string {
  const conditions = FINDERS.map((name) =>
    name === finder ? FOUND_BY[name] : `(${FOUND_BY[name].slice(-2)} IS NULL OR ${FOUND_BY[name]})`,
  )
  return `SELECT seq, chain, chain_seq, prev_hash, hash, draft FROM audit_event
  WHERE seq > coalesce(?1, 0) AND ${conditions.join(' AND ')} ORDER BY seq LIMIT ?2`
}

export const AUDIT_LIST_BY = {
  decision: listBy('decision'),
  session: listBy('session'),
  type: listBy('type'),
  all: listBy('all'),
}

export function createAuditStore(driver: Driver): AuditStore {
  return {
    async list(query) {
      const { cursor, limit, decision = null, session = null, type = null } = query
      const args = [decodeSeqCursor(cursor), limit + 1, decision, session, type]
      const [rows = []] = await driver.read([{ sql: AUDIT_LIST_BY[finderOf(query)], args }])
      return toPage(rows, limit, toEvent, (row) => integer(row, 'seq'))
    },
  }
}

function finderOf(query: AuditQuery): keyof typeof AUDIT_LIST_BY {
  return FINDERS.find((name) => query[name] !== undefined) ?? 'all'
}

/** Exactly the event that was hashed, and its place in the whole log. */
function toEvent(row: Row): StoredEvent {
  return {
    ...json<EventDraft>(row, 'draft'),
    chain: text(row, 'chain'),
    chain_seq: integer(row, 'chain_seq'),
    prev_hash: textOrNull(row, 'prev_hash'),
    hash: text(row, 'hash'),
    seq: integer(row, 'seq'),
  }
}
