import { describe, expect, it } from 'vitest'
import { celConditions } from '../../functions/conditions/cel.ts'
import { parseStrictJson } from '../../functions/core/json.ts'

const conditions = celConditions()
const NOW = 1_800_000_000

const facts = {
  claims: {
    sub: 'repo:acme/app:ref:refs/heads/main',
    iss: 'https://idp.example',
    level: 5,
    ratio: 1.5,
    admin: true,
    nothing: null,
    iat: NOW - 100,
    big: 2 ** 53,
    groups: ['dev', 'ops'],
    'a.b/c': 'dotted',
    'kubernetes.io': { namespace: 'ml' },
  },
  subject: {},
  request: { purpose: 'read', scope: 'read:x' },
  target: { name: 'crm', type: 'http', labels: ['customer-facing'] },
  now: NOW,
}
const holds = (expression: string, changed: object = {}) =>
  conditions.holds(expression, { ...facts, ...changed })

describe('conditions that hold', () => {
  it.each([
    'true',
    'claims.sub == "repo:acme/app:ref:refs/heads/main"',
    'claims.sub.startsWith("repo:acme/")',
    'claims.sub.matches("^repo:acme/[a-z-]+:ref:refs/heads/main$")',
    'claims.level == 5 && claims.level >= 4 && claims.ratio > 1.0',
    'claims.admin',
    'claims.nothing == null',
    '"ops" in claims.groups',
    'claims.groups.exists(g, g == "ops")',
    'claims.groups.all(g, g.size() == 3)',
    'claims.groups.exists_one(g, g == "ops")',
    'claims.groups.filter(g, g != "dev").size() == 1',
    'claims.groups.map(g, g)[1] == "ops"',
    'claims.level in [1, 5]',
    'claims["a.b/c"] == "dotted"',
    'claims["kubernetes.io"].namespace == "ml"',
    'has(claims.sub) && !has(claims.team)',
    '!has(claims.team) || claims.team != "payments"',
    'claims.team == "x" || claims.admin',
    'now - claims.iat < 300',
    'now < int(timestamp("2030-01-01T00:00:00Z"))',
    'target.name == "crm" && "customer-facing" in target.labels',
    'request.purpose == "read"',
    '{"crm": 5}[target.name] == claims.level',
    'claims.admin ? claims.level > 1 : false',
  ])('%s', (expression) => {
    expect(conditions.mistake(expression)).toBeNull()
    expect(holds(expression)).toBe(true)
  })
})

describe('conditions that do not', () => {
  it.each([
    'claims.team == "x"',
    'claims.team != "x"',
    '!(claims.team == "x")',
    'claims.nothing == "null"',
    'claims.level == "5"',
    'claims.sub > 5',
    'claims.sub && true',
    'claims.sub',
    'claims.level',
    '1',
    '"true"',
    'claims.groups',
    'null',
    'has(claims.toString)',
    'has(claims.constructor)',
    'has(claims.__proto__)',
    'claims.constructor != null',
    'claims["__proto__"] != null',
    '"toString" in claims',
    'claims.groups.length == 2',
    'claims.level / 0 == 1',
    'claims.groups[9] == "x"',
    'claims.groups.all(g, g.zip == 1)',
    'int(claims.sub) == 1',
    'claims.ratio == 1',
    'claims.big == 9007199254740992',
  ])('POL-1 missing, mistyped or inherited: %s', (expression) => {
    expect(conditions.mistake(expression)).toBeNull()
    expect(holds(expression)).toBe(false)
  })

  it('POL-1 a claim named like a member of every object is one only when it is there', () => {
    const parsed = parseStrictJson('{"toString":"x","__proto__":{"admin":true}}')
    const claims = parsed.ok ? parsed.value : null
    expect(holds('claims.toString == "x"', { claims })).toBe(true)
    expect(holds('has(claims.admin)', { claims })).toBe(false)
  })

  it('POL-1 facts that are not JSON make nothing hold', () => {
    for (const claims of [undefined, () => true, Symbol('x'), { a: 1n }, { a: () => true }]) {
      expect(holds('true', { claims })).toBe(false)
    }
    for (const now of [Number.NaN, 1.5, 2 ** 60]) expect(holds('true', { now })).toBe(false)
  })
})

describe('expressions that cannot be saved, and never hold', () => {
  it.each([
    ['', 'not a CEL'],
    ['claims.sub ==', 'not a CEL'],
    ['claims.sub == "x" // '.padEnd(4097, 'x'), 'longer'],
    [`${'('.repeat(2000)}true${')'.repeat(2000)}`, ''],
    [`${'['.repeat(80)}true${']'.repeat(80)}`, 'nested'],
    [Array.from({ length: 600 }, () => 'now').join('+'), ''],
    ['env.SECRET == "x"', 'unknown'],
    ['globalThis', 'unknown'],
    ['__result__', 'unknown'],
    ['string', 'unknown'],
    ['g == 1', 'unknown'],
    ['type(claims) == type(target)', 'not allowed'],
    ['dyn(claims.sub) == "x"', 'not allowed'],
    ['claims.sub.replace("a", "b") == "x"', 'not allowed'],
    ['sub(claims)', 'not allowed'],
    ['google.protobuf.Value{string_value: "x"} == claims.sub', 'not a type'],
    ['timestamp(now) > timestamp(0)', 'timestamp'],
    ['claims.a.exists(x, claims.b.exists(y, x == y))', 'macro inside'],
    ['claims.a.all(x, claims.b.all(y, claims.c.all(z, x == y && y == z)))', 'macro inside'],
    ['claims.a.filter(x, true).filter(y, true).size() == 0', 'takes a claim'],
    ['(claims.a + claims.a).all(x, true)', 'takes a claim'],
    ['claims.x in (claims.a + claims.a)', 'takes a claim'],
    ['claims.a.exists(x, x + x == "aa")', '`+`'],
    ['claims.a.exists(claims, true)', 'variable'],
    [`claims.x in [${Array.from({ length: 257 }, (_, i) => i).join(',')}]`, '256'],
    [Array.from({ length: 5 }, () => 'claims.a.exists(x, x == 1)').join(' || '), 'macros'],
  ])('POL-3 POL-5 expression %#', (expression, message) => {
    expect(conditions.mistake(expression)).toContain(message)
    expect(holds(expression)).toBe(false)
  })

  it('POL-5 4,096 characters are taken', () => {
    const expression = `claims.level == 5 && claims.sub != "${'x'.repeat(4096 - 37)}"`
    expect(expression).toHaveLength(4096)
    expect(conditions.mistake(expression)).toBeNull()
    expect(holds(expression)).toBe(true)
  })
})

describe('regular expressions', () => {
  it.each([
    ['repo:acme', 'anchored'],
    ['^repo:acme', 'anchored'],
    ['repo:acme$', 'anchored'],
    ['^repo:acme\\$', 'escaped'],
    ['^a|b$', 'half-anchored'],
    ['^repo:a/b|repo:c/d$', 'half-anchored'],
    ['^.*$', '`.`'],
    ['^https://x.example$', '`.`'],
    ['^[^a]+$', '`/`'],
    ['^[^:]+$', '`/`'],
    ['^[!-~]+$', '`/`'],
    ['^[+-9]+$', '`/`'],
    ['^\\S+$', 'not allowed'],
    ['^\\W$', 'not allowed'],
    ['^[\\D]$', 'not allowed'],
    ['^\\pL$', 'not allowed'],
    ['^\\x2f$', 'not allowed'],
    ['^(?i)a$', 'flag'],
    ['^(?s:a)$', 'flag'],
    ['^(?P<n>a)$', 'flag'],
    ['^[[:punct:]]$', 'class inside'],
    ['^a^b$', 'its end'],
    ['^a$b$', 'its end'],
    ['^(a+)+$', 'repeated'],
    ['^((a|b)*c)*$', 'repeated'],
    ['^a{1,200}$', 'counts'],
    ['^a{64}b{65}$', 'counts'],
    ['^a{,5}$', 'not a repetition'],
    ['^a*b*c*d*e*f*g*h*i*$', 'more than 8'],
    ['^a)$', 'not open'],
    ['^(a$', 'does not compile'],
    ['^[b-a]$', 'does not compile'],
    [`^${'a'.repeat(255)}$`, 'longer'],
  ])('POL-2 POL-4 RB-12 the pattern %# cannot be saved', (pattern, message) => {
    const expression = `claims.sub.matches(${JSON.stringify(pattern)})`
    expect(conditions.mistake(expression)).toContain(message)
    expect(conditions.mistake(expression)).toContain('pattern `')
    expect(holds(expression)).toBe(false)
  })

  it.each([
    ['^repo:acme/[a-z0-9-]+$', 'repo:acme/app', true],
    ['^repo:acme/[a-z0-9-]+$', 'repo:acme/app/x', false],
    ['^repo:acme/[a-z0-9-]+$', 'repo:acme/app\n', false],
    ['^repo:acme/[a-z0-9-]+$', 'xrepo:acme/app', false],
    ['^(?:repo:a/b|repo:c/d)$', 'repo:a/b', true],
    ['^(?:repo:a/b|repo:c/d)$', 'repo:a/bEVIL', false],
    ['^(?:repo:a/b|repo:c/d)$', 'EVILrepo:c/d', false],
    ['^[^/:]+$', 'name', true],
    ['^[^/:]+$', 'a/b', false],
    ['^v\\d+\\.\\d+$', 'v1.20', true],
    ['^v\\d+\\.\\d+$', 'v1x20', false],
    ['^[a-z]{2,8}$', 'abc', true],
    ['^(ab)+$', 'abab', true],
    ['^[]a]$', ']', true],
    ['^[a/]$', '/', true],
  ])('RB-12 %s against %j is %s', (pattern, sub, expected) => {
    const expression = `claims.sub.matches(${JSON.stringify(pattern)})`
    expect(conditions.mistake(expression)).toBeNull()
    expect(holds(expression, { claims: { sub } })).toBe(expected)
  })

  it.each([
    'claims.sub.matches(claims.pattern)',
    'claims.sub.matches("^a" + "$")',
    'request.purpose.matches("^a$")',
    'claims.groups.exists(g, g.matches("^a$"))',
    '"a".matches("^a$")',
    'matches(claims.sub, "^a$")',
  ])('POL-2 %s cannot be saved', (expression) => {
    expect(conditions.mistake(expression)).not.toBeNull()
  })

  it('POL-2 a claim longer than what is searched makes the condition false', () => {
    const search = (length: number) =>
      holds('claims.sub.matches("^[a-z]*$")', { claims: { sub: 'a'.repeat(length) } })
    expect(search(2048)).toBe(true)
    expect(search(2049)).toBe(false)
    expect(search(8192)).toBe(false)
  })
})

describe('caps on facts', () => {
  const list = (length: number) => Array.from({ length }, (_, i) => `g${i}`)

  it('POL-3 a list of 256 is taken, and one of 257 makes the condition false', () => {
    const inList = 'claims.groups.exists(g, g == "g0")'
    expect(holds(inList, { claims: { groups: list(256) } })).toBe(true)
    expect(holds(inList, { claims: { groups: list(257) } })).toBe(false)
    expect(holds('true', { claims: { deep: [{ groups: list(257) }] } })).toBe(false)
    expect(holds('true', { request: { many: list(257) } })).toBe(false)
  })

  it('POL-3 maps, texts, depth and the number of values have caps', () => {
    const members = Object.fromEntries(list(257).map((name) => [name, 1]))
    expect(holds('true', { claims: members })).toBe(false)
    expect(holds('true', { claims: { a: 'x'.repeat(8193) } })).toBe(false)
    expect(holds('true', { request: { prompt: 'x'.repeat(32_000) } })).toBe(true)
    expect(holds('true', { request: { prompt: 'x'.repeat(32_769) } })).toBe(false)
    let deep: unknown = 1
    for (let i = 0; i < 20; i++) deep = { deep }
    expect(holds('true', { claims: deep })).toBe(false)
    const wide = Array.from({ length: 200 }, () => list(200))
    expect(holds('true', { claims: { wide } })).toBe(false)
  })

  it('POL-3 the dearest expression that can be saved ends', () => {
    const groups = list(256)
    const dear = Array.from({ length: 4 }, () => 'claims.a.all(x, x in claims.b)').join(' && ')
    expect(conditions.mistake(dear)).toBeNull()
    expect(holds(dear, { claims: { a: groups, b: [...groups].reverse() } })).toBe(true)
  })
})

describe('compiling', () => {
  it('keeps answering after more expressions than it keeps', () => {
    const fresh = celConditions()
    for (let i = 0; i < 1100; i++) {
      expect(fresh.holds(`claims.level == ${i}`, facts)).toBe(i === 5)
    }
    expect(fresh.holds('claims.level == 5', facts)).toBe(true)
  })

  it('needs no eval: compiles and runs where code generation is forbidden', async () => {
    const { execFileSync } = await import('node:child_process')
    const script = `
      import { celConditions } from ${JSON.stringify(new URL('../../functions/conditions/cel.ts', import.meta.url).href)}
      const facts = { claims: { sub: 'a' }, subject: {}, request: {}, target: {}, now: 1 }
      let generates = true
      try { new Function('return 1')() } catch { generates = false }
      console.log(generates, celConditions().holds('claims.sub.matches("^a$")', facts))`
    const output = execFileSync(
      process.execPath,
      ['--disallow-code-generation-from-strings', '--input-type=module', '--eval', script],
      { encoding: 'utf8' },
    )
    expect(output.trim()).toBe('false true')
  })
})
