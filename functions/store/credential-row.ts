// Credentials that were handed over: kept by their hash, in the same batch as the event that records them.
import type { HandedOver } from '../core/minting.ts'
import type { HandedOverRead } from '../core/records.ts'
import type { EndedHolders } from '../core/withdrawal.ts'
import type { Driver, Row, Statement } from './driver.ts'
import { first, flag, integer, json, only, text } from './row.ts'

export const INSERT_CREDENTIAL = `INSERT INTO session_credential
  (sha256, session_id, target, expires_at, record)
  SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?6)
  ON CONFLICT (sha256) DO NOTHING`

/** In a guard. */
export const NOT_KILLED = '(SELECT killed FROM policy_state WHERE id = 1) = 0'

const COLUMNS = 'c.sha256, c.session_id, c.target, c.expires_at, c.record'

const READ_STATE = 'SELECT revision, killed FROM policy_state WHERE id = 1'
const FIND_CREDENTIAL = `SELECT ${COLUMNS} FROM session_credential c WHERE c.sha256 = ?1`

/** An answer names no more than these. */
const MAX_NAMED = 50
/** What session ?1 and those below it handed over, and has not expired at ?2. */
const HANDED_OVER = `FROM session_credential c
  WHERE c.expires_at > ?2 AND c.session_id IN (
    SELECT ?1 UNION ALL SELECT s.id FROM session s
    WHERE s.root = coalesce((SELECT root FROM session WHERE id = ?1), ?1)
      AND EXISTS (SELECT 1 FROM json_each(s.ancestors) WHERE value = ?1))`
const READ_HANDED_OVER = `SELECT ${COLUMNS} ${HANDED_OVER}
  ORDER BY c.expires_at DESC LIMIT ${MAX_NAMED}`
/** All of them: what an answer has no room for has to be denied all the same. */
const READ_HOLDING = `SELECT DISTINCT c.session_id, c.target ${HANDED_OVER}`

const MAY_NOTHING = `IN ('ended', 'suspended')`
/** Sessions that hold something of target ?1 that has not expired at ?2, and may do nothing any more. */
const READ_ENDED_HOLDERS = `SELECT c.session_id, max(c.expires_at) AS expires_at,
  json_group_array(DISTINCT json_extract(c.record, '$.assumed_role_arn')) AS held_as
  FROM session_binding b CROSS JOIN session s ON s.id = b.session_id AND s.expires_at > ?2
    CROSS JOIN session_credential c ON c.session_id = s.id
  WHERE b.target = ?1 AND c.target = ?1 AND c.expires_at > ?2
    AND ((SELECT killed FROM policy_state WHERE id = 1) OR s.state ${MAY_NOTHING}
      OR (s.ancestors IS NOT NULL AND EXISTS (
        SELECT 1 FROM json_each(s.ancestors) AS j LEFT JOIN session AS a ON a.id = j.value
        WHERE a.id IS NULL OR a.state ${MAY_NOTHING})))
  GROUP BY c.session_id ORDER BY c.session_id`

export const CREDENTIAL_STATEMENTS = {
  INSERT_CREDENTIAL,
  FIND_CREDENTIAL,
  READ_HANDED_OVER,
  READ_HOLDING,
  READ_ENDED_HOLDERS,
}

/** Behind the event of that id. */
export function insertCredential(
  { sha256, target, expiresAt, record }: HandedOver,
  sessionId: string,
  eventId: string,
): Statement {
  const args = [sha256, sessionId, target, expiresAt, JSON.stringify(record), eventId]
  return { sql: INSERT_CREDENTIAL, args }
}

export async function readHandedOver(
  driver: Driver,
  sessionId: string,
  now: number,
): Promise<HandedOverRead> {
  const rows = await driver.read([
    { sql: READ_STATE, args: [] },
    { sql: READ_HANDED_OVER, args: [sessionId, now] },
    { sql: READ_HOLDING, args: [sessionId, now] },
  ])
  const state = only(rows, 0)
  return {
    revision: integer(state, 'revision'),
    killed: flag(state, 'killed'),
    credentials: (rows[1] ?? []).map(toHandedOver),
    holding: (rows[2] ?? []).map((row) => ({
      sessionId: text(row, 'session_id'),
      target: text(row, 'target'),
    })),
  }
}

export async function readEndedHolders(
  driver: Driver,
  target: string,
  now: number,
): Promise<EndedHolders> {
  const rows = await driver.read([
    { sql: READ_STATE, args: [] },
    { sql: READ_ENDED_HOLDERS, args: [target, now] },
  ])
  const state = only(rows, 0)
  return {
    revision: integer(state, 'revision'),
    everything: flag(state, 'killed'),
    sessions: (rows[1] ?? []).map((row) => ({
      sessionId: text(row, 'session_id'),
      expiresAt: integer(row, 'expires_at'),
      heldAs: json<readonly (string | null)[]>(row, 'held_as').filter((one) => one !== null),
    })),
  }
}

export async function findCredential(driver: Driver, sha256: string): Promise<string | null> {
  const row = first(await driver.read([{ sql: FIND_CREDENTIAL, args: [sha256] }]), 0)
  return row === null ? null : text(row, 'session_id')
}

function toHandedOver(row: Row): HandedOver {
  return {
    sha256: text(row, 'sha256'),
    target: text(row, 'target'),
    expiresAt: integer(row, 'expires_at'),
    record: json<HandedOver['record']>(row, 'record'),
  }
}
