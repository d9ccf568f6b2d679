// Who administers: SALLYPORT_ADMIN_TOKEN while it is set, or a handle for the built-in target
// `sallyport-admin` whose grants name the role. Attestations are accepted on the exchange only.
import { currentGrant } from '../core/current-grant.ts'
import type { Failure } from '../core/failure.ts'
import { grantsAllow } from '../core/grants.ts'
import type { Action } from '../core/intent.ts'
import { ADMIN_TARGET } from '../core/opening.ts'
import type { Hashing } from '../core/ports.ts'
import {
  type PresentedDeps,
  type PresentedHandle,
  verifyPresented,
} from '../core/presented-handle.ts'
import type { Records } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { Conditions, PolicySource } from '../core/snapshot.ts'
import { targetUrl } from '../core/target-url.ts'
import { isSameSecret } from '../crypto/same-secret.ts'
import { ADMIN_ROLES, type AdminRole } from '../policy/admin-target.ts'
import type { RequestFacts } from '../platform.ts'
import { readHandle } from './authorization.ts'

export type Admin = {
  /** `admin-token`, or `{auth_method}:{subject}`. */
  readonly name: string
  readonly roles: readonly AdminRole[]
  readonly sessionId: string | null
}

export type AdminAuthDeps = PresentedDeps & {
  readonly adminToken: string | null
  readonly records: Records
  readonly policy: PolicySource
  readonly conditions: Conditions
  readonly hashing: Hashing
}

/** The admin behind a request, with every role that its grants name. */
export async function authenticateAdmin(
  request: Pick<Request, 'method'>,
  facts: RequestFacts,
  deps: AdminAuthDeps,
): Promise<Result<Admin, Failure>> {
  const presented = readHandle(request, facts, deps.issuer)
  if (!presented.ok) return presented
  if (presented.value === null) return fail({ kind: 'unauthenticated' })
  const { scheme, token } = presented.value
  const { adminToken, hashing } = deps
  if (adminToken !== null && scheme === 'Bearer' && isSameSecret(token, adminToken, hashing)) {
    return ok({ name: 'admin-token', roles: ADMIN_ROLES, sessionId: null })
  }
  return adminOfHandle(presented.value, deps)
}

async function adminOfHandle(
  presented: PresentedHandle,
  deps: AdminAuthDeps,
): Promise<Result<Admin, Failure>> {
  const now = deps.clock.nowSeconds()
  const verified = await verifyPresented(presented, deps)
  if (!verified.ok) return fail(unauthenticated(verified.failure))
  const { claims, singleUse } = verified.value
  if (!claims.aud.includes(targetUrl(deps.issuer, ADMIN_TARGET))) {
    return fail({ kind: 'unauthenticated' })
  }
  const { sid } = claims
  const query = { sessionId: sid, target: ADMIN_TARGET, withHistory: false, withApprovals: false }
  const read = await deps.records.readAction(query)
  const { session } = read
  // The kill switch does not shut out those who release it: what they may do here sends no credential.
  const isLive = session !== null && session.state === 'active' && session.expiresAt > now
  if (!isLive) return fail({ kind: 'unauthenticated' })
  const current = await deps.policy.current()
  const snapshot =
    current.revision === read.revision ? current : await deps.policy.refresh(read.revision - 1)
  await deps.conditions.load(read.bindings ?? [])
  const grant = currentGrant(session, ADMIN_TARGET, read.bindings, snapshot, deps)
  if (!grant.ok) return fail({ kind: 'unauthenticated' })
  if (!(await deps.records.consume(singleUse))) {
    return fail({ kind: 'invalid_proof', reason: 'replayed', at: 'resource' })
  }
  const roles = ADMIN_ROLES.filter((role) =>
    grantsAllow(grant.value.grants(asAction(role)), ['admin'], [role]),
  )
  return ok({ name: session.identity, roles, sessionId: session.id })
}

/** Of a holder who lacks a proof, that it is one; of everybody else nothing. */
function unauthenticated(failure: Failure): Failure {
  const isOfProof =
    failure.kind === 'invalid_proof' ||
    (failure.kind === 'invalid_handle' && PROOF_REASONS.includes(failure.reason))
  return isOfProof ? failure : { kind: 'unauthenticated' }
}

const PROOF_REASONS: readonly string[] = ['proof_required', 'wrong_key', 'wrong_certificate']

/** Acting in a role, as the action that the grants are asked about. */
function asAction(role: AdminRole): Action {
  return {
    name: 'http.request',
    target: ADMIN_TARGET,
    targetType: 'admin',
    targetLabels: [],
    effects: ['admin'],
    objects: [role],
    destinations: [],
    properties: {},
    record: {},
  }
}
