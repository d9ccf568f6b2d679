import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { askForJson } from '../../functions/net/json-call.ts'
import {
  OutboundError,
  type Outbound,
  type OutboundResponse,
} from '../../functions/net/outbound.ts'

const question = {
  method: 'GET',
  url: new URL('https://idp.example/'),
  headers: [],
  body: null,
  statuses: [200],
  reach: { privateNetwork: false, loopback: false },
} as const

function answer(body: ReadableStream<Uint8Array> | string, status = 200): OutboundResponse {
  return { status, headers: [], body: typeof body === 'string' ? new Response(body).body : body }
}

describe('a question to an authority', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('DEP ends, headers and body together, when nobody answers', async () => {
    const silent: Outbound = ({ signal }) =>
      new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => reject(new OutboundError('aborted'))),
      )
    const dripping: Outbound = async ({ signal }) =>
      answer(
        new ReadableStream({
          start(controller) {
            signal?.addEventListener('abort', () => controller.error(new Error('gone')))
          },
        }),
      )
    for (const outbound of [silent, dripping]) {
      const asked = askForJson(outbound, question)
      await vi.advanceTimersByTimeAsync(5_000)
      expect(await asked).toMatchObject({ ok: false, failure: { rule: 'timeout' } })
    }
  })

  it('leaves no timer behind, and throws nothing that a server can cause', async () => {
    const outcomes: readonly (readonly [Outbound, string])[] = [
      [async () => answer('{"a":1}'), 'ok'],
      [async () => answer('{"a":1}', 500), 'status'],
      [() => Promise.reject(new OutboundError('connect_failed')), 'connect_failed'],
      [() => Promise.reject(new TypeError('authorization: secret')), 'protocol_error'],
    ]
    for (const [outbound, expected] of outcomes) {
      const result = await askForJson(outbound, question)
      expect(result.ok ? 'ok' : result.failure.rule).toBe(expected)
      expect(vi.getTimerCount()).toBe(0)
    }
  })
})
