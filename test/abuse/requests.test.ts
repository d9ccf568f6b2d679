// Attacks with requests that cost or mean something else than they say.
import { describe, expect, test } from 'vitest'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { startInProcess } from '../faults/in-process.ts'

describe('min_policy_revision', () => {
  test('a stranger who asks for a policy of the future does not have the store read each time', async () => {
    const driver = createFileDriver({ path: ':memory:' })
    const broker = await startInProcess({ driver })
    const ask = () => broker.exchange({ subject_token: 'a.b.c', min_policy_revision: '999999' })
    expect((await ask()).status).toBe(503)
    const { reads } = driver.counters
    for (let i = 0; i < 10; i++) expect((await ask()).status).toBe(503)
    expect(driver.counters.reads).toBe(reads)
  })

  test('a verified caller is answered from a policy that another isolate wrote just now', async () => {
    const driver = createFileDriver({ path: ':memory:' })
    const broker = await startInProcess({ driver })
    await broker.exchange({ subject_token: 'a.b.c' })
    const other = await startInProcess({ driver, binding: { ttl_seconds: 60 } })
    const [[revision]] = (await other.sql('SELECT revision FROM policy_state')) as [[number]]
    const answer = await broker.exchange({ min_policy_revision: String(revision) })
    expect(await answer.json()).toMatchObject({ expires_in: 60 })
    expect((await broker.exchange({ min_policy_revision: String(revision + 1) })).status).toBe(503)
  })

  test('what an older policy refuses is not called refused by the newer one', async () => {
    const driver = createFileDriver({ path: ':memory:' })
    const broker = await startInProcess({ driver })
    await broker.exchange({ subject_token: 'a.b.c' })
    const other = await startInProcess({ driver, method: { match: { team: 'new' } } })
    const [[revision]] = (await other.sql('SELECT revision FROM policy_state')) as [[number]]
    const ask = async () =>
      broker.exchange({
        subject_token: await broker.token({ team: 'new' }),
        min_policy_revision: String(revision),
      })
    expect([200, 503]).toContain((await ask()).status)
    broker.clock.advance(2)
    expect((await ask()).status).toBe(200)
  })
})

describe('G-7: a body where none belongs', () => {
  test.each([
    ['GET', { 'content-length': '3' }],
    ['HEAD', { 'content-length': '3' }],
    ['OPTIONS', { 'content-length': '0, 3' }],
    ['GET', { 'transfer-encoding': 'chunked' }],
  ])('%s that announces one (%o) is refused, also where the entry dropped it', async (...args) => {
    const [method, headers] = args
    const broker = await startInProcess()
    const handle = await broker.handle()
    const refused = await broker.call(handle, '/v1/a', { method, headers })
    expect(refused.status).toBe(400)
    expect(broker.reached).toHaveLength(0)
  })

  test('a GET that says it has none passes', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    const passed = await broker.call(handle, '/v1/a', { headers: { 'content-length': '0' } })
    expect(passed.status).toBe(200)
  })
})
