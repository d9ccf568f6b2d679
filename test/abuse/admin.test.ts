// Attacks on administration, and what it must not lose: its refusals, its own way back, its own writes.
import { describe, expect, test } from 'vitest'
import { startInProcess, type InProcess } from '../faults/in-process.ts'

type Event = {
  type: string
  identity: string | null
  action: Record<string, unknown> | null
  outcome: Record<string, unknown> | null
  session_id: string | null
}

async function eventsOf(broker: InProcess): Promise<readonly Event[]> {
  return ((await (await broker.admin('GET', '/audit?limit=500')).json()) as { items: Event[] })
    .items
}

/** A handle whose workload holds the role. */
async function handleOf(broker: InProcess, role: string): Promise<string> {
  const doc = (await (await broker.admin('GET', '/policy')).json()) as { bindings: object[] }
  doc.bindings.push({
    name: 'administrators',
    auth_method: 'ci',
    target: 'sallyport-admin',
    grants: [{ effects: ['admin'], objects: [role] }],
    ttl_seconds: 300,
  })
  expect((await broker.admin('POST', '/policy/apply', doc)).ok).toBe(true)
  return broker.handle({ audience: 'sallyport-admin' })
}

function send(broker: InProcess, token: string, method: string, path: string, body: unknown) {
  return broker.fetch(`/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

const engage = { engaged: true, reason: 'x' }

describe('administration that is refused', () => {
  test('leaves an event with who asked, for what, and the role it needs', async () => {
    const broker = await startInProcess()
    const handle = await handleOf(broker, 'editor')
    const before = (await eventsOf(broker)).length
    expect((await send(broker, handle, 'PUT', '/kill-switch', engage)).status).toBe(403)
    const added = (await eventsOf(broker)).slice(before)
    expect(added).toMatchObject([
      {
        type: 'refusal',
        identity: 'admin:ci:agent-7',
        outcome: { verdict: 'deny', failure: 'forbidden', needs: 'admin' },
      },
    ])
    expect(added[0]?.action?.['operation']).toEqual(expect.any(String))
  })

  test('leaves an event when the role lets in and the change is beyond it', async () => {
    const broker = await startInProcess()
    const handle = await handleOf(broker, 'editor')
    const before = (await eventsOf(broker)).length
    const answer = await send(broker, handle, 'PUT', '/bindings/mine', {
      auth_method: 'ci',
      target: 'sallyport-admin',
      grants: [{ effects: ['admin'], objects: ['admin'] }],
      ttl_seconds: 300,
    })
    expect(answer.status).toBe(403)
    expect((await eventsOf(broker)).slice(before)).toMatchObject([
      { type: 'refusal', identity: 'admin:ci:agent-7', outcome: { needs: 'admin' } },
    ])
  })

  test('AUD-8: leaves none when nobody knows who it was', async () => {
    const broker = await startInProcess()
    const before = (await eventsOf(broker)).length
    expect((await send(broker, 'a.b.c', 'PUT', '/kill-switch', engage)).status).toBe(401)
    expect((await eventsOf(broker)).length).toBe(before)
  })
})

describe('the kill switch', () => {
  test('can be released by the admin who engaged it, without SALLYPORT_ADMIN_TOKEN', async () => {
    const broker = await startInProcess()
    const handle = await handleOf(broker, 'admin')
    const put = (engaged: boolean) =>
      send(broker, handle, 'PUT', '/kill-switch', { engaged, reason: 'x' })
    expect((await put(true)).status).toBe(200)
    expect((await broker.exchange()).status).toBe(503)
    expect((await put(false)).status).toBe(200)
    expect((await broker.exchange()).status).toBe(200)
  })

  test('does not make a lesser role an admin while it is engaged', async () => {
    const broker = await startInProcess()
    const handle = await handleOf(broker, 'editor')
    await broker.admin('PUT', '/kill-switch', engage)
    const released = await send(broker, handle, 'PUT', '/kill-switch', {
      engaged: false,
      reason: 'x',
    })
    expect(released.status).toBe(403)
    expect((await broker.exchange()).status).toBe(503)
  })

  test('leaves an event of every action and exchange that it stops', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    await broker.admin('PUT', '/kill-switch', engage)
    const before = (await eventsOf(broker)).length
    expect((await broker.call(handle, '/v1/a')).status).toBe(503)
    expect((await broker.exchange()).status).toBe(503)
    const added = (await eventsOf(broker)).slice(before)
    expect(added).toMatchObject([
      { type: 'refusal', identity: 'ci:agent-7', outcome: { failure: 'killed' } },
      { type: 'refusal', identity: 'ci:agent-7', outcome: { failure: 'killed' } },
    ])
    expect(added[0]?.session_id).toMatch(/^ses_/)
    expect(broker.reached).toHaveLength(0)
  })

  test('SALLYPORT_KILL writes nothing: the store may be what is wrong', async () => {
    const broker = await startInProcess()
    const handle = await broker.handle()
    const before = (await eventsOf(broker)).length
    broker.env['SALLYPORT_KILL'] = '1'
    expect((await broker.call(handle, '/v1/a')).status).toBe(503)
    expect((await broker.exchange()).status).toBe(503)
    expect((await eventsOf(broker)).length).toBe(before)
  })
})

test('a secret’s new origins are known to the next save of a target, and its old ones forgotten', async () => {
  const broker = await startInProcess()
  const put = async (name: string) =>
    (
      await broker.admin('PUT', `/targets/${name}`, {
        type: 'http',
        config: { base_url: `https://${name}.example` },
        credential: { inject: 'bearer', secret: 'sealed:crm-key' },
      })
    ).status
  const allow = (...names: string[]) =>
    broker.admin('PUT', '/secrets/crm-key', {
      value: 'abcdefgh',
      allowed_origins: ['https://crm.example', ...names.map((name) => `https://${name}.example`)],
    })
  expect(await put('b')).toBe(422)
  expect((await allow('b')).ok).toBe(true)
  expect(await put('b')).toBe(201)
  expect(await put('c')).toBe(422)
})
