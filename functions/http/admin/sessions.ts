// Sessions: what is open, with the intent exactly as declared, and how to end it.
import * as z from 'zod/mini'
import type { EventDraft } from '../../core/audit.ts'
import type { Failure } from '../../core/failure.ts'
import type { PolicyDocument } from '../../core/policy.ts'
import type { Result } from '../../core/result.ts'
import { describeHandedOver } from '../../core/minting.ts'
import { fail, ok } from '../../core/result.ts'
import type { Standing } from '../../core/session-state.ts'
import type { DescribedSession, SessionState } from '../../core/session.ts'
import { describeWithdrawn } from '../../core/withdrawn.ts'
import type { SessionFilter } from '../../store/contract.ts'
import type { AdminCall, AdminRoute, Answer } from './contract.ts'
import { adminEvent } from './event.ts'
import { invalidParameter, readMembers, readPage } from './request.ts'
import { timeOf } from './time.ts'

const SESSION_ID = /^ses_[\w-]{1,128}$/
const STATES: readonly SessionState[] = ['active', 'narrowed', 'suspended', 'ended']

const word = z.string().check(z.minLength(1), z.maxLength(2048))
const reason = z.exactOptional(z.string().check(z.maxLength(500)))

/** What is given must all match. */
export const revokeBody = z.strictObject({
  method: z.exactOptional(word),
  identity: z.exactOptional(word),
  target: z.exactOptional(word),
  binding: z.exactOptional(word),
  agent: z.exactOptional(word),
  issuer: z.exactOptional(word),
  reason,
})

export const reasonBody = z.strictObject({ reason })

/** Query parameter or member of the body, and what it selects. */
const FILTERS = {
  method: 'authMethod',
  identity: 'identity',
  target: 'target',
  binding: 'binding',
  agent: 'agent',
} as const satisfies Readonly<Record<string, keyof SessionFilter>>

export const sessionRoutes: readonly AdminRoute[] = [
  {
    operation: 'list-sessions',
    method: 'GET',
    path: '/sessions',
    role: 'viewer',
    query: [...Object.keys(FILTERS), 'root', 'state', 'cursor', 'limit'],
    handle: listSessions,
  },
  {
    operation: 'revoke-sessions',
    method: 'POST',
    path: '/sessions/revoke',
    role: 'editor',
    handle: revokeSessions,
  },
  {
    operation: 'get-session',
    method: 'GET',
    path: '/sessions/:id',
    role: 'viewer',
    query: ['cursor', 'limit'],
    handle: getSession,
  },
  {
    operation: 'revoke-session',
    method: 'POST',
    path: '/sessions/:id/revoke',
    role: 'editor',
    handle: revokeSession,
  },
]

async function listSessions(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const given = call.query.get('state')
  const state = STATES.find((known) => known === given)
  if (given !== undefined && state === undefined) return invalidParameter('state')
  const root = call.query.get('root')
  const filter: SessionFilter = {
    ...filterOf((name) => call.query.get(name)),
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
  }
  const { items, nextCursor } = await call.deps.sessions.list(filter, page.value)
  const now = call.deps.clock.nowSeconds()
  return ok({
    status: 200,
    body: { items: items.map((session) => describeSession(session, now)), next_cursor: nextCursor },
  })
}

async function getSession(call: AdminCall): Promise<Result<Answer, Failure>> {
  const page = readPage(call)
  if (!page.ok) return page
  const session = await findSession(call)
  if (session === null) return fail({ kind: 'not_found' })
  const now = call.deps.clock.nowSeconds()
  const below = { root: session.lineage?.ancestors[0] ?? session.id, parent: session.id }
  const children = await call.deps.sessions.list(below, page.value)
  const { credentials } = await call.deps.records.readHandedOver(session.id)
  const body = {
    ...describeSession(session, now),
    claims: session.claims,
    token_sha256: session.attestationHash,
    // Of those below it, too, and no longer than they work.
    credentials: credentials.map(describeHandedOver),
    children: {
      items: children.items.map((child) => describeSession(child, now)),
      next_cursor: children.nextCursor,
    },
  }
  return ok({ status: 200, body })
}

async function revokeSession(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, reasonBody, { optional: true })
  if (!body.ok) return body
  const session = await findSession(call)
  if (session === null) return fail({ kind: 'not_found' })
  const handedOver = await call.deps.records.readHandedOver(session.id)
  const credentials = handedOver.credentials.map(describeHandedOver)
  const event = adminEvent(call, {
    type: 'revocation',
    sessionId: session.id,
    action: {
      operation: 'session.revoke',
      ...body.value,
      ...(credentials.length === 0 ? {} : { credentials }),
    },
    policyRevision: handedOver.revision,
  })
  const ended = await call.deps.sessions.end(session.id, event)
  const cause = { decisionId: call.decisionId, sessionId: session.id }
  const withdrawn = describeWithdrawn(await call.deps.withdraw(cause))
  return ok({
    status: 200,
    // Each says of itself whether it works until it expires, whatever became of the session.
    body: { id: session.id, state: 'ended', revoked: ended ? 1 : 0, credentials, ...withdrawn },
  })
}

async function revokeSessions(call: AdminCall): Promise<Result<Answer, Failure>> {
  const body = await readMembers(call.request, revokeBody)
  if (!body.ok) return body
  const { reason: why, ...selection } = body.value
  if (Object.keys(selection).length === 0) {
    const message = 'name at least one of method, identity, target, binding, agent, issuer'
    return fail({ kind: 'invalid_document', errors: [{ path: '', code: 'required', message }] })
  }
  const { revision, document } = await call.deps.policies.readSnapshot()
  let revoked = 0
  for (const filter of filtersOf(selection, document)) {
    const event = adminEvent(call, {
      type: 'revocation',
      action: {
        operation: 'sessions.revoke',
        selection,
        ...(filter.authMethod === undefined ? {} : { auth_method: filter.authMethod }),
        ...(why === undefined ? {} : { reason: why }),
      },
      policyRevision: revision,
    })
    revoked += await call.deps.sessions.endWhere(filter, event)
  }
  const withdrawn = await call.deps.withdraw({ decisionId: call.decisionId, sessionId: null })
  return ok({ status: 200, body: { revoked, ...describeWithdrawn(withdrawn) } })
}

/** An issuer stands for every method, disabled ones too, that believes it. */
function filtersOf(
  selection: z.infer<typeof revokeBody>,
  document: Pick<PolicyDocument, 'auth_methods'>,
): SessionFilter[] {
  const filter = filterOf((name) => selection[name])
  const { issuer } = selection
  if (issuer === undefined) return [filter]
  return document.auth_methods
    .filter(
      ({ config }) =>
        config['issuer'] === issuer ||
        (typeof config['trust_domain'] === 'string' &&
          `spiffe://${config['trust_domain']}` === issuer),
    )
    .map(({ name }) => name)
    .filter((name) => filter.authMethod === undefined || filter.authMethod === name)
    .map((name) => ({ ...filter, authMethod: name }))
}

function filterOf(read: (name: keyof typeof FILTERS) => string | undefined): SessionFilter {
  const entries = Object.entries(FILTERS).map(([name, member]) => [
    member,
    // The keys of FILTERS are its own.
    read(name as keyof typeof FILTERS),
  ])
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as SessionFilter
}

export async function findSession(call: AdminCall): Promise<DescribedSession | null> {
  const id = call.parameter('id')
  return SESSION_ID.test(id) ? call.deps.sessions.get(id) : null
}

export function describeSession(session: DescribedSession, now: number): Record<string, unknown> {
  return {
    id: session.id,
    state: session.expiresAt <= now ? 'ended' : session.state,
    own_state: session.ownState,
    removed_effects: session.removedEffects,
    denials: session.denials,
    state_change: describeChange(session.change),
    identity: session.identity,
    auth_method: session.authMethod,
    subject: session.subject,
    cnf: session.confirmation,
    ...describeTree(session, now),
    intent: session.intent,
    origin: { declared: session.intent?.origin ?? null, attested: session.attestedOrigin },
    grants: session.grants.map((grant) => ({
      target: grant.target,
      bindings: grant.bindings,
      grants: grant.grants,
      intent_policies: grant.intentPolicies,
      on_review: grant.onReview,
      mode: grant.mode,
    })),
    delivery: session.delivery,
    scope: session.scope,
    limits: session.limits,
    usage: session.usage,
    created_at: timeOf(session.createdAt),
    expires_at: timeOf(session.expiresAt),
    policy_revision: session.policyRevision,
    decision_id: session.decisionId,
  }
}

/** Whom it acts for, and what it descends from: null where it acts for nobody, and from nothing. */
function describeTree(
  { onBehalfOf, lineage, above }: DescribedSession,
  now: number,
): Record<string, unknown> {
  return {
    on_behalf_of:
      onBehalfOf === null ? null : { relation: onBehalfOf.relation, identity: onBehalfOf.identity },
    root: lineage?.ancestors[0] ?? null,
    parent: lineage?.ancestors.at(-1) ?? null,
    ancestors:
      lineage?.ancestors.map((id, i) => ({
        id,
        identity: lineage.actors[i]?.identity,
        ...describeStanding(above[i], now),
      })) ?? [],
  }
}

/** How one that it descends from stands by itself: the child is no better. */
function describeStanding(standing: Standing | undefined, now: number): Record<string, unknown> {
  if (standing === undefined) return { state: 'ended' }
  const { state, expiresAt, removedEffects } = standing
  return { state: expiresAt <= now ? 'ended' : state, removed_effects: removedEffects }
}

/** Why the state is what it is: who changed it last, and for what reason. */
function describeChange(change: EventDraft | null): Record<string, unknown> | null {
  if (change === null) return null
  return {
    event_id: change.id,
    time: change.time,
    by: change.identity ?? null,
    reason: change.reason,
    action: change.action,
  }
}
