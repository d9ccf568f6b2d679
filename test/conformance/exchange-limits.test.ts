// Rate limits over HTTP. Every client of this suite is on loopback, which is no source of its own, so the
// limit by method is what can be seen.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENTRIES, startWorld, type World } from './world.ts'

describe.each(ENTRIES)('%s', (entry) => {
  let world: World
  beforeAll(async () => {
    world = await startWorld(entry, { env: { SALLYPORT_METHOD_PER_MINUTE: '6' } })
  })
  afterAll(() => world?.stop())

  test('DEP-10 a method beyond its rate answers 429 slow_down with Retry-After', async () => {
    const answers: Response[] = []
    const token = await world.token({ exp: 1 })
    // Each isolate has a bucket of two, and an entry may run several.
    for (let i = 0; i < 20 && answers.at(-1)?.status !== 429; i++) {
      answers.push(await world.exchange({ subject_token: token }))
    }
    const shed = answers.pop()
    expect(shed?.status).toBe(429)
    expect(answers.length).toBeGreaterThanOrEqual(2)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 400))
    expect(Number(shed?.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(shed?.headers.get('retry-after'))).toBeLessThanOrEqual(10)
    expect(shed?.headers.get('cache-control')).toBe('no-store')
    expect(await shed?.json()).toMatchObject({ error: 'slow_down' })
  })
})
