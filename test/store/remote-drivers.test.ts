// Stores that are reached over a network: what fails or hangs is StoreUnavailable, in time.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { createD1Driver } from '../../functions/store/d1-driver.ts'
import type { D1Binding } from '../../functions/store/d1-driver.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createHttpDriver } from '../../functions/store/http-driver.ts'
import type { HranaServer } from '../fakes/hrana-server.ts'
import { startHranaServer } from '../fakes/hrana-server.ts'
import {
  eventOf,
  NOW,
  opening,
  openSession,
  sessionOf,
  storesOn,
  decisionOf,
  freshId,
} from './values.ts'

const DEADLINE_MS = 300
const SELECT = [{ sql: 'SELECT 1 AS one', args: [] }]

describe('libSQL over HTTP', () => {
  let server: HranaServer
  let driver: Driver
  beforeEach(async () => {
    server = await startHranaServer({ token: 'right' })
    driver = createHttpDriver({ url: server.url, authToken: 'right', deadlineMs: DEADLINE_MS })
  })
  afterEach(() => server.close())

  test.each(['error', 'hang', 'reset'] as const)(
    'AUD-5 DEP-1 a store that answers with %s is unavailable within the deadline, and recovers',
    async (fault) => {
      const stores = storesOn(driver)
      await stores.migrate()
      server.setFault(fault)
      const session = sessionOf()
      const decision = decisionOf(session.id, { opens: opening(session) })
      const outcomes = await Promise.allSettled([
        stores.records.readExchange({ method: 'm', targets: ['t'], approvalHash: null }),
        stores.records.recordDecision(decision),
        stores.policy.readRevision(),
      ])
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ reason: { name: 'StoreUnavailable' } })
      server.setFault(null)
      expect(await stores.records.readSession(session.id)).toBeNull()
      await openSession(stores)
    },
  )

  test('a decision that was written although its answer came too late is not granted twice', async () => {
    const stores = storesOn(driver)
    await stores.migrate()
    const singleUse = [{ key: freshId('jti'), expiresAt: NOW + 60 }]
    const session = sessionOf()
    server.setFault('late')
    await expect(
      stores.records.recordDecision(decisionOf(session.id, { singleUse })),
    ).rejects.toThrow(StoreUnavailable)
    server.setFault(null)
    const again = decisionOf(freshId('ses'), { singleUse })
    expect(await stores.records.recordDecision(again)).toBe('replayed')
    // The chain goes on behind the event that nobody was told of.
    await stores.records.recordRefusal(eventOf('refusal', { session_id: session.id }))
    const { items } = await stores.audit.list({ session: session.id, cursor: null, limit: 5 })
    expect(items.map(({ chain_seq, type }) => [chain_seq, type])).toEqual([
      [1, 'decision'],
      [2, 'refusal'],
    ])
  })

  test('a wrong token is unavailable, and the token is in no error', async () => {
    const wrong = createHttpDriver({ url: server.url, authToken: 'wrong-token-value' })
    const error = await wrong.read(SELECT).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(StoreUnavailable)
    const { cause } = error as StoreUnavailable
    expect(`${String(error)} ${String(cause)} ${JSON.stringify(cause)}`).not.toContain('wrong-tok')
  })

  test('a batch is one round trip, and all of it or nothing', async () => {
    await driver.write([{ sql: 'CREATE TABLE t (a integer PRIMARY KEY) STRICT', args: [] }])
    const before = server.requests
    const insert = (a: number) => ({ sql: 'INSERT INTO t VALUES (?1) RETURNING a', args: [a] })
    expect(await driver.write([insert(1), insert(2)])).toEqual([[{ a: 1 }], [{ a: 2 }]])
    expect(server.requests - before).toBe(1)
    await expect(driver.write([insert(3), insert(1)])).rejects.toThrow(StoreUnavailable)
    expect(await driver.read([{ sql: 'SELECT count(*) AS n FROM t', args: [] }])).toEqual([
      [{ n: 2 }],
    ])
  })
})

describe('D1', () => {
  const binding = (batch: D1Binding['batch']): D1Binding => {
    const statement = { bind: () => statement }
    return { prepare: () => statement, batch }
  }

  test.each([
    ['fails', () => Promise.reject(new Error('D1_ERROR: internal'))],
    ['hangs', () => new Promise<never>(() => undefined)],
  ])('AUD-5 a binding that %s is unavailable within the deadline', async (_, batch) => {
    const driver = createD1Driver(binding(batch), { deadlineMs: DEADLINE_MS })
    await expect(driver.read(SELECT)).rejects.toThrow(StoreUnavailable)
    await expect(driver.write(SELECT)).rejects.toThrow(StoreUnavailable)
  })
})
