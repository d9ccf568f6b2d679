// Credentials that were handed over, in the store: kept by hash, never after a stop, found by a revocation, and
// paid for by every session above. One suite over the embedded file, libSQL over HTTP and D1.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HandedOver, HandingOver } from '../../functions/core/minting.ts'
import { StoreUnavailable } from '../../functions/core/records.ts'
import type { Session } from '../../functions/core/session.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import {
  actionOf,
  bindingOf,
  decisionOf,
  eventOf,
  freshId,
  NOW,
  openSession,
  outcomeOf,
  sessionOf,
  storesOn,
} from './values.ts'

const ISOLATES = 4

describe.each(STORE_KINDS)('credentials on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores
  let revision: number

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
    const changes = [{ op: 'put', kind: 'bindings', object: bindingOf() } as const]
    const written = await stores.policy.write({
      changes,
      expectedRevision: 1,
      event: eventOf('admin'),
    })
    if (written === null) throw new Error('the policy was not written')
    revision = written
  })
  afterAll(() => opened.close())

  const open = (facts: Partial<Session> = {}) =>
    openSession(stores, { policyRevision: revision, ...facts })
  const lineageOf = (parent: Session) => ({
    ancestors: [...(parent.lineage?.ancestors ?? []), parent.id],
    actors: [],
    limits: {},
  })
  const end = ({ id }: Session) =>
    stores.records.endSession(id, eventOf('revocation', { session_id: id }))

  /** The grant of an exchange that hands over a credential. */
  async function grant(facts: Partial<Session> = {}, credential = handedOver()) {
    const session = sessionOf({ policyRevision: revision, delivery: 'credential', ...facts })
    const decision = decisionOf(session.id, { expectedRevision: revision })
    expect(await stores.records.recordDecision(decision)).toBe('recorded')
    const event = eventOf('grant', { session_id: session.id })
    await stores.records.recordGrant({ event, session, credential: handing(credential) })
    return { session, credential }
  }

  test('is found by its hash, with the session and whatever is said of it', async () => {
    const { session, credential } = await grant()
    expect(await stores.records.findCredential(credential.sha256)).toBe(session.id)
    expect(await stores.records.findCredential(hash('other'))).toBeNull()
    expect(await stores.records.readHandedOver(session.id)).toEqual({
      revision,
      killed: false,
      credentials: [credential],
      holding: [{ sessionId: session.id, target: credential.target }],
    })
    expect(await stores.records.readSession(session.id)).toMatchObject({ delivery: 'credential' })
  })

  test('costs no round trip more than a handle', async () => {
    const before = { ...driver.counters }
    await grant()
    expect(driver.counters.reads - before.reads).toBe(0)
    expect(driver.counters.writes - before.writes).toBe(2)
  })

  test('of a handle is kept with the outcome of the action that it came from', async () => {
    const session = await open()
    await stores.records.recordAction(actionOf(session))
    const credential = handedOver()
    const outcome = { ...outcomeOf(session.id), credential: handing(credential) }
    await stores.records.recordOutcome(outcome)
    expect(await stores.records.findCredential(credential.sha256)).toBe(session.id)
  })

  test('is listed with those of the sessions below, and no longer than it works', async () => {
    const parent = await open()
    const child = await grant({ lineage: lineageOf(parent) })
    const deep = await grant({ lineage: lineageOf(child.session) })
    const over = await grant(
      { lineage: lineageOf(parent) },
      { ...handedOver(), expiresAt: NOW - 1 },
    )
    const hashesOf = async ({ id }: Session) =>
      (await stores.records.readHandedOver(id)).credentials.map(({ sha256 }) => sha256).toSorted()
    const both = [child.credential.sha256, deep.credential.sha256].toSorted()
    expect(await hashesOf(parent)).toEqual(both)
    expect(await hashesOf(child.session)).toEqual(both)
    expect(await hashesOf(deep.session)).toEqual([deep.credential.sha256])
    expect(await hashesOf(over.session)).toEqual([])
  })

  test('is not recorded below a session that has ended, nor is its session', async () => {
    const parent = await open()
    const child = await open({ lineage: lineageOf(parent) })
    await end(parent)
    for (const above of [parent, child]) {
      const credential = handedOver()
      const granted = grant({ lineage: lineageOf(above) }, credential)
      await expect(granted).rejects.toThrow(StoreUnavailable)
      expect(await stores.records.findCredential(credential.sha256)).toBeNull()
    }
  })

  test('is not recorded as an outcome when its session, or one above it, has ended', async () => {
    const parent = await open()
    const child = await open({ lineage: lineageOf(parent) })
    const own = await open()
    await stores.records.recordAction(actionOf(own))
    await end(parent)
    await end(own)
    for (const session of [own, child]) {
      const credential = handedOver()
      const outcome = { ...outcomeOf(session.id), credential: handing(credential) }
      await expect(stores.records.recordOutcome(outcome)).rejects.toThrow(StoreUnavailable)
      expect(await stores.records.findCredential(credential.sha256)).toBeNull()
      // What became of the call is recorded all the same.
      await stores.records.recordOutcome(outcomeOf(session.id))
    }
  })

  test('RACE-2: below a session is paid for by all above it, by no more than they have', async () => {
    const isolates = Array.from({ length: ISOLATES }, () => storesOn(opened.connect()))
    const parent = await open({ limits: { actions: 5, writes: 3 } })
    const child = await open({ lineage: lineageOf(parent) })
    const decide = (on: Stores, writes: 0 | 1) =>
      on.records.recordDecision(
        decisionOf(freshId('ses'), {
          expectedRevision: revision,
          spendAbove: {
            ancestors: [parent.id, child.id],
            writes,
            shared: { limits: {}, removedEffects: [[], []] },
          },
        }),
      )
    const written = await Promise.all(
      Array.from({ length: 12 }, (_, i) => decide(isolates[i % ISOLATES] ?? stores, 1)),
    )
    expect(written.filter((result) => result === 'recorded')).toHaveLength(3)
    expect(new Set(written)).toEqual(new Set(['recorded', 'exhausted']))
    const read = await Promise.all(
      Array.from({ length: 12 }, (_, i) => decide(isolates[i % ISOLATES] ?? stores, 0)),
    )
    expect(read.filter((result) => result === 'recorded')).toHaveLength(2)
    for (const { id } of [parent, child]) {
      const session = await stores.records.readSession(id)
      expect(session?.usage).toMatchObject({ actions: 5, writes: 3 })
    }
  })

  test('below a session that changed since it was read is not decided on', async () => {
    const parent = await open()
    const decide = (removedEffects: readonly (readonly 'write'[])[]) =>
      stores.records.recordDecision(
        decisionOf(freshId('ses'), {
          expectedRevision: revision,
          spendAbove: { ancestors: [parent.id], writes: 0, shared: { limits: {}, removedEffects } },
        }),
      )
    expect(await decide([['write']])).toBe('parent_changed')
    expect(await decide([[]])).toBe('recorded')
    await end(parent)
    expect(await decide([[]])).toBe('parent_changed')
  })

  test('goes with its session when that is purged', async () => {
    const { credential } = await grant({ expiresAt: NOW - 2 * 86_400 })
    await stores.purge(NOW)
    expect(await stores.records.findCredential(credential.sha256)).toBeNull()
  })

  // The last one: the switch stays engaged.
  test('is not recorded once the kill switch is engaged', async () => {
    const session = await open()
    await stores.records.recordAction(actionOf(session))
    const decided = sessionOf({ policyRevision: revision })
    await stores.records.recordDecision(decisionOf(decided.id, { expectedRevision: revision }))
    await stores.policy.setKilled(true, eventOf('admin'))
    const outcome = { ...outcomeOf(session.id), credential: handing(handedOver()) }
    await expect(stores.records.recordOutcome(outcome)).rejects.toThrow(StoreUnavailable)
    const event = eventOf('grant', { session_id: decided.id })
    const granted = stores.records.recordGrant({
      event,
      session: decided,
      credential: handing(handedOver()),
    })
    await expect(granted).rejects.toThrow(StoreUnavailable)
  })
})

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function handing(credential: HandedOver): HandingOver {
  return { ...credential, effects: ['read'] }
}

function handedOver(): HandedOver {
  return {
    sha256: hash(freshId('token')),
    target: 'crm',
    expiresAt: NOW + 300,
    record: { honoured: 'until it expires' },
  }
}
