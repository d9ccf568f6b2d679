// What becomes of credentials that others honour when sessions end, as those see it who end them. The work is
// in withdrawal.ts, which is loaded where there is any.
import type { JsonObject } from './identity.ts'
import type { Seconds } from './ports.ts'

/** Why it is asked for; null: nothing happened, this is maintenance. */
export type Cause = {
  readonly decisionId: string
  /** The one session that changed, which holds something; null: many, or the kill switch. */
  readonly sessionId: string | null
  /** Something may have been given back. */
  readonly isLift?: boolean
} | null

/** Null: nothing was handed over that anybody else honours. `until`: when the last of it stops to work. */
export type Withdraw = (cause: Cause) => Promise<{ readonly until: Seconds | null } | null>

/** Null where nothing is honoured any more; no member where nothing ever was. */
export function describeWithdrawn(withdrawn: Awaited<ReturnType<Withdraw>>): JsonObject {
  if (withdrawn === null) return {}
  const { until } = withdrawn
  return { aws_honours_until: until === null ? null : timeOf(until) }
}

export function timeOf(seconds: Seconds): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
