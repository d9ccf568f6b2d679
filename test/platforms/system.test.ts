// Ids and hashes as every runtime makes them.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { randomIds, sha256Hashing } from '../../functions/platforms/system.ts'

describe('ids', () => {
  test('hold 128 random bits each: no two of many share their random part', () => {
    const randomParts = Array.from({ length: 5000 }, () => randomIds.fresh('ses').slice(-22))
    expect(new Set(randomParts).size).toBe(randomParts.length)
    expect(randomParts.every((part) => /^[A-Za-z0-9_-]{22}$/.test(part))).toBe(true)
  })

  test('begin with their prefix and a time that sorts, so that indexes grow at their end', () => {
    const first = randomIds.fresh('evt')
    expect(first).toMatch(/^evt_[0-9a-v]{9}[A-Za-z0-9_-]{22}$/)
    const times = Array.from({ length: 300 }, () => randomIds.fresh('evt').slice(4, 13))
    expect(times.toSorted()).toEqual(times)
    expect(Number.parseInt(first.slice(4, 13), 32)).toBeLessThanOrEqual(Date.now())
  })
})

test('a hash is SHA-256 of the UTF-8 text, in lower-case hex', () => {
  for (const text of ['', 'abc', 'Grüße, 世界 \u{1f600}', '\ud800', 'x'.repeat(100_000)]) {
    const expected = createHash('sha256').update(text, 'utf8').digest('hex')
    expect(sha256Hashing.sha256Hex(text)).toBe(expected)
  }
})
