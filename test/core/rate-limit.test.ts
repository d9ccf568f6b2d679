// Token buckets: exact with a clock that stands, and bounded however many keys there are.
import { expect, test } from 'vitest'
import { tokenBuckets } from '../../functions/core/rate-limit.ts'

const T0 = 1_800_000_000_000

test('DEP-10 a bucket gives its burst at once, then one per interval, and never more than it holds', () => {
  const buckets = tokenBuckets({ perMinute: 60, burst: 3, maxKeys: 10 })
  expect([1, 2, 3, 4].map(() => buckets.take('a', T0))).toEqual([0, 0, 0, 1])
  expect(buckets.take('a', T0 + 999)).toBe(1)
  expect(buckets.take('a', T0 + 1000)).toBe(0)
  expect(buckets.take('a', T0 + 1000)).toBe(1)
  const later = T0 + 3_600_000
  expect([1, 2, 3, 4].map(() => buckets.take('a', later))).toEqual([0, 0, 0, 1])
})

test('DEP-10 says in whole seconds when there is a token again', () => {
  const buckets = tokenBuckets({ perMinute: 1, burst: 1, maxKeys: 10 })
  expect(buckets.take('a', T0)).toBe(0)
  expect(buckets.take('a', T0)).toBe(60)
  expect(buckets.take('a', T0 + 30_500)).toBe(30)
  expect(buckets.take('a', T0 + 60_000)).toBe(0)
})

test('keys do not share', () => {
  const buckets = tokenBuckets({ perMinute: 60, burst: 1, maxKeys: 10 })
  expect([buckets.take('a', T0), buckets.take('b', T0), buckets.take('a', T0)]).toEqual([0, 0, 1])
})

test('a clock that is set back neither fills a bucket nor stops it', () => {
  const buckets = tokenBuckets({ perMinute: 60, burst: 1, maxKeys: 10 })
  buckets.take('a', T0)
  expect(buckets.take('a', T0 - 3_600_000)).toBe(1)
  expect(buckets.take('a', T0 - 3_600_000 + 1000)).toBe(0)
})

test('0 is no limit, and remembers nobody', () => {
  const buckets = tokenBuckets({ perMinute: 0, burst: 1, maxKeys: 10 })
  for (let i = 0; i < 1000; i++) expect(buckets.take('a', T0)).toBe(0)
  expect(buckets.size).toBe(0)
})

test('a token that is given back can be taken again, and a full bucket stays full', () => {
  const buckets = tokenBuckets({ perMinute: 60, burst: 1, maxKeys: 10 })
  buckets.take('a', T0)
  buckets.giveBack('a')
  buckets.giveBack('a')
  buckets.giveBack('stranger')
  expect([buckets.take('a', T0), buckets.take('a', T0)]).toEqual([0, 1])
})

test('DEP-10 100,000 sources hold no more memory than allowed, and the busy one keeps its bucket', () => {
  const buckets = tokenBuckets({ perMinute: 60, burst: 1, maxKeys: 1000 })
  buckets.take('busy', T0)
  for (let i = 0; i < 100_000; i++) {
    buckets.take(`source-${i}`, T0)
    if (i % 500 === 0) expect(buckets.take('busy', T0)).toBe(1)
  }
  expect(buckets.size).toBe(1000)
})

test('what was refused is told once a minute, with how often since the last time', () => {
  const buckets = tokenBuckets({ perMinute: 1, burst: 1, maxKeys: 10 })
  buckets.take('a', T0)
  buckets.take('a', T0)
  expect(buckets.untold('a', T0)).toBe(1)
  for (let i = 0; i < 50; i++) buckets.take('a', T0 + 1000)
  expect(buckets.untold('a', T0 + 59_000)).toBeNull()
  buckets.take('a', T0 + 59_500)
  expect(buckets.untold('a', T0 + 60_000)).toBe(51)
})
