import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantsAllow, narrowGrants } from '../../functions/core/grants.ts'
import { formatScope, parseScope } from '../../functions/core/scope.ts'

describe('scope', () => {
  test('TX-13 items are an effect, or an effect on an object, percent-decoded once', () => {
    expect(parseScope('read:GET%20/v1/customers/* write read:public.orders')).toEqual({
      ok: true,
      value: [
        { effect: 'read', object: 'GET /v1/customers/*' },
        { effect: 'write', object: null },
        { effect: 'read', object: 'public.orders' },
      ],
    })
    expect(parseScope('read:GET%20/a%2520b')).toEqual({
      ok: true,
      value: [{ effect: 'read', object: 'GET /a%20b' }],
    })
    expect(parseScope('read:arn:aws:s3:::b')).toEqual({
      ok: true,
      value: [{ effect: 'read', object: 'arn:aws:s3:::b' }],
    })
  })

  test.each([
    ['another case', 'READ'],
    ['a quote', 'read:a"b'],
    ['a backslash', 'read:a\\b'],
    ['non-ASCII', 'read:é'],
    ['a line break', 'read\nwrite'],
    ['a tab', 'read\twrite'],
    ['a leading space', ' read'],
    ['a trailing space', 'read '],
    ['two spaces', 'read  write'],
    ['nothing', ''],
    ['an unknown effect', 'own'],
    ['an inherited name', 'constructor'],
    ['no object after the colon', 'read:'],
    ['a broken escape', 'read:a%2'],
    ['an escape that is not UTF-8', 'read:a%ff'],
    ['an encoded control character', 'read:a%00'],
    ['a wildcard inside a segment', 'read:a*b'],
    ['`**` inside', 'read:GET%20/**/a'],
    ['too many items', Array.from({ length: 101 }, (_, i) => `read:a${i}`).join(' ')],
    ['too long a text', `read:${'a.'.repeat(10_000)}`],
  ])('TX-13 %s is invalid_scope', (_, scope) => {
    expect(parseScope(scope)).toEqual({
      ok: false,
      failure: { kind: 'invalid_scope', reason: 'syntax' },
    })
  })

  test('the scope of grants is deterministic, each pair once', () => {
    const text = formatScope([
      { effects: ['write', 'read'], objects: ['POST /b', 'GET /a b', 'GET /é%"\\'] },
      { effects: ['read'], objects: ['GET /a b'] },
      { effects: ['send'], objects: ['*', 'x'] },
    ])
    expect(text).toBe(
      'read:GET%20/a%20b read:GET%20/%C3%A9%25%22%5C read:POST%20/b ' +
        'write:GET%20/a%20b write:GET%20/%C3%A9%25%22%5C write:POST%20/b send',
    )
  })

  test('what is formatted parses back to the same grants', () => {
    const object = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((text) => !/[*\p{Cc}\p{Surrogate}]/u.test(text))
    fc.assert(
      fc.property(fc.array(object, { minLength: 1, maxLength: 5 }), (objects) => {
        const grants = [{ effects: ['read', 'send'] as const, objects }]
        const parsed = parseScope(formatScope(grants))
        expect(parsed.ok).toBe(true)
        if (!parsed.ok) return
        const again = narrowGrants(
          [{ effects: ['read', 'send'], objects: ['*'] }],
          parsed.value,
          {},
        )
        for (const one of objects) expect(grantsAllow(again, ['read', 'send'], [one])).toBe(true)
      }),
    )
  })
})
