// SigningKeyStore in memory: insert-if-absent by slot, compare-and-set reseal, as the real one.
import type { SigningKeyRow, SigningKeyStore } from '../../functions/store/contract.ts'

export type FakeSigningKeyStore = SigningKeyStore & {
  rows: SigningKeyRow[]
  reads: number
  /** Runs before each list answers, to let another isolate act in between. */
  beforeList: () => Promise<void>
}

export function fakeSigningKeyStore(): FakeSigningKeyStore {
  const store: FakeSigningKeyStore = {
    rows: [],
    reads: 0,
    beforeList: () => Promise.resolve(),
    async list(purpose) {
      store.reads++
      const rows = store.rows.filter((row) => row.purpose === purpose)
      await store.beforeList()
      return rows
    },
    insert(row) {
      const isTaken = store.rows.some(
        (one) => one.purpose === row.purpose && one.activeFrom === row.activeFrom,
      )
      if (isTaken) return Promise.resolve(false)
      store.rows.push(row)
      return Promise.resolve(true)
    },
    deleteRetired(before) {
      const kept = store.rows.filter((row) => row.retireAt >= before)
      const deleted = store.rows.length - kept.length
      store.rows = kept
      return Promise.resolve(deleted)
    },
    reseal(kid, from, to) {
      const row = store.rows.find((one) => one.kid === kid && one.sealedPrivateJwk === from)
      if (row === undefined) return Promise.resolve(false)
      store.rows[store.rows.indexOf(row)] = { ...row, sealedPrivateJwk: to }
      return Promise.resolve(true)
    },
  }
  return store
}
