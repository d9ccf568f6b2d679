// How an approval is kept, and the condition under which one may be used.
import type { ApprovalState } from '../core/approval.ts'
import type { ApprovalWrite, StoredApproval } from '../core/records.ts'
import type { Row, Statement } from './driver.ts'
import { integer, text, textOrNull } from './row.ts'

export const APPROVAL_COLUMNS = 'a.id, a.url, a.state, a.action_hash, a.session_id, a.expires_at'

export const INSERT_APPROVAL = `INSERT INTO approval
  (id, url, state, action_hash, session_id, subject, expires_at)
  SELECT ?1, ?2, 'pending', ?3, ?4, ?5, ?6
  WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?7)`

/** Behind the event ?2, whose own guard found the approval usable in the same batch. */
export const USE_APPROVAL = `UPDATE approval SET state = 'used'
  WHERE id = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`

export const READ_EXCHANGE_APPROVAL = `SELECT ${APPROVAL_COLUMNS}, a.subject FROM approval a
  WHERE a.action_hash = ?1 ORDER BY a.seq DESC LIMIT 1`

/** More than a session that behaves ever opens; an approval older than these is not found again. */
const MAX_APPROVALS = 50

export const READ_SESSION_APPROVALS = `SELECT ${APPROVAL_COLUMNS} FROM approval a
  WHERE a.session_id = ?1 ORDER BY a.seq DESC LIMIT ${MAX_APPROVALS}`

export function insertApproval(write: ApprovalWrite): Statement {
  const { approval, actionHash, sessionId, subject, event } = write
  return {
    sql: INSERT_APPROVAL,
    args: [approval.id, approval.url, actionHash, sessionId, subject, approval.expiresAt, event.id],
  }
}

export function toApproval(row: Row): StoredApproval {
  return {
    id: text(row, 'id'),
    url: text(row, 'url'),
    expiresAt: integer(row, 'expires_at'),
    // Only these four are ever written.
    state: text(row, 'state') as ApprovalState,
    actionHash: text(row, 'action_hash'),
    sessionId: textOrNull(row, 'session_id'),
  }
}
