// The sessions that a sub-agent's session descends from. It has at most what each of them has left, and
// ends with any of them. What may change of an ancestor is read with each action and never copied.
import type { JsonObject } from './identity.ts'
import type { AgentIntent } from './intent.ts'
import type { LimitsPolicy } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Session } from './session.ts'

/** Generations below the root, where the deployment does not say otherwise. */
export const DEFAULT_DELEGATION_DEPTH = 4
/** The most that it can say: an action checks and spends from every session above its own. */
export const MAX_DELEGATION_DEPTH = 16

/** One session that it descends from: who acted in it, as it was attested, and for what. */
export type Ancestor = {
  /** `{auth_method}:{subject}` */
  readonly identity: string
  readonly authMethod: string
  readonly claims: JsonObject
  readonly intent: AgentIntent | null
  readonly createdAt: Seconds
}

export type Lineage = {
  /** Session ids, the root's first, the parent's last. */
  readonly ancestors: readonly string[]
  /** Of the same sessions. It is the bindings of the root's method that grant. */
  readonly actors: readonly Ancestor[]
  /** What the policy allowed the whole tree when this session opened. */
  readonly limits: LimitsPolicy
}

/** Of a session that `parent` is the parent of. */
export function lineageBelow(parent: Session, limits: LimitsPolicy): Lineage {
  const { identity, authMethod, claims, intent, createdAt } = parent
  return {
    ancestors: [...(parent.lineage?.ancestors ?? []), parent.id],
    actors: [
      ...(parent.lineage?.actors ?? []),
      { identity, authMethod, claims, intent, createdAt },
    ],
    limits,
  }
}

type Declared = { readonly intent: AgentIntent | null; readonly lineage: Lineage | null }

/** What those before it declared, the root's first: all of it binds. */
export function intentsAbove(lineage: Lineage | null): readonly AgentIntent[] {
  return (lineage?.actors ?? []).flatMap(({ intent }) => intent ?? [])
}

/** The purpose it acts for: its own, or where it declared none, the nearest before it. */
export function intentOf({ intent, lineage }: Declared): AgentIntent | null {
  return intent ?? intentsAbove(lineage).at(-1) ?? null
}

/** The purposes that a chain of sessions acts for, one for each of it: the root's first, its own last. */
export function purposesOf(declared: Declared): readonly (string | null)[] {
  let nearest: AgentIntent | null = null
  const above = (declared.lineage?.actors ?? []).map(({ intent }) => {
    nearest = intent ?? nearest
    return nearest?.purpose ?? null
  })
  return [...above, intentOf(declared)?.purpose ?? null]
}

/** The originating intent; null where the session is its own root or the root declared nothing. */
export function rootIntent(lineage: Lineage | null): AgentIntent | null {
  return lineage?.actors[0]?.intent ?? null
}

/** What an event says of the tree. */
export function describeLineage(lineage: Lineage | null): JsonObject {
  if (lineage === null) return {}
  const { ancestors, actors } = lineage
  return {
    lineage: {
      root: ancestors[0] ?? null,
      ancestors: [...ancestors],
      identities: actors.map(({ identity }) => identity),
    },
  }
}
