// A security event and what it does, in one atomic write whatever the number of sessions: the event is
// recorded, its id consumed and every live session of its subjects tightened, or nothing of it.
import type { Clock } from '../core/ports.ts'
import type { Records, SecurityEventResult, SecurityEventWrite } from '../core/records.ts'
import { HEAD, HEAD_COLUMNS, insertEvent, insertEventWhere } from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { Row, Statement } from './driver.ts'
import { flag } from './row.ts'
import { SET } from './session-states.ts'
import {
  CONSUME_KEYS,
  REMEMBER_REVOKED,
  replayed,
  revocationKeys,
  singleUseKeys,
} from './single-use-row.ts'

/** ?9 revision, ?10 keys. */
const INSERT_SECURITY_EVENT = insertEventWhere(
  `(SELECT revision FROM policy_state WHERE id = 1) = ?9 AND NOT ${replayed('?10')}`,
)

/** Live sessions of the identities in ?1, or that act for one of them, behind the event ?2. */
function ofSubjects(now: string): string {
  return `s.seq IN (
    SELECT seq FROM session WHERE identity IN (SELECT value FROM json_each(?1))
    UNION SELECT seq FROM session WHERE on_behalf_of IN (SELECT value FROM json_each(?1)))
  AND s.state <> 'ended' AND s.expires_at > ${now}
  AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`
}

const END_SUBJECTS = `UPDATE session AS s SET ${SET.ended} WHERE ${ofSubjects('?3')}`
const SUSPEND_SUBJECTS = `UPDATE session AS s SET ${SET.suspended} WHERE ${ofSubjects('?3')}`
const NARROW_SUBJECTS = `UPDATE session AS s SET ${SET.narrowed} WHERE ${ofSubjects('?4')}`

const DIAGNOSE_SECURITY_EVENT = `SELECT ${HEAD_COLUMNS},
  (SELECT revision FROM policy_state WHERE id = 1) = ?2 AS revision_holds, ${replayed('?3')} AS replayed
  FROM ${HEAD}`

export const SECURITY_EVENT_STATEMENTS = {
  INSERT_SECURITY_EVENT,
  END_SUBJECTS,
  SUSPEND_SUBJECTS,
  NARROW_SUBJECTS,
  DIAGNOSE_SECURITY_EVENT,
  REMEMBER_REVOKED,
}

export function createSecurityEventRecords({
  log,
  clock,
}: {
  readonly log: AuditLog
  readonly clock: Clock
}): Pick<Records, 'recordSecurityEvent'> {
  return { recordSecurityEvent: (write) => recordSecurityEvent(log, clock.nowSeconds(), write) }
}

function recordSecurityEvent(
  log: AuditLog,
  now: number,
  write: SecurityEventWrite,
): Promise<SecurityEventResult> {
  const { event: draft, singleUse, expectedRevision } = write
  const keys = singleUseKeys(singleUse)
  // Events about many sessions, or none, have a chain of their own.
  const chain = draft.decision_id
  return log.append<SecurityEventResult>({
    chain,
    draft,
    statements: (event) => [
      insertEvent(INSERT_SECURITY_EVENT, event, [expectedRevision, keys]),
      { sql: CONSUME_KEYS, args: [keys, draft.id] },
      ...tightenings(write, now),
    ],
    diagnosis: { sql: DIAGNOSE_SECURITY_EVENT, args: [chain, expectedRevision, keys] },
    taken: () => 'recorded',
    refused: refusalOf,
  })
}

function tightenings(
  { tightening, identities, revoked, event }: SecurityEventWrite,
  now: number,
): readonly Statement[] {
  if (tightening === null || identities.length === 0) return []
  const subjects = [JSON.stringify(identities), event.id]
  const remember = { sql: REMEMBER_REVOKED, args: [revocationKeys(revoked), event.id] }
  switch (tightening.to) {
    case 'ended':
      return [{ sql: END_SUBJECTS, args: [...subjects, now] }, remember]
    case 'suspended':
      return [{ sql: SUSPEND_SUBJECTS, args: [...subjects, now] }, remember]
    case 'narrowed':
      return [
        { sql: NARROW_SUBJECTS, args: [...subjects, JSON.stringify(tightening.removes), now] },
      ]
  }
}

function refusalOf(diagnosis: Row): SecurityEventResult | null {
  if (!flag(diagnosis, 'revision_holds')) return 'policy_changed'
  return flag(diagnosis, 'replayed') ? 'replayed' : null
}
