// Sessions that descend from others: budgets of a whole tree, its end and its listing, one suite over the
// embedded file, libSQL over HTTP and D1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lineage } from '../../functions/core/lineage.ts'
import type { LimitsPolicy } from '../../functions/core/policy.ts'
import type { Session } from '../../functions/core/session.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import { actionOf, bindingOf, eventOf, NOW, openSession, outcomeOf, storesOn } from './values.ts'

const LOAD = {
  file: { calls: 300, budget: 100 },
  http: { calls: 300, budget: 100 },
  d1: { calls: 40, budget: 15 },
}

describe.each(STORE_KINDS)('sessions below others on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores
  let revision: number

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
    const bindings = [
      bindingOf(),
      bindingOf({ name: 'helpers-crm', auth_method: 'helpers' }),
      bindingOf({ name: 'deep-crm', auth_method: 'deep' }),
      bindingOf({ name: 'others-crm', auth_method: 'others' }),
    ]
    const changes = bindings.map((object) => ({ op: 'put', kind: 'bindings', object }) as const)
    const write = { changes, expectedRevision: 1, event: eventOf('admin') }
    const written = await stores.policy.write(write)
    if (written === null) throw new Error('the policy was not written')
    revision = written
  })
  afterAll(() => opened.close())

  const open = (facts: Partial<Session> = {}) =>
    openSession(stores, { policyRevision: revision, ...facts })
  const below = (parent: Session, facts: Partial<Session> = {}) =>
    open({ lineage: lineageOf(parent), authMethod: 'helpers', ...facts })
  const act = (session: Session, facts: Parameters<typeof actionOf>[1] = {}, on = stores) =>
    on.records.recordAction(
      actionOf(session, { shared: { limits: {}, removedEffects: aboveOf(session) }, ...facts }),
    )
  const usageOf = async ({ id }: Session) => (await stores.records.readSession(id))?.usage
  const end = ({ id }: Session) =>
    stores.records.endSession(id, eventOf('revocation', { session_id: id }))

  const { calls, budget } = LOAD[kind]

  test(`RACE-2 of ${calls} parallel actions of two children and their parent exactly ${budget} are spent`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const parent = await open({ limits: { actions: budget } })
    const children = [await below(parent), await below(parent)]
    const actors = [...children, parent]
    const results = await Promise.all(
      Array.from({ length: calls }, (_, n) => {
        const session = actors[n % 3] ?? parent
        const shared = session === parent ? { shared: null } : {}
        return act(session, shared, isolates[n % 2])
      }),
    )
    expect(results.filter((result) => result.kind === 'recorded')).toHaveLength(budget)
    const exhausted = { kind: 'exhausted', limit: 'actions' }
    expect(results.filter(({ kind: one }) => one !== 'recorded')).toEqual(
      Array.from({ length: calls - budget }, () => exhausted),
    )
    expect((await usageOf(parent))?.actions).toBe(budget)
  })

  test('RACE-2 two children that spend the last of it at once spend it once', async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const parent = await open({ limits: { actions: 1, bytes: 100 } })
    const [one, two] = [await below(parent), await below(parent)]
    const results = await Promise.all([act(one, {}, isolates[0]), act(two, {}, isolates[1])])
    expect(results.map((result) => result.kind).toSorted()).toEqual(['exhausted', 'recorded'])
  })

  test('what a grandchild spends, every session above it spends, and gets back', async () => {
    const root = await open({ limits: { bytes: 1000 } })
    const child = await below(root, { limits: { bytes: 600 } })
    const deep = await below(child, { authMethod: 'deep' })
    const spend = { actions: 1, writes: 1, maxBytes: 5000 } as const
    const spent = await act(deep, { spend })
    expect(spent).toMatchObject({ kind: 'recorded', reservedBytes: 600 })
    for (const session of [root, child, deep]) {
      expect(await usageOf(session)).toEqual({ actions: 1, writes: 1, rows: 0, bytes: 600 })
    }
    const outcome = outcomeOf(deep.id, {
      reservedBytes: 600,
      isShared: true,
      usedBytes: 50,
      usedRows: 3,
    })
    await stores.records.recordOutcome(outcome)
    await storesOn(opened.connect()).records.recordOutcome(outcome)
    for (const session of [root, child, deep]) {
      expect(await usageOf(session)).toEqual({ actions: 1, writes: 1, rows: 3, bytes: 50 })
    }
  })

  test.each([
    ['actions', { actions: 1 }],
    ['writes', { writes: 1 }],
    ['rows', { rows: 5 }],
    ['bytes', { bytes: 100 }],
    ['per_minute', { per_minute: 1 }],
  ] as const)(
    'a limit on %s that is used up above refuses, and spends nothing',
    async (limit, limits) => {
      const spend = { actions: 1, writes: 1, maxBytes: 100 } as const
      const root = await open({ limits })
      const child = await below(root)
      await stores.records.recordAction(actionOf(root, { spend }))
      await stores.records.recordOutcome(
        outcomeOf(root.id, { reservedBytes: 100, usedBytes: 100, usedRows: 5 }),
      )
      expect(await act(child, { spend })).toEqual({ kind: 'exhausted', limit })
      expect(await usageOf(child)).toEqual({ actions: 0, writes: 0, rows: 0, bytes: 0 })
    },
  )

  test('a limit that the policy tightened since holds for the tree together', async () => {
    const root = await open({ limits: { actions: 10 } })
    const child = await below(root)
    await stores.records.recordAction(actionOf(root))
    const shared = (limits: LimitsPolicy) => ({ shared: { limits, removedEffects: [[]] } })
    expect(await act(child, shared({ actions: 1 }))).toEqual({
      kind: 'exhausted',
      limit: 'actions',
    })
    expect((await act(child, shared({ actions: 2 }))).kind).toBe('recorded')
  })

  test('a session above that is ended, suspended, expired, narrowed or gone ends what is below', async () => {
    const ended = await open()
    const cases = [
      [await below(ended), {}, 'session_ended'],
      [await below(await open({ state: 'suspended' })), {}, 'session_suspended'],
      [
        await below(await open({ expiresAt: NOW + 10 }), { expiresAt: NOW + 300 }),
        { nowSeconds: NOW + 10 },
        'session_ended',
      ],
      [
        await below(await open()),
        { shared: { limits: {}, removedEffects: [['write']] } },
        'session_narrowed',
      ],
      [
        await open({ lineage: { ...lineageOf(await open()), ancestors: ['ses_gone'] } }),
        {},
        'session_ended',
      ],
    ] as const
    await end(ended)
    for (const [session, facts, result] of cases) {
      expect((await act(session, facts)).kind).toBe(result)
      expect((await usageOf(session))?.actions).toBe(0)
    }
  })

  test('a session below another never spends as if it were alone', async () => {
    const parent = await open({ limits: { actions: 1 } })
    const child = await below(parent)
    await expect(stores.records.recordAction(actionOf(child))).rejects.toThrow()
    expect((await usageOf(child))?.actions).toBe(0)
  })

  test('is read with the standing of those above, and its state is the worst of theirs', async () => {
    const root = await open()
    const child = await below(root)
    const deep = await below(child)
    expect(await stores.records.readSession(deep.id)).toMatchObject({
      state: 'active',
      above: [
        { state: 'active', expiresAt: NOW + 300, removedEffects: [] },
        { state: 'active', expiresAt: NOW + 300, removedEffects: [] },
      ],
    })
    await end(root)
    for (const { id } of [child, deep]) {
      expect(await stores.records.readSession(id)).toMatchObject({ state: 'ended' })
    }
    const query = { sessionId: deep.id, target: 'crm', withHistory: false, withApprovals: false }
    expect((await stores.records.readAction(query)).session?.state).toBe('ended')
  })

  test('an exchange reads the parent, what is spent above it, and the bindings of its chain', async () => {
    const root = await open({ limits: { actions: 7 } })
    const child = await below(root)
    await act(child)
    const before = { ...driver.counters }
    const read = await stores.records.readExchange({
      method: 'deep',
      targets: ['crm'],
      approvalHash: null,
      parent: child.id,
    })
    expect(driver.counters.reads - before.reads).toBe(1)
    expect(read.bindings.map(({ name }) => name).toSorted()).toEqual([
      'ci-crm',
      'deep-crm',
      'helpers-crm',
    ])
    expect(read.parent).toMatchObject({
      session: { id: child.id, usage: { actions: 1 } },
      above: [{ limits: { actions: 7 }, usage: { actions: 1 } }],
    })
    const none = { method: 'deep', targets: ['crm'], approvalHash: null, parent: 'ses_none' }
    expect((await stores.records.readExchange(none)).parent).toBeNull()
  })

  test('is listed by its root, and by its parent', async () => {
    const root = await open()
    const children = [await below(root), await below(root)]
    const deep = await below(children[0] ?? root)
    const idsOf = async (filter: object) => {
      const { items } = await stores.sessions.list(filter, { cursor: null, limit: 10 })
      return items.map(({ id }) => id)
    }
    expect(await idsOf({ root: root.id })).toEqual(
      [deep, ...children.toReversed()].map(({ id }) => id),
    )
    expect(await idsOf({ root: root.id, parent: root.id })).toEqual(
      children.toReversed().map(({ id }) => id),
    )
    expect(await idsOf({ root: root.id, parent: children[0]?.id })).toEqual([deep.id])
  })
})

test('REV-1 one update ends 10,000 descendants: the next action of any of them is refused, in as many round trips', async () => {
  const opened = await openStore('file')
  const driver = opened.connect()
  const stores = storesOn(driver)
  await stores.migrate()
  const parent = await openSession(stores)
  const child = await openSession(stores, { lineage: lineageOf(parent) })
  const sql = `WITH RECURSIVE n (value) AS (
      SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000)
    INSERT INTO session (id, state, identity, auth_method, agent, facts, expires_at, policy_revision,
      used_actions, used_writes, used_rows, used_bytes, minute, minute_actions, reserved_bytes,
      ancestors, root)
    SELECT 'ses_' || n.value, state, identity, auth_method, agent, facts, expires_at,
      policy_revision, 0, 0, 0, 0, 0, 0, 0, ancestors, root FROM session, n WHERE id = ?1`
  await driver.write([{ sql, args: [child.id] }])

  const action = async () => {
    const before = { ...driver.counters }
    const query = { sessionId: 'ses_7777', target: 'crm', withHistory: false, withApprovals: false }
    const { session } = await stores.records.readAction(query)
    const result = await stores.records.recordAction(
      actionOf({ ...child, id: 'ses_7777' }, { shared: { limits: {}, removedEffects: [[]] } }),
    )
    const { reads, writes } = driver.counters
    return [session?.state, result.kind, reads - before.reads, writes - before.writes]
  }
  expect(await action()).toEqual(['active', 'recorded', 1, 1])
  const { writes } = driver.counters
  await stores.records.endSession(parent.id, eventOf('revocation', { session_id: parent.id }))
  expect(driver.counters.writes - writes).toBe(1)
  expect(await action()).toEqual(['ended', 'session_ended', 1, 1])
  // Nothing was written to any of them.
  const count = `SELECT count(*) AS n FROM session WHERE root = ?1 AND state = 'active'`
  const [rows] = await driver.read([{ sql: count, args: [parent.id] }])
  expect(rows?.[0]?.['n']).toBe(10_001)
  await opened.close()
})

function lineageOf(parent: Session): Lineage {
  const { identity, authMethod, claims, intent, createdAt } = parent
  return {
    ancestors: [...(parent.lineage?.ancestors ?? []), parent.id],
    actors: [
      ...(parent.lineage?.actors ?? []),
      { identity, authMethod, claims, intent, createdAt },
    ],
    limits: {},
  }
}

function aboveOf({ lineage }: Session) {
  return (lineage?.ancestors ?? []).map(() => [])
}
