// Sealed secrets: written, never read back. A secret names the origins it may be sent to; they cannot be
// narrowed below what the stored policy uses, so that nothing breaks unseen.
import * as z from 'zod/mini'
import type { Failure } from '../../core/failure.ts'
import type { DocumentError } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import { isReservedSecret } from '../../core/secret-source.ts'
import { pointer } from '../../policy/pointer.ts'
import { NAME } from '../../policy/schema.ts'
import { originOf, usersOf } from '../../policy/secret-uses.ts'
import type { SealedSecretRow } from '../../store/contract.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { adminEvent } from './event.ts'
import { etagHeader, readPrecondition } from './precondition.ts'
import { readMembers, readPage } from './request.ts'
import { timeOf } from './time.ts'

const MAX_VALUE_CHARACTERS = 65_536
const MAX_ORIGINS = 32

export const secretBody = z.strictObject({
  value: z.string().check(z.minLength(1), z.maxLength(MAX_VALUE_CHARACTERS)),
  allowed_origins: z
    .array(z.string().check(z.maxLength(512)))
    .check(z.minLength(1), z.maxLength(MAX_ORIGINS)),
})

export const secretRoutes: readonly AdminRoute[] = [
  {
    operation: 'list-secrets',
    method: 'GET',
    path: '/secrets',
    role: 'viewer',
    query: ['cursor', 'limit'],
    handle: listSecrets,
  },
  {
    operation: 'validate-secrets',
    method: 'POST',
    path: '/secrets/validate',
    role: 'admin',
    handle: validateSecret,
  },
  {
    operation: 'get-secrets',
    method: 'GET',
    path: '/secrets/:name',
    role: 'viewer',
    handle: getSecret,
  },
  {
    operation: 'put-secrets',
    method: 'PUT',
    path: '/secrets/:name',
    role: 'admin',
    handle: putSecret,
  },
  {
    operation: 'delete-secrets',
    method: 'DELETE',
    path: '/secrets/:name',
    role: 'admin',
    handle: deleteSecret,
  },
]

type Described = Omit<SealedSecretRow, 'sealed'>

async function listSecrets(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const { items, nextCursor } = await call.deps.secrets.list(page.value)
  const shown = items.filter(({ name }) => !isReservedSecret(name))
  return ok({ status: 200, body: { items: shown.map(describe), next_cursor: nextCursor } })
}

async function getSecret(call: AdminCall): Promise<Result<Answer, Failure>> {
  const row = await stored(call)
  if (row === null) return fail({ kind: 'not_found' })
  return ok({ status: 200, body: describe(row), headers: { etag: etagHeader(etagOf(row)) } })
}

async function validateSecret(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readSecret(call)
  return body.ok ? ok({ status: 200, body: { valid: true, warnings: [] } }) : body
}

async function putSecret(call: AdminCall): Promise<Result<Answer, Failure>> {
  const name = call.parameter('name')
  if (!NAME.test(name)) {
    const errors = [{ path: '/name', code: 'format', message: `must match ${String(NAME)}` }]
    return fail({ kind: 'invalid_document', errors })
  }
  if (isReservedSecret(name)) {
    const message = `begins with sallyport-: such names are the broker's own`
    return fail({
      kind: 'invalid_document',
      errors: [{ path: '/name', code: 'reserved', message }],
    })
  }
  const precondition = readPrecondition(call.request)
  if (!precondition.ok) return precondition
  const body = await readSecret(call)
  if (!body.ok) return body
  const before = await stored(call)
  if (!precondition.value(before === null ? null : etagOf(before)))
    return fail({ kind: 'precondition_failed' })
  const isConditional = ['if-match', 'if-none-match'].some((one) => call.request.headers.has(one))
  return writeSecret(name, body.value, isConditional ? (before?.version ?? 0) : null, call)
}

async function writeSecret(
  name: string,
  body: z.infer<typeof secretBody>,
  version: number | null,
  call: AdminCall,
): Promise<Result<Answer, Failure>> {
  const { policies, secrets, clock } = call.deps
  const allowedOrigins = [...new Set(body.allowed_origins)].sort()
  const { revision, document } = await policies.readSnapshot()
  const cutOff = usersOf(`sealed:${name}`, document, call.deps.issuer).filter((user) =>
    user.origins.some((origin) => !allowedOrigins.includes(origin)),
  )
  if (cutOff.length > 0) return fail(inUse(cutOff))
  const sealed = await call.deps.sealSecret({ name, value: body.value, allowedOrigins })
  const event = adminEvent(call, {
    action: { operation: 'secret.put', name, allowed_origins: allowedOrigins },
    policyRevision: revision,
  })
  const row = { name, sealed, allowedOrigins }
  const put = await secrets.put(row, clock.nowSeconds(), event, version)
  if (put === 'changed') return fail({ kind: 'precondition_failed' })
  call.deps.onPolicyChanged()
  const now = await secrets.get(name)
  if (now === null) return fail({ kind: 'conflict', reason: 'deleted_meanwhile' })
  return ok({
    status: put === 'created' ? 201 : 200,
    body: { ...describe(now), policy_revision: revision },
    headers: { etag: etagHeader(etagOf(now)) },
  })
}

async function deleteSecret(call: AdminCall): Promise<Result<Answer, Failure>> {
  const precondition = readPrecondition(call.request)
  if (!precondition.ok) return precondition
  const row = await stored(call)
  if (!precondition.value(row === null ? null : etagOf(row)))
    return fail({ kind: 'precondition_failed' })
  if (row === null) return fail({ kind: 'not_found' })
  const { revision, document } = await call.deps.policies.readSnapshot()
  const users = usersOf(`sealed:${row.name}`, document, call.deps.issuer)
  if (users.length > 0) return fail(inUse(users))
  const event = adminEvent(call, {
    action: { operation: 'secret.delete', name: row.name },
    policyRevision: revision,
  })
  const deleted = await call.deps.secrets.delete(row.name, event)
  if (!deleted) return fail({ kind: 'not_found' })
  call.deps.onPolicyChanged()
  return ok({ status: 200, body: { policy_revision: revision } })
}

async function stored(call: AdminCall): Promise<SealedSecretRow | null> {
  const name = call.parameter('name')
  return NAME.test(name) && !isReservedSecret(name) ? call.deps.secrets.get(name) : null
}

async function readSecret(call: AdminCall): Promise<Result<z.infer<typeof secretBody>, Failure>> {
  const body = await readMembers(call.request, secretBody)
  if (!body.ok) return body
  const errors = body.value.allowed_origins.flatMap((origin, i) =>
    originMistakes(origin, pointer('allowed_origins', i), call.deps.allowInsecureLoopback),
  )
  return errors.length === 0 ? body : fail({ kind: 'invalid_document', errors })
}

/** Exactly as `new URL(target).origin` writes it, without wildcard; https, but on loopback in development. */
function originMistakes(origin: string, path: string, insecureLoopback: boolean): DocumentError[] {
  if (originOf(origin) !== origin || !PLAIN_HOST.test(origin))
    return [{ path, code: 'format', message: 'must be an origin such as https://api.example' }]
  if (origin.startsWith('https:')) return []
  if (insecureLoopback && LOOPBACK.test(new URL(origin).hostname)) return []
  return [{ path, code: 'unsafe', message: 'must be https' }]
}

const PLAIN_HOST = /^https?:\/\/(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::\d+)?$/
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

function inUse(users: readonly { readonly kind: string; readonly name: string }[]): Failure {
  const names = users.map(({ kind, name }) => `${kind}/${name}`)
  return { kind: 'conflict', reason: 'secret_in_use', names }
}

/** A secret that was deleted and made again counts from 1, so its time belongs to it. */
function etagOf(row: Described): string {
  return `${row.version}.${row.createdAt}`
}

function describe(row: Described): Record<string, unknown> {
  return {
    name: row.name,
    allowed_origins: row.allowedOrigins,
    version: row.version,
    created_at: timeOf(row.createdAt),
    updated_at: timeOf(row.updatedAt),
  }
}
