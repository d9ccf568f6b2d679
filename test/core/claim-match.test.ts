import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  claimAt,
  claimMatches,
  claimNameMistake,
  globMatches,
  globMistake,
  matcherMistake,
} from '../../functions/core/claim-match.ts'
import type { JsonObject, JsonValue } from '../../functions/core/identity.ts'
import { parseStrictJson } from '../../functions/core/json.ts'
import type { ClaimMatcher } from '../../functions/core/policy.ts'

describe('matchers', () => {
  const rows: readonly (readonly [JsonValue, ClaimMatcher, boolean])[] = [
    ['a', 'a', true],
    ['a', 'A', false],
    ['a', 'a ', false],
    ['é', 'e\u0301', false],
    [20.9, 20, false],
    [20, 20, true],
    ['20', 20, false],
    [20, '20', false],
    [9007199254740993, 9007199254740992, false],
    [true, true, true],
    ['true', true, false],
    [true, 'true', false],
    [1, true, false],
    ['', '', true],
    [null, 'null', false],
    [null, '', false],
    [{}, '', false],
    [{ glob: 'a' }, 'a', false],
    [['a', 'b'], 'b', true],
    [['a', 'b'], 'c', false],
    [[], '', false],
    [[['a']], 'a', false],
    [[null], 'null', false],
    ['a', ['b', 'a'], true],
    ['1', ['b', 1], false],
    [['x', 'b'], ['b', 'a'], true],
    [['acme/x'], { glob: 'acme/*' }, true],
    [7, { glob: 'acme/*' }, false],
  ]
  it.each(rows)('JW-07 claim %j against %j is %s', (claim, matcher, expected) => {
    expect(claimMatches({ claim }, 'claim', matcher)).toBe(expected)
  })

  it('JW-07 POL-1 a claim that is missing matches nothing', () => {
    for (const matcher of ['', 'undefined', false, ['']] as readonly ClaimMatcher[]) {
      expect(claimMatches({}, 'claim', matcher)).toBe(false)
    }
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '/constructor/name'])(
    'POL-1 %s is a claim only where the token has it',
    (name) => {
      expect(claimAt({}, name)).toBeUndefined()
      expect(claimAt({ a: [] }, '/a/length')).toBeUndefined()
    },
  )

  it('POL-1 a claim named __proto__ is an ordinary one', () => {
    const parsed = parseStrictJson('{"__proto__":"x"}')
    expect(parsed.ok && claimMatches(parsed.value as JsonObject, '__proto__', 'x')).toBe(true)
  })
})

describe('names of claims', () => {
  const claims: JsonObject = {
    'https://sts.amazonaws.com/': 'plain',
    'oidc.circleci.com/project-id': 'circle',
    'kubernetes.io': { serviceaccount: { uid: 'u1' } },
    'a/b': 'slash',
    'm~n': 'tilde',
    'x~1y': 'escaped',
    '': 'empty',
    list: ['zero', { deep: 'one' }],
  }
  it.each([
    ['https://sts.amazonaws.com/', 'plain'],
    ['oidc.circleci.com/project-id', 'circle'],
    ['/kubernetes.io/serviceaccount/uid', 'u1'],
    ['/a~1b', 'slash'],
    ['/m~0n', 'tilde'],
    ['/x~01y', 'escaped'],
    ['/', 'empty'],
    ['/list/0', 'zero'],
    ['/list/1/deep', 'one'],
  ])('%s finds %s', (name, expected) => {
    expect(claimNameMistake(name)).toBeNull()
    expect(claimAt(claims, name)).toBe(expected)
  })

  it.each(['kubernetes.io.serviceaccount', '/list/2', '/list/00', '/list/-', '/list/1e0', '/a/b'])(
    '%s finds nothing',
    (name) => {
      expect(claimAt(claims, name)).toBeUndefined()
    },
  )

  it.each(['', '/a~2b', '/a~', 'a\nb', 'x'.repeat(513), '/act/act/sub'])(
    'the malformed name %# is refused',
    (name) => {
      expect(claimNameMistake(name)).not.toBeNull()
    },
  )
})

describe('globs', () => {
  it.each([
    ['acme/*', 'acme/app', true],
    ['acme/*', 'acme/', false],
    ['acme/*', 'acme/app/x', false],
    ['acme/*', 'acme/app:x', false],
    ['acme/*', 'acme-evil/app', false],
    ['acme/*', 'acme:app', false],
    ['acme/*', 'xacme/app', false],
    ['acme/*', 'acme/..', false],
    ['acme/*', 'acme/a\nb', false],
    ['acme/**', 'acme/app', true],
    ['acme/**', 'acme/app/x:y', true],
    ['acme/**', 'acme/', false],
    ['acme/**', 'acme', false],
    ['acme/**', 'acme/x/../../evil', false],
    ['acme/**', 'acme//x', false],
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/app:ref:refs/heads/main', true],
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/app:ref:refs/heads/mainx', false],
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/app:ref:refs/heads/main\n', false],
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/app:environment:x:ref:refs/heads/main', false],
    ['repo:acme/*:**', 'repo:acme/app:environment:prod', true],
    ['repo:acme@*', 'repo:acme@1', true],
    ['refs/heads/release-*', 'refs/heads/release-1', true],
    ['refs/heads/release-*', 'refs/heads/release-', false],
    ['refs/heads/release-*', 'refs/heads/release', false],
    ['refs/heads/release-*', 'refs/heads/release-1/x', false],
    ['acme/*-prod', 'acme/app-prod', true],
    ['acme/*-prod', 'acme/-prod', false],
    ['acme/a*a', 'acme/a', false],
    ['acme/a*a', 'acme/aba', true],
    ['acme/literal', 'acme/literal', true],
    ['acme/*', 'acme/*', true],
    ['acme/x', 'acme/*', false],
  ])('JW-09 RB-12 %s against %j is %s', (glob, value, expected) => {
    expect(globMatches(glob, value)).toBe(expected)
  })

  it.each([
    'acme/*',
    'acme/**',
    'repo:acme/*:ref:**',
    'organization:acme:pipeline:*',
    'acme',
    'a:b',
  ])('POL-4 %s is safe', (glob) => {
    expect(globMistake(glob)).toBeNull()
  })

  it.each([
    '*',
    '**',
    '*foo',
    'foo*',
    '*/x',
    '*:x',
    '/*',
    ':*',
    'repo:*',
    'repo:**',
    'repo:acme*',
    'repo:*/x',
    'repo:/x*',
    'https://*',
    'https://*.example/x',
  ])('POL-4 RB-12 %s is open, and unsafe', (glob) => {
    expect(globMistake(glob)?.code).toBe('unsafe')
  })

  it.each(['', 'a/**/b', 'a/b**', 'a/*x*', 'a/***', 'a/\u0000', 'x'.repeat(2049)])(
    'POL-4 the malformed glob %# is refused',
    (glob) => {
      expect(globMistake(glob)?.code).toBe('format')
    },
  )

  it('POL-4 what a safe glob matches begins with its literal part up to the delimiter', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'b', '/', ':', '*', '.', '-'),
      maxLength: 14,
    })
    fc.assert(
      fc.property(text, text, (glob, value) => {
        if (globMistake(glob) !== null || !globMatches(glob, value)) return
        const star = glob.indexOf('*')
        if (star === -1) expect(value).toBe(glob)
        else expect(value.startsWith(glob.slice(0, star))).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })

  it('POL-2 a long value against many wildcards takes one pass', () => {
    const glob = `a/${'b*/'.repeat(600)}**`
    expect(globMatches(glob, `a/${'b'.repeat(8192)}`)).toBe(false)
    expect(globMatches(glob, `a/${'bx/'.repeat(600)}y`)).toBe(true)
  })
})

describe('matchers as they are written', () => {
  it.each([['a'], [1], [1.5], [true], [['a', 1, true]], [{ glob: 'a/*' }], ['']])(
    '%j is one',
    (matcher) => {
      expect(matcherMistake(matcher)).toBeNull()
    },
  )

  it.each([
    [null],
    [[]],
    [[null]],
    [[['a']]],
    [[{ glob: 'a/*' }]],
    [{}],
    [{ glob: 1 }],
    [{ glob: 'a/*', regex: 'b' }],
    [{ regex: '.*' }],
    [2 ** 53],
    ['x'.repeat(2049)],
    [Array.from({ length: 257 }, (_, i) => i)],
  ])('what is not a matcher, %#, is refused', (matcher: JsonValue) => {
    expect(matcherMistake(matcher)).not.toBeNull()
  })
})
