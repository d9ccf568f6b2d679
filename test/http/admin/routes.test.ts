// Every route, from the table: which roles may use it, and that it is described.
import { describe, expect, test } from 'vitest'
import { ADMIN_ROUTES, adminRoutes, rolePermits } from '../../../functions/http/admin/index.ts'
import { OPERATIONS } from '../../../functions/http/openapi.ts'
import { ADMIN_ROLES } from '../../../functions/policy/admin-target.ts'
import { adminWorld } from './world.ts'

const CALLERS = [null, 'agent', 'ADMIN', ...ADMIN_ROLES] as const

/** Who may do what, written out: a change of the table in the code has to be made here too. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  viewer: ['viewer', 'editor', 'approver', 'admin'],
  editor: ['editor', 'admin'],
  approver: ['approver', 'admin'],
  evaluator: ['evaluator', 'admin'],
  admin: ['admin'],
}

const WRITES_FOR_ADMINS = [
  'put-secrets',
  'delete-secrets',
  'validate-secrets',
  'put-kill-switch',
  'restore-session',
]

describe('ADM-1: the routes of the admin API', () => {
  const matrix = ADMIN_ROUTES.flatMap((route) => CALLERS.map((caller) => ({ route, caller })))

  test.each(matrix)('$route.method $route.path by $caller', async ({ route, caller }) => {
    const { send, policies, sessions, approvals, secretEvents } = adminWorld()
    const path = route.path.replace(':name', 'x').replace(':id', 'x')
    const answer = await send(route.method, path, {
      role: caller,
      ...(route.method === 'GET' ? {} : { body: {} }),
    })
    const isKnown = ADMIN_ROLES.some((known) => known === caller)
    if (!isKnown) expect(answer.status).toBe(401)
    else if (EXPECTED[route.role]?.includes(caller ?? '') !== true) expect(answer.status).toBe(403)
    else expect([200, 201, 404, 422]).toContain(answer.status)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const isRead = answer.status >= 300 || route.method === 'GET'
    if (isRead)
      expect([policies.events, sessions.events, approvals.events, secretEvents].flat()).toEqual([])
  })

  test('need the role that their effect deserves', () => {
    for (const { operation, method, role } of ADMIN_ROUTES) {
      if (WRITES_FOR_ADMINS.includes(operation))
        expect([operation, role]).toEqual([operation, 'admin'])
      else if (/^(approve|deny|list-approvals|get-approval)$/.test(operation))
        expect([operation, role]).toEqual([operation, 'approver'])
      else if (method === 'GET' || /^(validate|plan)-/.test(operation))
        expect([operation, role]).toEqual([operation, 'viewer'])
      else expect([operation, role]).toEqual([operation, 'editor'])
    }
  })

  test('have a role order in which nobody but an admin holds another role than viewer besides its own', () => {
    for (const held of ADMIN_ROLES)
      for (const needed of ADMIN_ROLES)
        expect([held, needed, rolePermits(held, needed)]).toEqual([
          held,
          needed,
          EXPECTED[needed]?.includes(held) === true,
        ])
  })

  test('are all in the OpenAPI document, each with its role, and none else under /admin/v1', () => {
    const served = adminRoutes(adminWorld().deps)
      .routes.filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} /admin/v1${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    const described = OPERATIONS.filter(({ path }) => path.startsWith('/admin/v1')).map(
      ({ method, path }) => `${method.toUpperCase()} ${path}`,
    )
    expect(described.toSorted()).toEqual(served.toSorted())
    expect(new Set(OPERATIONS.map(({ id }) => id)).size).toBe(OPERATIONS.length)
  })
})
