import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MaskRule } from '../../functions/core/policy.ts'
import { editJson } from '../../functions/targets/json-edit.ts'
import { parseJsonPath } from '../../functions/targets/json-path.ts'
import { compileMask, maskBody } from '../../functions/targets/mask.ts'
import { patternMistake } from '../../functions/targets/mask-pattern.ts'

function masked(
  rules: readonly MaskRule[],
  text: string,
  type = 'application/json',
): string | null {
  const mask = compileMask(rules)
  if (mask === null) throw new Error('no rules')
  return maskBody(mask, type, new TextEncoder().encode(text))?.text ?? null
}

const ssn: readonly MaskRule[] = [{ json_path: '$..ssn' }]

describe('a mask by json_path', () => {
  test('takes the value out wherever the path selects it', () => {
    const text = '{"ssn":"1","a":[{"ssn":{"x":[1,2]}},{"b":{"ssn":7}}],"n":"ssn"}'
    expect(masked(ssn, text)).toBe(
      '{"ssn":"[masked]","a":[{"ssn":"[masked]"},{"b":{"ssn":"[masked]"}}],"n":"ssn"}',
    )
  })

  test('takes out every occurrence of a member that comes twice', () => {
    expect(masked(ssn, '{"ssn":"1","ssn":"2"}')).toBe('{"ssn":"[masked]","ssn":"[masked]"}')
  })

  test('knows a name by what it says and not by how it is escaped', () => {
    expect(masked(ssn, '{"s\\u0073n":"1"}')).toBe('{"s\\u0073n":"[masked]"}')
  })

  test('leaves every digit, space and member name of the rest as it was written', () => {
    const text = ' {"big": 12345678901234567890.10e+2,\n "__proto__": {"ssn":1}, "e":1.0 } '
    expect(masked(ssn, text)).toBe(text.replace('{"ssn":1}', '{"ssn":"[masked]"}'))
  })

  test.each([
    ["$['a']['b c']", '{"a":{"b c":1,"d":2}}', '{"a":{"b c":"[masked]","d":2}}'],
    ['$["a","d"]', '{"a":1,"c":2,"d":3}', '{"a":"[masked]","c":2,"d":"[masked]"}'],
    ['$.a[1]', '{"a":[1,2,3]}', '{"a":[1,"[masked]",3]}'],
    ['$.*.k', '{"x":{"k":1},"y":[{"k":2}]}', '{"x":{"k":"[masked]"},"y":[{"k":2}]}'],
    ['$[*].k', '[{"k":1},{"j":2}]', '[{"k":"[masked]"},{"j":2}]'],
    ['$..a..b', '{"a":{"x":{"b":1}},"b":2}', '{"a":{"x":{"b":"[masked]"}},"b":2}'],
    ['$..a.b', '{"a":{"a":{"b":1}}}', '{"a":{"a":{"b":"[masked]"}}}'],
    ['$..[0]', '{"a":[1,[2,3]]}', '{"a":["[masked]",["[masked]",3]]}'],
    ['$..*', '[{"a":1}]', '["[masked]"]'],
    ["$['it\\'s']", '{"it\'s":1}', '{"it\'s":"[masked]"}'],
  ])('%s selects as RFC 9535 says', (path, text, expected) => {
    expect(masked([{ json_path: path }], text)).toBe(expected)
  })

  test.each([
    '',
    'a',
    '$',
    '$.',
    '$..',
    '$a',
    '$[',
    '$[]',
    '$[-1]',
    '$[1:2]',
    '$[?@.a]',
    "$['a",
    "$['\\x']",
    '$.a b',
    '$.[0]',
    `$${'.a'.repeat(31)}`,
  ])('the path %j is refused when it is saved', (path) => {
    expect(parseJsonPath(path)).toHaveProperty('mistake')
  })

  test('replaces with what the rule says', () => {
    expect(masked([{ json_path: '$.a', with: '"x"' }], '{"a":1}')).toBe('{"a":"\\"x\\""}')
  })

  test('G-9 refuses what it cannot read for certain', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    for (const text of [
      '{"a":1',
      '{"a":1}{"ssn":2}',
      "{'ssn':1}",
      '{"ssn":1,}',
      'NaN',
      '{"a":"\u0001"}',
      '[01]',
      '{"a" 1}',
      deep,
      '',
      ' ',
    ]) {
      expect(text === '' ? null : masked(ssn, text)).toBe(null)
    }
  })

  test.each([
    'text/html',
    'text/event-stream',
    'application/octet-stream',
    'application/json; charset=utf-16',
    'application/json, text/plain',
    '',
  ])('refuses an answer of type %j, which it cannot look into', (type) => {
    expect(masked(ssn, '{"ssn":1}', type)).toBe(null)
  })

  test('refuses bytes that are not UTF-8', () => {
    const mask = compileMask(ssn)
    expect(mask && maskBody(mask, 'application/json', Uint8Array.of(0x22, 0xff, 0x22))).toBe(null)
  })

  test('masks JSON of any media type that ends in +json', () => {
    expect(masked(ssn, '{"ssn":1}', 'application/problem+json; charset="utf-8"')).toBe(
      '{"ssn":"[masked]"}',
    )
  })

  test('accepts exactly what JSON.parse accepts, and changes nothing it does not select', () => {
    const json = fc.json({ maxDepth: 6 })
    const broken = fc
      .tuple(json, fc.nat(), fc.constantFrom('"', ',', '}', '0', '\\', 'e', ''))
      .map(
        ([text, at, c]) =>
          text.slice(0, at % (text.length + 1)) + c + text.slice((at % (text.length + 1)) + 1),
      )
    const nothing = { paths: [], patterns: [] }
    fc.assert(
      fc.property(fc.oneof(json, broken), (text) => {
        let isJson = true
        try {
          JSON.parse(text)
        } catch {
          isJson = false
        }
        expect(editJson(text, nothing)?.text).toBe(isJson ? text : undefined)
      }),
      { numRuns: 2000 },
    )
  })

  test('a member of that name is never left, wherever it is', () => {
    const trees = fc.letrec<{ tree: unknown }>((again) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.integer(),
        fc.array(again('tree'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('ssn', 'a', 'b'), again('tree'), { maxKeys: 3 }),
      ),
    }))
    fc.assert(
      fc.property(trees.tree, (tree) => {
        const expected = JSON.stringify(tree, (name, value: unknown) =>
          name === 'ssn' ? '[masked]' : value,
        )
        expect(masked(ssn, JSON.stringify(tree))).toBe(expected)
      }),
    )
  })
})

describe('a mask by pattern', () => {
  const cards: readonly MaskRule[] = [{ pattern: '\\b[0-9]{16}\\b', with: '****' }]

  test('takes matches out of strings, member names and numbers', () => {
    expect(
      masked(cards, '{"4111111111111111":"x 4111111111111111 y","n":4111111111111111,"k":12}'),
    ).toBe('{"****":"x **** y","n":"****","k":12}')
  })

  test('sees through the escapes of a string', () => {
    expect(masked([{ pattern: 'a@b' }], '["a\\u0040b"]')).toBe('["[masked]"]')
  })

  test('puts its replacement in as it is written', () => {
    expect(masked([{ pattern: '(a)', with: '$1\\1' }], '["a"]')).toBe('["$1\\\\1"]')
  })

  test('works on text, unless a path is asked for as well', () => {
    expect(masked(cards, 'no 4111111111111111', 'text/plain')).toBe('no ****')
    expect(masked([...cards, ...ssn], 'no 4111111111111111', 'text/plain')).toBe(null)
  })

  test('a string that backtracking engines would hang on takes linear time', () => {
    const text = JSON.stringify([`${'a'.repeat(50_000)}!`])
    expect(masked([{ pattern: '(a+)+$' }], text)).toBe(text)
  })

  test('reads strings of megabytes', () => {
    for (const part of ['a', '\\n', 'é']) {
      const text = `["${part.repeat(3_000_000)}"]`
      expect(masked(ssn, text)).toBe(text)
    }
  })

  test.each(['', 'a*', '(', '(?=a)', '(a)\\1', 'a'.repeat(513)])(
    '%j is refused when it is saved',
    (pattern) => {
      expect(patternMistake(pattern)).not.toBe(null)
    },
  )
})
