import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { createPolicySource } from '../../functions/policy/index.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { authMethod, intentPolicy, target } from '../fakes/policy-objects.ts'
import { fakePolicyStore } from '../fakes/policy-store.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'

function world() {
  const store = fakePolicyStore({ auth_methods: [authMethod()], targets: [target()] })
  const types = fakePolicyTypes()
  const clock = manualClock()
  const logged: string[] = []
  const source = createPolicySource({
    store,
    types,
    clock,
    log: (level, message, facts) =>
      void logged.push(`${level} ${message} ${String(facts?.['name'])}`),
  })
  return { store, types, clock, logged, source }
}

describe('the policy source', () => {
  test('loads once however many requests wait for it, and holds what it loaded', async () => {
    const { source, store } = world()
    const all = await Promise.all(Array.from({ length: 50 }, () => source.current()))
    expect(new Set(all).size).toBe(1)
    await source.current()
    expect(store.reads).toEqual({ revision: 0, snapshot: 1, document: 0 })
  })

  test('finds methods by issuer, and leaves out what is disabled', async () => {
    const { source, store } = world()
    store.set('auth_methods', authMethod({ name: 'second' }))
    store.set('auth_methods', authMethod({ name: 'off', enabled: false }))
    store.set('targets', target({ name: 'off', enabled: false }))
    store.set('intent_policies', intentPolicy({ name: 'off', enabled: false }))
    const snapshot = await source.current()
    const found = snapshot.methodsBySelector.get('issuer https://oidc.example') ?? []
    expect(found.map(({ name }) => name)).toEqual(['prod', 'second'])
    expect([...snapshot.methods.keys()]).toEqual(['prod', 'second'])
    expect([...snapshot.targets.keys()]).toEqual(['crm'])
    expect(snapshot.intentPolicies.size).toBe(0)
  })

  test('leaves out, and logs, a stored object that is not valid, of no known type, or does not compile', async () => {
    const { source, store, logged } = world()
    store.set('auth_methods', authMethod({ name: 'invalid', config: {} }))
    store.set('auth_methods', authMethod({ name: 'typeless', type: 'retired' }))
    store.set(
      'auth_methods',
      authMethod({ name: 'explosive', config: { audiences: ['a'], explodes: true } }),
    )
    const judge = { type: 'authzen', url: 'ftp://x' }
    store.set('intent_policies', intentPolicy({ name: 'judged', judge }))
    const snapshot = await source.current()
    expect([...snapshot.methods.keys()]).toEqual(['prod'])
    // Without its judge the policy would let more through: the whole of it is gone.
    expect(snapshot.intentPolicies.size).toBe(0)
    expect(logged.map((line) => line.split(' ').at(-1))).toEqual([
      'explosive',
      'invalid',
      'typeless',
      'judged',
    ])
  })

  test('compiles again only what changed, so that key caches survive a revision', async () => {
    const { source, store, types } = world()
    const before = await source.current()
    store.set('targets', target({ name: 'erp' }))
    const after = await source.refresh(before.revision)
    expect(types.compiled).toEqual(['prod', 'crm', 'erp'])
    expect(after.methods.get('prod')).toBe(before.methods.get('prod'))
    expect(after.revision).toBeGreaterThan(before.revision)
  })

  test('refreshes for callers that know their revision to be stale, and reads nothing for the others', async () => {
    const { source, store } = world()
    const { revision } = await source.current()
    store.set('targets', target({ name: 'erp' }))
    const both = await Promise.all([source.refresh(revision), source.refresh(revision)])
    expect(both.map((snapshot) => snapshot.targets.has('erp'))).toEqual([true, true])
    expect(store.reads).toMatchObject({ revision: 1, snapshot: 2 })
    await source.refresh(revision)
    expect(store.reads).toMatchObject({ revision: 1, snapshot: 2 })
  })

  test('a removal is seen by a caller who joins a refresh that began before it', async () => {
    const { source, store } = world()
    const { revision } = await source.current()
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const readRevision = store.readRevision
    let first = true
    store.readRevision = async () => {
      const read = await readRevision()
      if (first) {
        first = false
        await gate
      }
      return read
    }
    const early = source.refresh(revision)
    await Promise.resolve()
    store.set('auth_methods', authMethod({ enabled: false }))
    const late = source.refresh(revision)
    release()
    await early
    expect((await late).methods.has('prod')).toBe(false)
  })

  test('reads the revision at most once a second for issuers nobody knows', async () => {
    const { source, store, clock } = world()
    await source.current()
    for (let i = 0; i < 20; i++) await source.refreshLimited()
    expect(store.reads.revision).toBe(1)
    store.set('auth_methods', authMethod({ name: 'new' }))
    expect((await source.refreshLimited()).methods.has('new')).toBe(false)
    clock.advance(1)
    expect((await source.refreshLimited()).methods.has('new')).toBe(true)
    expect(store.reads.snapshot).toBe(2)
  })

  test('says that the store is away, and loads when it is back', async () => {
    const { source, store } = world()
    const readSnapshot = store.readSnapshot
    store.readSnapshot = () => Promise.reject(new StoreUnavailable('away'))
    await expect(source.current()).rejects.toThrow(StoreUnavailable)
    store.readSnapshot = readSnapshot
    expect((await source.current()).methods.size).toBe(1)
  })
})
