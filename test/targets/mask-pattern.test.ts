// Where a mask's pattern matches, compared with two engines that know it on their own.
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { describe, expect, test } from 'vitest'
import { compilePattern, replaceAll } from '../../functions/targets/mask-pattern.ts'

type Span = readonly [start: number, end: number]

function ours(pattern: string, text: string): readonly Span[] {
  const { find } = compilePattern(pattern)
  const spans: Span[] = []
  for (let match = find(text, 0); match !== null; match = find(text, match.end)) {
    spans.push([match.start, match.end])
  }
  return spans
}

function re2js(pattern: string, text: string): readonly Span[] {
  const matcher = RE2JS.compile(pattern).matcher(text)
  const spans: Span[] = []
  while (matcher.find()) spans.push([matcher.start(), matcher.end()])
  return spans
}

function native(pattern: string, text: string): readonly Span[] {
  return [...text.matchAll(new RegExp(pattern, 'gu'))].map(({ index, 0: { length } }) => [
    index,
    index + length,
  ])
}

const isEmpty = ([start, end]: Span) => start === end

/** Small alphabets, so that most texts have matches, near-matches and overlaps. */
const text = fc
  .array(fc.constantFrom('a', 'b', 'c', 'A', '_', '7', ' ', '\n', 'é', '😀', '\u{1F601}'), {
    maxLength: 40,
  })
  .map((parts) => parts.join(''))

const BOTH = ['a', 'b', 'ab', 'abc', 'é', '😀', '.', '[ab]', '[^a]', '[a-c7]', '\\d', '\\w', ' ']
const EDGES = ['^', '$', '\\b', '\\B']
const RE2_ONLY = ['(?i:a)', '(?i:é)', '(?s:.)', '(?m:^)', '(?m:$)', '\\A', '\\z', '\\pL', '(?i:K)']

/** Every way to combine `atoms`; greedy and lazy, nested, counted. Each repetition begins with `head`. */
function patternOf(atoms: readonly string[], head = ''): fc.Arbitrary<string> {
  const { pattern } = fc.letrec<{ pattern: string }>((again) => ({
    pattern: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.constantFrom(...atoms),
      fc.tuple(again('pattern'), again('pattern')).map(([left, right]) => left + right),
      fc.tuple(again('pattern'), again('pattern')).map(([left, right]) => `(?:${left}|${right})`),
      fc
        .tuple(again('pattern'), fc.constantFrom('*', '+', '?', '*?', '+?', '??', '{2}', '{1,3}?'))
        .map(([inner, times]) => `(${head}${inner})${times}`),
    ),
  }))
  return pattern
}

describe('the matches of a pattern', () => {
  test('are those that another RE2 engine finds', () => {
    let compared = 0
    fc.assert(
      fc.property(patternOf([...BOTH, ...EDGES, ...RE2_ONLY]), text, (pattern, input) => {
        const expected = re2js(pattern, input)
        // An empty match takes the place of one that masks something: another test's matter.
        fc.pre(!expected.some(isEmpty))
        if (expected.length > 0) compared++
        expect(ours(pattern, input)).toEqual(expected)
      }),
      { numRuns: 5000, maxSkipsPerRun: 20 },
    )
    expect(compared).toBeGreaterThan(1000)
  })

  test('are those that the regular expressions of the language find', () => {
    // ECMAScript takes no empty turn of a repetition, RE2 does; so none is offered here.
    const patterns = patternOf([...BOTH, ...EDGES], '[ab]')
    let compared = 0
    fc.assert(
      fc.property(patterns, text, (pattern, input) => {
        const expected = native(pattern, input)
        fc.pre(!expected.some(isEmpty))
        if (expected.length > 0) compared++
        expect(ours(pattern, input)).toEqual(expected)
      }),
      { numRuns: 3000, maxSkipsPerRun: 20 },
    )
    expect(compared).toBeGreaterThan(500)
  })

  test('are never missed by the quick look whether there are any', () => {
    fc.assert(
      fc.property(patternOf([...BOTH, ...EDGES, ...RE2_ONLY]), text, (pattern, input) => {
        const found = compilePattern(pattern).find(input, 0)
        if (found !== null) expect(compilePattern(pattern).test(input)).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })

  test.each([
    ['a|ab', 'ab', [[0, 1]]],
    ['ab|a', 'ab', [[0, 2]]],
    ['b|abc', 'abc', [[0, 3]]],
    [
      'a+?',
      'aaa',
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    ],
    ['(?i)straße', 'STRAßE', [[0, 6]]],
    ['(?i)k', '\u212a', [[0, 1]]],
    ['^a', 'aa', [[0, 1]]],
    [
      '(?m)^a$',
      'a\nb\na',
      [
        [0, 1],
        [4, 5],
      ],
    ],
    ['.', '\ud83d', [[0, 1]]],
    ['[\\x{1F600}-\\x{1F64F}]', 'x😀y', [[1, 3]]],
  ] as const)('%j in %j are %j', (pattern, input, expected) => {
    expect(ours(pattern, input)).toEqual(expected)
  })

  test('an empty match does not stand in the way of one that masks something', () => {
    expect(ours('\\b|secret', 'a secret')).toEqual([[2, 8]])
    expect(ours('\\d*?\\b', '123')).toEqual([[0, 3]])
  })

  test('a pattern whose states are too many for the quick look is found all the same', () => {
    const pattern = '[ab]*a[ab]{12}c'
    const word = Array.from({ length: 4000 }, (_, i) => ((i * i) % 7 > 2 ? 'a' : 'b')).join('')
    expect(ours(pattern, `${word}c`)).toEqual(re2js(pattern, `${word}c`))
  })
})

describe('a text that makes every match read on to its end', () => {
  const mask = [{ pattern: compilePattern('secret(?:.*END)?'), replacement: '*' }]

  test('is masked match by match while that is cheap', () => {
    expect(replaceAll(mask, 'secret a secret b')).toEqual({ text: '* a * b', count: 2 })
  })

  test('is masked as a whole from where that is not', () => {
    const { text: masked, count } = replaceAll(mask, 'secret '.repeat(5_000))
    expect(count).toBeLessThan(100)
    expect(masked).toBe('* '.repeat(count).trimEnd())
  })
})
