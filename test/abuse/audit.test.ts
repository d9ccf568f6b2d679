// Attacks on the log: strangers who fill it, strings that break a line of it, secrets that end up in it.
import { describe, expect, test } from 'vitest'
import { API_KEY, startInProcess, type InProcess } from '../faults/in-process.ts'

type Event = { type: string; action: { name?: string } | null; intent: { purpose: string } | null }

async function eventsOf(broker: InProcess): Promise<readonly Event[]> {
  return ((await (await broker.admin('GET', '/audit?limit=500')).json()) as { items: Event[] })
    .items
}

const HOSTILE = 'x\r\n{"type":"grant"}\u001b[2J\u2028\u202e\u2066","a":"b\\'

const holdsControls = (text: string) => /\p{Cc}/u.test(text)

function intentOf(filler: string): string {
  return JSON.stringify([
    {
      type: 'agent_intent',
      purpose: `${HOSTILE}${filler.repeat(3900)}`,
      origin: { kind: 'user', id: HOSTILE, prompt: filler.repeat(32_000) },
      agent: { name: HOSTILE },
      envelope: {
        tools: Array.from({ length: 100 }, () => filler.repeat(256)),
        objects: Array.from({ length: 100 }, () => filler.repeat(160)),
      },
    },
  ])
}

describe('what a stranger says', () => {
  test('AUD-8: does not fill the log: one short event with a hash of the whole', async () => {
    const broker = await startInProcess()
    const refused = await broker.exchange({
      subject_token: 'a.b.c',
      scope: Array.from({ length: 15 }, (_, i) => `read:${'s'.repeat(1000)}${i}`).join(' '),
      authorization_details: intentOf('q'),
    })
    expect(refused.status).toBe(400)
    const [last] = (await eventsOf(broker)).toReversed()
    expect(last).toMatchObject({ type: 'refusal', outcome: { failure: 'attestation_rejected' } })
    expect(JSON.stringify(last).length).toBeLessThan(2048)
    expect(last?.action).toMatchObject({
      name: 'session.open',
      targets: ['crm'],
      scope_items: 15,
      declared_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect(last?.intent?.purpose.startsWith('x\r\n')).toBe(true)
  })

  test('of a verified caller the log keeps every word', async () => {
    const broker = await startInProcess()
    const subject_token = await broker.token()
    const refused = await broker.exchange({
      subject_token,
      audience: 'nowhere',
      authorization_details: intentOf('q'),
    })
    expect(refused.status).toBe(400)
    const [last] = (await eventsOf(broker)).toReversed()
    expect(JSON.stringify(last)).toContain('q'.repeat(32_000))
  })
})

test('AUD-8: hostile text stays inside its event, and the event one line', async () => {
  const broker = await startInProcess()
  const before = (await eventsOf(broker)).length
  const handle = await broker.handle({
    authorization_details: intentOf('').replaceAll('""', '"t"'),
  })
  expect(typeof handle).toBe('string')
  const after = (await eventsOf(broker)).slice(before)
  expect(after.map(({ type }) => type)).toEqual(['decision', 'grant'])
  for (const [draft] of await broker.sql('SELECT draft FROM audit_event')) {
    expect(holdsControls(String(draft))).toBe(false)
    expect(() => JSON.parse(String(draft)) as unknown).not.toThrow()
  }
  for (const line of broker.logged) expect(holdsControls(line)).toBe(false)
})

test('LEAK-1: neither credential, token nor handle is in the store or in a log line', async () => {
  const broker = await startInProcess()
  const token = await broker.token()
  const handle = await broker.handle({ subject_token: token })
  await broker.call(handle, '/v1/a')
  await broker.call(handle, '/v1/a', { method: 'DELETE' })
  await broker.call(`${handle.slice(0, -3)}abc`, '/v1/a')
  await broker.exchange({ subject_token: `${token.slice(0, -3)}abc` })
  const tables = await broker.sql("SELECT name FROM sqlite_master WHERE type = 'table'")
  const rows = await Promise.all(
    tables.map(([name]) => broker.sql(`SELECT * FROM ${String(name)}`)),
  )
  const everything = `${JSON.stringify(rows)}\n${broker.logged.join('\n')}`
  for (const secret of [API_KEY, token, handle].flatMap((text) => [
    text.slice(-40),
    Buffer.from(text).toString('base64').slice(0, 32),
    Buffer.from(text).toString('hex').slice(0, 32),
  ]))
    expect(everything).not.toContain(secret)
})
