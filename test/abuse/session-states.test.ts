// Session states under those who would like them otherwise: an agent that tries and tries, a stranger who
// would have somebody else suspended, an editor who would give back what was taken.
import { afterEach, describe, expect, test } from 'vitest'
import { ADMIN_TOKEN, type InProcess, startInProcess } from '../faults/in-process.ts'

type Body = Record<string, unknown>
type Event = { type: string; reason: string | null; action: Body; outcome: Body; id: string }

let broker: InProcess
afterEach(() => broker.app.close())

async function start(options: Parameters<typeof startInProcess>[0] = {}): Promise<InProcess> {
  broker = await startInProcess(options)
  return broker
}

const sidOf = (handle: string): string =>
  (JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as { sid: string })
    .sid
const json = async (response: Response) => (await response.json()) as Body
const session = async (handle: string) =>
  json(await broker.admin('GET', `/sessions/${sidOf(handle)}`))
const eventsOf = async (handle: string): Promise<Event[]> => {
  const page = await broker.admin('GET', `/audit?session=${sidOf(handle)}&limit=500`)
  return ((await page.json()) as { items: Event[] }).items
}
const change = (handle: string, what: string, body: Body, token = ADMIN_TOKEN) =>
  broker.fetch(`/admin/v1/sessions/${sidOf(handle)}/${what}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
const read = (handle: string) => broker.call(handle, '/v1/a')
const write = (handle: string) => broker.call(handle, '/v1/a', { method: 'POST', body: '{}' })
/** Nothing grants it. */
const refused = (handle: string) => broker.call(handle, '/elsewhere')

describe('an admin', () => {
  test('narrows: the effect is refused with a reason and what is left, everything else goes on', async () => {
    await start()
    const handle = await broker.handle()
    const narrowed = await change(handle, 'narrow', { effects: ['write'], reason: 'incident 7' })
    expect(narrowed.status).toBe(200)
    expect(await narrowed.json()).toMatchObject({
      state: 'narrowed',
      removed_effects: ['write'],
      state_change: {
        by: 'admin:admin-token',
        reason: 'by_admin',
        action: { reason: 'incident 7' },
      },
    })
    expect((await read(handle)).status).toBe(200)
    const response = await write(handle)
    expect(response.status).toBe(403)
    const body = await json(response)
    expect(body).toMatchObject({ code: 'not_granted' })
    expect(body['hint']).toContain('write was taken away')
    const refusal = (await eventsOf(handle)).at(-1)
    expect(refusal).toMatchObject({ type: 'refusal', reason: 'effect_removed' })
  })

  test('suspends and restores, each with an event in the session’s own chain', async () => {
    await start()
    const handle = await broker.handle()
    await change(handle, 'suspend', { reason: 'look at this' })
    const response = await read(handle)
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ code: 'intent_denied' })
    expect((await change(handle, 'restore', { reason: 'false alarm' })).status).toBe(200)
    expect((await write(handle)).status).toBe(200)
    const changes = (await eventsOf(handle)).filter(({ type }) => type === 'state')
    expect(changes.map(({ action }) => action['operation'])).toEqual([
      'session.suspend',
      'session.restore',
    ])
  })

  test('introspection tells the holder the state and its word, not what people wrote', async () => {
    await start()
    const handle = await broker.handle()
    await change(handle, 'suspend', { reason: 'we think it is the intern' })
    const answer = await broker.fetch('/introspect', {
      method: 'POST',
      body: new URLSearchParams({ token: handle }),
      headers: { authorization: `Bearer ${handle}` },
    })
    const text = await answer.text()
    expect(JSON.parse(text)).toMatchObject({
      active: true,
      session: { state: 'suspended', state_reason: 'by_admin', removed_effects: [] },
    })
    expect(text).not.toContain('intern')
  })

  test('does not revive what has ended: 409', async () => {
    await start()
    const handle = await broker.handle()
    await change(handle, 'revoke', {})
    for (const [what, body] of [
      ['restore', {}],
      ['suspend', { reason: 'x' }],
      ['narrow', { effects: ['write'] }],
    ] as const) {
      const response = await change(handle, what, body)
      expect(response.status).toBe(409)
      expect(await response.json()).toMatchObject({ code: 'conflict', reason: 'session_ended' })
    }
    expect((await read(handle)).status).toBe(401)
  })

  test('does not undo unseen what happened after they looked', async () => {
    await start()
    const handle = await broker.handle()
    await change(handle, 'narrow', { effects: ['write'] })
    const { state_change: looked } = (await session(handle)) as {
      state_change: { event_id: string }
    }
    await change(handle, 'suspend', { reason: 'worse' })
    const response = await change(handle, 'restore', { state_event: looked.event_id })
    expect(response.status).toBe(409)
    expect(await response.json()).toMatchObject({ reason: 'session_state_changed' })
    expect(await session(handle)).toMatchObject({ state: 'suspended' })
  })

  test.each([
    ['narrow', { effects: [] }],
    ['narrow', { effects: ['fly'] }],
    ['narrow', {}],
    ['suspend', {}],
    ['suspend', { reason: '' }],
    ['restore', { state_event: 'x' }],
    ['restore', { state: 'active' }],
  ])('%s %j is told what is wrong', async (what, body) => {
    await start()
    expect((await change(await broker.handle(), what, body)).status).toBe(422)
  })
})

test('an editor may narrow and suspend, and not restore; a viewer may nothing', async () => {
  await start()
  const document = (await (await broker.admin('GET', '/policy')).json()) as { bindings: object[] }
  for (const role of ['editor', 'viewer']) {
    document.bindings.push({
      name: `${role}s`,
      auth_method: 'ci',
      target: 'sallyport-admin',
      condition: `claims.role == "${role}"`,
      grants: [{ effects: ['admin'], objects: [role] }],
      ttl_seconds: 300,
    })
  }
  await broker.admin('POST', '/policy/apply', document)
  const as = async (role: string) =>
    broker.handle({ audience: 'sallyport-admin', subject_token: await broker.token({ role }) })
  const handle = await broker.handle()
  const viewer = await as('viewer')
  const editor = await as('editor')
  const tries = [
    ['narrow', { effects: ['write'] }, 200],
    ['suspend', { reason: 'x' }, 200],
    ['restore', {}, 403],
  ] as const
  for (const [what, body, status] of tries) {
    expect((await change(handle, what, body, viewer)).status).toBe(403)
    expect((await change(handle, what, body, handle)).status).toBe(401)
    expect((await change(handle, what, body, editor)).status).toBe(status)
  }
  expect(await session(handle)).toMatchObject({ state: 'suspended' })
  // Whose own session is taken from cannot give it back to themselves.
  await change(editor, 'narrow', { effects: ['write'] })
  expect((await change(handle, 'suspend', { reason: 'x' }, editor)).status).toBe(401)
})

describe('an agent that is refused again and again', () => {
  test('may only read after ten refusals and do nothing after twenty, and says so in its chain', async () => {
    await start()
    const handle = await broker.handle()
    for (let n = 0; n < 9; n++) expect((await refused(handle)).status).toBe(403)
    expect((await write(handle)).status).toBe(200)
    await refused(handle)
    expect((await read(handle)).status).toBe(200)
    expect((await write(handle)).status).toBe(403)
    expect(await session(handle)).toMatchObject({ state: 'narrowed', denials: 11 })
    for (let n = 0; n < 9; n++) await refused(handle)
    expect((await read(handle)).status).toBe(403)
    expect(await session(handle)).toMatchObject({
      state: 'suspended',
      state_change: { reason: 'repeated_denials', action: { denials: 20 } },
    })
    const changes = (await eventsOf(handle)).filter(({ type }) => type === 'state')
    expect(changes.map(({ action }) => action['state'])).toEqual(['narrowed', 'suspended'])
    expect(changes[0]).toMatchObject({ outcome: { by: 'sallyport' } })
  })

  test('RACE 200 refusals at once suspend once, and none is lost', async () => {
    await start()
    const handle = await broker.handle()
    const answers = await Promise.all(Array.from({ length: 200 }, () => refused(handle)))
    expect(answers.every(({ status }) => status === 403)).toBe(true)
    expect(await session(handle)).toMatchObject({ state: 'suspended' })
    const changes = (await eventsOf(handle)).filter(({ type }) => type === 'state')
    expect(changes.filter(({ action }) => action['state'] === 'suspended')).toHaveLength(1)
  })

  test('RACE a restore amid refusals leaves it as tight as the refusals that came after', async () => {
    await start()
    const handle = await broker.handle()
    for (let n = 0; n < 12; n++) await refused(handle)
    const [restored] = await Promise.all([
      change(handle, 'restore', {}),
      ...Array.from({ length: 30 }, () => refused(handle)),
    ])
    const after = (await session(handle)) as { state: string; denials: number }
    const expected = after.denials >= 20 ? 'suspended' : after.denials >= 10 ? 'narrowed' : 'active'
    // Whoever was faster: what counts is what is counted.
    expect([200, 409]).toContain(restored.status)
    expect(['narrowed', 'suspended']).toContain(after.state)
    expect(after.state).toBe(expected)
  })

  test('after a restore it is counted anew', async () => {
    await start()
    const handle = await broker.handle()
    for (let n = 0; n < 12; n++) await refused(handle)
    await change(handle, 'restore', {})
    for (let n = 0; n < 9; n++) await refused(handle)
    expect(await session(handle)).toMatchObject({ state: 'active', denials: 9 })
  })
})

describe('nobody is tightened for what they did not do', () => {
  test('a stranger who knows the session, or has a handle of another target, counts nothing', async () => {
    await start()
    const handle = await broker.handle()
    const [head, payload, signature] = handle.split('.')
    const forged = [
      `${head}.${payload}.${signature?.slice(0, -4)}AAAA`,
      `${head}.${payload}.`,
      sidOf(handle),
      await broker.token({ sid: sidOf(handle) }),
    ]
    for (let n = 0; n < 25; n++) {
      for (const token of forged) expect((await refused(token)).ok).toBe(false)
    }
    expect(await session(handle)).toMatchObject({ state: 'active', denials: 0 })
  })

  test('a judge that is out, a used up budget and a request that is not understood do not count', async () => {
    await start({
      intentPolicies: [
        {
          name: 'judged',
          rules: [{ id: 'r', text: 'never', effect: 'deny' }],
          judge: { type: 'authzen', url: 'https://judge.example/', timeout_ms: 50 },
        },
      ],
      binding: { intent: { policy: 'judged', on_review: 'deny' } },
    })
    const opened = await broker.exchange({ intent: 'x' })
    // The judge is out when the session opens, too: the policy is tightened afterwards.
    expect(opened.status).toBe(400)
    await broker.admin('PUT', '/bindings/support-crm', {
      auth_method: 'ci',
      target: 'crm',
      grants: [{ effects: ['read', 'write'], objects: ['* /v1/**'] }],
      ttl_seconds: 300,
      limits: { actions: 1 },
    })
    const handle = await broker.handle({ intent: 'x' })
    expect((await read(handle)).status).toBe(200)
    for (let n = 0; n < 25; n++) {
      expect((await read(handle)).status).toBe(429)
      await broker.call(handle, '/v1/%2e%2e/x')
    }
    await broker.admin('PUT', '/bindings/support-crm', {
      auth_method: 'ci',
      target: 'crm',
      grants: [{ effects: ['read', 'write'], objects: ['* /v1/**'] }],
      ttl_seconds: 300,
      intent: { policy: 'judged', on_review: 'deny' },
    })
    for (let n = 0; n < 25; n++) expect((await read(handle)).status).toBe(403)
    expect(await session(handle)).toMatchObject({ state: 'active', denials: 0 })
  })
})

describe('an answer that is open', () => {
  async function stream(): Promise<{ handle: string; next: Promise<unknown> }> {
    let out: ReadableStreamDefaultController<Uint8Array> | null = null
    await start({
      origin: async () => ({
        status: 200,
        headers: [['content-type', 'text/event-stream']],
        body: new ReadableStream({ start: (controller) => void (out = controller) }),
      }),
    })
    const handle = await broker.handle()
    const { body } = await broker.call(handle, '/v1/sse')
    const reader = body?.getReader()
    // Set by start(), which runs when the stream is made.
    const controller = out as ReadableStreamDefaultController<Uint8Array> | null
    controller?.enqueue(new TextEncoder().encode('data: 1\n\n'))
    await reader?.read()
    return { handle, next: reader?.read() ?? Promise.resolve() }
  }

  test.each([
    ['suspended', 'suspend', { reason: 'x' }],
    ['narrowed by what it does', 'narrow', { effects: ['read'] }],
  ])(
    'REV-6 ends when its session is %s',
    async (_, what, body) => {
      const { handle, next } = await stream()
      await change(handle, what, body)
      await expect(next).rejects.toThrow()
    },
    15_000,
  )

  test('REV-6 goes on when its session is narrowed by something else', async () => {
    const { handle, next } = await stream()
    await change(handle, 'narrow', { effects: ['write', 'delete'] })
    const waited = new Promise((resolve) => setTimeout(resolve, 4500, 'open'))
    expect(await Promise.race([next.catch(() => 'ended'), waited])).toBe('open')
  }, 15_000)
})

test('a list shows the state and why', async () => {
  await start()
  const handle = await broker.handle()
  await broker.handle()
  await change(handle, 'suspend', { reason: 'x' })
  const { items } = (await (await broker.admin('GET', '/sessions?state=suspended')).json()) as {
    items: Body[]
  }
  expect(items).toMatchObject([{ id: sidOf(handle), state_change: { reason: 'by_admin' } }])
})
