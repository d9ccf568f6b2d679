// The ExternalId: one per target, the same for ever, and out of everybody's reach.
import { expect, test } from 'vitest'
import { createExternalIds } from '../../functions/aws/external-id.ts'
import { createSealer } from '../../functions/crypto/seal.ts'
import { createSealedSource, resealSecrets } from '../../functions/secrets/sealed.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { fakeSecretStore } from '../fakes/secret-store.ts'

const kek = new Uint8Array(32).fill(1)
const sealer = createSealer({ kek, kekPrevious: null })
const clock = manualClock()
const ids = { fresh: (prefix: string) => `${prefix}_1` }

function world(store = fakeSecretStore(), own = sealer) {
  return { store, ids: createExternalIds({ store, sealer: own, clock, ids }) }
}

test('SC-08 is its own for each target, in AWS’s characters, and the same after a restart', async () => {
  const first = world()
  const id = await first.ids.of('reports')
  expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(await first.ids.of('billing')).not.toBe(id)
  expect(await world(first.store).ids.of('reports')).toBe(id)
  expect(await world().ids.of('reports')).not.toBe(id)
})

test('is one for isolates that begin at the same time', async () => {
  const store = fakeSecretStore()
  const all = await Promise.all(Array.from({ length: 8 }, () => world(store).ids.of('reports')))
  expect(new Set(all).size).toBe(1)
  expect([...store.rows.values()].map(({ version }) => version)).toEqual([1])
})

test('reads the store once', async () => {
  const { store, ids: externalIds } = world()
  await externalIds.of('reports')
  const { reads } = store
  await externalIds.of('billing')
  expect(store.reads).toBe(reads)
})

test('is not made anew where it cannot be opened', async () => {
  const { store } = world()
  await world(store).ids.of('reports')
  const other = createSealer({ kek: new Uint8Array(32).fill(2), kekPrevious: null })
  expect(await world(store, other).ids.of('reports')).toBe(null)
  expect(store.rows.size).toBe(1)
})

test('outlives a new KEK', async () => {
  const { store, ids: externalIds } = world()
  const id = await externalIds.of('reports')
  const next = createSealer({ kek: new Uint8Array(32).fill(2), kekPrevious: kek })
  expect(await resealSecrets({ store, sealer: next })).toBe(1)
  const after = createSealer({ kek: new Uint8Array(32).fill(2), kekPrevious: null })
  expect(await world(store, after).ids.of('reports')).toBe(id)
})

test('no reference reads what it is made of', async () => {
  const { store, ids: externalIds } = world()
  await externalIds.of('reports')
  const [name = ''] = store.rows.keys()
  const source = createSealedSource({ store, sealer, clock })
  for (const read of [source.read, source.readStored]) {
    expect(await read?.(name)).toMatchObject({ failure: { reason: 'not_found' } })
  }
})
