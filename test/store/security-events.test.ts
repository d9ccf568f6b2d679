// A security event and all that it does as one write, over the embedded file, libSQL over HTTP and D1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SecurityEventWrite } from '../../functions/core/records.ts'
import { NARROWED_TO_READ } from '../../functions/core/session-state.ts'
import type { Stores } from '../../functions/store/index.ts'
import { type Opened, openStore, STORE_KINDS } from './rig.ts'
import { decisionOf, eventOf, freshId, NOW, openSession, sessionOf, storesOn } from './values.ts'

// Over HTTP each opening is several round trips of a store that answers within five seconds or not at all.
const MANY = { file: 1000, http: 50, d1: 20 }

describe.each(STORE_KINDS)('security events on %s', (kind) => {
  let opened: Opened
  let stores: Stores

  beforeAll(async () => {
    opened = await openStore(kind)
    stores = storesOn(opened.connect())
    await stores.migrate()
  })
  afterAll(() => opened.close())

  const writeOf = (
    identity: string,
    facts: Partial<SecurityEventWrite> = {},
  ): SecurityEventWrite => ({
    event: eventOf('revocation', { reason: 'security_event' }),
    singleUse: [{ key: freshId('jti'), expiresAt: NOW + 60 }],
    expectedRevision: 1,
    identities: [identity],
    revoked: [{ key: `revoked ${identity}`, issuedAt: NOW }],
    tightening: { to: 'ended' },
    ...facts,
  })
  const states = async (identity: string) => {
    const page = await stores.sessions.list({ identity }, { cursor: null, limit: 5000 })
    return page.items.map(({ state }) => state)
  }

  test(`${MANY[kind]} sessions of one subject end by one write with one event that they all name`, async () => {
    const identity = `ci:${freshId('x')}`
    const other = `ci:${freshId('x')}`
    await Promise.all(Array.from({ length: MANY[kind] }, () => openSession(stores, { identity })))
    await openSession(stores, { identity: other })
    const write = writeOf(identity)
    expect(await stores.records.recordSecurityEvent(write)).toBe('recorded')
    expect(new Set(await states(identity))).toEqual(new Set(['ended']))
    expect(await states(other)).toEqual(['active'])
    const page = await stores.sessions.list({ identity }, { cursor: null, limit: 1 })
    expect(page.items[0]?.change?.id).toBe(write.event.id)
  }, 60_000)

  test('sessions that act for the subject are meant, those of its agents are not', async () => {
    const user = `people:${freshId('x')}`
    const onBehalfOf = {
      relation: 'delegation',
      identity: user,
      authMethod: 'people',
      subject: 'ada',
      claims: {},
      attestationHash: 'a'.repeat(64),
    } as const
    const acting = await openSession(stores, { onBehalfOf })
    const same = await openSession(stores, { identity: acting.identity })
    await stores.records.recordSecurityEvent(writeOf(user, { tightening: { to: 'suspended' } }))
    expect(await stores.sessions.get(acting.id)).toMatchObject({ state: 'suspended' })
    expect(await stores.sessions.get(same.id)).toMatchObject({ state: 'active' })
  })

  test('a narrowing adds to what was taken, an ended session stays as it is', async () => {
    const identity = `ci:${freshId('x')}`
    const live = await openSession(stores, { identity })
    const ended = await openSession(stores, { identity })
    await stores.sessions.end(ended.id, eventOf('revocation', { session_id: ended.id }))
    await stores.sessions.tighten(
      live.id,
      { to: 'narrowed', removes: ['read'] },
      eventOf('state', { session_id: live.id }),
    )
    await stores.records.recordSecurityEvent(writeOf(identity, { tightening: NARROWED_TO_READ }))
    expect((await stores.sessions.get(live.id))?.removedEffects).toHaveLength(6)
    expect(await stores.sessions.get(ended.id)).toMatchObject({
      state: 'ended',
      removedEffects: [],
    })
  })

  test('RB-06 of many deliveries of one token one is recorded, and the others do nothing', async () => {
    const identity = `ci:${freshId('x')}`
    const { singleUse } = writeOf(identity)
    const isolates = [1, 2].map(() => storesOn(opened.connect()))
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        isolates[n % 2]?.records.recordSecurityEvent(writeOf(identity, { singleUse })),
      ),
    )
    expect(results.filter((result) => result === 'recorded')).toHaveLength(1)
    expect(results.filter((result) => result === 'replayed')).toHaveLength(9)
  })

  test('on a policy that changed nothing happens, and the token may come again', async () => {
    const identity = `ci:${freshId('x')}`
    const session = await openSession(stores, { identity })
    const write = writeOf(identity, { expectedRevision: 99 })
    expect(await stores.records.recordSecurityEvent(write)).toBe('policy_changed')
    expect(await stores.sessions.get(session.id)).toMatchObject({ state: 'active' })
    const again = { ...write, event: eventOf('revocation'), expectedRevision: 1 }
    expect(await stores.records.recordSecurityEvent(again)).toBe('recorded')
  })

  test('RV what was issued until the event opens nothing, neither by decision nor by grant', async () => {
    const identity = `ci:${freshId('x')}`
    const key = `revoked ${identity}`
    const session = sessionOf({ identity })
    const decided = decisionOf(session.id, { revocable: [{ key, issuedAt: NOW }] })
    expect(await stores.records.recordDecision(decided)).toBe('recorded')
    // It comes between the two writes of an exchange, and finds no session yet.
    await stores.records.recordSecurityEvent(writeOf(identity))
    const grant = {
      event: eventOf('grant', { session_id: session.id }),
      session,
      credential: {
        sha256: freshId('jti'),
        target: 'crm',
        expiresAt: NOW + 60,
        record: {},
        effects: [],
      },
      revocable: [{ key, issuedAt: NOW }],
    }
    await expect(stores.records.recordGrant(grant)).rejects.toThrow('revoked before')
    expect(await stores.sessions.get(session.id)).toBeNull()
    const late = decisionOf(freshId('ses'), { revocable: [{ key, issuedAt: NOW }] })
    expect(await stores.records.recordDecision(late)).toBe('revoked')
    const fresh = decisionOf(freshId('ses'), { revocable: [{ key, issuedAt: NOW + 1 }] })
    expect(await stores.records.recordDecision(fresh)).toBe('recorded')
  })
})
