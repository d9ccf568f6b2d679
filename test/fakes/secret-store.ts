// SecretStore in memory, with the compare-and-set of the real one.
import type { SealedSecretRow, SecretStore } from '../../functions/store/contract.ts'

export type FakeSecretStore = SecretStore & { rows: Map<string, SealedSecretRow>; reads: number }

export function fakeSecretStore(): FakeSecretStore {
  const store: FakeSecretStore = {
    rows: new Map(),
    reads: 0,
    get(name) {
      store.reads++
      return Promise.resolve(store.rows.get(name) ?? null)
    },
    list({ cursor, limit }) {
      const names = [...store.rows.keys()].sort().filter((name) => cursor === null || name > cursor)
      const items = names.slice(0, limit).flatMap((name) => {
        const row = store.rows.get(name)
        if (row === undefined) return []
        const { sealed: _, ...listed } = row
        return [listed]
      })
      const nextCursor = names.length > limit ? (items.at(-1)?.name ?? null) : null
      return Promise.resolve({ items, nextCursor })
    },
    put(row, now, _, version = null) {
      const before = store.rows.get(row.name)
      if (version !== null && (before?.version ?? 0) !== version) return Promise.resolve('changed')
      store.rows.set(row.name, {
        ...row,
        version: (before?.version ?? 0) + 1,
        createdAt: before?.createdAt ?? now,
        updatedAt: now,
      })
      return Promise.resolve(before === undefined ? 'created' : 'replaced')
    },
    delete: (name) => Promise.resolve(store.rows.delete(name)),
    reseal(name, from, to) {
      const row = store.rows.get(name)
      if (row === undefined || row.sealed !== from) return Promise.resolve(false)
      store.rows.set(name, { ...row, sealed: to })
      return Promise.resolve(true)
    },
  }
  return store
}
