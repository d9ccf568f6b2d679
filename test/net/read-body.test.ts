import { describe, expect, it } from 'vitest'
import { readCapped } from '../../functions/net/read-body.ts'

describe('readCapped', () => {
  it('returns a body of exactly the limit whole', async () => {
    const body = new Blob(['ab', 'cd']).stream()
    expect(Buffer.from((await readCapped(body, 4)) ?? []).toString()).toBe('abcd')
    expect(await readCapped(null, 0)).toEqual(new Uint8Array(0))
  })

  it('DEP-2: stops at the first byte too many and tells the sender to', async () => {
    let sent = 0
    let isCancelled = false
    const endless = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          sent += 1
          controller.enqueue(new Uint8Array(10))
        },
        cancel() {
          isCancelled = true
        },
      },
      { highWaterMark: 0 },
    )
    expect(await readCapped(endless, 25)).toBeNull()
    expect(sent).toBe(3)
    expect(isCancelled).toBe(true)
  })
})
