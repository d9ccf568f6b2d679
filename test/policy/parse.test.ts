import { describe, expect, test } from 'vitest'
import type { DocumentError, PolicyKind } from '../../functions/core/policy.ts'
import { parsePolicyDocument, parsePolicyObject } from '../../functions/policy/index.ts'

function mistakes(kind: PolicyKind, value: unknown, name?: string): string[] {
  const parsed = parsePolicyObject(kind, value, name)
  return parsed.ok ? [] : parsed.failure.map(short)
}

function short({ path, code }: DocumentError): string {
  return `${path} ${code}`
}

const BINDING = {
  name: 'b',
  auth_method: 'm',
  target: 't',
  grants: [{ effects: ['read'], objects: ['GET /'] }],
}

describe('policy objects', () => {
  test('get exactly the defaults of the contract', () => {
    expect(parsePolicyObject('bindings', { ...BINDING, intent: {} })).toEqual({
      ok: true,
      value: {
        ...BINDING,
        enabled: true,
        effect: 'allow',
        ttl_seconds: 300,
        delivery: 'session',
        mode: 'enforce',
        intent: { required: false, on_review: 'approval' },
      },
    })
    expect(
      parsePolicyObject('auth_methods', { name: 'm', type: 'oidc', config: { a: [1] } }),
    ).toEqual({
      ok: true,
      value: { name: 'm', type: 'oidc', config: { a: [1] }, enabled: true, subject: 'workload' },
    })
  })

  test('have every mistake reported at once, each with its JSON pointer and a stable word', () => {
    const value = {
      name: 'Bad Name',
      auth_method: 7,
      grants: [{ effects: ['reed'], objects: [] }, 'x'],
      ttl_seconds: 43_201,
      limits: { actions: 0, rows: 1.5, 'a/b~c': 1 },
      intent: { on_review: 'ask' },
      expires_at: '2027-02-30T00:00:00Z',
      enabled: null,
    }
    expect(mistakes('bindings', value).sort()).toEqual(
      [
        '/name format',
        '/auth_method type',
        '/target required',
        '/grants/0/effects/0 value',
        '/grants/0/objects range',
        '/grants/1 type',
        '/ttl_seconds range',
        '/limits/actions range',
        '/limits/rows type',
        '/limits/a~1b~0c unknown_member',
        '/intent/on_review value',
        '/expires_at format',
        '/enabled type',
      ].sort(),
    )
  })

  test('never repeat a value in a mistake: it may be a secret in the wrong member', () => {
    const parsed = parsePolicyObject('targets', {
      name: 'hunter2 ',
      type: 'http',
      config: 'hunter2',
      credential: { inject: 'hunter2', secret: 'hunter2' },
    })
    expect(parsed.ok).toBe(false)
    expect(JSON.stringify(parsed)).not.toContain('hunter2')
  })

  test.each([
    'id',
    'revision',
    'created_by',
    'tenant_id',
    'etag',
    'policy_revision',
    'constructor',
  ])('ADM-3: refuse the member %s that nobody may assign', (member) => {
    expect(mistakes('bindings', { ...BINDING, [member]: 1 })).toEqual([`/${member} unknown_member`])
  })

  test('POL-9: refuse members of later versions instead of ignoring a restriction', () => {
    for (const member of ['obligations', 'requires_proof', 'delegates_to'])
      expect(mistakes('bindings', { ...BINDING, [member]: 'x' })).toEqual([
        `/${member} unknown_member`,
      ])
  })

  test('refuse members that change a prototype, lone surrogates, infinite numbers and depth', () => {
    const proto: unknown = JSON.parse('{"name":"m","type":"oidc","config":{"__proto__":{"a":1}}}')
    expect(mistakes('auth_methods', proto)).toEqual(['/config/__proto__ unsafe'])
    const method = { name: 'm', type: 'oidc' }
    expect(mistakes('auth_methods', { ...method, config: { a: '\ud800' } })).toEqual([
      '/config/a unsafe',
    ])
    expect(mistakes('auth_methods', { ...method, config: { a: Infinity } })).toEqual([
      '/config/a unsafe',
    ])
    let deep: unknown = 1
    for (let i = 0; i < 40; i++) deep = [deep]
    expect(mistakes('auth_methods', { ...method, config: { deep } })[0]).toMatch(/ unsafe$/)
  })

  test('POL-7: names are byte-exact: no case, no trailing space, no other alphabet, at most 63', () => {
    for (const name of [
      'CRM',
      'crm ',
      ' crm',
      'ｃｒｍ',
      'crm\u200b',
      '-crm',
      '',
      '..',
      'a'.repeat(64),
      'a_b',
    ])
      expect(mistakes('targets', { name, type: 'http', config: {} })).toEqual(['/name format'])
    expect(mistakes('targets', { name: 'a'.repeat(63), type: 'http', config: {} })).toEqual([])
  })

  test('take the name from the path, and refuse a body that says another', () => {
    const { name: _, ...nameless } = BINDING
    expect(parsePolicyObject('bindings', nameless, 'b')).toMatchObject({
      ok: true,
      value: { name: 'b' },
    })
    expect(mistakes('bindings', BINDING, 'b')).toEqual([])
    expect(mistakes('bindings', BINDING, 'c')).toEqual(['/name mismatch'])
    expect(mistakes('bindings', nameless)).toEqual(['/name required'])
  })

  test('accept a day or an instant in UTC, and nothing that depends on where it is read', () => {
    for (const good of ['2027-01-31', '2027-01-31T12:00:00Z', '2028-02-29T23:59:59.999Z'])
      expect(mistakes('bindings', { ...BINDING, expires_at: good, review_by: good })).toEqual([])
    for (const bad of [
      '2027-02-29',
      '2027-01-31T12:00:00',
      '2027-01-31T12:00:00+02:00',
      'tomorrow',
      '1',
      '2027-13-01',
    ])
      expect(mistakes('bindings', { ...BINDING, expires_at: bad })).toEqual(['/expires_at format'])
  })

  test.each([null, [], 'x', 1, true])('refuse %j, which is not an object', (value) => {
    expect(mistakes('targets', value, 'crm')).toEqual([' type'])
  })
})

describe('policy documents', () => {
  test('may leave out kinds, and have the places of all mistakes', () => {
    expect(parsePolicyDocument({})).toEqual({
      ok: true,
      value: { auth_methods: [], targets: [], bindings: [], intent_policies: [] },
    })
    const parsed = parsePolicyDocument({
      targets: [
        { name: 'a', type: 'http', config: {} },
        { name: 'b', tpye: 'http', config: {} },
      ],
      bindings: {},
      secrets: [],
    })
    expect(parsed.ok ? [] : parsed.failure.map(short).sort()).toEqual([
      '/bindings type',
      '/secrets unknown_member',
      '/targets/1/tpye unknown_member',
      '/targets/1/type required',
    ])
  })
})
