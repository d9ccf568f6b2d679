// What changes a session's state, one suite over the embedded file, libSQL over HTTP and D1: each change
// with its event in one write, tightened at once by many, loosened only by an admin who saw the last change.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALL_BUT_READ, NARROWED_TO_READ } from '../../functions/core/session-state.ts'
import type { Session } from '../../functions/core/session.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { type Opened, openStore, STORE_KINDS } from './rig.ts'
import { actionOf, eventOf, NOW, openSession, storesOn } from './values.ts'

// The local D1 takes tens of milliseconds for a batch.
const DENIALS = { file: 200, http: 200, d1: 40 }

describe.each(STORE_KINDS)('session states on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
  })
  afterAll(() => opened.close())

  const stateEvent = (session: Session, facts = {}) =>
    eventOf('state', { session_id: session.id, reason: 'by_admin', ...facts })
  const eventsOf = async (session: Session) =>
    (await stores.audit.list({ session: session.id, cursor: null, limit: 1000 })).items
  const stateEvents = async (session: Session) =>
    (await eventsOf(session)).filter(({ type }) => type === 'state')
  const now = (session: Session) => stores.sessions.get(session.id)

  const denied = (session: Session, on: Stores = stores) =>
    on.records.recordDenial(session.id, eventOf('refusal', { session_id: session.id }))

  async function deniedAndTightened(session: Session, on: Stores = stores): Promise<void> {
    const denials = await denied(session, on)
    const tightening = denials >= 20 ? { to: 'suspended' as const } : NARROWED_TO_READ
    if (denials < 10) return
    await on.records.tightenAfterDenials({
      sessionId: session.id,
      tightening,
      atLeastDenials: denials >= 20 ? 20 : 10,
      event: stateEvent(session, { reason: 'repeated_denials' }),
    })
  }

  test('narrowing adds up, is told with its event, and holds at the next action', async () => {
    const session = await openSession(stores)
    const one = stateEvent(session)
    expect(
      await stores.sessions.tighten(session.id, { to: 'narrowed', removes: ['write'] }, one),
    ).toBe(true)
    const two = stateEvent(session)
    await stores.sessions.tighten(session.id, { to: 'narrowed', removes: ['delete', 'write'] }, two)
    expect(await now(session)).toMatchObject({
      state: 'narrowed',
      removedEffects: ['delete', 'write'],
      change: { id: two.id },
    })
    expect((await stateEvents(session)).map(({ id }) => id)).toEqual([one.id, two.id])
    const read = { sessionId: session.id, target: 'crm', withHistory: false, withApprovals: false }
    expect((await stores.records.readAction(read)).session).toMatchObject({
      state: 'narrowed',
      removedEffects: ['delete', 'write'],
    })
  })

  test('RACE-5 an action that was judged before a narrowing or a suspension is not recorded after it', async () => {
    const session = await openSession(stores)
    await stores.sessions.tighten(
      session.id,
      { to: 'narrowed', removes: ['write'] },
      stateEvent(session),
    )
    expect(await stores.records.recordAction(actionOf(session))).toEqual({
      kind: 'session_narrowed',
    })
    const asRead = actionOf(session, { removedEffects: ['write'] })
    expect(await stores.records.recordAction(asRead)).toMatchObject({ kind: 'recorded' })
    await stores.sessions.tighten(session.id, { to: 'suspended' }, stateEvent(session))
    const late = actionOf(session, { removedEffects: ['write'] })
    expect(await stores.records.recordAction(late)).toEqual({ kind: 'session_suspended' })
  })

  test('a suspended session that is narrowed stays suspended', async () => {
    const session = await openSession(stores)
    await stores.sessions.tighten(session.id, { to: 'suspended' }, stateEvent(session))
    await stores.sessions.tighten(session.id, NARROWED_TO_READ, stateEvent(session))
    expect(await now(session)).toMatchObject({ state: 'suspended' })
  })

  test('an admin restores what was taken, denials included', async () => {
    const session = await openSession(stores)
    await denied(session)
    const event = stateEvent(session)
    await stores.sessions.tighten(session.id, NARROWED_TO_READ, event)
    expect(await stores.sessions.restore(session.id, event.id, stateEvent(session))).toBe(
      'restored',
    )
    expect(await now(session)).toMatchObject({ state: 'active', removedEffects: [], denials: 0 })
  })

  test('what has ended or expired is neither tightened nor revived, and records nothing', async () => {
    const ended = await openSession(stores)
    await stores.sessions.end(ended.id, eventOf('revocation', { session_id: ended.id }))
    const expired = await openSession(stores, { expiresAt: NOW - 1 })
    for (const session of [ended, expired]) {
      const before = (await eventsOf(session)).length
      expect(await stores.sessions.tighten(session.id, NARROWED_TO_READ, stateEvent(session))).toBe(
        false,
      )
      const seen = (await now(session))?.change?.id ?? null
      expect(await stores.sessions.restore(session.id, seen, stateEvent(session))).toBe('ended')
      expect(await eventsOf(session)).toHaveLength(before)
    }
    expect(await now(ended)).toMatchObject({ state: 'ended' })
  })

  test('an admin does not undo what they have not seen', async () => {
    const session = await openSession(stores)
    const seen = stateEvent(session)
    await stores.sessions.tighten(session.id, NARROWED_TO_READ, seen)
    await stores.sessions.tighten(session.id, { to: 'suspended' }, stateEvent(session))
    expect(await stores.sessions.restore(session.id, seen.id, stateEvent(session))).toBe('changed')
    expect(await now(session)).toMatchObject({ state: 'suspended' })
  })

  test(`RACE of ${DENIALS[kind]} parallel denials all are counted, and each tightening happens once`, async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const session = await openSession(stores)
    await Promise.all(
      Array.from({ length: DENIALS[kind] }, (_, n) =>
        deniedAndTightened(session, isolates[n % 2] ?? stores),
      ),
    )
    expect(await now(session)).toMatchObject({ state: 'suspended', denials: DENIALS[kind] })
    // Narrowing may be overtaken by the suspension, and then has nothing left to do.
    const changes = await stateEvents(session)
    expect(changes.length).toBeGreaterThanOrEqual(1)
    expect(changes.length).toBeLessThanOrEqual(2)
  })

  test('nine denials change nothing, the tenth narrows to reading, the twentieth suspends', async () => {
    const session = await openSession(stores)
    for (let n = 1; n <= 20; n++) {
      await deniedAndTightened(session)
      const state = n < 10 ? 'active' : n < 20 ? 'narrowed' : 'suspended'
      expect(await now(session)).toMatchObject({ state, denials: n })
      if (n === 10) {
        expect((await now(session))?.removedEffects).toEqual([...ALL_BUT_READ].sort())
      }
    }
    expect(await stateEvents(session)).toHaveLength(2)
  })

  test('too few denials tighten nothing, whoever asks', async () => {
    const session = await openSession(stores)
    await denied(session)
    const asked = {
      sessionId: session.id,
      atLeastDenials: 10,
      tightening: NARROWED_TO_READ,
    } as const
    expect(await stores.records.tightenAfterDenials({ ...asked, event: stateEvent(session) })).toBe(
      false,
    )
    expect(await now(session)).toMatchObject({ state: 'active' })
    expect(await stateEvents(session)).toEqual([])
  })

  test('what an admin narrowed a little, denials narrow to reading', async () => {
    const session = await openSession(stores)
    await stores.sessions.tighten(
      session.id,
      { to: 'narrowed', removes: ['admin'] },
      stateEvent(session),
    )
    for (let n = 0; n < 10; n++) await deniedAndTightened(session)
    expect((await now(session))?.removedEffects).toEqual([...ALL_BUT_READ].sort())
  })

  test('RACE a restore and an automatic suspension in parallel end in one order or the other, never between', async () => {
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    for (let round = 0; round < 5; round++) {
      const session = await openSession(stores)
      const seen = stateEvent(session)
      await stores.sessions.tighten(session.id, NARROWED_TO_READ, seen)
      for (let n = 0; n < 20; n++) await denied(session)
      const suspension = stateEvent(session, { reason: 'repeated_denials' })
      const [restored, suspended] = await Promise.all([
        isolates[0]?.sessions.restore(session.id, seen.id, stateEvent(session)),
        isolates[1]?.records.tightenAfterDenials({
          sessionId: session.id,
          tightening: { to: 'suspended' },
          atLeastDenials: 20,
          event: suspension,
        }),
      ])
      const after = await now(session)
      // Restored first: the denials are gone, and nothing is left to suspend for. Suspended first: it stands.
      expect([
        ['restored', false, 'active', 0],
        ['changed', true, 'suspended', 20],
      ]).toContainEqual([restored, suspended, after?.state, after?.denials])
    }
  })
})
