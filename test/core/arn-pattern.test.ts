import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arnCovers,
  arnMistake,
  arnTemplateMistake,
  expandClaims,
  intersectArns,
} from '../../functions/core/arn-pattern.ts'
import { narrowGrants } from '../../functions/core/grants.ts'
import type { JsonValue } from '../../functions/core/identity.ts'
import {
  intersectPatterns,
  objectMatches,
  patternMistake,
} from '../../functions/core/object-pattern.ts'
import { formatScope, parseScope } from '../../functions/core/scope.ts'

const LITERALS = ['a', 'b', '/', '$', '{', '}', '.']
const literal = fc.constantFrom(...LITERALS, ':')
const wild = fc.constantFrom(...LITERALS, ':', '*', '*', '?', '?', '${*}', '${?}', '${$}')
const region = fc.constantFrom('', 'eu', '*', 'e*', '?u', 'us')
const account = fc.constantFrom('', '1', '12', '*', '1?')
const arnOf = (regions: fc.Arbitrary<string>, accounts: fc.Arbitrary<string>, parts: typeof wild) =>
  fc
    .tuple(
      fc.constantFrom('s3', 'sqs'),
      regions,
      accounts,
      fc.array(parts, { minLength: 1, maxLength: 6 }),
    )
    .map(([service, r, a, p]) => `arn:aws:${service}:${r}:${a}:${p.join('')}`)
const pattern = arnOf(region, account, wild).filter((text) => arnMistake(text) === null)
const concrete = arnOf(
  fc.constantFrom('', 'eu', 'us'),
  fc.constantFrom('', '1', '12'),
  literal,
).filter((text) => !text.includes('${'))

const fills = fc.array(fc.constantFrom('', 'a', 'b', '/a', 'ab', ':a', '$'), {
  minLength: 4,
  maxLength: 4,
})

/** An ARN that the pattern matches: its wildcards one after the other replaced. */
function filled(text: string, fill: readonly string[]): string {
  let at = 0
  return text.replace(/\$\{([*?$])\}|[*?]/g, (token, escaped: string | undefined) => {
    at += 1
    const next = fill[at % fill.length] ?? ''
    return escaped ?? (token === '*' ? next : next.slice(0, 1) || 'a')
  })
}

/** What IAM says of the two, by a regular expression; `*` within its part, or across all of them. */
function iamMatches(text: string, arn: string, any: '.' | '[^:]'): boolean {
  const parts = text.split(':')
  const source = parts.map((part, i) =>
    part.replace(/\$\{([*?$])\}|[^]/gu, (token, escaped: string | undefined) => {
      const one = i < 5 ? any : '.'
      if (escaped !== undefined) return `\\${escaped}`
      if (token === '*') return `${one}*`
      return token === '?' ? one : token.replace(/[$()*+.?[\\\]^{|}/]/g, '\\$&')
    }),
  )
  return new RegExp(`^${source.join(':')}$`, 'su').test(arn)
}

describe('ARN patterns', () => {
  test.each([
    ['arn:aws:s3:::reports/*', 'arn:aws:s3:::reports/2026/q1', true],
    ['arn:aws:s3:::reports/*', 'arn:aws:s3:::reports', false],
    ['arn:aws:s3:::reports/*', 'arn:aws:s3:::reports-old/x', false],
    ['arn:aws:s3:::report?', 'arn:aws:s3:::reports', true],
    ['arn:aws:s3:::report?', 'arn:aws:s3:::report', false],
    ['arn:aws:s3:::report?', 'arn:aws:s3:::report*', false],
    ['arn:aws:s3:::report*', 'arn:aws:s3:::report?', true],
    ['arn:aws:s3:::reports/*', 'arn:aws:s3:::reports/team-*', true],
    ['arn:aws:s3:::reports/team-*', 'arn:aws:s3:::reports/*', false],
    ['arn:aws:sqs:*:*:*', 'arn:aws:sqs:eu-west-1:1:q', true],
    ['arn:aws:sqs:*:*:*', 'arn:aws:s3:::q', false],
    ['arn:aws:sqs:eu-*:1:q', 'arn:aws:sqs:eu-west-1:1:q', true],
    ['arn:aws:sqs:eu-*:q', 'arn:aws:sqs:eu-west-1:1:q', false],
    ['arn:aws:lambda:*:1:function:f:*', 'arn:aws:lambda:eu-west-1:1:function:f:live', true],
    ['arn:aws:s3:::a${*}b', 'arn:aws:s3:::axb', false],
    ['arn:aws:s3:::a${*}b', 'arn:aws:s3:::a${*}b', true],
    ['arn:aws:s3:::a*b', 'arn:aws:s3:::a${*}b', true],
    ['arn:aws:s3:::a?b', 'arn:aws:s3:::a${?}b', true],
    ['arn:aws:s3:::a?b', 'arn:aws:s3:::a😀b', true],
    ['arn:aws:s3:::A', 'arn:aws:s3:::a', false],
    ['*', 'arn:aws:s3:::a', true],
    ['*.*', 'arn:aws:s3:::a.b', false],
    ['* **', 'arn:aws:s3:::a /b', false],
    ['arn:aws:s3:::*', 'GET /x', false],
    ['arn:aws:s3:::*', 'public.orders', false],
  ])('RA-04 %s on %s is %s', (wide, narrow, expected) => {
    expect(objectMatches(wide, narrow)).toBe(expected)
  })

  test('a concrete ARN is matched exactly where IAM matches it', () => {
    fc.assert(
      fc.property(pattern, concrete, (text, arn) => {
        expect(arnCovers(text, arn)).toBe(iamMatches(text, arn, '[^:]'))
      }),
      { numRuns: 5_000 },
    )
  })

  test.each(['.', '[^:]'] as const)(
    'an intersection matches no ARN that one of the two does not, where a wildcard is %s',
    (any) => {
      let found = 0
      fc.assert(
        fc.property(pattern, pattern, fills, (left, right, fill) => {
          // Two at random seldom meet: a pattern and a part or a relative of it do.
          for (const other of [right, left.replace(/[*?]/, 'a'), left.replace('a', '*')]) {
            const both = intersectArns(left, other)
            const arn = both === null ? '' : filled(both, fill)
            if (both === null || !iamMatches(both, arn, any)) continue
            found += 1
            expect(iamMatches(left, arn, any)).toBe(true)
            expect(iamMatches(other, arn, any)).toBe(true)
          }
        }),
        { numRuns: 10_000 },
      )
      expect(found).toBeGreaterThan(1000)
    },
  )

  test('what covers another matches all that the other matches', () => {
    fc.assert(
      fc.property(pattern, pattern, fills, (wide, narrow, fill) => {
        const arn = filled(narrow, fill)
        if (arnCovers(wide, narrow)) expect(iamMatches(wide, arn, '.')).toBe(true)
      }),
      { numRuns: 10_000 },
    )
  })

  test('an intersection is one of the two, the same in either order, and can be read', () => {
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        const both = intersectPatterns(left, right)
        if (both === null) return
        expect([left, right]).toContain(both)
        expect(patternMistake(both)).toBe(null)
        const other = intersectPatterns(right, left)
        expect(other !== null && arnCovers(other, both) && arnCovers(both, other)).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })

  test('neither of two that overlap is an answer: nothing is', () => {
    expect(intersectArns('arn:aws:s3:::a*', 'arn:aws:s3:::*b')).toBe(null)
    expect(intersectArns('arn:aws:s3:::a?', 'arn:aws:s3:::?b')).toBe(null)
    expect(intersectPatterns('arn:aws:s3:::*', '*.*')).toBe(null)
    expect(intersectPatterns('*', 'arn:aws:s3:::a')).toBe('arn:aws:s3:::a')
  })

  test('a long pattern of wildcards is answered at once', () => {
    const wide = `arn:aws:s3:::${'*a'.repeat(400)}`
    const narrow = `arn:aws:s3:::${'a'.repeat(900)}b`
    expect(arnCovers(wide, narrow)).toBe(false)
  })

  test.each([
    ['arn:aws:s3:::', 'resource'],
    ['arn:aws:s3', 'arn:partition'],
    ['arn:', 'arn:partition'],
    ['arn:*:s3:::a', 'partition'],
    ['arn:aws:*:::a', 'service'],
    ['arn:aws:s?:::a', 'service'],
    ['arn:aws:S3:::a', 'service'],
    ['arn:aws:s3:::${aws:username}', '${'],
    ['arn:aws:s3:::${claims.team}', '${'],
    ['arn:aws:s3:::${', '${'],
    ['arn:aws:s3:::a\u0000', 'control'],
    [`arn:aws:s3:::${'a'.repeat(1024)}`, '1024'],
  ])('%s is refused: %s', (text, word) => {
    expect(patternMistake(text)).toContain(word)
  })

  test('they are asked for and answered as a scope', () => {
    const granted = [{ effects: ['read'] as const, objects: ['arn:aws:s3:::r/*'] }]
    const asked = parseScope('read:arn:aws:s3:::r/team%20a/${*}*')
    const narrowed = narrowGrants(granted, asked.ok ? asked.value : null, undefined)
    expect(formatScope(narrowed)).toBe('read:arn:aws:s3:::r/team%20a/${*}*')
    const wider = parseScope('read:arn:aws:s3:::*')
    const kept = narrowGrants(granted, wider.ok ? wider.value : null, undefined)
    expect(formatScope(kept)).toBe('read:arn:aws:s3:::r/*')
    expect(parseScope('read:arn:aws:s3:::${claims.team}').ok).toBe(false)
  })
})

const expand = (object: string, claims: Record<string, JsonValue>, subject = null) =>
  expandClaims([{ effects: ['read'], objects: [object] }], { claims, subject })
const HOME = 'arn:aws:s3:::home/${claims.team}/*'

describe('claims in objects', () => {
  test.each([
    ['analytics', 'arn:aws:s3:::home/analytics/*'],
    ['a*', 'arn:aws:s3:::home/a${*}/*'],
    ['?', 'arn:aws:s3:::home/${?}/*'],
    ['a$b', 'arn:aws:s3:::home/a${$}b/*'],
    ['${aws:username}', null],
    ['${*}', 'arn:aws:s3:::home/${$}{${*}}/*'],
    ['..', 'arn:aws:s3:::home/../*'],
    ['é', 'arn:aws:s3:::home/é/*'],
    ['x'.repeat(256), `arn:aws:s3:::home/${'x'.repeat(256)}/*`],
    ['a/b', null],
    ['a:b', null],
    ['a"b', null],
    ["a'b", null],
    ['a\\b', null],
    ['a\nb', null],
    ['a\u0000b', null],
    ['a\u007fb', null],
    ['\ud800', null],
    ['', null],
    ['x'.repeat(257), null],
    ['x'.repeat(2000), null],
    [['analytics'], null],
    [7, null],
    [true, null],
    [null, null],
    [{ team: 'a' }, null],
  ] as const)('the claim %j grants %j', (team, object) => {
    const granted = expand(HOME, { team })
    expect(granted).toEqual(object === null ? [] : [{ effects: ['read'], objects: [object] }])
  })

  test('a claim never matches more than the one name that it is', () => {
    const text = fc.string({ unit: fc.constantFrom(...'a*?${}:/"\\.'), minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(text, concrete, (team, arn) => {
        const [grant] = expand('arn:aws:s3:::${claims.team}', { team })
        const [object] = grant?.objects ?? []
        if (object === undefined) return
        expect(arnMistake(object)).toBe(null)
        expect(iamMatches(object, arn, '.')).toBe(arn === `arn:aws:s3:::${team}`)
      }),
      { numRuns: 5_000 },
    )
  })

  test('a missing claim, or a name of a prototype, grants nothing', () => {
    for (const name of ['team', '__proto__', 'constructor', 'toString', '/a/b', 'hasOwnProperty']) {
      expect(expand(`arn:aws:s3:::\${claims.${name}}`, {})).toEqual([])
    }
  })

  test('the user acted for is not who acts, and nobody where there is none', () => {
    const grants = [{ effects: ['read'] as const, objects: ['arn:aws:s3:::${subject.email}'] }]
    const claims = { email: 'agent' }
    expect(expandClaims(grants, { claims, subject: null })).toEqual([])
    expect(expandClaims(grants, { claims, subject: { email: 'user' } })[0]?.objects).toEqual([
      'arn:aws:s3:::user',
    ])
  })

  test('a claim inside another is found by a JSON Pointer', () => {
    const claims = { 'kubernetes.io': { namespace: 'prod' } }
    const [grant] = expand('arn:aws:s3:::${claims./kubernetes.io/namespace}', claims)
    expect(grant?.objects).toEqual(['arn:aws:s3:::prod'])
  })

  test('one object that grants nothing leaves the others, and a grant of none is gone', () => {
    const both = { effects: ['read'] as const, objects: [HOME, 'arn:aws:s3:::shared/*'] }
    expect(expandClaims([both], { claims: {}, subject: null })).toEqual([
      { effects: ['read'], objects: ['arn:aws:s3:::shared/*'] },
    ])
  })

  test('objects of other targets are left as they are', () => {
    const objects = ['GET /v1/${claims.team}', 'public.orders', '*']
    const grants = [{ effects: ['read'] as const, objects }]
    expect(expandClaims(grants, { claims: { team: 'a' }, subject: null })).toBe(grants)
  })

  test.each([
    ['arn:aws:s3:::home/${claims.team}/*', true],
    ['arn:aws:s3:::${subject.email}', true],
    ['arn:aws:s3:::${claims./kubernetes.io/namespace}', true],
    ['arn:aws:s3:::${claims.}', false],
    ['arn:aws:s3:::${claims.team', false],
    ['arn:aws:s3:::${identity.team}', false],
    ['arn:aws:${claims.service}:::a', false],
  ])('%s may stand in a binding: %s', (template, allowed) => {
    expect(arnTemplateMistake(template) === null).toBe(allowed)
  })
})
