import { describe, expect, test } from 'vitest'
import { target } from '../../fakes/policy-objects.ts'
import { adminWorld } from './world.ts'

const VALUE = 'sk-live-0123456789'
const BODY = { value: VALUE, allowed_origins: ['https://crm.example'] }

describe('secrets', () => {
  test('are sealed when written and never come back: not in answers, lists, events or errors', async () => {
    const { send, secretEvents, deps } = adminWorld()
    const created = await send('PUT', '/secrets/crm', { body: BODY })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({
      name: 'crm',
      allowed_origins: ['https://crm.example'],
      version: 1,
      policy_revision: 1,
    })
    expect((await deps.secrets.get('crm'))?.sealed).toBe(`sealed(crm,${VALUE.length})`)
    const answers = [
      created,
      await send('GET', '/secrets/crm'),
      await send('GET', '/secrets'),
      await send('PUT', '/secrets/crm', { body: { ...BODY, allowed_origins: [VALUE] } }),
      await send('PUT', '/secrets/crm', { body: { ...BODY, value: [VALUE] } }),
      await send('PUT', '/secrets/crm', { body: { ...BODY, [VALUE.slice(0, 4)]: VALUE } }),
      await send('PUT', '/secrets/crm', { body: `{"value":"${VALUE}",}` }),
    ]
    for (const { text } of answers) expect(text).not.toContain(VALUE)
    expect(answers.map(({ text }) => text).join()).not.toContain('sealed(')
    expect(JSON.stringify(secretEvents)).not.toContain(VALUE)
    expect(secretEvents[0]).toMatchObject({
      type: 'admin',
      action: { operation: 'secret.put', name: 'crm', allowed_origins: ['https://crm.example'] },
    })
  })

  test('are described to viewers, and checked without being stored', async () => {
    const { send, secretEvents } = adminWorld()
    expect((await send('POST', '/secrets/validate', { body: BODY })).body).toEqual({
      valid: true,
      warnings: [],
    })
    expect(secretEvents).toEqual([])
    await send('PUT', '/secrets/crm', { body: BODY })
    const got = await send('GET', '/secrets/crm', { role: 'viewer' })
    expect(Object.keys(got.body)).toEqual([
      'name',
      'allowed_origins',
      'version',
      'created_at',
      'updated_at',
    ])
  })

  test.each([
    'http://crm.example',
    'https://crm.example/',
    'https://crm.example/path',
    'https://CRM.example',
    'https://crm.example:443',
    'https://crm.example.',
    'https://*.example',
    'https://user@crm.example',
    'https://crm.example?x',
    'crm.example',
    'null',
    '*',
    '',
    'file:///etc/passwd',
    'http://127.0.0.1:8080',
    ' https://crm.example',
  ])('refuse the origin %j', async (origin) => {
    const { send } = adminWorld()
    const refused = await send('PUT', '/secrets/crm', {
      body: { ...BODY, allowed_origins: [origin] },
    })
    expect(refused.status).toBe(422)
    expect(refused.body['errors']).toMatchObject([{ path: '/allowed_origins/0' }])
  })

  test('take plain http to loopback in development only', async () => {
    const { send, deps } = adminWorld()
    const development = { ...deps, allowInsecureLoopback: true }
    const put = (origin: string) =>
      send('PUT', '/secrets/crm', { body: { ...BODY, allowed_origins: [origin] } }, development)
    for (const origin of ['http://127.0.0.1:8080', 'http://localhost:3000', 'http://[::1]:1'])
      expect((await put(origin)).status).toBeLessThan(300)
    for (const origin of [
      'http://10.0.0.1',
      'http://localhost.evil.example',
      'http://127.0.0.1.evil.example',
    ])
      expect((await put(origin)).status).toBe(422)
  })

  test('need at least one origin and a value', async () => {
    const { send } = adminWorld()
    expect(
      (await send('PUT', '/secrets/crm', { body: { ...BODY, allowed_origins: [] } })).status,
    ).toBe(422)
    expect((await send('PUT', '/secrets/crm', { body: { ...BODY, value: '' } })).status).toBe(422)
    expect((await send('PUT', '/secrets/CRM', { body: BODY })).status).toBe(422)
  })

  test('are not narrowed below what the stored policy uses, nor deleted under it', async () => {
    const { send, policies } = adminWorld()
    const wide = { ...BODY, allowed_origins: ['https://crm.example', 'https://old.example'] }
    await send('PUT', '/secrets/crm', { body: wide })
    policies.set(
      'targets',
      target({ enabled: false, credential: { inject: 'bearer', secret: 'sealed:crm' } }),
    )
    const narrowed = await send('PUT', '/secrets/crm', {
      body: { ...BODY, allowed_origins: ['https://old.example'] },
    })
    expect(narrowed.status).toBe(409)
    expect(narrowed.body).toMatchObject({ reason: 'secret_in_use', names: ['targets/crm'] })
    expect((await send('DELETE', '/secrets/crm')).status).toBe(409)
    expect((await send('PUT', '/secrets/crm', { body: BODY })).status).toBe(200)
    await send('DELETE', '/targets/crm')
    expect((await send('DELETE', '/secrets/crm')).status).toBe(200)
    expect((await send('DELETE', '/secrets/crm')).status).toBe(404)
  })

  test('honour If-Match, also after having been deleted and made again', async () => {
    const { send, clock } = adminWorld()
    const first = await send('PUT', '/secrets/crm', {
      body: BODY,
      headers: { 'if-none-match': '*' },
    })
    const etag = first.headers.get('etag') ?? ''
    expect(
      (await send('PUT', '/secrets/crm', { body: BODY, headers: { 'if-none-match': '*' } })).status,
    ).toBe(412)
    await send('DELETE', '/secrets/crm')
    clock.advance(10)
    await send('PUT', '/secrets/crm', { body: BODY })
    expect(
      (await send('PUT', '/secrets/crm', { body: BODY, headers: { 'if-match': etag } })).status,
    ).toBe(412)
  })
})
