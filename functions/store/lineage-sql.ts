// What the store asks of the sessions that a session descends from. `ancestors` is null for all others,
// and each expression here then comes to nothing without looking anything up.
import type { LimitName } from '../core/failure.ts'
import type { LimitsPolicy } from '../core/policy.ts'
import type { ActionResult, ActionWrite } from '../core/records.ts'
import type { Standing } from '../core/session-state.ts'
import type { SessionState, SessionUsage } from '../core/session.ts'
import type { Row, Statement, Value } from './driver.ts'
import { LIMITS, usedUp } from './limits-sql.ts'
import { flag, json, textOrNull } from './row.ts'

/** The ancestors of session `s` as they stand, root first; null where it descends from none. */
export const ABOVE = `CASE WHEN s.ancestors IS NULL THEN NULL ELSE (
    SELECT json_group_array(json_object(
      'state', coalesce(a.state, 'ended'),
      'expiresAt', coalesce(a.expires_at, 0),
      'removedEffects', json(coalesce(a.removed_effects, '[]'))))
    FROM json_each(s.ancestors) AS j LEFT JOIN session AS a ON a.id = j.value) END AS above`

const NONE: readonly Standing[] = []

export function toAbove(row: Row): readonly Standing[] {
  const above = textOrNull(row, 'above')
  // Made by ABOVE, of rows that only this store writes.
  return above === null ? NONE : (JSON.parse(above) as readonly Standing[])
}

/** Worst first. */
const STATES: readonly SessionState[] = ['ended', 'suspended', 'narrowed', 'active']

/** A session is no better than those it descends from. */
export function stateBelow(own: SessionState, above: readonly Standing[]): SessionState {
  if (above.length === 0) return own
  const states = [own, ...above.map(({ state }) => state)]
  return STATES.find((state) => states.includes(state)) ?? 'ended'
}

/** The ancestors `a` of the session in that parameter, each with its place `j.key`; found by their ids. */
function above(session: string): string {
  return `session AS c CROSS JOIN json_each(c.ancestors) AS j
    LEFT JOIN session AS a ON a.id = j.value WHERE c.id = ${session}`
}

/** The smaller of a limit as the ancestor has it, and as the policy now says of its whole tree. */
function boundOf(limit: LimitName, shared: string): string {
  const own = `a.facts ->> '$.limits.${limit}'`
  const now = `${shared} ->> '$.limits.${limit}'`
  return `min(coalesce(${own}, ${now}), coalesce(${now}, ${own}))`
}

type Place = {
  readonly session: string
  readonly now: string
  readonly writes: string
  readonly minute: string
  readonly shared: string
}

/** What would keep an ancestor from acting, by name. */
function hindrances({ now, writes, minute, shared }: Omit<Place, 'session'>) {
  const ended = `a.id IS NULL OR a.state = 'ended' OR a.expires_at <= ${now}`
  const used = LIMITS.map(
    (limit) =>
      [limit, usedUp(limit, { row: 'a', bound: boundOf(limit, shared), writes, minute })] as const,
  )
  return {
    ended,
    suspended: `a.state = 'suspended'`,
    changed: `a.removed_effects <> (${shared} -> '$.removed' -> j.key)`,
    used,
  }
}

function holds(at: Omit<Place, 'session'>, source: string): string {
  const { ended, suspended, changed, used } = hindrances(at)
  const any = [ended, suspended, changed, ...used.map(([, sql]) => sql)].join('\n      OR ')
  return `NOT EXISTS (SELECT 1 FROM ${source} AND (${any}))`
}

const MAY_ACT = { session: '?2', now: '?9', writes: '?12', minute: '?13', shared: '?21' }

/** Joins the guard of INSERT_ACTION, whose parameters it shares: ?21 is sharedFacts(). */
export const ABOVE_HOLDS = holds(MAY_ACT, above(MAY_ACT.session))

/** Joins DIAGNOSE_ACTION: ?1 session, ?2 now, ?5 writes, ?6 minute, ?14 sharedFacts(). */
export const DIAGNOSE_ABOVE = diagnose(
  { now: '?2', writes: '?5', minute: '?6', shared: '?14' },
  above('?1'),
)

function diagnose(at: Omit<Place, 'session'>, source: string): string {
  const { ended, suspended, changed, used } = hindrances(at)
  const named: readonly (readonly [string, string])[] = [
    ['ended', ended],
    ['suspended', suspended],
    ['changed', changed],
    ...used,
  ]
  return named
    .map(([name, sql]) => `EXISTS (SELECT 1 FROM ${source} AND (${sql})) AS above_${name}`)
    .join(',\n  ')
}

export function refusalAbove(diagnosis: Row): ActionResult | null {
  if (flag(diagnosis, 'above_ended')) return { kind: 'session_ended' }
  if (flag(diagnosis, 'above_suspended')) return { kind: 'session_suspended' }
  if (flag(diagnosis, 'above_changed')) return { kind: 'session_narrowed' }
  const limit = LIMITS.find((name) => flag(diagnosis, `above_${name}`))
  return limit === undefined ? null : { kind: 'exhausted', limit }
}

/** The sessions in that parameter, of which one descends that is not there yet. */
function listed(ancestors: string): string {
  return `json_each(${ancestors}) AS j LEFT JOIN session AS a ON a.id = j.value WHERE 1`
}

/** Joins INSERT_DECISION: ?12 now, ?14 writes, ?15 minute, ?16 sharedFacts(), ?17 ancestors. */
export const LISTED_HOLD = holds(
  { now: '?12', writes: '?14', minute: '?15', shared: '?16' },
  listed('?17'),
)
/** Joins DIAGNOSE_DECISION: ?5 now, ?7 writes, ?8 minute, ?9 sharedFacts(), ?10 ancestors. */
export const DIAGNOSE_LISTED = diagnose(
  { now: '?5', writes: '?7', minute: '?8', shared: '?9' },
  listed('?10'),
)
/** Behind the event ?2: each of the sessions ?1 spends one action, ?3 writes, in minute ?4. */
export const SPEND_LISTED = `UPDATE session AS s SET
  used_actions = s.used_actions + 1,
  used_writes = s.used_writes + ?3,
  minute_actions = CASE WHEN s.minute < ?4 THEN 1 ELSE s.minute_actions + 1 END,
  minute = max(s.minute, ?4)
  WHERE s.id IN (SELECT value FROM json_each(?1))
    AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`

/** Whether one of the sessions in that parameter may do nothing any more. */
export function areStanding(sessions: string): string {
  return `NOT EXISTS (SELECT 1 FROM ${listed(sessions)}
    AND coalesce(a.state NOT IN ('active', 'narrowed'), 1))`
}

/** Whether none of those sessions has lost any of these effects. */
export function haveLostNone(effects: string, sessions: string): string {
  return `NOT EXISTS (SELECT 1 FROM ${listed(sessions)} AND EXISTS (
    SELECT 1 FROM json_each(a.removed_effects) AS r
    WHERE r.value IN (SELECT value FROM json_each(${effects}))))`
}

/** What ?21 and ?14 stand for. */
export function sharedFacts(shared: NonNullable<ActionWrite['shared']>): string {
  return JSON.stringify({ limits: shared.limits, removed: shared.removedEffects })
}

/**
 * SPEND of a session that has ancestors: what it reserves is the least that any of them has left.
 * ?1 session, ?2 event, ?3 writes, ?4 bytes, ?5 minute, ?6 limit of its own, ?7 sharedFacts().
 */
const LEFT_ABOVE = `(SELECT min(coalesce(${boundOf('bytes', '?7')} - a.used_bytes, ?4))
  FROM ${above('?1')})`
const RESERVED = `max(0, min(?4, coalesce(?6 - s.used_bytes, ?4), ${LEFT_ABOVE}))`
export const SPEND_BELOW = `UPDATE session AS s SET
  used_actions = s.used_actions + 1,
  used_writes = s.used_writes + ?3,
  reserved_bytes = ${RESERVED},
  used_bytes = s.used_bytes + ${RESERVED},
  minute_actions = CASE WHEN s.minute < ?5 THEN 1 ELSE s.minute_actions + 1 END,
  minute = max(s.minute, ?5)
  WHERE s.id = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)
  RETURNING reserved_bytes, used_actions, used_writes, used_rows, used_bytes`

const IDS_ABOVE = `(SELECT j.value FROM session AS c CROSS JOIN json_each(c.ancestors) AS j WHERE c.id = ?1)`

/** Behind SPEND_BELOW in the same batch: every ancestor gives what the session itself gave. ?4 minute. */
export const SPEND_ABOVE = `UPDATE session AS s SET
  used_actions = s.used_actions + 1,
  used_writes = s.used_writes + ?3,
  used_bytes = s.used_bytes + (SELECT reserved_bytes FROM session WHERE id = ?1),
  minute_actions = CASE WHEN s.minute < ?4 THEN 1 ELSE s.minute_actions + 1 END,
  minute = max(s.minute, ?4)
  WHERE s.id IN ${IDS_ABOVE} AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`

/** With REFUND, on its conditions and its parameters. */
export const REFUND_ABOVE = `UPDATE session SET
  used_bytes = max(0, used_bytes - ?4 + ?5), used_rows = used_rows + ?6
  WHERE id IN ${IDS_ABOVE} AND NOT EXISTS (SELECT 1 FROM audit_event WHERE id = ?3)
    AND (SELECT hash FROM audit_event WHERE chain = ?1 ORDER BY chain_seq DESC LIMIT 1) IS ?2`

/** The method of session `s`, and those of all who acted before it in its tree. */
export const METHODS_OF_TREE = `(SELECT s.auth_method UNION ALL
    SELECT m.value ->> 'authMethod' FROM json_each(s.facts, '$.lineage.actors') AS m
    WHERE s.ancestors IS NOT NULL)`

/** Of the parent ?1 and of all before it, at target ?2. */
const READ_TREE_BINDINGS = `SELECT b.document FROM session s CROSS JOIN binding b
  WHERE s.id = ?1 AND b.auth_method IN ${METHODS_OF_TREE} AND b.target = ?2 AND b.enabled = 1`

/** The budgets of the ancestors of `s`, as far as they are spent. */
export const BUDGETS_ABOVE = `CASE WHEN s.ancestors IS NULL THEN '[]' ELSE (
  SELECT json_group_array(json_object('limits', json(a.facts -> '$.limits'),
    'usage', json_object('actions', a.used_actions, 'writes', a.used_writes,
      'rows', a.used_rows, 'bytes', a.used_bytes)))
  FROM json_each(s.ancestors) AS j JOIN session AS a ON a.id = j.value) END AS budgets`

export type Budget = { readonly limits: LimitsPolicy; readonly usage: SessionUsage }

export function toBudgets(row: Row): readonly Budget[] {
  return json<readonly Budget[]>(row, 'budgets')
}

export function readTreeBindings(parentId: string, target: string): Statement {
  return { sql: READ_TREE_BINDINGS, args: [parentId, target] satisfies readonly Value[] }
}

export const LINEAGE_STATEMENTS = { SPEND_BELOW, SPEND_ABOVE, REFUND_ABOVE, READ_TREE_BINDINGS }
