import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isJsonObject, parseStrictJson } from '../../functions/core/json.ts'

function faultOf(text: string): string | null {
  const parsed = parseStrictJson(text)
  return parsed.ok ? null : parsed.failure.reason
}

function valueOf(text: string): unknown {
  const parsed = parseStrictJson(text)
  if (!parsed.ok) throw new Error(parsed.failure.reason)
  return parsed.value
}

describe('parseStrictJson', () => {
  it.each([
    '{"sub":"a","sub":"b"}',
    '{"a":{"b":[{"x":1,"x":1}]}}',
    '{"sub":"a","s\\u0075b":"b"}',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
  ])('RB-10: refuses duplicate member names at any depth and in any spelling: %s', (text) => {
    expect(faultOf(text)).toBe('duplicate_member')
  })

  it('RB-10: says where the second member is', () => {
    const parsed = parseStrictJson('{"a":1, "a":2}')
    expect(parsed).toEqual({ ok: false, failure: { reason: 'duplicate_member', at: 8 } })
  })

  it.each(['1e400', '-1e400', '[1e309]', '{"exp":1e999999}'])(
    'JB-11: refuses numbers that are not finite: %s',
    (text) => {
      expect(faultOf(text)).toBe('number')
    },
  )

  it.each([
    '',
    ' ',
    '{',
    '}',
    '[',
    '[1',
    '[1,]',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
    '{"a"}',
    '{"a":}',
    '{,}',
    'nul',
    'tru',
    'True',
    'NaN',
    'Infinity',
    '-',
    '+1',
    '01',
    '1.',
    '.5',
    '1e',
    '0x1',
    '-01',
    '1 2',
    '{}{}',
    '[] x',
    '"',
    '"\\',
    '"\\"',
    '"\\x"',
    '"\\u12"',
    '"a\nb"',
    '"a\tb"',
    '"\\\n"',
    '\ufeff{}',
    '\u00a01',
    '/* */1',
    '1//',
    'undefined',
    '[1 2]',
    '{"a" 1}',
    '"\\ud800"',
    '"\ud800"',
    '"\\udc00\\ud800"',
  ])('refuses what RFC 8259 does not allow: %j', (text) => {
    expect(faultOf(text)).toBe('syntax')
  })

  it('G-9: stops at the depth cap, with arrays and objects counted alike', () => {
    const nested = (depth: number): string => `${'[{"a":'.repeat(depth)}1${'}]'.repeat(depth)}`
    expect(faultOf(nested(16))).toBeNull()
    expect(faultOf(`[${nested(16)}]`)).toBe('too_deep')
    expect(faultOf('['.repeat(100_000))).toBe('too_deep')
    expect(parseStrictJson('[[]]', { maxDepth: 1 }).ok).toBe(false)
    expect(parseStrictJson('1', { maxDepth: 0 }).ok).toBe(true)
    expect(faultOf(`[${Array.from({ length: 100 }, () => '[]').join()}]`)).toBeNull()
  })

  it('keeps __proto__, constructor and toString as plain members of objects without prototype', () => {
    const value = valueOf('{"__proto__":{"admin":true},"constructor":1}')
    expect(isJsonObject(value as never)).toBe(true)
    expect(Object.getPrototypeOf(value)).toBeNull()
    expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor'])
    expect((value as { admin?: unknown }).admin).toBeUndefined()
    expect((valueOf('{}') as { toString?: unknown }).toString).toBeUndefined()
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
  })

  it('SP-07: returns integers beyond 2^53 as their digits where that is asked for', () => {
    const text = '[9007199254740991, 9007199254740993, -9007199254740993, 1e17, 0]'
    expect(parseStrictJson(text, { unsafeIntegersAsText: true })).toEqual({
      ok: true,
      value: [9007199254740991, '9007199254740993', '-9007199254740993', 1e17, 0],
    })
  })

  it('reads every value that JSON.stringify writes, and means the same by it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        if (/\\ud[89a-f]/.test(text)) return
        expect(JSON.stringify(valueOf(text))).toBe(JSON.stringify(JSON.parse(text)))
      }),
    )
  })

  it('never accepts a text that JSON.parse refuses, nor reads it differently', () => {
    const scraps = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'u0041',
      '-',
      '0',
      '1',
      '.',
      'e',
      '+',
      'true',
      'null',
      ' ',
      '\n',
      '\u0000',
      '"a"',
      '"__proto__"',
      '\ud83d\ude00',
      '\ud83d',
    )
    fc.assert(
      fc.property(fc.array(scraps, { maxLength: 12 }), (parts) => {
        const text = parts.join('')
        const parsed = parseStrictJson(text)
        if (parsed.ok) expect(JSON.stringify(parsed.value)).toBe(JSON.stringify(JSON.parse(text)))
      }),
      { numRuns: 5_000 },
    )
  })
})
