// No record, no access (reliability.md AUD, F9): a trigger that makes an insert fail proves that nothing
// is minted or forwarded before it, and that nothing usable is left behind.
import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../functions/core/records.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { startInProcess } from './in-process.ts'

type Body = Record<string, unknown>

const failOn = (type: string) =>
  `CREATE TRIGGER fault BEFORE INSERT ON audit_event WHEN NEW.type = '${type}'
   BEGIN SELECT RAISE(ABORT, 'fault'); END`

describe('AUD-4: an event that cannot be written stops what it is about', () => {
  test.each(['decision', 'grant'])(
    'an exchange whose %s is not recorded mints nothing',
    async (type) => {
      const broker = await startInProcess()
      await broker.sql(failOn(type))
      const response = await broker.exchange()
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
      const body = (await response.json()) as Body
      expect(body['error']).toBe('temporarily_unavailable')
      expect(body).not.toHaveProperty('access_token')
      expect(await broker.sql('SELECT * FROM session')).toHaveLength(0)
      await broker.sql('DROP TRIGGER fault')
      expect((await broker.exchange()).status).toBe(200)
    },
  )

  test('an action that is not recorded is not forwarded and spends nothing', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    await broker.sql(failOn('action'))
    const response = await broker.call(handle, '/v1/customers/1')
    expect(response.status).toBe(503)
    expect(broker.reached).toHaveLength(0)
    expect(await broker.sql('SELECT used_actions, used_bytes FROM session')).toEqual([[0, 0]])
  })

  test('an answer whose outcome is not recorded does not reach the agent whole', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    await broker.sql(failOn('outcome'))
    const response = await broker.call(handle, '/v1/customers/1')
    await expect(response.text()).rejects.toThrow()
  })

  test('a refusal that cannot be recorded is still a refusal', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    await broker.sql(failOn('refusal'))
    const response = await broker.call(handle, '/v2/other')
    expect(response.status).toBe(503)
    expect(broker.reached).toHaveLength(0)
    const exchanged = await broker.exchange({ audience: 'nowhere' })
    expect(exchanged.status).toBe(503)
  })

  test('an administrative change that is not recorded is not made', async () => {
    const broker = await startInProcess()
    await broker.sql(failOn('admin'))
    const response = await broker.admin('DELETE', '/bindings/support-crm')
    expect(response.status).toBe(503)
    expect(await broker.sql('SELECT name FROM binding')).toEqual([['support-crm']])
  })
})

test('a single-use token whose decision is not recorded is not burnt', async () => {
  const broker = await startInProcess({ method: { single_use: true } })
  await broker.sql(failOn('decision'))
  const subject_token = await broker.token()
  expect((await broker.exchange({ subject_token })).status).toBe(503)
  await broker.sql('DROP TRIGGER fault')
  expect((await broker.exchange({ subject_token })).status).toBe(200)
  expect((await broker.exchange({ subject_token })).status).toBe(400)
})

test('a target that does not exist does not burn a single-use token', async () => {
  const broker = await startInProcess({ method: { single_use: true } })
  const subject_token = await broker.token()
  expect((await broker.exchange({ subject_token, audience: 'nowhere' })).status).toBe(400)
  expect((await broker.exchange({ subject_token })).status).toBe(200)
})

test('RB-06, RACE-1: of 50 parallel exchanges of one single-use token exactly one is granted', async () => {
  const broker = await startInProcess({ method: { single_use: true } })
  const subject_token = await broker.token()
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => broker.exchange({ subject_token })),
  )
  expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1)
  expect(answers.filter((answer) => answer.status === 400)).toHaveLength(49)
})

describe('DEP-1: a store that is away', () => {
  /** A driver that answers until it is told not to. */
  function breakable(): Driver & { isDown: boolean } {
    const inner = createFileDriver({ path: ':memory:' })
    const guard = async <T>(work: () => Promise<T>) => {
      if (driver.isDown) throw new StoreUnavailable('down')
      return work()
    }
    const driver: Driver & { isDown: boolean } = {
      isDown: false,
      isOrdered: inner.isOrdered,
      counters: inner.counters,
      read: (statements) => guard(() => inner.read(statements)),
      write: (statements, diagnosis) => guard(() => inner.write(statements, diagnosis)),
      close: () => inner.close(),
    }
    return driver
  }

  test('every endpoint that needs it says 503, /healthz lives, and it recovers by itself', async () => {
    const driver = breakable()
    const broker = await startInProcess({ driver })
    const handle = await broker.handle()
    driver.isDown = true
    expect((await broker.exchange()).status).toBe(503)
    expect((await broker.call(handle, '/v1/customers/1')).status).toBe(503)
    expect((await broker.admin('GET', '/bindings')).status).toBe(503)
    expect((await broker.fetch('/readyz')).status).toBe(503)
    expect((await broker.fetch('/healthz')).status).toBe(200)
    expect(broker.reached).toHaveLength(0)
    driver.isDown = false
    expect((await broker.exchange()).status).toBe(200)
    expect((await broker.call(handle, '/v1/customers/1')).status).toBe(200)
  })

  test('REV-3: SALLYPORT_KILL=1 closes both paths without the store', async () => {
    const driver = breakable()
    const env: Record<string, string> = {}
    const broker = await startInProcess({ driver, env })
    const handle = await broker.handle()
    driver.isDown = true
    const killed = await startInProcess({ env: { SALLYPORT_KILL: '1' } })
    expect((await killed.exchange()).status).toBe(503)
    expect((await killed.call(handle, '/v1/customers/1')).status).toBe(503)
    expect(killed.reached).toHaveLength(0)
  })
})

test('architecture: one read and one write an exchange for a handle, one read and two writes an action', async () => {
  const broker = await startInProcess()
  await (await broker.call(await broker.handle(), '/v1/customers/1')).text()
  const { counters } = broker.driver
  const before = { ...counters }
  const handle = await broker.handle()
  expect({ reads: counters.reads - before.reads, writes: counters.writes - before.writes }).toEqual(
    {
      reads: 1,
      writes: 1,
    },
  )
  const between = { ...counters }
  await (await broker.call(handle, '/v1/customers/1')).text()
  expect({
    reads: counters.reads - between.reads,
    writes: counters.writes - between.writes,
  }).toEqual({ reads: 1, writes: 2 })
})
