import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  intersectPatterns,
  objectMatches,
  patternMistake,
} from '../../functions/core/object-pattern.ts'

const segment = fc.constantFrom('a', 'b', '', 'GET')
const wild = fc.constantFrom('a', 'b', '', '*', 'GET')
const tail = fc.constantFrom([], ['**'])
const method = fc.constantFrom('GET', 'POST')
const anyMethod = fc.constantFrom('GET', 'POST', '*')

const dotted = (parts: readonly string[]) => parts.join('.')
const path = (verb: string, parts: readonly string[]) => `${verb} ${parts.join('/')}`
const object = fc.oneof(
  fc.array(segment, { minLength: 1, maxLength: 4 }).map(dotted),
  fc.tuple(method, fc.array(segment, { maxLength: 4 })).map(([m, s]) => path(m, s)),
)
const pattern = fc.oneof(
  fc.constantFrom('*', '**'),
  fc
    .tuple(fc.array(wild, { minLength: 1, maxLength: 3 }), tail)
    .map(([parts, end]) => dotted([...parts, ...end])),
  fc
    .tuple(anyMethod, fc.array(wild, { maxLength: 3 }), tail)
    .map(([m, parts, end]) => path(m, [...parts, ...end])),
)

describe('object patterns', () => {
  test.each([
    ['GET /v1/customers/*', 'GET /v1/customers/7', true],
    ['GET /v1/customers/*', 'GET /v1/customers', false],
    ['GET /v1/customers/*', 'GET /v1/customers/', false],
    ['GET /v1/customers/*', 'GET /v1/customers/7/notes', false],
    ['GET /v1/customers/*', 'POST /v1/customers/7', false],
    ['GET /v1/**', 'GET /v1/a/b', true],
    ['GET /v1/**', 'GET /v1', false],
    ['GET /**', 'GET /', true],
    ['* /v1/a', 'DELETE /v1/a', true],
    ['*', 'DELETE /v1/a', true],
    ['**', 'public.orders', true],
    ['public.*', 'public.orders', true],
    ['public.*', 'public.orders.id', false],
    ['public.*', 'private.orders', false],
    ['GET /v1/a', 'get /v1/a', false],
    ['GET /v1/a', 'GET /v1/A', false],
    ['GET /v1/é', 'GET /v1/e\u0301', false],
  ])('RA-04 %s on %s is %s: byte-exact, segment by segment', (wide, narrow, expected) => {
    expect(objectMatches(wide, narrow)).toBe(expected)
  })

  test('a dotted pattern never matches a path, nor a path pattern a name', () => {
    expect(objectMatches('GET.**', 'GET /v1/a')).toBe(false)
    expect(objectMatches('*.*', 'GET x')).toBe(false)
    expect(objectMatches('* **', 'public.orders')).toBe(false)
    expect(intersectPatterns('GET.**', 'GET /**')).toBe(null)
  })

  test('a wildcard in an object is a character, not a wildcard', () => {
    expect(objectMatches('GET /v1/a', 'GET /v1/*')).toBe(false)
    expect(objectMatches('GET /v1/a', '*')).toBe(false)
  })

  test('an intersection matches exactly the objects that both patterns match', () => {
    fc.assert(
      fc.property(pattern, pattern, object, (left, right, one) => {
        const both = objectMatches(left, one) && objectMatches(right, one)
        const intersection = intersectPatterns(left, right)
        expect(intersection !== null && objectMatches(intersection, one)).toBe(both)
      }),
      { numRuns: 20_000 },
    )
  })

  test('an intersection is a pattern that would be accepted', () => {
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        fc.pre(patternMistake(left) === null && patternMistake(right) === null)
        const intersection = intersectPatterns(left, right)
        expect(intersection === null ? null : patternMistake(intersection)).toBe(null)
      }),
    )
  })

  test('an intersection does not depend on the order, and of a pattern with itself is itself', () => {
    fc.assert(
      fc.property(pattern, pattern, object, (left, right, one) => {
        const matches = (found: string | null) => found !== null && objectMatches(found, one)
        expect(matches(intersectPatterns(left, right))).toBe(
          matches(intersectPatterns(right, left)),
        )
        expect(matches(intersectPatterns(left, left))).toBe(objectMatches(left, one))
      }),
    )
  })

  test.each([
    '',
    'GET /a*b',
    'GET /**/a',
    'a.**.b',
    'GET /a\u0000',
    'a\tb',
    'a\ud800',
    'a'.repeat(1025),
  ])('JW-09 %j is refused as a pattern', (text) => expect(patternMistake(text)).not.toBe(null))

  test.each(['*', '**', 'GET /**', 'GET /v1/*/notes', 'public.orders', 'arn:aws:s3:::bucket'])(
    '%s is a pattern',
    (text) => expect(patternMistake(text)).toBe(null),
  )
})
