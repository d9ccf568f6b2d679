// SessionStore in memory.
import type { EventDraft } from '../../functions/core/audit.ts'
import type { DescribedSession, Session } from '../../functions/core/session.ts'
import type { SessionFilter, SessionStore } from '../../functions/store/contract.ts'

export type FakeSessionStore = SessionStore & {
  readonly sessions: Map<string, Session>
  readonly events: EventDraft[]
  readonly filters: SessionFilter[]
}

function described(session: Session): DescribedSession {
  return { ...session, change: null, ownState: session.state }
}

export function fakeSessionStore(sessions: readonly Session[] = []): FakeSessionStore {
  const store: FakeSessionStore = {
    sessions: new Map(sessions.map((session) => [session.id, session])),
    events: [],
    filters: [],
    get: async (id) => {
      const session = store.sessions.get(id)
      return session === undefined ? null : described(session)
    },
    async list(filter, { cursor, limit }) {
      store.filters.push(filter)
      const found = [...store.sessions.values()].filter((session) => matches(session, filter))
      const start = cursor === null ? 0 : found.findIndex(({ id }) => id === cursor) + 1
      const items = found.slice(start, start + limit)
      const more = found.length > start + limit
      return {
        items: items.map(described),
        nextCursor: more ? (items.at(-1)?.id ?? null) : null,
      }
    },
    async end(id, event) {
      const session = store.sessions.get(id)
      if (session === undefined || session.state === 'ended') return false
      store.sessions.set(id, { ...session, state: 'ended' })
      store.events.push(event)
      return true
    },
    async tighten(id, tightening, event) {
      const session = store.sessions.get(id)
      if (session === undefined || session.state === 'ended') return false
      const removedEffects = tightening.to === 'narrowed' ? tightening.removes : []
      store.sessions.set(id, { ...session, state: tightening.to, removedEffects })
      store.events.push(event)
      return true
    },
    async restore(id, _, event) {
      const session = store.sessions.get(id)
      if (session === undefined || session.state === 'ended') return 'ended'
      store.sessions.set(id, { ...session, state: 'active', removedEffects: [], denials: 0 })
      store.events.push(event)
      return 'restored'
    },
    async endWhere(filter, event) {
      store.filters.push(filter)
      store.events.push(event)
      const found = [...store.sessions.values()].filter(
        (session) => session.state !== 'ended' && matches(session, filter),
      )
      for (const session of found) store.sessions.set(session.id, { ...session, state: 'ended' })
      return found.length
    },
  }
  return store
}

function matches(session: Session, filter: SessionFilter): boolean {
  const { authMethod, identity, target, binding, agent, root, parent, state } = filter
  return (
    (authMethod === undefined || session.authMethod === authMethod) &&
    (identity === undefined || session.identity === identity) &&
    (target === undefined || session.grants.some((grant) => grant.target === target)) &&
    (binding === undefined || session.grants.some((grant) => grant.bindings.includes(binding))) &&
    (agent === undefined || session.intent?.agent?.name === agent) &&
    (root === undefined || session.lineage?.ancestors[0] === root) &&
    (parent === undefined || session.lineage?.ancestors.at(-1) === parent) &&
    (state === undefined || session.state === state)
  )
}
