// A session that was refused too often becomes tighter by itself, with an event of its own in its chain.
import { describeSession, draftEvent } from './events.ts'
import type { JsonObject } from './identity.ts'
import type { Clock, Ids } from './ports.ts'
import type { Records } from './records.ts'
import {
  DENIALS_UNTIL_NARROWED,
  DENIALS_UNTIL_SUSPENDED,
  type Tightening,
  tighteningAfter,
} from './session-state.ts'
import type { Session } from './session.ts'

type Deps = {
  readonly records: Pick<Records, 'tightenAfterDenials'>
  readonly clock: Clock
  readonly ids: Ids
}

/** What the log says of a change of state. */
export function describeTightening(change: Tightening): JsonObject {
  return change.to === 'narrowed'
    ? { state: change.to, removed_effects: [...change.removes] }
    : { state: change.to }
}

/**
 * `denials`: as counted by the write that recorded the last one. Which of many parallel refusals gets
 * here first does not matter: the store tightens once, and a change that did not happen is made good by
 * the next refusal.
 */
export async function tightenAfter(
  denials: number,
  facts: { readonly session: Session; readonly decisionId: string; readonly revision: number },
  deps: Deps,
): Promise<void> {
  const tightening = tighteningAfter(denials)
  if (tightening === null) return
  const isSuspension = tightening.to === 'suspended'
  await deps.records.tightenAfterDenials({
    sessionId: facts.session.id,
    tightening,
    atLeastDenials: isSuspension ? DENIALS_UNTIL_SUSPENDED : DENIALS_UNTIL_NARROWED,
    event: draftEvent(
      {
        type: 'state',
        decisionId: facts.decisionId,
        ...describeSession(facts.session, null),
        action: { operation: 'session.tighten', ...describeTightening(tightening), denials },
        outcome: { result: 'applied', by: 'sallyport' },
        reason: 'repeated_denials',
        policyRevision: facts.revision,
      },
      deps,
    ),
  })
}
