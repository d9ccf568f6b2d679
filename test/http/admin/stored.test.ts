// The admin routes over the real stores on an embedded file: what the fakes stand for holds there too.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { fail, ok } from '../../../functions/core/result.ts'
import { createFileDriver } from '../../../functions/store/file-driver.ts'
import { createStores } from '../../../functions/store/index.ts'
import { authMethod, binding, target } from '../../fakes/policy-objects.ts'
import { adminWorld } from './world.ts'

const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function storedWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'))
  const driver = createFileDriver({ path: join(folder, 'db') })
  closing.push(async () => {
    await driver.close()
    await rm(folder, { recursive: true })
  })
  const { deps, send } = adminWorld()
  const stores = createStores({ driver, hashing: deps.hashing, clock: deps.clock })
  await stores.migrate()
  const real = {
    ...deps,
    policies: stores.policy,
    secrets: stores.secrets,
    sessions: stores.sessions,
    approvals: stores.approvals,
    audit: stores.audit,
    records: stores.records,
    types: {
      ...deps.types,
      async secretAllowedOrigins(reference: string) {
        const row = await stores.secrets.get(reference.slice('sealed:'.length))
        return row === null
          ? fail({ reason: 'not_found' as const, reference })
          : ok(row.allowedOrigins)
      },
    },
  }
  const call = (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => send(method, path, { headers, ...(body === undefined ? {} : { body }) }, real)
  return { call }
}

test('a policy is built, changed, conditionally replaced and taken down again, each step in the log', async () => {
  const { call } = await storedWorld()
  const secret = { value: 'sk-live', allowed_origins: ['https://crm.example'] }
  expect((await call('PUT', '/secrets/crm', secret)).status).toBe(201)
  expect((await call('PUT', '/auth-methods/prod', authMethod())).status).toBe(201)
  const withSecret = target({ credential: { inject: 'bearer', secret: 'sealed:crm' } })
  const created = await call('PUT', '/targets/crm', withSecret)
  expect(created.status).toBe(201)
  expect((await call('PUT', '/bindings/support-crm', binding())).status).toBe(201)

  const etag = created.headers.get('etag') ?? ''
  expect((await call('GET', '/targets/crm')).headers.get('etag')).toBe(etag)
  const labelled = { ...withSecret, labels: ['x'] }
  const replaced = await call('PUT', '/targets/crm', labelled, { 'if-match': etag })
  expect(replaced.status).toBe(200)
  expect((await call('PUT', '/targets/crm', withSecret, { 'if-match': etag })).status).toBe(412)
  const again = await call('PUT', '/targets/crm', labelled)
  expect(again.body['policy_revision']).toBe(replaced.body['policy_revision'])

  expect((await call('DELETE', '/targets/crm')).status).toBe(409)
  const applied = await call('POST', '/policy/apply', { auth_methods: [authMethod()] })
  expect(applied.body).toMatchObject({ delete: { targets: ['crm'], bindings: ['support-crm'] } })
  expect((await call('DELETE', '/secrets/crm')).status).toBe(200)
  const killed = await call('PUT', '/kill-switch', { engaged: true, reason: 'drill' })
  expect((await call('GET', '/kill-switch')).body).toEqual(killed.body)

  const { body, text } = await call('GET', '/audit?type=admin')
  const items = body['items'] as { action: { operation: string }; chain_seq: number }[]
  expect(items.map(({ action }) => action.operation)).toEqual([
    'secret.put',
    'policy.put',
    'policy.put',
    'policy.put',
    'policy.put',
    'policy.apply',
    'secret.delete',
    'kill-switch.put',
  ])
  expect(items.map(({ chain_seq }) => chain_seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(text).not.toContain('sk-live')
})

test('pages follow one another by the cursors of the store', async () => {
  const { call } = await storedWorld()
  const targets = ['a', 'b', 'c'].map((name) => target({ name }))
  expect((await call('POST', '/policy/apply', { targets })).status).toBe(200)
  const first = await call('GET', '/targets?limit=2')
  const second = await call('GET', `/targets?limit=2&cursor=${String(first.body['next_cursor'])}`)
  expect([first, second].map(({ body }) => body)).toMatchObject([
    { items: [{ name: 'a' }, { name: 'b' }] },
    { items: [{ name: 'c' }], next_cursor: null },
  ])
})

test('RACE-5: of two writers that saw the same version one wins, and the other is told', async () => {
  const { call } = await storedWorld()
  const { headers } = await call('PUT', '/targets/crm', target())
  const tag = { 'if-match': headers.get('etag') ?? '' }
  const both = await Promise.all(
    ['one', 'two'].map((label) => call('PUT', '/targets/crm', target({ labels: [label] }), tag)),
  )
  expect(both.map(({ status }) => status).toSorted()).toEqual([200, 412])
})
