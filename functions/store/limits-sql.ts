// When a budget is used up, in SQL: the same words for a session and for those it descends from.
import type { LimitName } from '../core/failure.ts'

/** In the order in which they are named to the caller, and bound. */
export const LIMITS = [
  'actions',
  'writes',
  'rows',
  'bytes',
  'per_minute',
] as const satisfies LimitName[]

/** Whether a limit of session `row` is used up; one whose bound is null never is. */
export function usedUp(
  limit: LimitName,
  at: {
    readonly row: string
    readonly bound: string
    readonly writes: string
    readonly minute: string
  },
): string {
  const { row, bound } = at
  const conditions: Record<LimitName, string> = {
    actions: `${row}.used_actions >= ${bound}`,
    writes: `${at.writes} > 0 AND ${row}.used_writes >= ${bound}`,
    rows: `${row}.used_rows >= ${bound}`,
    bytes: `${row}.used_bytes >= ${bound}`,
    per_minute: `(${bound} = 0 OR ${row}.minute >= ${at.minute} AND ${row}.minute_actions >= ${bound})`,
  }
  return `coalesce(${conditions[limit]}, 0)`
}
