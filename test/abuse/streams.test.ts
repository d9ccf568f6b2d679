// Attacks by patience: an answer that is still open when what it stands on has ended.
import { expect, test } from 'vitest'
import { CRM, startInProcess, type InProcess } from '../faults/in-process.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

type Stream = {
  readonly broker: InProcess
  readonly handle: string
  readonly reader: ReadableStreamDefaultReader<Uint8Array>
  readonly isEnded: () => boolean
  send(text: string): void
}

/** An event stream of which the agent has read the first event. */
async function openStream(): Promise<Stream> {
  let out: ReadableStreamDefaultController<Uint8Array> | null = null
  let isEnded = false
  const broker = await startInProcess({
    origin: async () => ({
      status: 200,
      headers: [['content-type', 'text/event-stream']],
      body: new ReadableStream({
        start(controller) {
          out = controller
        },
        cancel() {
          isEnded = true
        },
      }),
    }),
  })
  const handle = await broker.handle()
  const { body } = await broker.call(handle, '/v1/sse')
  if (body === null) throw new Error('no body')
  const reader = body.getReader()
  const send = (text: string) => out?.enqueue(bytes(text))
  send('data: 1\n\n')
  await reader.read()
  return { broker, handle, reader, isEnded: () => isEnded, send }
}

async function outcomesOf(broker: InProcess): Promise<readonly unknown[]> {
  const page = await broker.admin('GET', '/audit?limit=500')
  const { items } = (await page.json()) as { items: { type: string; outcome: unknown }[] }
  return items.filter(({ type }) => type === 'outcome').map(({ outcome }) => outcome)
}

const ENDS: Readonly<Record<string, (stream: Stream) => unknown>> = {
  revoke: ({ broker, handle }) =>
    broker.fetch('/revoke', { method: 'POST', body: new URLSearchParams({ token: handle }) }),
  'the kill switch': ({ broker }) =>
    broker.admin('PUT', '/kill-switch', { engaged: true, reason: 'x' }),
  SALLYPORT_KILL: ({ broker }) => (broker.env['SALLYPORT_KILL'] = '1'),
  expiry: ({ broker }) => broker.clock.advance(4000),
  'a binding that is removed': ({ broker }) => broker.admin('DELETE', '/bindings/support-crm'),
  'a binding that no longer grants it': ({ broker }) =>
    broker.admin('PUT', '/bindings/support-crm', {
      auth_method: 'ci',
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/other'] }],
    }),
  'a target that is disabled': ({ broker }) =>
    broker.admin('PUT', '/targets/crm', {
      type: 'http',
      config: { base_url: CRM },
      enabled: false,
    }),
}

test.each(Object.keys(ENDS))(
  'REV-6: %s cuts an open stream, ends the upstream call and is recorded',
  async (how) => {
    const stream = await openStream()
    const next = stream.reader.read()
    await ENDS[how]?.(stream)
    await expect(next).rejects.toThrow()
    expect(stream.isEnded()).toBe(true)
    expect(await outcomesOf(stream.broker)).toMatchObject([{ result: 'aborted', bytes: 9 }])
  },
  30_000,
)

test('REV-6: a stream whose session lives is not cut', async () => {
  const stream = await openStream()
  // Nor by a policy that changes in something else.
  await stream.broker.admin('PUT', '/targets/erp', { type: 'http', config: { base_url: CRM } })
  await new Promise((resolve) => setTimeout(resolve, 4500))
  stream.send('data: 2\n\n')
  const { value } = await stream.reader.read()
  expect(new TextDecoder().decode(value)).toBe('data: 2\n\n')
  await stream.reader.cancel()
  expect(await outcomesOf(stream.broker)).toMatchObject([{ result: 'aborted', bytes: 18 }])
}, 30_000)
