// The routes of /admin/v1: one table. Every request is authenticated for the role of its route before
// anything of it is read; there is no cookie and no CORS, so a browser of somebody else's page gets nothing.
import { Hono } from 'hono'
import type { Context } from 'hono'
import type { Failure } from '../../core/failure.ts'
import { StoreUnavailable } from '../../core/records.ts'
import type { Result } from '../../core/result.ts'
import { recordForbidden } from '../forbidden.ts'
import { approvalRoutes } from './approvals.ts'
import { auditRoutes } from './audit.ts'
import type { AdminDeps, AdminRoute, Answer } from './contract.ts'
import { killSwitchRoutes } from './kill-switch.ts'
import { policyDocumentRoutes } from './policy-document.ts'
import { policyObjectRoutes } from './policy-objects.ts'
import { readQuery } from './request.ts'
import { secretRoutes } from './secrets.ts'
import { sessionStateRoutes } from './session-states.ts'
import { sessionRoutes } from './sessions.ts'

export { applyPolicyDocument } from '../../policy/startup.ts'
export type { AdminDeps } from './contract.ts'
export { rolePermits } from './roles.ts'

const STORE_RETRY_SECONDS = 5

export const ADMIN_ROUTES: readonly AdminRoute[] = [
  ...policyObjectRoutes,
  ...secretRoutes,
  ...policyDocumentRoutes,
  ...sessionRoutes,
  ...sessionStateRoutes,
  ...killSwitchRoutes,
  ...approvalRoutes,
  ...auditRoutes,
]

/** To be mounted at /admin/v1. */
export function adminRoutes(deps: AdminDeps): Hono {
  const app = new Hono()
  for (const route of ADMIN_ROUTES) app.on(route.method, route.path, (c) => serve(c, route, deps))
  for (const [path, methods] of methodsByPath()) app.all(path, (c) => otherMethod(c, methods, deps))
  app.all('*', (c) => guarded(deps.sendFailure(c, { kind: 'not_found' }, deps.ids.fresh('dec'))))
  return app
}

async function serve(c: Context, route: AdminRoute, deps: AdminDeps): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  const result = await attempt(c, route, deps, decisionId)
  const response = result.ok
    ? Response.json(result.value.body, { status: result.value.status, ...headersOf(result.value) })
    : deps.sendFailure(c, result.failure, decisionId)
  response.headers.set('sallyport-decision', decisionId)
  return guarded(response)
}

async function attempt(
  c: Context,
  route: AdminRoute,
  deps: AdminDeps,
  decisionId: string,
): Promise<Result<Answer, Failure>> {
  try {
    const served = await authenticated(c, route, deps, decisionId)
    if (served.ok || served.failure.kind !== 'forbidden') return served
    await recordForbidden(served.failure, route.operation, decisionId, deps)
    return served
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    const retryAfterSeconds = STORE_RETRY_SECONDS
    return { ok: false, failure: { kind: 'unavailable', reason: 'store', retryAfterSeconds } }
  }
}

async function authenticated(
  c: Context,
  route: AdminRoute,
  deps: AdminDeps,
  decisionId: string,
): Promise<Result<Answer, Failure>> {
  const request = c.req.raw
  const admin = await deps.authenticate(request, route.role)
  if (!admin.ok) return admin
  const query = readQuery(request, route.query ?? [])
  if (!query.ok) return query
  const handled = await route.handle({
    request,
    deps,
    admin: admin.value,
    decisionId,
    parameter: (name) => c.req.param(name) ?? '',
    query: query.value,
  })
  if (handled.ok || handled.failure.kind !== 'forbidden') return handled
  return { ok: false, failure: { ...handled.failure, identity: admin.value.name } }
}

function headersOf(answer: Answer): { headers?: Record<string, string> } {
  return answer.headers === undefined ? {} : { headers: { ...answer.headers } }
}

/** OPTIONS tells what there is, without a word of CORS; anything else is refused with the same list. */
function otherMethod(c: Context, methods: readonly string[], deps: AdminDeps): Response {
  if (c.req.method === 'OPTIONS')
    return guarded(new Response(null, { status: 204, headers: { allow: methods.join(', ') } }))
  const failure: Failure = { kind: 'method_not_allowed', allow: methods }
  return guarded(deps.sendFailure(c, failure, deps.ids.fresh('dec')))
}

/** What may be asked at a path; `/targets/validate` is also the path of an object of that name. */
function methodsByPath(): Map<string, string[]> {
  const paths = new Set(ADMIN_ROUTES.map(({ path }) => path))
  return new Map(
    [...paths].map((path) => {
      const methods = ADMIN_ROUTES.filter((route) => covers(route.path, path)).flatMap(
        ({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]),
      )
      return [path, ['OPTIONS', ...new Set(methods)]]
    }),
  )
}

function covers(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  return (
    wanted.length === given.length &&
    wanted.every((segment, i) => segment.startsWith(':') || segment === given[i])
  )
}

function guarded(response: Response): Response {
  response.headers.set('cache-control', 'no-store')
  response.headers.set('x-content-type-options', 'nosniff')
  return response
}
