import { describe, expect, test } from 'vitest'
import { authMethod, binding, intentPolicy, target } from '../../fakes/policy-objects.ts'
import { adminWorld } from './world.ts'

const DOCUMENT = {
  auth_methods: [authMethod()],
  targets: [target()],
  bindings: [binding()],
  intent_policies: [intentPolicy()],
}
const NONE = { auth_methods: [], targets: [], bindings: [], intent_policies: [] }

describe('the policy document', () => {
  test('is read with its revision as ETag, and applying what was read changes nothing', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const got = await send('GET', '/policy', { role: 'viewer' })
    expect(got.body).toEqual(DOCUMENT)
    expect(got.headers.get('etag')).toBe('"1"')
    const applied = await send('POST', '/policy/apply', { body: got.body, role: 'editor' })
    expect(applied.body).toMatchObject({
      policy_revision: 1,
      create: NONE,
      update: NONE,
      delete: NONE,
    })
    expect(policies.revision).toBe(1)
    expect(policies.events).toEqual([])
  })

  test('is planned without being changed, by a viewer', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const body = {
      ...DOCUMENT,
      targets: [target({ labels: ['x'] }), target({ name: 'erp' })],
      intent_policies: [],
    }
    const plan = await send('POST', '/policy/plan', { body, role: 'viewer' })
    expect(plan.body).toEqual({
      policy_revision: 1,
      create: { ...NONE, targets: ['erp'] },
      update: { ...NONE, targets: ['crm'] },
      delete: { ...NONE, intent_policies: ['default'] },
      unchanged: { ...NONE, auth_methods: ['prod'], bindings: ['support-crm'] },
      warnings: [],
    })
    expect(policies.revision).toBe(1)
  })

  test('is applied as a whole, in one revision, with one event', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const body = { auth_methods: [authMethod({ labels: ['x'] })] }
    const applied = await send('POST', '/policy/apply', { body, role: 'editor' })
    expect(applied.status).toBe(200)
    expect(applied.body).toMatchObject({
      policy_revision: 2,
      delete: { targets: ['crm'], bindings: ['support-crm'], intent_policies: ['default'] },
    })
    expect((await send('GET', '/policy')).body).toEqual({
      ...NONE,
      auth_methods: body.auth_methods,
    })
    expect(policies.events).toHaveLength(1)
    expect(policies.events[0]?.action).toMatchObject({
      operation: 'policy.apply',
      changes: [{ op: 'put' }, { op: 'delete' }, { op: 'delete' }, { op: 'delete' }],
    })
  })

  test('with prune=false adds to what is stored and may refer to it', async () => {
    const { send } = adminWorld({ document: DOCUMENT })
    const body = { bindings: [binding({ name: 'second' })] }
    const applied = await send('POST', '/policy/apply?prune=false', { body })
    expect(applied.body).toMatchObject({ create: { bindings: ['second'] }, delete: NONE })
    const alone = await send('POST', '/policy/apply', { body })
    expect(alone.status).toBe(422)
  })

  test('is refused whole when one object of it has a mistake', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const body = {
      ...DOCUMENT,
      bindings: [binding(), binding({ name: 'b', target: 'gone' }), { name: 'c' }],
    }
    for (const path of ['/policy/plan', '/policy/apply']) {
      const refused = await send('POST', path, { body })
      expect(refused.status).toBe(422)
      expect((refused.body['errors'] as { path: string }[]).map((error) => error.path)).toEqual([
        '/bindings/2/auth_method',
        '/bindings/2/target',
        '/bindings/1/target',
      ])
    }
    expect(policies.revision).toBe(1)
  })

  test('RACE-5: is applied on the revision it was planned on, or planned again', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    policies.overtake = () => policies.set('targets', target({ name: 'theirs' }))
    const stale = await send('POST', '/policy/apply', {
      body: { ...DOCUMENT, targets: [target({ labels: ['x'] })] },
      headers: { 'if-match': '"1"' },
    })
    expect(stale.status).toBe(412)
    policies.overtake = () => policies.set('targets', target({ name: 'late' }))
    const again = await send('POST', '/policy/apply', {
      body: { ...DOCUMENT, targets: [target({ labels: ['x'] })] },
    })
    expect(again.body).toMatchObject({ delete: { targets: ['late', 'theirs'] } })
  })

  test('gives up with 409 when others are always quicker', async () => {
    const { send, deps } = adminWorld({ document: DOCUMENT })
    const policies = { ...deps.policies, write: async () => null }
    const refused = await send('POST', '/policy/apply', { body: NONE }, { ...deps, policies })
    expect(refused.status).toBe(409)
    expect(refused.body).toMatchObject({ reason: 'policy_changed_meanwhile' })
  })

  test('of 20,000 bindings is applied with an event of bounded size', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const bindings = Array.from({ length: 20_000 }, (_, i) => binding({ name: `b${i}` }))
    const applied = await send('POST', '/policy/apply', { body: { ...DOCUMENT, bindings } })
    expect(applied.status).toBe(200)
    const [event] = policies.events
    expect(event?.action).toMatchObject({
      changes_total: 20_001,
      changes_sha256: expect.any(String),
    })
    expect(JSON.stringify(event).length).toBeLessThan(200_000)
  })
})
