// What has to happen now and then, on every runtime by the same function: app.maintain().
import { expect, test } from 'vitest'
import { startInProcess } from './in-process.ts'

test('expired sessions and single-use keys are removed, live ones and the audit log are not', async () => {
  const broker = await startInProcess({ method: { single_use: true } })
  await broker.handle()
  broker.clock.advance(3 * 86_400)
  const live = await broker.handle()
  await broker.app.maintain()
  expect(await broker.sql('SELECT id FROM session')).toHaveLength(1)
  expect(await broker.sql('SELECT key FROM single_use')).toHaveLength(1)
  expect(await broker.sql("SELECT id FROM audit_event WHERE type = 'grant'")).toHaveLength(2)
  expect((await broker.call(live, '/v1/customers/1')).status).toBe(200)
})

test('the next signing key is published before it signs, and old handles verify until they end', async () => {
  const broker = await startInProcess()
  const kids = async () => {
    const { keys } = (await (await broker.fetch('/.well-known/jwks.json')).json()) as {
      keys: { kid: string }[]
    }
    return keys.map((key) => key.kid)
  }
  const [first] = await kids()
  broker.clock.advance(7 * 86_400 - 300)
  await broker.app.maintain()
  const published = await kids()
  expect(published).toContain(first)
  expect(published.length).toBeGreaterThan(1)
  const handle = await broker.handle()
  expect((await broker.call(handle, '/v1/customers/1')).status).toBe(200)
})
