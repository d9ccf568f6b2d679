// auth-methods, targets, bindings, intent-policies: PUT, GET, list, DELETE, validate; the same for each.
import type { Failure } from '../../core/failure.ts'
import type { PolicyDocument, PolicyKind } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import { checkObject, parsePolicyObject, planPolicy } from '../../policy/index.ts'
import { isSame } from '../../policy/canonical.ts'
import { NAME } from '../../policy/schema.ts'
import { unreadSecrets } from '../../policy/unread-secrets.ts'
import { objectWarnings } from '../../policy/warnings.ts'
import type { PolicyChange, PolicyObject, StoredPolicyObject } from '../../store/contract.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import type { Attempt } from './policy-write.ts'
import { MOVED, refusalOfRole, typesFor, untilUnmoved, writePolicy } from './policy-write.ts'
import type { Precondition } from './precondition.ts'
import { etagHeader, readPrecondition } from './precondition.ts'
import { MAX_OBJECT_BYTES, readJson, readPage } from './request.ts'

/** As it stands in the path, and as it stands in a document. */
export const KIND_SEGMENTS: Readonly<Record<string, PolicyKind>> = {
  'auth-methods': 'auth_methods',
  targets: 'targets',
  bindings: 'bindings',
  'intent-policies': 'intent_policies',
}

/** A conflict names this many of what stands in the way. */
const MAX_NAMES = 100

export const policyObjectRoutes: readonly AdminRoute[] = Object.entries(KIND_SEGMENTS).flatMap(
  ([segment, kind]) => routesOf(segment, kind),
)

function routesOf(segment: string, kind: PolicyKind): AdminRoute[] {
  const one = `/${segment}/:name`
  return [
    {
      operation: `list-${segment}`,
      method: 'GET',
      path: `/${segment}`,
      role: 'viewer',
      query: ['cursor', 'limit'],
      handle: (call) => listObjects(kind, call),
    },
    {
      operation: `validate-${segment}`,
      method: 'POST',
      path: `/${segment}/validate`,
      role: 'viewer',
      handle: (call) => validateObject(kind, call),
    },
    {
      operation: `get-${segment}`,
      method: 'GET',
      path: one,
      role: 'viewer',
      handle: (call) => getObject(kind, call),
    },
    {
      operation: `put-${segment}`,
      method: 'PUT',
      path: one,
      role: 'editor',
      handle: (call) => putObject(kind, call),
    },
    {
      operation: `delete-${segment}`,
      method: 'DELETE',
      path: one,
      role: 'editor',
      handle: (call) => deleteObject(kind, call),
    },
  ]
}

async function listObjects(kind: PolicyKind, call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const { items, nextCursor } = await call.deps.policies.list(kind, page.value)
  const body = { items: items.map(({ object }) => object), next_cursor: nextCursor }
  return ok({ status: 200, body })
}

/** The object as it may be put back, so nothing else is in the body. */
async function getObject(kind: PolicyKind, call: AdminCall): Promise<Result<Answer, Failure>> {
  const name = call.parameter('name')
  const stored = NAME.test(name) ? await call.deps.policies.get(kind, name) : null
  if (stored === null) return fail({ kind: 'not_found' })
  return ok({
    status: 200,
    body: stored.object,
    headers: {
      etag: etagHeader(stored.etag),
      'last-modified': new Date(stored.updatedAt * 1000).toUTCString(),
      ...(await externalIdHeader(kind, stored.object, call)),
    },
  })
}

/** A header, because the body is what may be put back. */
async function externalIdHeader(
  kind: PolicyKind,
  object: PolicyObject,
  { deps }: AdminCall,
): Promise<Readonly<Record<string, string>>> {
  if (kind !== 'targets' || !('type' in object)) return {}
  const type = deps.types.targets.find((one) => one.type === object.type)
  const externalId = await type?.externalId?.(object)
  return typeof externalId === 'string' ? { 'sallyport-external-id': externalId } : {}
}

async function validateObject(kind: PolicyKind, call: AdminCall): Promise<Result<Answer, Failure>> {
  const object = await readObject(kind, call, undefined)
  if (!object.ok) return object
  const { document } = await call.deps.policies.readSnapshot()
  const types = typesFor(call)
  const errors = await checkObject(kind, object.value, document, types)
  if (errors.length > 0) return fail({ kind: 'invalid_document', errors })
  const warnings = [
    ...objectWarnings(kind, object.value, document, call.deps.clock.nowSeconds()),
    ...(await unreadSecrets(kind, object.value, types)),
  ]
  return ok({ status: 200, body: { valid: true, warnings } })
}

async function putObject(kind: PolicyKind, call: AdminCall): Promise<Result<Answer, Failure>> {
  const precondition = readPrecondition(call.request)
  if (!precondition.ok) return precondition
  const object = await readObject(kind, call, call.parameter('name'))
  if (!object.ok) return object
  return untilUnmoved(() => attemptPut(kind, object.value, precondition.value, call))
}

async function readObject(
  kind: PolicyKind,
  call: AdminCall,
  name: string | undefined,
): Promise<Result<PolicyObject, Failure>> {
  const body = await readJson(call.request, MAX_OBJECT_BYTES)
  if (!body.ok) return body
  const object = parsePolicyObject(kind, body.value, name)
  return object.ok ? object : fail({ kind: 'invalid_document', errors: object.failure })
}

async function attemptPut(
  kind: PolicyKind,
  object: PolicyObject,
  precondition: Precondition,
  call: AdminCall,
): Promise<Attempt> {
  const { policies, clock } = call.deps
  // The object is read after the revision that the write depends on: it is never older than that.
  const { revision, document } = await policies.readSnapshot()
  const stored = await policies.get(kind, object.name)
  if (!precondition(stored?.etag ?? null)) return fail({ kind: 'precondition_failed' })
  const change: PolicyChange = { op: 'put', kind, object }
  const refused = await roleRefusal(change, revision, call)
  if (refused === MOVED) return MOVED
  if (refused !== null) return fail(refused)
  const types = typesFor(call)
  const errors = await checkObject(kind, object, document, types)
  if (errors.length > 0) return fail({ kind: 'invalid_document', errors })
  const warnings = [
    ...objectWarnings(kind, object, document, clock.nowSeconds()),
    ...(await unreadSecrets(kind, object, types)),
  ]
  if (stored !== null && isSame(stored.object, object))
    return written(200, stored, revision, warnings)
  const next = await writePolicy(call, 'policy.put', [change], revision)
  if (next === MOVED) return MOVED
  return written(stored === null ? 201 : 200, { object, etag: String(next) }, next, warnings)
}

function written(
  status: 200 | 201,
  stored: Pick<StoredPolicyObject, 'object' | 'etag'>,
  revision: number,
  warnings: readonly unknown[],
): Result<Answer, Failure> {
  return ok({
    status,
    body: { ...stored.object, policy_revision: revision, warnings },
    headers: { etag: etagHeader(stored.etag) },
  })
}

async function deleteObject(kind: PolicyKind, call: AdminCall): Promise<Result<Answer, Failure>> {
  const precondition = readPrecondition(call.request)
  if (!precondition.ok) return precondition
  return untilUnmoved(() => attemptDelete(kind, precondition.value, call))
}

async function attemptDelete(
  kind: PolicyKind,
  precondition: Precondition,
  call: AdminCall,
): Promise<Attempt> {
  const { policies } = call.deps
  const name = call.parameter('name')
  const { revision, document } = await policies.readDocument()
  const stored = NAME.test(name) ? await policies.get(kind, name) : null
  if (!precondition(stored?.etag ?? null)) return fail({ kind: 'precondition_failed' })
  if (stored === null) return fail({ kind: 'not_found' })
  const change: PolicyChange = { op: 'delete', kind, name }
  const after = { ...document, [kind]: without(document[kind], name) }
  const refused = refusalOfRole(call, [change], document, after)
  if (refused !== null) return fail(refused)
  const names = referrersOf(kind, name, document)
  if (names.length > 0)
    return fail({ kind: 'conflict', reason: 'still_referred_to', names: names.slice(0, MAX_NAMES) })
  const next = await writePolicy(call, 'policy.delete', [change], revision)
  return next === MOVED ? MOVED : ok({ status: 200, body: { policy_revision: next } })
}

function without(objects: readonly PolicyObject[], name: string): PolicyObject[] {
  return objects.filter((object) => object.name !== name)
}

/** The bindings, disabled ones too, that would lead nowhere. */
function referrersOf(kind: PolicyKind, name: string, document: PolicyDocument): string[] {
  return document.bindings
    .filter(
      (binding) =>
        (kind === 'auth_methods' && binding.auth_method === name) ||
        (kind === 'targets' && binding.target === name) ||
        (kind === 'intent_policies' && binding.intent?.policy === name),
    )
    .map((binding) => binding.name)
}

/** Only somebody who is not an admin needs the whole policy read: what reaches the admin API is theirs alone. */
async function roleRefusal(
  change: Extract<PolicyChange, { op: 'put' }>,
  revision: number,
  call: AdminCall,
): Promise<Failure | typeof MOVED | null> {
  if (call.admin.role === 'admin') return null
  const whole = await call.deps.policies.readDocument()
  if (whole.revision !== revision) return MOVED
  const wanted = { ...EMPTY, [change.kind]: [change.object] }
  const { after } = planPolicy(whole.document, wanted, { prune: false })
  return refusalOfRole(call, [change], whole.document, after)
}

const EMPTY: PolicyDocument = { auth_methods: [], targets: [], bindings: [], intent_policies: [] }
