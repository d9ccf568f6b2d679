import { describe, expect, test } from 'vitest'
import { createSealer } from '../../functions/crypto/seal.ts'

const kek = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const sealer = (current: number, previous: number | null = null) =>
  createSealer({ kek: kek(current), kekPrevious: previous === null ? null : kek(previous) })

describe('seal', () => {
  test('opens what it sealed, byte for byte, whatever the text', async () => {
    const one = sealer(1)
    for (const text of ['', 'a', '\uFEFFbom first', 'ключ 🔑\n\0', 'x'.repeat(100_000)]) {
      const sealed = await one.seal('secret:crm', text)
      expect(await one.open('secret:crm', sealed)).toEqual({ plaintext: text, usedPrevious: false })
    }
  })

  test('a sealed row copied into the place of another does not open there', async () => {
    const one = sealer(1)
    const sealed = await one.seal('secret:cheap', 'canary')
    expect(await one.open('secret:expensive', sealed)).toBeNull()
    expect(await one.open('signing-key:cheap', sealed)).toBeNull()
    expect(await one.open('', sealed)).toBeNull()
  })

  test('no character of a sealed value can be changed', async () => {
    const one = sealer(1)
    const sealed = await one.seal('secret:crm', 'canary value')
    for (let i = 0; i < sealed.length; i++) {
      const other = sealed[i] === 'A' ? 'B' : 'A'
      const changed = sealed.slice(0, i) + other + sealed.slice(i + 1)
      expect(await one.open('secret:crm', changed), `position ${i}`).toBeNull()
    }
  })

  test('garbage, truncation and foreign versions do not open, and nothing is thrown', async () => {
    const one = sealer(1)
    const sealed = await one.seal('p', 'canary')
    const parts = sealed.split('.')
    for (const bad of [
      '',
      'canary',
      'v1...',
      sealed.slice(0, -4),
      `${parts[0]}.${parts[1]}.${parts[2]}.AAAA`,
      `v2.${parts.slice(1).join('.')}`,
      `${sealed}.`,
      `${sealed}\n`,
      ` ${sealed}`,
      sealed.replaceAll('-', '+'),
    ]) {
      if (bad !== sealed) expect(await one.open('p', bad), JSON.stringify(bad)).toBeNull()
    }
  })

  test('a KEK that was replaced opens what it sealed, and says so; a forgotten one does not', async () => {
    const sealed = await sealer(1).seal('p', 'canary')
    expect(await sealer(2, 1).open('p', sealed)).toEqual({
      plaintext: 'canary',
      usedPrevious: true,
    })
    expect(await sealer(2).open('p', sealed)).toBeNull()
    expect(await sealer(2, 3).open('p', sealed)).toBeNull()
  })

  test('a KEK named both current and previous counts as current', async () => {
    const sealed = await sealer(1).seal('p', 'canary')
    expect(await sealer(1, 1).open('p', sealed)).toEqual({
      plaintext: 'canary',
      usedPrevious: false,
    })
  })

  test('the same text sealed twice gives different values', async () => {
    const one = sealer(1)
    const all = await Promise.all(Array.from({ length: 50 }, () => one.seal('p', 'canary')))
    expect(new Set(all).size).toBe(50)
    expect(all.join(' ')).not.toContain('canary')
  })

  test('a KEK that is not 32 bytes is refused', () => {
    for (const length of [0, 16, 31, 33, 64]) {
      expect(() => createSealer({ kek: new Uint8Array(length), kekPrevious: null })).toThrow(
        RangeError,
      )
    }
    expect(() => createSealer({ kek: kek(1), kekPrevious: new Uint8Array(16) })).toThrow(RangeError)
  })
})
