// Canonical JSON: the text that every hash of the audit chain is taken over.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../functions/core/audit.ts'
import type { JsonObject, JsonValue } from '../../functions/core/identity.ts'

/** RFC 8785 §3.2.3 as plainly as it can be written. */
function plainly(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((item: JsonValue) => plainly(item)).join(',')}]`
  const object = value as JsonObject
  const names = Object.keys(object).toSorted()
  return `{${names.map((name) => `${JSON.stringify(name)}:${plainly(object[name] ?? null)}`).join(',')}}`
}

describe('canonical JSON (RFC 8785)', () => {
  test('is the same text whatever the order of the members, however many there are', () => {
    for (const count of [0, 1, 2, 23, 24, 25, 26, 200]) {
      const names = Array.from({ length: count }, (_, index) => `m${(index * 7919) % 1009}`)
      const forwards = Object.fromEntries(names.map((name) => [name, name]))
      const backwards = Object.fromEntries(names.toReversed().map((name) => [name, name]))
      expect(canonicalJson(forwards)).toBe(canonicalJson(backwards))
      expect(canonicalJson(forwards)).toBe(plainly(forwards))
    }
  })

  test('sorts by UTF-16 code units, as RFC 8785 §3.2.3 shows', () => {
    const example = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    }
    const order = [...canonicalJson(example).matchAll(/:"([^"]+)"/g)].map(([, text]) => text)
    expect(order).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ])
  })

  test('agrees with the plain reading of the rule for any value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        // What fast-check makes as JSON is JSON.
        const json = value as JsonValue
        expect(canonicalJson(json)).toBe(plainly(json))
      }),
    )
  })

  test('leaves out members that are undefined', () => {
    const facts: Record<string, unknown> = { b: undefined, a: 1, c: [] }
    expect(canonicalJson(facts as JsonObject)).toBe('{"a":1,"c":[]}')
  })
})
