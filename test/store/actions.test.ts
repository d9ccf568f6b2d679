// Budgets, limits and outcomes of actions, one suite over the embedded file, libSQL over HTTP and D1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainEvent, EMPTY_CHAIN } from '../../functions/core/audit.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import {
  actionOf,
  bindingOf,
  eventOf,
  freshId,
  hashing,
  NOW,
  openSession,
  outcomeOf,
  sessionOf,
  storesOn,
} from './values.ts'

// The local D1 takes tens of milliseconds for a batch.
const LOAD = {
  file: { calls: 500, budget: 100, appends: 200, proofs: 200 },
  http: { calls: 500, budget: 100, appends: 200, proofs: 200 },
  d1: { calls: 60, budget: 20, appends: 30, proofs: 30 },
}

describe.each(STORE_KINDS)('actions on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores
  let revision: number

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
    const written = await stores.policy.write({
      changes: [
        { op: 'put', kind: 'bindings', object: bindingOf() },
        {
          op: 'put',
          kind: 'bindings',
          object: bindingOf({ name: 'off', target: 'erp', enabled: false }),
        },
        {
          op: 'put',
          kind: 'bindings',
          object: bindingOf({ name: 'other', auth_method: 'k8s', target: 'erp' }),
        },
      ],
      expectedRevision: 1,
      event: eventOf('admin'),
    })
    if (written === null) throw new Error('the policy was not written')
    revision = written
  })
  afterAll(() => opened.close())

  const open = (facts = {}) => openSession(stores, { policyRevision: revision, ...facts })
  const eventsOf = async (session: string) =>
    (await stores.audit.list({ session, cursor: null, limit: 1000 })).items
  const types = async (session: string) => (await eventsOf(session)).map(({ type }) => type)

  const { calls, budget, appends, proofs } = LOAD[kind]

  test(`RACE-2 of ${calls} parallel actions on a budget of ${budget} exactly ${budget} are recorded`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const session = await open({ limits: { actions: budget } })
    for (const { records } of isolates)
      await records.readAction({
        sessionId: session.id,
        target: 'crm',
        withHistory: true,
        withApprovals: true,
      })
    const results = await Promise.all(
      Array.from({ length: calls }, (_, n) =>
        isolates[n % 2]?.records.recordAction(actionOf(session)),
      ),
    )
    const recorded = results.filter((result) => result?.kind === 'recorded')
    expect(recorded).toHaveLength(budget)
    expect(results.filter((result) => result?.kind === 'exhausted')).toHaveLength(calls - budget)
    expect((await stores.records.readSession(session.id))?.usage.actions).toBe(budget)
    expectChain(await eventsOf(session.id), budget + 2)
  })

  test(`DP-04 of ${proofs} parallel uses of one proof exactly 1 is recorded and spends`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const sessions = await Promise.all([open(), open()])
    const singleUse = [{ key: freshId('dpop'), expiresAt: NOW + 60, isProof: true as const }]
    const results = await Promise.all(
      Array.from({ length: proofs }, (_, n) => {
        const session = sessions[n % 2]
        if (session === undefined) throw new Error('there are two')
        return isolates[n % 2]?.records.recordAction(actionOf(session, { singleUse }))
      }),
    )
    expect(results.filter((result) => result?.kind === 'recorded')).toHaveLength(1)
    expect(results.filter((result) => result?.kind === 'replayed')).toHaveLength(proofs - 1)
    const usage = await Promise.all(sessions.map(({ id }) => stores.records.readSession(id)))
    const spent = usage.map((session) => session?.usage.actions ?? 0)
    expect(spent.reduce((sum, actions) => sum + actions, 0)).toBe(1)
  })

  test('DP-04 a proof is not consumed by an action that is refused', async () => {
    const session = await open({ limits: { actions: 1 } })
    const singleUse = [{ key: freshId('dpop'), expiresAt: NOW + 60, isProof: true as const }]
    await stores.records.recordAction(actionOf(session))
    expect(await stores.records.recordAction(actionOf(session, { singleUse }))).toEqual({
      kind: 'exhausted',
      limit: 'actions',
    })
    expect(await stores.records.consume(singleUse)).toBe(true)
  })

  test(`DP-04 of ${proofs} parallel uses where nothing else is written exactly 1 counts`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const [key, other] = [freshId('dpop'), freshId('dpop')]
    const used = await Promise.all(
      Array.from({ length: proofs }, (_, n) =>
        isolates[n % 2]?.records.consume([{ key, expiresAt: NOW + 60 }]),
      ),
    )
    expect(used.filter((counts) => counts === true)).toHaveLength(1)
    // All of them or none: the other one is still there to be used.
    const both = [key, other].map((one) => ({ key: one, expiresAt: NOW + 60 }))
    expect(await stores.records.consume(both)).toBe(false)
    expect(await stores.records.consume(both.slice(1))).toBe(true)
    expect(await stores.records.consume([])).toBe(true)
  })

  test(`AUD-7 a chain has no gap and no fork under ${appends} concurrent appends by two isolates`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const session = await open()
    await Promise.all(
      Array.from({ length: appends }, (_, n) =>
        isolates[n % 2]?.records.recordRefusal(eventOf('refusal', { session_id: session.id })),
      ),
    )
    expectChain(await eventsOf(session.id), appends + 2)
  })

  test.each([
    ['actions', { actions: 1 }],
    ['writes', { writes: 1 }],
    ['rows', { rows: 5 }],
    ['bytes', { bytes: 100 }],
    ['per_minute', { per_minute: 1 }],
  ] as const)(
    'a used up limit on %s refuses, and spends and records nothing',
    async (name, limits) => {
      const session = await open({ limits })
      const spend = { actions: 1, writes: 1, maxBytes: 100 } as const
      const first = await stores.records.recordAction(actionOf(session, { spend }))
      expect(first.kind).toBe('recorded')
      await stores.records.recordOutcome(
        outcomeOf(session.id, { reservedBytes: 100, usedBytes: 100, usedRows: 7 }),
      )
      const usage = (await stores.records.readSession(session.id))?.usage
      const second = await stores.records.recordAction(actionOf(session, { spend }))
      expect(second).toEqual({ kind: 'exhausted', limit: name })
      expect((await stores.records.readSession(session.id))?.usage).toEqual(usage)
      expect(await types(session.id)).toEqual(['decision', 'grant', 'action', 'outcome'])
    },
  )

  test('a session whose limit on writes is used up may still read', async () => {
    const session = await open({ limits: { writes: 0 } })
    const write = { actions: 1, writes: 1, maxBytes: 0 } as const
    expect(await stores.records.recordAction(actionOf(session, { spend: write }))).toEqual({
      kind: 'exhausted',
      limit: 'writes',
    })
    expect((await stores.records.recordAction(actionOf(session))).kind).toBe('recorded')
  })

  test('the next minute has a budget of its own, an earlier clock has not', async () => {
    const session = await open({ limits: { per_minute: 2 } })
    const at = (nowSeconds: number) =>
      stores.records.recordAction(actionOf(session, { nowSeconds })).then(({ kind }) => kind)
    expect(await at(NOW)).toBe('recorded')
    expect(await at(NOW + 60)).toBe('recorded')
    expect(await at(NOW + 1)).toBe('recorded')
    expect(await at(NOW + 61)).toBe('exhausted')
    expect(await at(NOW + 120)).toBe('recorded')
  })

  test('bytes are reserved up to what is left, and what was not used comes back', async () => {
    const session = await open({ limits: { bytes: 1000 } })
    const spend = { actions: 1, writes: 0, maxBytes: 600 } as const
    const reserve = async () => {
      const result = await stores.records.recordAction(actionOf(session, { spend }))
      return result.kind === 'recorded' ? result.reservedBytes : result
    }
    expect(await reserve()).toBe(600)
    expect(await reserve()).toBe(400)
    expect(await reserve()).toEqual({ kind: 'exhausted', limit: 'bytes' })
    await stores.records.recordOutcome(
      outcomeOf(session.id, { reservedBytes: 600, usedBytes: 50, usedRows: 3 }),
    )
    expect((await stores.records.readSession(session.id))?.usage).toMatchObject({
      bytes: 450,
      rows: 3,
    })
    expect(await reserve()).toBe(550)
  })

  test('without a limit on bytes the whole of what was asked is reserved', async () => {
    const session = await open()
    const spend = { actions: 1, writes: 0, maxBytes: Number.MAX_SAFE_INTEGER } as const
    const result = await stores.records.recordAction(actionOf(session, { spend }))
    expect(result).toMatchObject({ kind: 'recorded', reservedBytes: 2 ** 40 })
  })

  test('limits that a changed policy made smaller hold at the next action', async () => {
    const session = await open({ limits: { actions: 10 } })
    expect((await stores.records.recordAction(actionOf(session))).kind).toBe('recorded')
    const limits = { actions: 1 }
    expect(await stores.records.recordAction(actionOf(session, { limits }))).toEqual({
      kind: 'exhausted',
      limit: 'actions',
    })
  })

  test('RACE-4 an outcome that is recorded twice refunds once', async () => {
    const session = await open({ limits: { bytes: 1000 } })
    const spend = { actions: 1, writes: 0, maxBytes: 500 } as const
    await stores.records.recordAction(actionOf(session, { spend }))
    const outcome = outcomeOf(session.id, { reservedBytes: 500, usedBytes: 100, usedRows: 1 })
    const other = storesOn(opened.connect())
    await Promise.all([
      stores.records.recordOutcome(outcome),
      other.records.recordOutcome(outcome),
      stores.records.recordOutcome(outcome),
    ])
    await other.records.recordOutcome(outcome)
    expect((await stores.records.readSession(session.id))?.usage).toMatchObject({
      bytes: 100,
      rows: 1,
    })
    expect(await types(session.id)).toEqual(['decision', 'grant', 'action', 'outcome'])
  })

  test('an action whose event was already recorded is not granted again', async () => {
    const session = await open({ limits: { actions: 10 } })
    const action = actionOf(session)
    await stores.records.recordAction(action)
    await expect(stores.records.recordAction(action)).rejects.toThrow()
    await expect(storesOn(opened.connect()).records.recordAction(action)).rejects.toThrow()
    expect((await stores.records.readSession(session.id))?.usage.actions).toBe(1)
  })

  test('an outcome is recorded also when the session was ended meanwhile', async () => {
    const session = await open()
    await stores.records.recordAction(actionOf(session))
    await stores.records.endSession(session.id, eventOf('revocation', { session_id: session.id }))
    await stores.records.recordOutcome(outcomeOf(session.id))
    const all = ['decision', 'grant', 'action', 'revocation', 'outcome']
    expect(await types(session.id)).toEqual(all)
  })

  test('an ended, suspended, expired or unknown session may not act', async () => {
    const ended = await open()
    await stores.records.endSession(ended.id, eventOf('revocation', { session_id: ended.id }))
    const suspended = await open({ state: 'suspended' })
    const narrowed = await open({ state: 'narrowed' })
    const kindOf = async (...of: Parameters<typeof actionOf>) =>
      (await stores.records.recordAction(actionOf(...of))).kind
    expect(await kindOf(ended)).toBe('session_ended')
    expect(await kindOf(suspended)).toBe('session_suspended')
    expect(await kindOf(sessionOf({ policyRevision: revision }))).toBe('session_ended')
    expect(await kindOf(narrowed, { nowSeconds: narrowed.expiresAt })).toBe('session_ended')
    expect(await kindOf(narrowed)).toBe('recorded')
  })

  test('RACE-5 an action on a policy that has changed since is not recorded', async () => {
    const session = await open()
    const stale = actionOf(session, { expectedRevision: revision - 1 })
    expect(await stores.records.recordAction(stale)).toEqual({ kind: 'policy_changed' })
    expect(await types(session.id)).toEqual(['decision', 'grant'])
  })
})

type Listed = Awaited<ReturnType<Stores['audit']['list']>>['items']

/** Every place taken once, and each hash over its event and the hash before it. */
function expectChain(events: Listed, length: number): void {
  expect(events.map(({ chain_seq }) => chain_seq)).toEqual(
    Array.from({ length }, (_, index) => index + 1),
  )
  let head = EMPTY_CHAIN
  for (const event of events) {
    const { chain, chain_seq, prev_hash, hash, seq: _, ...draft } = event
    expect(chainEvent(draft, chain, head, hashing)).toEqual({
      ...draft,
      chain,
      chain_seq,
      prev_hash,
      hash,
    })
    head = { seq: chain_seq, hash }
  }
}
