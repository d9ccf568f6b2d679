// The refusal event of somebody known who tried what their role does not permit; strangers (401) leave nothing.
import { draftEvent } from '../core/events.ts'
import type { Failure } from '../core/failure.ts'
import type { Clock, Ids } from '../core/ports.ts'
import type { Records } from '../core/records.ts'

export async function recordForbidden(
  { needs, identity }: Extract<Failure, { kind: 'forbidden' }>,
  operation: string,
  decisionId: string,
  deps: {
    readonly records: Pick<Records, 'readPolicyState' | 'recordRefusal'>
    readonly clock: Clock
    readonly ids: Ids
  },
): Promise<void> {
  if (identity === undefined) return
  const { revision } = await deps.records.readPolicyState()
  const event = draftEvent(
    {
      type: 'refusal',
      decisionId,
      identity: `admin:${identity}`,
      action: { operation },
      outcome: { verdict: 'deny', failure: 'forbidden', needs },
      reason: 'forbidden',
      policyRevision: revision,
    },
    deps,
  )
  await deps.records.recordRefusal(event)
}
