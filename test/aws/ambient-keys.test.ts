// The credentials that the deployment runs with, by the SDK's own chain: from the environment and from a
// container endpoint; none is a value, and nothing of them is printed.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ambientKeys } from '../../functions/aws/ambient-keys.ts'

const SECRET = 'canary-ambient-secret'
const TOKEN = 'canary-ambient-token'

let before: NodeJS.ProcessEnv
beforeEach(() => {
  before = process.env
  // Nothing of the machine that the tests run on.
  const own = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'))
  process.env = {
    ...Object.fromEntries(own),
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/nonexistent/config',
    AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/credentials',
  }
})
afterEach(() => {
  process.env = before
})

test('come from the environment, as on Lambda', async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'ASIAAMBIENT000000001'
  process.env['AWS_SECRET_ACCESS_KEY'] = SECRET
  process.env['AWS_SESSION_TOKEN'] = TOKEN
  const keys = await ambientKeys()()
  if (!keys.ok) throw new Error('none')
  expect(keys.value.accessKeyId).toBe('ASIAAMBIENT000000001')
  expect(keys.value.secretAccessKey.revealFor('')).toBe(SECRET)
  expect(keys.value.sessionToken?.revealFor('')).toBe(TOKEN)
  expect(inspect(keys, { depth: 9 }) + JSON.stringify(keys)).not.toContain('canary')
})

test('come from a container endpoint, and are asked for again when they end', async () => {
  let asked = 0
  const server = createServer((_, response) => {
    asked += 1
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify({
        AccessKeyId: `ASIACONTAINER000000${asked}`,
        SecretAccessKey: SECRET,
        Token: TOKEN,
        // Within the time in which the chain asks again.
        Expiration: new Date(Date.now() + 60_000).toISOString(),
      }),
    )
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo // it listens on TCP
  process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = `http://127.0.0.1:${port}/`
  const source = ambientKeys()
  const id = async () => {
    const keys = await source()
    return keys.ok ? keys.value.accessKeyId : null
  }
  expect(await id()).toBe('ASIACONTAINER0000001')
  // The new ones are fetched beside the old, which are good for a while.
  await expect.poll(id).not.toBe('ASIACONTAINER0000001')
  await new Promise((done) => server.close(done))
})

test('are none where there are none, and no error says where they were looked for', async () => {
  expect(await ambientKeys()()).toEqual({
    ok: false,
    failure: { kind: 'no_credentials', code: 'none', status: null },
  })
})
