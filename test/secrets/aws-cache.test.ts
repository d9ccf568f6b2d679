// How long an answer of AWS serves, and what a failure does to it.
import { beforeEach, describe, expect, test } from 'vitest'
import type { AwsSecretFault, AwsSecretQuestion } from '../../functions/aws/secrets-contract.ts'
import { fail, ok, type Result } from '../../functions/core/result.ts'
import { type AwsCache, createAwsCache } from '../../functions/secrets/aws-cache.ts'

const QUESTION: AwsSecretQuestion = { service: 'secretsmanager', region: 'eu-west-1', id: 'crm' }
const fault = (kind: 'unavailable' | 'throttled' | 'foreign' | 'not_found' | 'refused') =>
  ({ kind, code: kind, status: null }) as const
const DOWN = fault('unavailable')

let nowMs: number
let asked: AwsSecretQuestion[]
let answer: () => Promise<Result<string, AwsSecretFault>>
let cache: AwsCache

beforeEach(() => {
  nowMs = 1_800_000_000_000
  asked = []
  answer = async () => ok('first')
  const clock = { nowMs: () => nowMs, nowSeconds: () => Math.floor(nowMs / 1000) }
  cache = createAwsCache({
    clock,
    read: (question) => {
      asked.push(question)
      return answer()
    },
  })
})

const read = async () => {
  const held = await cache.read(QUESTION)
  return held.ok ? held.value.text : held.failure.kind
}

describe('what AWS answered', () => {
  test('serves for a minute and costs one call', async () => {
    for (let i = 0; i < 60; i++, nowMs += 999) expect(await read()).toBe('first')
    expect(asked).toHaveLength(1)
  })

  test('DEP-5: a rotated secret is in use within a minute', async () => {
    await read()
    answer = async () => ok('second')
    nowMs += 59_999
    expect(await read()).toBe('first')
    nowMs += 1
    expect(await read()).toBe('second')
  })

  test('counts its age from before the call', async () => {
    answer = async () => {
      nowMs += 4_000
      return ok('first')
    }
    await read()
    nowMs += 56_000
    answer = async () => ok('second')
    expect(await read()).toBe('second')
  })

  test.each(['unavailable', 'throttled', 'foreign', 'not_found', 'refused'] as const)(
    'is never served beyond that, also when AWS says %s',
    async (kind) => {
      await read()
      answer = async () => fail(fault(kind))
      nowMs += 60_000
      expect(await read()).toBe(kind)
      nowMs += 5_000
      expect(await read()).toBe(kind)
    },
  )

  test('a clock that goes back does not make it younger', async () => {
    await read()
    answer = async () => ok('second')
    nowMs -= 60_000
    expect(await read()).toBe('second')
  })

  test('is one object for as long as it is one value, so that what is made of it lasts', async () => {
    const before = await cache.read(QUESTION)
    nowMs += 60_000
    const same = await cache.read(QUESTION)
    answer = async () => ok('second')
    nowMs += 60_000
    const other = await cache.read(QUESTION)
    if (!before.ok || !same.ok || !other.ok) throw new Error('not read')
    expect(same.value).toBe(before.value)
    expect(other.value).not.toBe(before.value)
  })

  test('questions that differ in anything have answers of their own', async () => {
    for (const more of [{}, { stage: 'AWSPREVIOUS' }, { version: 'x' }, { region: 'us-east-1' }]) {
      await cache.read({ ...QUESTION, ...more })
    }
    expect(asked).toHaveLength(4)
  })

  test('is held of 256 secrets and no more', async () => {
    for (let i = 0; i < 257; i++) await cache.read({ ...QUESTION, id: `s${i}` })
    await cache.read({ ...QUESTION, id: 's256' })
    expect(asked).toHaveLength(257)
    await cache.read({ ...QUESTION, id: 's0' })
    expect(asked).toHaveLength(258)
  })
})

describe('a failure', () => {
  test('is told for a second without another call, and then AWS is asked again', async () => {
    answer = async () => fail(DOWN)
    for (let i = 0; i < 10; i++, nowMs += 99) expect(await read()).toBe('unavailable')
    expect(asked).toHaveLength(1)
    answer = async () => ok('first')
    nowMs += 10
    expect(await read()).toBe('first')
  })

  test('is asked about again at once where a policy is checked', async () => {
    answer = async () => fail(fault('not_found'))
    await read()
    answer = async () => ok('first')
    expect((await cache.readNow(QUESTION)).ok).toBe(true)
  })

  test('that is thrown is nobody’s answer but of those who waited', async () => {
    answer = () => Promise.reject(new Error('the store is down'))
    await expect(read()).rejects.toThrow('the store is down')
    answer = async () => ok('first')
    expect(await read()).toBe('first')
  })
})

describe('many at once', () => {
  test('share one call', async () => {
    let release = (): void => undefined
    answer = () => new Promise((resolve) => (release = () => resolve(ok('first'))))
    const all = Promise.all(Array.from({ length: 50 }, read))
    release()
    expect(new Set(await all)).toEqual(new Set(['first']))
    expect(asked).toHaveLength(1)
  })

  test('do not wait for a call that never ends', async () => {
    answer = () => new Promise(() => undefined)
    void read()
    nowMs += 15_000
    answer = async () => ok('first')
    expect(await read()).toBe('first')
  })
})

describe('a doubted secret', () => {
  beforeEach(async () => {
    await read()
    nowMs += 5_000
    asked.length = 0
  })

  test('is asked for again, once in five seconds', async () => {
    for (let i = 0; i < 100; i++, nowMs += 49) {
      cache.doubt(QUESTION)
      await read()
    }
    expect(asked).toHaveLength(1)
    nowMs += 100
    cache.doubt(QUESTION)
    await read()
    expect(asked).toHaveLength(2)
  })

  test('is not asked for within five seconds of the last time', async () => {
    nowMs -= 1
    cache.doubt(QUESTION)
    expect(await read()).toBe('first')
    expect(asked).toEqual([])
  })

  test('serves on within its minute while AWS does not answer, and no longer', async () => {
    answer = async () => fail(DOWN)
    cache.doubt(QUESTION)
    expect(await read()).toBe('first')
    nowMs += 54_999
    expect(await read()).toBe('first')
    nowMs += 1
    expect(await read()).toBe('unavailable')
  })

  test.each(['not_found', 'refused'] as const)('serves no more once AWS says %s', async (kind) => {
    answer = async () => fail(fault(kind))
    cache.doubt(QUESTION)
    expect(await read()).toBe(kind)
  })

  test('that was never read costs nothing', async () => {
    cache.doubt({ ...QUESTION, id: 'other' })
    expect(asked).toEqual([])
  })
})
