// From what a credential is planned: what the session holds at that target now, narrowed to what was declared
// for it and above it, without what it has lost. Both ways to a credential begin here.
import type { Failure } from './failure.ts'
import { narrowGrants } from './grants.ts'
import { intentsAbove } from './lineage.ts'
import type { Minted, MintFacts, Minting, MintPlan } from './minting.ts'
import type { Grant } from './policy.ts'
import type { Seconds } from './ports.ts'
import { StoreUnavailable } from './records.ts'
import { fail, type Result } from './result.ts'
import type { ScopeItem } from './scope.ts'
import { effectsLost } from './session-state.ts'
import type { Session } from './session.ts'

export type Held = {
  readonly grants: readonly Grant[]
  readonly mode: 'enforce' | 'log_only'
  readonly endsAt: Seconds
  /** What this request asked for; null: all that is granted. */
  readonly scope: readonly ScopeItem[] | null
}

export function mintFacts(session: Session, held: Held, now: Seconds): MintFacts {
  const { id, identity, authMethod, subject, claims, onBehalfOf, lineage, intent } = session
  return {
    sessionId: id,
    identity,
    authMethod,
    subject,
    claims,
    onBehalfOf,
    lineage,
    intent,
    attestedOrigin: session.attestedOrigin,
    confirmation: session.confirmation,
    grants: withinEnvelopes(session, held).flatMap((grant) => keptOf(grant, session)),
    scope: held.scope,
    now,
    endsAt: held.endsAt,
  }
}

/** `log_only` covers the envelope, so there it narrows nothing. */
function withinEnvelopes(session: Session, { grants, mode }: Held): readonly Grant[] {
  if (mode === 'log_only') return grants
  const intents = [...intentsAbove(session.lineage), session.intent]
  return intents.reduce(
    (left, intent) =>
      intent?.envelope === undefined ? left : narrowGrants(left, null, intent.envelope),
    grants,
  )
}

function keptOf({ effects, objects }: Grant, session: Session): readonly Grant[] {
  const lost = effectsLost(session)
  const kept = effects.filter((effect) => !lost.includes(effect))
  return kept.length === 0 ? [] : [{ effects: kept, objects }]
}

export async function planOf(
  minting: Minting,
  facts: MintFacts,
): Promise<Result<MintPlan, Failure>> {
  if (facts.grants.length > 0) return minting.plan(facts)
  const hint =
    'nothing is left of what was granted, within the envelope and without effects taken away'
  return fail({ kind: 'mint_refused', reason: 'nothing_left', hint })
}

/**
 * Whoever mints holds secrets, which the text of an error may repeat: of what it throws only the name goes
 * on. A decision is recorded by now, and has to get its outcome.
 */
export async function mintOnce(minting: Minting, plan: MintPlan): Promise<Result<Minted, Failure>> {
  try {
    return await minting.mint(plan)
  } catch (cause) {
    const reason = cause instanceof StoreUnavailable ? 'store' : 'mint_threw'
    const got = cause instanceof Error ? cause.name : 'unknown'
    return fail({ kind: 'unavailable', reason, retryAfterSeconds: 5, got })
  }
}
