// An editor who wants to be an admin, or wants a secret sent to a place of his own: every way that the
// administration API offers is closed, and leaves the policy as it was.
import { beforeAll, describe, expect, test } from 'vitest'
import { ADMIN_TOKEN, type InProcess, ISSUER, startInProcess } from '../faults/in-process.ts'

type Document = { bindings: object[] }
type Try = readonly [why: string, method: string, path: string, body: object | null, status: number]

const grants = [{ effects: ['admin'], objects: ['admin'] }]
const mine = { auth_method: 'mine', ttl_seconds: 60 }
const secret = { inject: 'bearer', secret: 'sealed:crm-key' }
const http = (config: object, rest: object = {}) => ({ type: 'http', config, ...rest })
const oidc = (issuer: string) => ({ type: 'oidc', config: { issuer, audiences: ['sallyport'] } })

const TRIES: readonly Try[] = [
  ['binds himself', 'PUT', '/bindings/x', { ...mine, target: 'sallyport-admin', grants }, 403],
  ['widens his own role', 'PUT', '/bindings/editors', { ...mine, target: 'crm', grants }, 403],
  ['removes his own limits', 'DELETE', '/bindings/editors', null, 403],
  ['opens the method of admins', 'PUT', '/auth-methods/ci', oidc('https://idp.example'), 403],
  ['points a target at the broker', 'PUT', '/targets/loop', http({ base_url: ISSUER }), 403],
  ['spells the broker otherwise', 'PUT', '/targets/loop', http({ base_url: `${ISSUER}.` }), 422],
  [
    'reaches a private address',
    'PUT',
    '/targets/private',
    http({ base_url: 'https://10.0.0.1' }, { private_network: true }),
    403,
  ],
  [
    'has a secret sent elsewhere',
    'PUT',
    '/targets/steal',
    http({ base_url: 'https://evil.example' }, { credential: secret }),
    422,
  ],
  [
    'names a second destination',
    'PUT',
    '/targets/crm',
    http({ base_url: 'https://crm.example', url: 'https://evil.example' }, { credential: secret }),
    422,
  ],
  [
    'names a variable of the environment',
    'PUT',
    '/targets/env',
    http({ base_url: 'https://evil.example' }, { credential: { ...secret, secret: 'env:HOME' } }),
    403,
  ],
  [
    'has a judge take the secret',
    'PUT',
    '/intent-policies/judge',
    { rules: [], judge: { type: 'authzen', url: 'https://evil.example', secret: secret.secret } },
    422,
  ],
  ['writes a secret', 'PUT', '/secrets/crm-key', { value: 'abcd', allowed_origins: [] }, 403],
  ['pulls the kill switch', 'PUT', '/kill-switch', { engaged: true, reason: 'x' }, 403],
  ['approves', 'POST', '/approvals/apr_x/approve', {}, 403],
  ['empties the policy', 'POST', '/policy/apply', {}, 403],
  [
    'assigns a revision',
    'PUT',
    '/bindings/m',
    { ...mine, target: 'crm', grants, revision: 9 },
    422,
  ],
  ['renames by the body', 'PUT', '/bindings/m', { ...mine, name: 'editors', target: 'crm' }, 422],
  ['uses the name of a prototype', 'PUT', '/targets/__proto__', http({ base_url: ISSUER }), 422],
]

describe('an editor', () => {
  let broker: InProcess
  let handle: string
  let before: string
  const as = (token: string, method: string, path: string, body: object | null) =>
    broker.fetch(`/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === null ? {} : { body: JSON.stringify(body) }),
    })

  beforeAll(async () => {
    broker = await startInProcess()
    const document = (await (await as(ADMIN_TOKEN, 'GET', '/policy', null)).json()) as Document
    document.bindings.push({
      name: 'editors',
      auth_method: 'ci',
      target: 'sallyport-admin',
      grants: [{ effects: ['admin'], objects: ['editor'] }],
      ttl_seconds: 300,
    })
    const applied = await as(ADMIN_TOKEN, 'POST', '/policy/apply', document)
    if (!applied.ok) throw new Error(await applied.text())
    handle = await broker.handle({ audience: 'sallyport-admin' })
    const made = await as(handle, 'PUT', '/auth-methods/mine', oidc('https://idp2.example'))
    expect(made.status).toBe(201)
    before = await (await as(handle, 'GET', '/policy', null)).text()
  })

  test.each(TRIES)('%s: %s %s', async (_, method, path, body, status) => {
    expect((await as(handle, method, path, body)).status).toBe(status)
    expect(await (await as(handle, 'GET', '/policy', null)).text()).toBe(before)
  })

  test('cannot use the admin API through the gateway, nor a target’s handle on it', async () => {
    const through = await broker.fetch('/t/sallyport-admin/policy', {
      headers: { authorization: `Bearer ${handle}` },
    })
    expect(through.status).toBe(403)
    expect((await as(await broker.handle(), 'GET', '/policy', null)).status).toBe(401)
  })
})
