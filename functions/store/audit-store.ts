// Reads the audit log, oldest first. The log has one writer, audit-log.ts.
import type { EventDraft } from '../core/audit.ts'
import type { AuditQuery, AuditStore, StoredEvent } from './contract.ts'
import { decodeSeqCursor, encodeCursor, toPage } from './cursor.ts'
import type { Driver, Row } from './driver.ts'
import { integer, json, only, text, textOrNull } from './row.ts'

/** What finds the events of a query, most selective first. A session's events are its chain. */
const FOUND_BY = {
  decision: 'decision_id = ?3',
  session: 'chain = ?4',
  type: 'type = ?5',
} as const
// The keys of the literal above.
const FINDERS = Object.keys(FOUND_BY) as (keyof typeof FOUND_BY)[]

/** No index on these: each event would pay for it, and few ever ask. */
const ORIGINS = `(?6 IS NULL OR draft ->> '$.origin.declared.kind' = ?6)
    AND (?7 IS NULL OR draft ->> '$.origin.attested.kind' = ?7)`

/** What a query by origin looks at, at a time: a page that found little says where to go on. */
const WINDOW = 5000

function listBy(finder: keyof typeof FOUND_BY | 'origin' | 'all'): string {
  const conditions = FINDERS.map((name) =>
    name === finder ? FOUND_BY[name] : `(${FOUND_BY[name].slice(-2)} IS NULL OR ${FOUND_BY[name]})`,
  )
  const window = finder === 'origin' ? `AND seq <= coalesce(?1, 0) + ${WINDOW} ` : ''
  return `SELECT seq, chain, chain_seq, prev_hash, hash, draft FROM audit_event
  WHERE seq > coalesce(?1, 0) ${window}AND ${conditions.join(' AND ')} AND ${ORIGINS}
  ORDER BY seq LIMIT ?2`
}

const LAST_SEQ = 'SELECT coalesce(max(seq), 0) AS last FROM audit_event'

export const AUDIT_LIST_BY = {
  decision: listBy('decision'),
  session: listBy('session'),
  type: listBy('type'),
  origin: listBy('origin'),
  all: listBy('all'),
}

export function createAuditStore(driver: Driver): AuditStore {
  return {
    async list(query) {
      const { cursor, limit, decision = null, session = null, type = null } = query
      const { origin = null, originAttested = null } = query
      const finder = finderOf(query)
      const from = decodeSeqCursor(cursor)
      const args = [from, limit + 1, decision, session, type, origin, originAttested]
      const list = { sql: AUDIT_LIST_BY[finder], args }
      if (finder !== 'origin') {
        const [rows = []] = await driver.read([list])
        return toPage(rows, limit, toEvent, (row) => integer(row, 'seq'))
      }
      const sets = await driver.read([list, { sql: LAST_SEQ, args: [] }])
      const page = toPage(sets[0] ?? [], limit, toEvent, (row) => integer(row, 'seq'))
      const seen = (from ?? 0) + WINDOW
      const isRest = page.nextCursor === null && seen < integer(only(sets, 1), 'last')
      return isRest ? { ...page, nextCursor: encodeCursor(seen) } : page
    },
  }
}

function finderOf(query: AuditQuery): keyof typeof AUDIT_LIST_BY {
  const found = FINDERS.find((name) => query[name] !== undefined)
  const byOrigin = query.origin !== undefined || query.originAttested !== undefined
  // A decision and a session have few events; of a type there may be as many as there are.
  return byOrigin && (found === undefined || found === 'type') ? 'origin' : (found ?? 'all')
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
