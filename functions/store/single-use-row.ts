// Keys that count once: of attestations and of proofs. They are consumed with what they stand behind, in
// the same batch, and a key that is there already stops that batch's first statement.
import type { SingleUse } from '../core/proof.ts'
import { REMEMBERED_SECONDS, type Revocable } from '../core/security-event.ts'
import type { Driver } from './driver.ts'
import { first } from './row.ts'

/** As SQL takes them: [[key, expires_at], …]. */
export function singleUseKeys(singleUse: readonly SingleUse[]): string {
  return JSON.stringify([...new Map(singleUse.map((use) => [use.key, use.expiresAt]))])
}

/** Whether one of the keys in that parameter was used; false for null, without a look at the table. */
export function replayed(keys: string): string {
  return `(${keys} IS NOT NULL AND EXISTS (
    SELECT 1 FROM single_use WHERE key IN (SELECT value ->> 0 FROM json_each(${keys}))))`
}

/** Behind the event ?2, whose guard saw none of the keys in the same batch. */
export const CONSUME_KEYS = `INSERT INTO single_use (key, expires_at)
  SELECT value ->> 0, value ->> 1 FROM json_each(?1)
  WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`

/** As SQL takes them: what a key of a revoked subject ends at if the event came at the time of issue. */
export function revocationKeys(revocable: readonly Revocable[]): string {
  return JSON.stringify(revocable.map(({ key, issuedAt }) => [key, issuedAt + REMEMBERED_SECONDS]))
}

/** Whether an event about one of them came at its issue or later; false for null. */
export function revoked(keys: string): string {
  return `(${keys} IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(${keys}) AS r CROSS JOIN single_use u
    WHERE u.key = r.value ->> 0 AND u.expires_at >= r.value ->> 1))`
}

/** Behind the event ?2. The latest event counts. */
export const REMEMBER_REVOKED = `INSERT INTO single_use (key, expires_at)
  SELECT value ->> 0, value ->> 1 FROM json_each(?1)
  WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)
  ON CONFLICT (key) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)`

const CONSUME_ALONE = `INSERT INTO single_use (key, expires_at)
  SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE NOT ${replayed('?1')}
  RETURNING key`

export const SINGLE_USE_STATEMENTS = { CONSUME_ALONE }

/** All of them, or none and false. */
export async function consumeKeys(
  driver: Driver,
  singleUse: readonly SingleUse[],
): Promise<boolean> {
  if (singleUse.length === 0) return true
  const args = [singleUseKeys(singleUse)]
  return first(await driver.write([{ sql: CONSUME_ALONE, args }]), 0) !== null
}
