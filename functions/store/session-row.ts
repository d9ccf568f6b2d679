// How a session is kept: what never changes as one JSON text, `facts`; state and usage in columns.
// Strings are read back from the JSON, because a text column ends at a NUL character.
import type { Effect } from '../core/policy.ts'
import type { Session, SessionState } from '../core/session.ts'
import type { Row, Statement, Value } from './driver.ts'
import { ABOVE, stateBelow, toAbove } from './lineage-sql.ts'
import { integer, json, text } from './row.ts'

type Facts = Omit<Session, 'state' | 'usage' | 'removedEffects' | 'denials' | 'above'>

export const SESSION_COLUMNS = `s.state, s.facts, s.removed_effects, s.denials,
  s.used_actions, s.used_writes, s.used_rows, s.used_bytes,
  ${ABOVE}`

/** A session that may act. ?2 is now. */
export const IS_LIVE = `s.state <> 'ended' AND s.expires_at > ?2`

/** Inserted only behind the grant event ?13, which is in the same batch. */
export const INSERT_SESSION = `INSERT INTO session (
  id, state, identity, auth_method, agent, facts, expires_at, policy_revision,
  used_actions, used_writes, used_rows, used_bytes, minute, minute_actions, reserved_bytes,
  on_behalf_of, ancestors, root)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, 0, 0, ?14, ?15, ?16
  WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?13)`

export const INSERT_SESSION_BINDING = `INSERT INTO session_binding (target, binding, session_id)
  SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?4)`

export function insertSession(session: Session, eventId: string): readonly Statement[] {
  // A session opens with nothing taken away: those two columns begin with their defaults.
  const { state, usage, removedEffects: _, denials: __, above: ___, ...facts } = session
  const row: readonly Value[] = [
    session.id,
    state,
    session.identity,
    session.authMethod,
    session.intent?.agent?.name ?? null,
    JSON.stringify(facts),
    session.expiresAt,
    session.policyRevision,
    usage.actions,
    usage.writes,
    usage.rows,
    usage.bytes,
    eventId,
    session.onBehalfOf?.identity ?? null,
    session.lineage === null ? null : JSON.stringify(session.lineage.ancestors),
    session.lineage?.ancestors[0] ?? null,
  ]
  return [
    { sql: INSERT_SESSION, args: row },
    ...bindingPairs(session).map((pair) => ({
      sql: INSERT_SESSION_BINDING,
      args: [...pair, session.id, eventId],
    })),
  ]
}

export function toSession(row: Row): Session {
  const above = toAbove(row)
  return {
    ...WHEN_ABSENT,
    ...json<Facts>(row, 'facts'),
    // The schema admits these four values only.
    state: stateBelow(text(row, 'state') as SessionState, above),
    above,
    usage: toUsage(row),
    removedEffects: toEffects(text(row, 'removed_effects')),
    denials: integer(row, 'denials'),
  }
}

/** For sessions that were opened before these were kept. */
const WHEN_ABSENT = {
  attestedOrigin: null,
  delivery: 'session',
  confirmation: null,
  onBehalfOf: null,
  lineage: null,
} as const

const NONE: readonly Effect[] = []

/** Of most sessions nothing was taken away, and nothing is parsed. */
export function toEffects(removed: string): readonly Effect[] {
  // Written by session-states.ts out of Effect values.
  return removed === '[]' ? NONE : (JSON.parse(removed) as readonly Effect[])
}

export function toUsage(row: Row): Session['usage'] {
  return {
    actions: integer(row, 'used_actions'),
    writes: integer(row, 'used_writes'),
    rows: integer(row, 'used_rows'),
    bytes: integer(row, 'used_bytes'),
  }
}

/** A target that no binding names still has its row: a revocation by target must find the session. */
function bindingPairs({ grants }: Session): readonly (readonly [string, string])[] {
  const pairs = grants.flatMap(({ target, bindings }) =>
    (bindings.length === 0 ? [''] : bindings).map((binding) => [target, binding] as const),
  )
  return [...new Map(pairs.map((pair) => [pair.join('\n'), pair])).values()]
}
