import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../../functions/core/records.ts'
import { authMethod, binding, intentPolicy, target } from '../../fakes/policy-objects.ts'
import { adminWorld } from './world.ts'

const DOCUMENT = {
  auth_methods: [authMethod()],
  targets: [target()],
  bindings: [binding()],
  intent_policies: [intentPolicy()],
}

function codes(body: Record<string, unknown>): string[] {
  const errors = (body['errors'] ?? []) as readonly { path: string; code: string }[]
  return errors.map(({ path, code }) => `${path} ${code}`)
}

describe('PUT of a policy object', () => {
  test('creates with 201, replaces with 200, and answers the revision and a strong ETag', async () => {
    const { send, policies, changes } = adminWorld({ document: DOCUMENT })
    const { name: _, ...body } = target({ name: 'erp' })
    const created = await send('PUT', '/targets/erp', { body, role: 'editor' })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({ name: 'erp', enabled: true, policy_revision: 2 })
    expect(created.headers.get('etag')).toBe('"2"')
    expect(created.headers.get('cache-control')).toBe('no-store')
    const replaced = await send('PUT', '/targets/erp', { body: { ...body, labels: ['x'] } })
    expect(replaced.status).toBe(200)
    expect(replaced.headers.get('etag')).toBe('"3"')
    expect(policies.revision).toBe(3)
    expect(changes()).toBe(2)
  })

  test('is idempotent: an unchanged object makes no revision and no event, and keeps its ETag', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    policies.set('targets', target({ name: 'erp' }))
    const { enabled: _, ...rest } = target()
    const again = await send('PUT', '/targets/crm', { body: rest })
    expect(again.status).toBe(200)
    expect(again.body).toMatchObject({ policy_revision: 2 })
    expect(again.headers.get('etag')).toBe('"1"')
    expect(policies.revision).toBe(2)
    expect(policies.events).toEqual([])
  })

  test('what GET answers may be put back', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    for (const path of [
      '/auth-methods/prod',
      '/targets/crm',
      '/bindings/support-crm',
      '/intent-policies/default',
    ]) {
      const got = await send('GET', path, { role: 'viewer' })
      expect(got.status).toBe(200)
      expect((await send('PUT', path, { body: got.body })).status).toBe(200)
    }
    expect(policies.revision).toBe(1)
  })

  test('refuses a stale If-Match with 412, and If-None-Match: * where something is', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const body = target({ labels: ['x'] })
    const put = (headers: Record<string, string>, path = '/targets/crm') =>
      send('PUT', path, { body: { ...body, name: path.slice(9) }, headers })
    expect((await put({ 'if-match': '"0"' })).status).toBe(412)
    expect((await put({ 'if-match': 'W/"1"' })).status).toBe(412)
    expect((await put({ 'if-none-match': '*' })).status).toBe(412)
    expect((await put({ 'if-none-match': '"1"' })).status).toBe(412)
    expect((await put({ 'if-match': '*' }, '/targets/erp')).status).toBe(412)
    expect((await put({ 'if-match': '1' })).body).toMatchObject({ code: 'invalid_request' })
    expect(policies.revision).toBe(1)
    expect((await put({ 'if-none-match': '*' }, '/targets/erp')).status).toBe(201)
    expect((await put({ 'if-match': '"7", "1"' })).status).toBe(200)
  })

  test('RACE-5: decides again when another write came between, and nothing is lost', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    policies.overtake = () => policies.set('targets', target({ labels: ['theirs'] }))
    const stale = await send('PUT', '/targets/crm', {
      body: target({ labels: ['mine'] }),
      headers: { 'if-match': '"1"' },
    })
    expect(stale.status).toBe(412)
    expect((await policies.get('targets', 'crm'))?.object.labels).toEqual(['theirs'])
    policies.overtake = () => policies.set('targets', target({ name: 'other' }))
    const retried = await send('PUT', '/targets/crm', { body: target({ labels: ['mine'] }) })
    expect(retried.status).toBe(200)
  })

  test('RACE-5: a binding whose target is deleted meanwhile is refused, not left hanging', async () => {
    const { send, policies } = adminWorld({ document: { ...DOCUMENT, bindings: [] } })
    const deleteTarget = () =>
      policies.write({
        changes: [{ op: 'delete', kind: 'targets', name: 'crm' }],
        expectedRevision: policies.revision,
        event: policies.events[0] as never,
      })
    policies.overtake = () => void deleteTarget()
    const put = await send('PUT', '/bindings/support-crm', { body: binding() })
    expect(put.status).toBe(422)
    expect(codes(put.body)).toEqual(['/target unknown_reference'])
  })

  test('answers every mistake at once as an RFC 9457 problem', async () => {
    const { send } = adminWorld({ document: DOCUMENT })
    const put = await send('PUT', '/bindings/Bad', {
      body: { auth_method: 1, revision: 7, grants: [{ effects: [], objects: ['x'] }] },
    })
    expect(put.status).toBe(422)
    expect(put.headers.get('content-type')).toBe('application/problem+json')
    expect(put.body).toMatchObject({ status: 422, code: 'invalid_document', type: 'about:blank' })
    expect(codes(put.body).sort()).toEqual([
      '/auth_method type',
      '/grants/0/effects range',
      '/name format',
      '/revision unknown_member',
      '/target required',
    ])
  })

  test('writes one admin event: who, what, which revision, the SHA-256 of the object', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const { headers } = await send('PUT', '/targets/erp', {
      body: target({ name: 'erp' }),
      role: 'editor@prod:eve',
    })
    expect(policies.events).toHaveLength(1)
    expect(policies.events[0]).toMatchObject({
      type: 'admin',
      identity: 'admin:prod:eve',
      session_id: null,
      decision_id: headers.get('sallyport-decision'),
      agent: { declared: null, attested: { role: 'editor', session_id: 'ses_admin' } },
      policy_revision: 2,
      action: {
        operation: 'policy.put',
        changes: [
          {
            op: 'put',
            kind: 'targets',
            name: 'erp',
            object_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
          },
        ],
      },
    })
  })

  test('tells what is probably not meant', async () => {
    const { send } = adminWorld({ document: DOCUMENT })
    const put = await send('PUT', '/bindings/support-crm', {
      body: binding({ mode: 'log_only', limits: { rows: 1 } }),
    })
    expect(put.body['warnings']).toMatchObject([
      { path: '/mode', code: 'log_only' },
      { path: '/limits/rows', code: 'no_effect' },
    ])
  })
})

describe('what an editor may not do', () => {
  const ops = binding({
    name: 'ops',
    target: 'sallyport-admin',
    grants: [{ effects: ['admin'], objects: ['admin'] }],
  })
  const withOps = {
    document: {
      ...DOCUMENT,
      bindings: [binding({ auth_method: 'plain' }), ops],
      auth_methods: [authMethod(), authMethod({ name: 'plain' })],
    },
  }

  test.each([
    ['bind a method to sallyport-admin', 'PUT', '/bindings/mine', { ...ops, name: 'mine' }],
    [
      'move a binding to sallyport-admin',
      'PUT',
      '/bindings/support-crm',
      { ...ops, name: 'support-crm' },
    ],
    ['change who the admins are', 'PUT', '/auth-methods/prod', authMethod({ labels: ['x'] })],
    ['disable an admin binding', 'PUT', '/bindings/ops', { ...ops, enabled: false }],
    ['delete an admin binding', 'DELETE', '/bindings/ops', undefined],
    [
      'make a target of the broker',
      'PUT',
      '/targets/loop',
      target({ name: 'loop', config: { base_url: 'https://broker.example' } }),
    ],
    ['open the private network', 'PUT', '/targets/crm', target({ private_network: true })],
    [
      'seal a secret',
      'PUT',
      '/secrets/x',
      { value: 'v', allowed_origins: ['https://crm.example'] },
    ],
    ['delete a secret', 'DELETE', '/secrets/x', undefined],
    ['engage the kill switch', 'PUT', '/kill-switch', { engaged: false, reason: 'x' }],
  ] as const)('%s', async (_, method, path, body) => {
    const { send, policies } = adminWorld(withOps)
    const refused = await send(method, path, {
      role: 'editor',
      ...(body === undefined ? {} : { body }),
    })
    expect(refused.status).toBe(403)
    expect(refused.body).toMatchObject({ code: 'forbidden' })
    expect(policies.revision).toBe(1)
    expect(policies.events).toEqual([])
  })

  test('hide it in a document that is applied, or in what the document leaves out', async () => {
    const { send, policies } = adminWorld(withOps)
    const { auth_methods, targets, intent_policies } = DOCUMENT
    const leftOut = {
      auth_methods: [...auth_methods, authMethod({ name: 'plain' })],
      targets,
      intent_policies,
      bindings: [],
    }
    expect((await send('POST', '/policy/apply', { role: 'editor', body: leftOut })).status).toBe(
      403,
    )
    const added = { bindings: [{ ...ops, name: 'mine', auth_method: 'plain' }] }
    expect(
      (await send('POST', '/policy/apply?prune=false', { role: 'editor', body: added })).status,
    ).toBe(403)
    expect(policies.revision).toBe(1)
    expect((await send('POST', '/policy/apply', { body: leftOut })).status).toBe(200)
  })

  test('but methods that lead elsewhere may be changed', async () => {
    const { send } = adminWorld(withOps)
    const put = await send('PUT', '/auth-methods/plain', {
      role: 'editor',
      body: authMethod({ name: 'plain', labels: ['x'] }),
    })
    expect(put.status).toBe(200)
  })
})

describe('DELETE of a policy object', () => {
  test('refuses with the names of what refers to it, disabled or not', async () => {
    const { send, policies } = adminWorld({
      document: {
        ...DOCUMENT,
        bindings: [
          binding(),
          binding({
            name: 'off',
            enabled: false,
            intent: { policy: 'default', required: false, on_review: 'deny' },
          }),
        ],
      },
    })
    for (const [path, names] of [
      ['/auth-methods/prod', ['off', 'support-crm']],
      ['/targets/crm', ['off', 'support-crm']],
      ['/intent-policies/default', ['off']],
    ] as const) {
      const refused = await send('DELETE', path, { role: 'editor' })
      expect(refused.status).toBe(409)
      expect(refused.body).toMatchObject({ code: 'conflict', reason: 'still_referred_to', names })
    }
    expect(policies.revision).toBe(1)
  })

  test('deletes what nothing refers to, once, and records it', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    expect(
      (await send('DELETE', '/bindings/support-crm', { headers: { 'if-match': '"9"' } })).status,
    ).toBe(412)
    const deleted = await send('DELETE', '/bindings/support-crm', { role: 'editor' })
    expect(deleted.body).toEqual({ policy_revision: 2 })
    expect((await send('DELETE', '/bindings/support-crm')).status).toBe(404)
    expect((await send('DELETE', '/targets/crm')).status).toBe(200)
    expect(policies.events.map(({ action }) => action?.['operation'])).toEqual([
      'policy.delete',
      'policy.delete',
    ])
  })
})

describe('reading policy objects', () => {
  test('pages through a list by name, and ends', async () => {
    const targets = ['a', 'b', 'c', 'd', 'e'].map((name) => target({ name }))
    const { send } = adminWorld({ document: { targets } })
    const seen: string[] = []
    let query = '?limit=2'
    for (;;) {
      const { body } = await send('GET', `/targets${query}`, { role: 'viewer' })
      seen.push(...(body['items'] as { name: string }[]).map(({ name }) => name))
      if (body['next_cursor'] === null) break
      query = `?limit=2&cursor=${String(body['next_cursor'])}`
    }
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test.each([
    '/targets?limit=0',
    '/targets?limit=501',
    '/targets?limit=1e2',
    '/targets?limit=',
    '/targets?cursor=%22',
    '/targets?fitler=x',
    '/targets?limit=1&limit=1',
    '/targets/crm?x=1',
    '/audit?sesion=ses_1',
    '/audit?type=nothing',
    '/sessions?state=dead',
    '/policy/plan?prune=no',
  ])('refuses %s rather than showing too much', async (path) => {
    const { send } = adminWorld({ document: DOCUMENT })
    const method = path.startsWith('/policy') ? 'POST' : 'GET'
    const refused = await send(method, path, method === 'POST' ? { body: {} } : {})
    expect(refused.status).toBe(400)
    expect(refused.body).toMatchObject({ code: 'invalid_request' })
  })

  test('answers 404 for what is not there, whatever its name looks like', async () => {
    const { send } = adminWorld({ document: DOCUMENT })
    for (const path of [
      '/targets/none',
      '/targets/..%2fcrm',
      '/targets/CRM',
      '/targets/crm%00',
      '/nothing',
      '/targets/crm/',
      '/sessions/x',
      '/approvals/x',
    ])
      expect((await send('GET', path)).status).toBe(404)
  })

  test('validates without storing', async () => {
    const { send, policies } = adminWorld({ document: DOCUMENT })
    const valid = await send('POST', '/bindings/validate', {
      body: binding({ name: 'new' }),
      role: 'viewer',
    })
    expect(valid.body).toEqual({ valid: true, warnings: [] })
    const invalid = await send('POST', '/bindings/validate', {
      body: binding({ target: 'gone', condition: '!!' }),
    })
    expect(invalid.status).toBe(422)
    expect(codes(invalid.body)).toEqual(['/target unknown_reference', '/condition condition'])
    expect(policies.revision).toBe(1)
  })
})

describe('a request', () => {
  const { send, policies } = adminWorld({ document: DOCUMENT })
  const text = JSON.stringify(target({ name: 'erp' }))

  test.each([
    ['without a content type', '', 415],
    ['of another content type', 'text/plain', 415],
    ['of a form', 'application/x-www-form-urlencoded', 415],
    ['in another charset', 'application/json; charset=utf-16', 415],
    ['in YAML', 'application/yaml', 415],
    ['of JSON in UTF-8', 'Application/JSON; charset=UTF-8', 200],
  ])('%s is answered %3$s', async (_, type, status) => {
    const body = new TextEncoder().encode(JSON.stringify(target()))
    const got = await adminWorld({ document: DOCUMENT })
    const { adminRoutes } = await import('../../../functions/http/admin/index.ts')
    const response = await adminRoutes(got.deps).request('/targets/crm', {
      method: 'PUT',
      body,
      headers: { authorization: 'Bearer admin', ...(type === '' ? {} : { 'content-type': type }) },
    })
    expect(response.status).toBe(status)
  })

  test.each([
    ['RB-10: duplicate members', '{"type":"http","type":"mcp"}', 400],
    ['RB-10: duplicate members, one of them escaped', '{"type":"http","\\u0074ype":"mcp"}', 400],
    ['a byte order mark', `\ufeff${text}`, 400],
    ['trailing text', `${text}x`, 400],
    ['no text', '', 400],
    ['a member that changes a prototype', '{"type":"http","config":{"__proto__":{"x":1}}}', 422],
    ['more depth than anybody needs', `{"config":${'['.repeat(50)}${']'.repeat(50)}}`, 400],
    ['more than 1 MiB', JSON.stringify({ description: 'x'.repeat(1024 * 1024) }), 413],
  ])('with %s is refused', async (_, body, status) => {
    const refused = await send('PUT', '/targets/erp', { body })
    expect(refused.status).toBe(status)
    expect(policies.revision).toBe(1)
  })

  test('is authenticated before anything of it is read', async () => {
    const refused = await send('PUT', '/targets/erp?x=1', { body: 'not json', role: null })
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toBe('Bearer')
  })

  test('of another method is answered 405 with what may be asked', async () => {
    const put = await send('PATCH', '/targets/crm')
    expect(put.status).toBe(405)
    expect(put.headers.get('allow')).toBe('OPTIONS, GET, HEAD, PUT, DELETE')
    expect((await send('GET', '/policy/apply')).headers.get('allow')).toBe('OPTIONS, POST')
    expect((await send('PATCH', '/targets/validate')).headers.get('allow')).toBe(
      'OPTIONS, POST, GET, HEAD, PUT, DELETE',
    )
  })

  test('ADM-6: of another origin is told nothing about CORS', async () => {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'PUT' }
    for (const method of ['OPTIONS', 'GET']) {
      const answer = await send(method, '/targets', { headers })
      expect(
        [...answer.headers.keys()].filter((name) => name.startsWith('access-control')),
      ).toEqual([])
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
    const options = await send('OPTIONS', '/targets', { headers, role: null })
    expect(options.status).toBe(204)
    expect(options.headers.get('allow')).toBe('OPTIONS, GET, HEAD')
  })

  test('HEAD answers what GET does, without a body', async () => {
    const head = await send('HEAD', '/targets/crm')
    expect(head.status).toBe(200)
    expect(head.text).toBe('')
    expect(head.headers.get('etag')).toBe('"1"')
  })

  test('is answered 503 when the store is away', async () => {
    const { deps, send: sendTo } = adminWorld()
    const away = async () => {
      throw new StoreUnavailable('away')
    }
    const refused = await sendTo(
      'GET',
      '/targets',
      {},
      { ...deps, policies: { ...deps.policies, list: away } },
    )
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).not.toBeNull()
  })

  test('grants nothing and changes nothing when the change cannot be recorded', async () => {
    const { deps, send: sendTo, policies: store } = adminWorld({ document: DOCUMENT })
    const away = async () => {
      throw new StoreUnavailable('away')
    }
    const refused = await sendTo(
      'PUT',
      '/targets/erp',
      { body: text },
      { ...deps, policies: { ...deps.policies, write: away } },
    )
    expect(refused.status).toBe(503)
    expect(store.revision).toBe(1)
  })
})
