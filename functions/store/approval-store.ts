// Approvals as an approver sees them. A pending one is decided once; every later answer reports what it is.
import type { ApprovalState } from '../core/approval.ts'
import type { EventDraft } from '../core/audit.ts'
import type { JsonObject } from '../core/identity.ts'
import type { StoredApproval } from '../core/records.ts'
import { APPROVAL_COLUMNS, toApproval } from './approval-row.ts'
import { ADMIN_CHAIN, HEAD, HEAD_COLUMNS, insertEvent, insertEventWhere } from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { ApprovalStore } from './contract.ts'
import { decodeSeqCursor, toPage } from './cursor.ts'
import type { Driver, Row } from './driver.ts'
import { first, flag, integer, json, textOrNull } from './row.ts'

const READ = `SELECT a.seq, a.subject, ${APPROVAL_COLUMNS} FROM approval a WHERE a.id = ?1`
const LIST = `SELECT a.seq, a.subject, ${APPROVAL_COLUMNS} FROM approval a
  WHERE a.seq < coalesce(?1, 9007199254740991) ORDER BY a.seq DESC LIMIT ?2`
const INSERT_DECIDED = insertEventWhere(`EXISTS (
  SELECT 1 FROM approval WHERE id = ?9 AND state = 'pending' AND expires_at > ?10)`)
const DECIDE = `UPDATE approval SET state = ?3
  WHERE id = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`
const DIAGNOSE = `SELECT ${HEAD_COLUMNS},
  (SELECT state FROM approval WHERE id = ?2) AS state,
  EXISTS (SELECT 1 FROM approval WHERE id = ?2 AND state = 'pending' AND expires_at > ?3) AS open
  FROM ${HEAD}`

export const APPROVAL_STATEMENTS = { READ, LIST, INSERT_DECIDED, DECIDE, DIAGNOSE }

type Shown = StoredApproval & { readonly subject: JsonObject }
type Decided = { readonly state: ApprovalState | null }

export function createApprovalStore(driver: Driver, log: AuditLog): ApprovalStore {
  return {
    async get(id) {
      const row = first(await driver.read([{ sql: READ, args: [id] }]), 0)
      return row === null ? null : toShown(row)
    },
    async list({ cursor, limit }) {
      const args = [decodeSeqCursor(cursor), limit + 1]
      const [rows = []] = await driver.read([{ sql: LIST, args }])
      return toPage(rows, limit, toShown, (row) => integer(row, 'seq'))
    },
    async decide(id, to, now, event) {
      return (await decide(log, id, to, now, event)).state
    },
  }
}

function decide(
  log: AuditLog,
  id: string,
  to: 'approved' | 'denied',
  now: number,
  draft: EventDraft,
): Promise<Decided> {
  const chain = draft.session_id ?? ADMIN_CHAIN
  return log.append<Decided>({
    chain,
    draft,
    statements: (event) => [
      insertEvent(INSERT_DECIDED, event, [id, now]),
      { sql: DECIDE, args: [id, draft.id, to] },
    ],
    diagnosis: { sql: DIAGNOSE, args: [chain, id, now] },
    taken: () => ({ state: to }),
    refused: (diagnosis) => (flag(diagnosis, 'open') ? null : { state: stateOf(diagnosis) }),
  })
}

function stateOf(diagnosis: Row): ApprovalState | null {
  // Only states are ever written to the column.
  return textOrNull(diagnosis, 'state') as ApprovalState | null
}

function toShown(row: Row): Shown {
  return { ...toApproval(row), subject: json<JsonObject>(row, 'subject') }
}
