// Removes what has no more use, a bounded number of rows at a time. There is no purge of the audit log.
import type { Seconds } from '../core/ports.ts'
import type { Driver } from './driver.ts'

/** How long an ended session or approval stays to be looked at, and to take its last outcome. */
const RETENTION_SECONDS = 24 * 60 * 60
/** Rows in one batch: bounds how long other writers wait. */
const ROWS_PER_BATCH = 500

const PURGE_SINGLE_USE = `DELETE FROM single_use WHERE key IN (
  SELECT key FROM single_use WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2) RETURNING key`
const PURGE_APPROVALS = `DELETE FROM approval WHERE seq IN (
  SELECT seq FROM approval WHERE expires_at < ?1 LIMIT ?2) RETURNING seq`
const PURGE_SESSION_BINDINGS = `DELETE FROM session_binding
  WHERE (target, binding, session_id) IN (
    SELECT g.value ->> 'target', b.value, expired.id FROM (
      SELECT id, facts FROM session WHERE expires_at < ?1 ORDER BY expires_at, seq LIMIT ?2) AS expired
    CROSS JOIN json_each(expired.facts, '$.grants') AS g
    CROSS JOIN json_each(CASE WHEN json_array_length(g.value, '$.bindings') = 0
      THEN '[""]' ELSE g.value -> '$.bindings' END) AS b)`
const PURGE_SESSION_CREDENTIALS = `DELETE FROM session_credential WHERE session_id IN (
  SELECT id FROM session WHERE expires_at < ?1 ORDER BY expires_at, seq LIMIT ?2)`
const PURGE_SESSIONS = `DELETE FROM session WHERE seq IN (
  SELECT seq FROM session WHERE expires_at < ?1 ORDER BY expires_at, seq LIMIT ?2) RETURNING seq`

export const PURGE_STATEMENTS = {
  PURGE_SINGLE_USE,
  PURGE_APPROVALS,
  PURGE_SESSION_BINDINGS,
  PURGE_SESSION_CREDENTIALS,
  PURGE_SESSIONS,
}

export async function purge(driver: Driver, nowSeconds: Seconds): Promise<void> {
  const before = nowSeconds - RETENTION_SECONDS
  await untilDone(driver, [PURGE_SINGLE_USE], nowSeconds)
  await untilDone(driver, [PURGE_APPROVALS], before)
  await untilDone(
    driver,
    [PURGE_SESSION_BINDINGS, PURGE_SESSION_CREDENTIALS, PURGE_SESSIONS],
    before,
  )
}

/** The last statement returns what it deleted; fewer than a batch is the end. */
async function untilDone(
  driver: Driver,
  statements: readonly string[],
  before: Seconds,
): Promise<void> {
  for (;;) {
    const rows = await driver.write(
      statements.map((sql) => ({ sql, args: [before, ROWS_PER_BATCH] })),
    )
    if ((rows.at(-1) ?? []).length < ROWS_PER_BATCH) return
  }
}
