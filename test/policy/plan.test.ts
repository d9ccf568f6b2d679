import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { AuthMethodPolicy, PolicyDocument } from '../../functions/core/policy.ts'
import { adminOnlyChanges } from '../../functions/policy/admin-target.ts'
import { planPolicy } from '../../functions/policy/index.ts'
import { authMethod, binding, intentPolicy, target } from '../fakes/policy-objects.ts'

const STORED: PolicyDocument = {
  auth_methods: [authMethod()],
  targets: [target()],
  bindings: [binding()],
  intent_policies: [intentPolicy()],
}
const ISSUER = 'https://broker.example'

describe('a plan', () => {
  test('makes the document the whole policy: what it does not name is deleted', () => {
    const wanted = {
      ...STORED,
      targets: [target({ labels: ['x'] }), target({ name: 'erp' })],
      bindings: [],
    }
    const plan = planPolicy(STORED, wanted, { prune: true })
    expect(plan.create.targets).toEqual(['erp'])
    expect(plan.update.targets).toEqual(['crm'])
    expect(plan.delete.bindings).toEqual(['support-crm'])
    expect(plan.unchanged.auth_methods).toEqual(['prod'])
    expect(plan.changes.map((change) => change.op)).toEqual(['put', 'put', 'delete'])
    expect(plan.after).toEqual(wanted)
  })

  test('keeps what is not named when it is not to prune', () => {
    const wanted = {
      auth_methods: [],
      targets: [target({ name: 'erp' })],
      bindings: [],
      intent_policies: [],
    }
    const plan = planPolicy(STORED, wanted, { prune: false })
    expect(plan.changes).toEqual([{ op: 'put', kind: 'targets', object: target({ name: 'erp' }) }])
    expect(plan.after.bindings).toEqual(STORED.bindings)
    expect(plan.after.targets.map(({ name }) => name)).toEqual(['erp', 'crm'])
  })

  test('sees no change in another order of members', () => {
    const { name, ...rest } = binding()
    const plan = planPolicy(STORED, { ...STORED, bindings: [{ ...rest, name }] }, { prune: true })
    expect(plan.changes).toEqual([])
  })
})

describe('what only an admin may change', () => {
  function beyondEditor(before: Partial<PolicyDocument>, after: Partial<PolicyDocument>): string[] {
    const [from, to] = [
      { ...STORED, ...before },
      { ...STORED, ...after },
    ]
    const { changes } = planPolicy(from, to, { prune: true })
    return adminOnlyChanges(changes, from, to, ISSUER).map(
      (change) =>
        `${change.op} ${change.kind}/${change.op === 'put' ? change.object.name : change.name}`,
    )
  }
  const toAdmin = binding({ name: 'ops', target: 'sallyport-admin' })

  test('is not an ordinary method, target, binding or policy', () => {
    expect(
      beyondEditor(
        {},
        {
          auth_methods: [authMethod({ labels: ['x'] })],
          targets: [],
          bindings: [binding({ ttl_seconds: 60 }), binding({ name: 'b2' })],
          intent_policies: [intentPolicy({ name: 'p2' })],
        },
      ),
    ).toEqual([])
  })

  test('is a binding to sallyport-admin, whether made, changed, moved there or away, or deleted', () => {
    expect(beyondEditor({}, { bindings: [binding(), toAdmin] })).toEqual(['put bindings/ops'])
    expect(
      beyondEditor({ bindings: [toAdmin] }, { bindings: [{ ...toAdmin, enabled: false }] }),
    ).toEqual(['put bindings/ops'])
    expect(beyondEditor({}, { bindings: [binding({ target: 'sallyport-admin' })] })).toEqual([
      'put bindings/support-crm',
    ])
    expect(
      beyondEditor({ bindings: [toAdmin] }, { bindings: [{ ...toAdmin, target: 'crm' }] }),
    ).toEqual(['put bindings/ops'])
    expect(beyondEditor({ bindings: [toAdmin] }, { bindings: [] })).toEqual(['delete bindings/ops'])
  })

  test('is the auth method and the intent policy of such a binding, also while it is disabled', () => {
    const ops = {
      ...toAdmin,
      enabled: false,
      intent: { policy: 'default', required: true, on_review: 'deny' },
    } as const
    const bindings = [ops]
    expect(
      beyondEditor(
        { bindings },
        {
          bindings,
          auth_methods: [
            authMethod({ config: { issuer: 'https://evil.example', audiences: ['a'] } }),
          ],
          intent_policies: [intentPolicy({ enabled: false })],
        },
      ),
    ).toEqual(['put auth_methods/prod', 'put intent_policies/default'])
  })

  test('is a target that leads back to the broker, and whatever is bound to it', () => {
    const loop = target({ name: 'loop', config: { base_url: 'https://broker.example/admin/v1' } })
    const bound = binding({ name: 'loop', target: 'loop' })
    expect(beyondEditor({}, { targets: [target(), loop], bindings: [binding(), bound] })).toEqual([
      'put targets/loop',
      'put bindings/loop',
    ])
    expect(beyondEditor({}, { targets: [{ ...loop, name: 'crm' }] })).toEqual(['put targets/crm'])
  })

  test('is private_network, and where a target that has it goes', () => {
    const open = target({ private_network: true })
    const moved = { ...open, config: { base_url: 'https://10.0.0.1' } }
    expect(beyondEditor({}, { targets: [open] })).toEqual(['put targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [target()] })).toEqual(['put targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [moved] })).toEqual(['put targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [] })).toEqual(['delete targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [{ ...open, labels: ['x'] }] })).toEqual([])
  })

  test('SSRF-1 is private_network of a TokenReview, and where such a review goes', () => {
    const reviewed = (token_review: JsonObject) =>
      authMethod({ config: { ...authMethod().config, token_review } })
    const there = { url: 'https://10.0.0.1:6443', secret: 'sealed:reviewer' }
    const open = reviewed({ ...there, private_network: true })
    const moved = reviewed({ ...there, url: 'https://10.0.0.2', private_network: true })
    const change = (before: AuthMethodPolicy[], after: AuthMethodPolicy[]) =>
      beyondEditor({ auth_methods: before }, { auth_methods: after })
    expect(change([], [open])).toEqual(['put auth_methods/prod'])
    expect(change([open], [moved])).toEqual(['put auth_methods/prod'])
    expect(change([open], [reviewed(there)])).toEqual(['put auth_methods/prod'])
    expect(change([open], [])).toEqual(['delete auth_methods/prod'])
    expect(change([], [reviewed(there)])).toEqual([])
    expect(change([open], [{ ...open, labels: ['x'] }])).toEqual([])
  })

  test('is where a variable of the environment is sent, and not the rest of what names it', () => {
    const open = target({ credential: { inject: 'bearer', secret: 'env:CRM' } })
    const moved = { ...open, config: { base_url: 'https://evil.example' } }
    expect(beyondEditor({}, { targets: [open] })).toEqual(['put targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [moved] })).toEqual(['put targets/crm'])
    expect(beyondEditor({ targets: [open] }, { targets: [{ ...open, labels: ['x'] }] })).toEqual([])
    expect(beyondEditor({ targets: [open] }, { targets: [] })).toEqual([])
    const judge = { type: 'authzen', url: 'https://judge.example', secret: 'env:CRM' }
    expect(beyondEditor({}, { intent_policies: [intentPolicy({ judge })] })).toEqual([
      'put intent_policies/default',
    ])
  })

  test('is told for 20,000 changed bindings without looking through all for each', () => {
    const bindings = Array.from({ length: 20_000 }, (_, i) => binding({ name: `b${i}` }))
    expect(beyondEditor({}, { bindings })).toEqual([])
  })
})
