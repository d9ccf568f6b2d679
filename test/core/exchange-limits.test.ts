// What the exchange path rations: by source, by method, and what strangers make the broker ask.
import { expect, test } from 'vitest'
import { exchangeLimits } from '../../functions/core/exchange-limits.ts'
import { manualClock } from '../fakes/manual-clock.ts'

const SOURCE = '203.0.113.7'
const STS = [{ name: 'aws', asks: true }]
const REFUSED = { accepted: null, refusedAfterAsking: ['aws'] }
const ACCEPTED = { accepted: 'aws', refusedAfterAsking: [] }

function limits(perSource = 600, perMethod = 0) {
  const clock = manualClock()
  return { clock, limits: exchangeLimits({ perSource, perMethod }, clock) }
}

test('DEP-10 a source has a third of its minute at once, and others are not held up by it', () => {
  const { clock, limits: of } = limits()
  for (let i = 0; i < 200; i++) expect(of.enter(SOURCE)).toBeNull()
  expect(of.enter(SOURCE)).toMatchObject({ kind: 'slow_down', retryAfterSeconds: 1 })
  expect(of.enter('203.0.113.8')).toBeNull()
  clock.advance(1)
  for (let i = 0; i < 10; i++) expect(of.enter(SOURCE)).toBeNull()
  expect(of.enter(SOURCE)).not.toBeNull()
})

test('no source, no limit by source', () => {
  const { limits: of } = limits(1)
  for (let i = 0; i < 1000; i++) expect(of.enter(null)).toBeNull()
})

test('DEP-10 a method is limited whoever asks, except who it accepted lately', () => {
  const { clock, limits: of } = limits(0, 3)
  const oidc = [{ name: 'ci' }]
  const first = of.enterMethods(SOURCE, oidc)
  if (first.ok) first.value({ accepted: 'ci', refusedAfterAsking: [] })
  expect(of.enterMethods('198.51.100.1', oidc)).toMatchObject({
    failure: { kind: 'slow_down', retryAfterSeconds: 20 },
  })
  expect(of.enterMethods(SOURCE, oidc).ok).toBe(true)
  expect(of.enterMethods('198.51.100.1', [{ name: 'other' }]).ok).toBe(true)
  clock.advance(3601)
  of.enterMethods('198.51.100.1', oidc)
  expect(of.enterMethods(SOURCE, oidc).ok).toBe(false)
})

test('AW-11 a source makes the broker ask STS for nothing 60 times, then waits', () => {
  const { clock, limits: of } = limits()
  for (let i = 0; i < 60; i++) {
    const entered = of.enterMethods(SOURCE, STS)
    if (!entered.ok) throw new Error(`refused at ${i}`)
    entered.value(REFUSED)
  }
  expect(of.enterMethods(SOURCE, STS)).toMatchObject({ failure: { retryAfterSeconds: 1 } })
  expect(of.enterMethods('198.51.100.1', STS).ok).toBe(true)
  clock.advance(1)
  expect(of.enterMethods(SOURCE, STS).ok).toBe(true)
})

test('attempts at the same time are counted before the first of them has failed', () => {
  const { limits: of } = limits()
  const entered = Array.from({ length: 100 }, () => of.enterMethods(SOURCE, STS))
  expect(entered.filter(({ ok }) => ok)).toHaveLength(60)
})

test('what is accepted, or refused without asking anybody, costs no failure', () => {
  const { limits: of } = limits()
  for (let i = 0; i < 500; i++) {
    const entered = of.enterMethods(SOURCE, STS)
    if (!entered.ok) throw new Error(`refused at ${i}`)
    entered.value(i % 2 === 0 ? ACCEPTED : { accepted: null, refusedAfterAsking: [] })
  }
})

test('600 failures from many sources stop strangers, and not whom the method knows', () => {
  const { limits: of } = limits()
  const known = of.enterMethods(SOURCE, STS)
  if (known.ok) known.value(ACCEPTED)
  let asked = 0
  for (let i = 0; i < 2000; i++) {
    const entered = of.enterMethods(`198.51.${i >> 8}.${i & 255}`, STS)
    if (!entered.ok) continue
    asked += 1
    entered.value(REFUSED)
  }
  expect(asked).toBe(600)
  expect(of.enterMethods(SOURCE, STS).ok).toBe(true)
})

test('AUD-8 a flood tells of itself once a minute for each limit, and ten times in all', () => {
  const { clock, limits: of } = limits(3)
  const told = () => of.enter(SOURCE)?.limit
  expect([told(), told(), told(), told()]).toEqual([
    undefined,
    { by: 'source', key: SOURCE, refused: 1 },
    undefined,
    undefined,
  ])
  clock.advance(60)
  of.enter(SOURCE)
  expect([told(), told()]).toContainEqual({ by: 'source', key: SOURCE, refused: 3 })
  const many = Array.from({ length: 1000 }, (_, i) => {
    of.enter(`198.51.100.${i}`)
    return of.enter(`198.51.100.${i}`)?.limit
  })
  expect(many.filter((limit) => limit !== undefined).length).toBeLessThanOrEqual(10)
})
