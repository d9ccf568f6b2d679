// The outcome's record of one call is written once, whichever of its ends comes first.
import type { CallOutcome } from '../core/target.ts'

export type Settle = (
  outcome: Partial<CallOutcome> & Pick<CallOutcome, 'result'>,
) => Promise<boolean>

const NOTHING: Omit<CallOutcome, 'result'> = {
  status: null,
  bytes: 0,
  rows: 0,
  reflected: false,
  masked: 0,
}

/** Later calls get the answer of the first. A record that throws is a record that is missing. */
export function settleOnce(settle: (outcome: CallOutcome) => Promise<boolean>): Settle {
  let first: Promise<boolean> | null = null
  return (outcome) => {
    first ??= settle({ ...NOTHING, ...outcome }).catch(() => false)
    return first
  }
}
