import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantsAllow, narrowGrants, uniteBindings } from '../../functions/core/grants.ts'
import { EFFECTS } from '../../functions/core/policy.ts'
import type { BindingPolicy, Effect } from '../../functions/core/policy.ts'

const effect = fc.constantFrom<Effect>(...EFFECTS)
const segment = fc.constantFrom('a', 'b', '*')
const pattern = fc.oneof(
  fc.constantFrom('*', 'GET /**', 'a.**'),
  fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.')),
  fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => `GET /${parts.join('/')}`),
)
const object = fc
  .tuple(
    fc.constantFrom('.', '/'),
    fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 3 }),
  )
  .map(([by, parts]) => (by === '/' ? `GET /${parts.join('/')}` : parts.join('.')))
const effects = fc.uniqueArray(effect, { maxLength: 4 })
const objects = fc.array(pattern, { maxLength: 3 })
const grants = fc.array(fc.record({ effects, objects }), { maxLength: 4 })
const scope = fc.option(
  fc.array(fc.record({ effect, object: fc.option(pattern) }), { maxLength: 4 }),
)
const envelope = fc.option(fc.record({ effects, objects }, { requiredKeys: [] }), {
  nil: undefined,
})

function binding(changes: Partial<BindingPolicy>): BindingPolicy {
  return {
    name: 'b',
    enabled: true,
    auth_method: 'm',
    target: 't',
    effect: 'allow',
    grants: [{ effects: ['read'], objects: ['*'] }],
    ttl_seconds: 300,
    delivery: 'session',
    mode: 'enforce',
    ...changes,
  }
}

describe('narrowing', () => {
  test('never allows an effect on an object that the grants do not', () => {
    fc.assert(
      fc.property(grants, scope, envelope, effect, object, (given, asked, declared, e, o) => {
        const narrowed = narrowGrants(given, asked, declared)
        if (grantsAllow(narrowed, [e], [o])) expect(grantsAllow(given, [e], [o])).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })

  test('keeps exactly what grants, scope and envelope all allow', () => {
    fc.assert(
      fc.property(grants, scope, envelope, effect, object, (given, asked, declared, e, o) => {
        const everything = [{ effects: EFFECTS, objects: ['*'] }]
        const all =
          grantsAllow(given, [e], [o]) &&
          grantsAllow(narrowGrants(everything, asked, undefined), [e], [o]) &&
          grantsAllow(narrowGrants(everything, null, declared), [e], [o])
        expect(grantsAllow(narrowGrants(given, asked, declared), [e], [o])).toBe(all)
      }),
      { numRuns: 5_000 },
    )
  })

  test('TX-12 a scope of another target leaves nothing', () => {
    const given = [{ effects: ['read'] as const, objects: ['GET /v1/**'] }]
    expect(narrowGrants(given, [{ effect: 'read', object: 'public.orders' }], undefined)).toEqual(
      [],
    )
    expect(narrowGrants(given, [{ effect: 'write', object: null }], undefined)).toEqual([])
    expect(narrowGrants(given, null, { effects: [] })).toEqual([])
    expect(narrowGrants(given, [], undefined)).toEqual([])
  })

  test('many overlapping wildcards are cut, which only narrows', () => {
    const overlapping = Array.from({ length: 128 }, (_, n) =>
      [...n.toString(2).padStart(7, '0')]
        .map((bit, at) => (bit === '1' ? '*' : `s${at}`))
        .join('.'),
    )
    const items = overlapping.map((one) => ({ effect: 'read' as const, object: one }))
    const narrowed = narrowGrants([{ effects: ['read'], objects: overlapping }], items, {
      objects: overlapping,
    })
    expect(narrowed[0]?.objects.length).toBeLessThanOrEqual(1000)
  })
})

describe('grantsAllow', () => {
  test('asks every effect on every object, over all grants together', () => {
    const given = [
      { effects: ['read'] as const, objects: ['a.*'] },
      { effects: ['write'] as const, objects: ['a.x'] },
    ]
    expect(grantsAllow(given, ['read', 'write'], ['a.x'])).toBe(true)
    expect(grantsAllow(given, ['read', 'write'], ['a.x', 'a.y'])).toBe(false)
  })

  test('grants nothing to an action without effects or without objects', () => {
    const everything = [{ effects: EFFECTS, objects: ['*'] }]
    expect(grantsAllow(everything, [], ['a'])).toBe(false)
    expect(grantsAllow(everything, ['read'], [])).toBe(false)
  })
})

describe('several bindings', () => {
  test('unite their grants and take the strictest of everything else', () => {
    const united = uniteBindings([
      binding({
        name: 'one',
        ttl_seconds: 900,
        limits: { actions: 10, rows: 5 },
        intent: { policy: 'p', required: false, on_review: 'allow' },
        mode: 'log_only',
      }),
      binding({
        name: 'two',
        grants: [{ effects: ['write'], objects: ['x'] }],
        ttl_seconds: 60,
        limits: { actions: 20, bytes: 7 },
        intent: { policy: 'q', required: true, on_review: 'deny' },
      }),
      binding({ name: 'three', intent: { policy: 'p', required: false, on_review: 'allow' } }),
    ])
    expect(united).toEqual({
      names: ['one', 'two', 'three'],
      grants: [
        { effects: ['read'], objects: ['*'] },
        { effects: ['write'], objects: ['x'] },
        { effects: ['read'], objects: ['*'] },
      ],
      limits: { actions: 10, rows: 5, bytes: 7 },
      ttlSeconds: 60,
      intentPolicies: ['p', 'q'],
      onReview: 'deny',
      mode: 'enforce',
      intentRequired: true,
      delivery: 'session',
      proofs: [],
    })
  })

  test('log_only and delivery of a credential hold only when every binding says so', () => {
    const loose = { mode: 'log_only', delivery: 'credential' } as const
    expect(uniteBindings([binding(loose), binding(loose)])).toMatchObject(loose)
    expect(uniteBindings([binding(loose), binding({})])).toMatchObject({
      mode: 'enforce',
      delivery: 'session',
    })
  })

  test('a binding that says nothing of review asks for approval', () => {
    const allowing = binding({ intent: { required: false, on_review: 'allow' } })
    expect(uniteBindings([allowing]).onReview).toBe('allow')
    expect(uniteBindings([allowing, binding({})]).onReview).toBe('approval')
  })

  test('no binding at all grants nothing, enforced, for no time', () => {
    expect(uniteBindings([])).toMatchObject({
      grants: [],
      ttlSeconds: 0,
      mode: 'enforce',
      onReview: 'deny',
      delivery: 'session',
    })
  })

  test('POL-9 removing a binding never allows more', () => {
    fc.assert(
      fc.property(
        fc.array(grants, { minLength: 1, maxLength: 3 }),
        effect,
        object,
        (sets, e, o) => {
          const bindings = sets.map((set) => binding({ grants: set }))
          const fewer = uniteBindings(bindings.slice(1)).grants
          const all = uniteBindings(bindings).grants
          if (grantsAllow(fewer, [e], [o])) expect(grantsAllow(all, [e], [o])).toBe(true)
        },
      ),
    )
  })
})
