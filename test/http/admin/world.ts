// The admin routes over stores in memory. A bearer token is a role; `{role}@{identity}` says who holds it.
import { createHash } from 'node:crypto'
import type { EventDraft } from '../../../functions/core/audit.ts'
import type { Failure } from '../../../functions/core/failure.ts'
import type { PolicyDocument } from '../../../functions/core/policy.ts'
import type { StoredApproval } from '../../../functions/core/records.ts'
import { fail, ok } from '../../../functions/core/result.ts'
import type { Session } from '../../../functions/core/session.ts'
import type { AdminDeps } from '../../../functions/http/admin/index.ts'
import { adminRoutes, rolePermits } from '../../../functions/http/admin/index.ts'
import { problemAnswer, toResponse } from '../../../functions/http/error.ts'
import { ADMIN_ROLES } from '../../../functions/policy/admin-target.ts'
import type { AuditQuery, SecretStore, StoredEvent } from '../../../functions/store/contract.ts'
import { fakeApprovalStore } from '../../fakes/approval-store.ts'
import { manualClock } from '../../fakes/manual-clock.ts'
import { fakePolicyStore } from '../../fakes/policy-store.ts'
import { fakePolicyTypes } from '../../fakes/policy-types.ts'
import { fakeSecretStore } from '../../fakes/secret-store.ts'
import { fakeSessionStore } from '../../fakes/session-store.ts'

export type Sent = {
  readonly role?: string | null
  readonly headers?: Readonly<Record<string, string>>
  /** A string is sent as it is; anything else as JSON. */
  readonly body?: unknown
}

export type Got = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // Tests read what they know of.
  readonly body: Record<string, unknown>
}

export function adminWorld(
  given: {
    readonly document?: Partial<PolicyDocument>
    readonly sessions?: readonly Session[]
    readonly approvals?: readonly (StoredApproval & { subject: Record<string, string> })[]
    readonly events?: readonly StoredEvent[]
  } = {},
) {
  const clock = manualClock()
  const policies = fakePolicyStore(given.document)
  const sessions = fakeSessionStore(given.sessions)
  const approvals = fakeApprovalStore(given.approvals)
  const secretRows = fakeSecretStore()
  const secretEvents: EventDraft[] = []
  const secrets: SecretStore = {
    ...secretRows,
    put: (row, now, event) => (secretEvents.push(event), secretRows.put(row, now, event)),
    delete: (name, event) => (secretEvents.push(event), secretRows.delete(name, event)),
  }
  const queries: AuditQuery[] = []
  const refusals: EventDraft[] = []
  let fresh = 0
  let changed = 0
  const deps: AdminDeps = {
    policies,
    secrets,
    sessions,
    approvals,
    audit: {
      async list(query) {
        queries.push(query)
        return { items: given.events ?? [], nextCursor: null }
      },
    },
    records: {
      readPolicyState: async () => ({ revision: policies.revision, killed: policies.killed }),
      readHandedOver: async () => ({
        revision: policies.revision,
        killed: policies.killed,
        credentials: [],
        holding: [],
      }),
      recordRefusal: async (event) => void refusals.push(event),
    },
    withdraw: async () => null,
    types: {
      ...fakePolicyTypes(),
      async secretAllowedOrigins(reference) {
        const row = secretRows.rows.get(reference.slice('sealed:'.length))
        if (row === undefined) return fail({ reason: 'not_found', reference })
        return ok(row.allowedOrigins)
      },
    },
    async authenticate(request, role) {
      const [held = '', name = 'prod:op'] =
        request.headers.get('authorization')?.slice('Bearer '.length).split('@') ?? []
      const known = ADMIN_ROLES.find((one) => one === held)
      if (known === undefined) return fail<Failure>({ kind: 'unauthenticated' })
      if (!rolePermits(known, role)) return fail<Failure>({ kind: 'forbidden', needs: role })
      return ok({ name, role: known, sessionId: 'ses_admin' })
    },
    sealSecret: async ({ name, value }) => `sealed(${name},${value.length})`,
    issuer: 'https://broker.example',
    allowInsecureLoopback: false,
    clock,
    ids: { fresh: (prefix) => `${prefix}_${++fresh}` },
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    sendFailure: (_c, failure, decisionId) => toResponse(problemAnswer(failure, decisionId)),
    onPolicyChanged: () => void changed++,
  }

  async function send(method: string, path: string, sent: Sent = {}, with_ = deps): Promise<Got> {
    const { role = 'admin', headers = {}, body } = sent
    const response = await adminRoutes(with_).request(`https://broker.example${path}`, {
      method,
      headers: {
        ...(role === null ? {} : { authorization: `Bearer ${role}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = text !== '' && /json/.test(response.headers.get('content-type') ?? '')
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
    }
  }

  return {
    deps,
    clock,
    policies,
    sessions,
    approvals,
    secretEvents,
    queries,
    refusals,
    send,
    changes: () => changed,
  }
}
