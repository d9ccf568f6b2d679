// The policy as one document: read, plan, apply. Applying is one atomic write and one revision, and the
// document is the whole policy: what it does not name is deleted, unless `prune=false`.
import type { Failure } from '../../core/failure.ts'
import type { JsonValue } from '../../core/identity.ts'
import type { DocumentError, PolicyDocument } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { fail, ok } from '../../core/result.ts'
import type { PolicyPlan } from '../../policy/index.ts'
import { planPolicy, policyWarnings, validatePolicyDocument } from '../../policy/index.ts'
import { unreadSecretsOf } from '../../policy/unread-secrets.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import type { Attempt } from './policy-write.ts'
import { MOVED, refusalOfRole, typesFor, untilUnmoved, writePolicy } from './policy-write.ts'
import { etagHeader, readPrecondition } from './precondition.ts'
import { MAX_DOCUMENT_BYTES, invalidParameter, readJson } from './request.ts'

export const policyDocumentRoutes: readonly AdminRoute[] = [
  {
    operation: 'get-policy',
    method: 'GET',
    path: '/policy',
    role: 'viewer',
    handle: getPolicy,
  },
  {
    operation: 'plan-policy',
    method: 'POST',
    path: '/policy/plan',
    role: 'viewer',
    query: ['prune'],
    handle: planDocument,
  },
  {
    operation: 'apply-policy',
    method: 'POST',
    path: '/policy/apply',
    role: 'editor',
    query: ['prune'],
    handle: applyDocument,
  },
]

/** The document as it may be applied again, so the revision is not in the body. */
async function getPolicy(call: AdminCall): Promise<Result<Answer, Failure>> {
  const { revision, document } = await call.deps.policies.readDocument()
  return ok({ status: 200, body: document, headers: revisionHeaders(revision) })
}

async function planDocument(call: AdminCall): Promise<Result<Answer, Failure>> {
  const request = await readDocumentRequest(call)
  if (!request.ok) return request
  const planned = await plan(request.value, call)
  return planned.ok ? ok(answerOf(planned.value, planned.value.revision)) : planned
}

async function applyDocument(call: AdminCall): Promise<Result<Answer, Failure>> {
  const precondition = readPrecondition(call.request)
  if (!precondition.ok) return precondition
  const request = await readDocumentRequest(call)
  if (!request.ok) return request
  return untilUnmoved(async (): Promise<Attempt> => {
    const planned = await plan(request.value, call)
    if (!planned.ok) return planned
    const { revision, changes, before, after } = planned.value
    if (!precondition.value(String(revision))) return fail({ kind: 'precondition_failed' })
    const refused = refusalOfRole(call, changes, before, after)
    if (refused !== null) return fail(refused)
    if (changes.length === 0) return ok(answerOf(planned.value, revision))
    const next = await writePolicy(call, 'policy.apply', changes, revision)
    return next === MOVED ? MOVED : ok(answerOf(planned.value, next))
  })
}

type DocumentRequest = { readonly body: JsonValue; readonly prune: boolean }

async function readDocumentRequest(call: AdminCall): Promise<Result<DocumentRequest, Failure>> {
  const prune = call.query.get('prune') ?? 'true'
  if (prune !== 'true' && prune !== 'false') return invalidParameter('prune')
  const body = await readJson(call.request, MAX_DOCUMENT_BYTES)
  return body.ok ? ok({ body: body.value, prune: prune === 'true' }) : body
}

type Planned = PolicyPlan & {
  readonly revision: number
  readonly before: PolicyDocument
  readonly warnings: readonly DocumentError[]
}

async function plan(request: DocumentRequest, call: AdminCall): Promise<Result<Planned, Failure>> {
  const { policies, clock } = call.deps
  const types = typesFor(call)
  const { revision, document: before } = await policies.readDocument()
  const kept = request.prune ? null : before
  const { document, errors } = await validatePolicyDocument(request.body, types, kept)
  if (errors.length > 0) return fail({ kind: 'invalid_document', errors })
  const warnings = [
    ...policyWarnings(document, clock.nowSeconds()),
    ...(await unreadSecretsOf(document, types)),
  ]
  return ok({ ...planPolicy(before, document, request), revision, before, warnings })
}

function answerOf(planned: Planned, revision: number): Answer {
  return {
    status: 200,
    body: {
      policy_revision: revision,
      create: planned.create,
      update: planned.update,
      delete: planned.delete,
      unchanged: planned.unchanged,
      warnings: planned.warnings,
    },
    headers: revisionHeaders(revision),
  }
}

function revisionHeaders(revision: number): Record<string, string> {
  return {
    etag: etagHeader(String(revision)),
    'sallyport-policy-revision': String(revision),
  }
}
