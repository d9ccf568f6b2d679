// The policy file of SALLYPORT_POLICY: applied as a whole before the server listens, with the same checks
// as over the API. A file with mistakes keeps the server from starting, with all of them named.
import { canonicalJson } from '../core/audit.ts'
import { draftEvent } from '../core/events.ts'
import type { JsonValue } from '../core/identity.ts'
import type { DocumentError } from '../core/policy.ts'
import type { Clock, Hashing, Ids } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { PolicyStore } from '../store/contract.ts'
import { type PolicyTypes, validatePolicyDocument } from './check.ts'
import { planPolicy } from './plan.ts'

export type StartupDeps = {
  readonly policies: PolicyStore
  readonly types: PolicyTypes
  readonly clock: Clock
  readonly ids: Ids
  readonly hashing: Hashing
}

/** Another process may apply the same file at the same time; each attempt plans anew. */
const MAX_ATTEMPTS = 5

/** The revision in force afterwards. An unchanged document makes no new one. */
export async function applyPolicyDocument(
  value: JsonValue,
  deps: StartupDeps,
): Promise<Result<number, readonly DocumentError[]>> {
  const { document, errors } = await validatePolicyDocument(value, deps.types, null)
  if (errors.length > 0) return fail(errors)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const { revision, document: before } = await deps.policies.readDocument()
    const { changes } = planPolicy(before, document, { prune: true })
    if (changes.length === 0) return ok(revision)
    const event = draftEvent(
      {
        type: 'admin',
        decisionId: deps.ids.fresh('dec'),
        identity: 'admin:policy-file',
        action: {
          operation: 'policy.apply',
          changes_total: changes.length,
          document_sha256: deps.hashing.sha256Hex(canonicalJson(value)),
        },
        outcome: { result: 'applied' },
        policyRevision: revision + 1,
      },
      deps,
    )
    const written = await deps.policies.write({ changes, expectedRevision: revision, event })
    if (written !== null) return ok(written)
  }
  return fail([{ path: '', code: 'conflict', message: 'the policy kept changing meanwhile' }])
}
