// The routes of /admin/v1, described: method, path, role and query come from the routes themselves, so
// that only words and shapes are added here.
import { ADMIN_ROUTES } from '../admin/index.ts'
import type { AdminRoute } from '../admin/contract.ts'
import { killSwitchBody } from '../admin/kill-switch.ts'
import { ORIGIN_KINDS } from '../../core/intent.ts'
import { KIND_SEGMENTS } from '../admin/policy-objects.ts'
import { secretBody } from '../admin/secrets.ts'
import { narrowBody, restoreBody, suspendBody } from '../admin/session-states.ts'
import { reasonBody, revokeBody } from '../admin/sessions.ts'
import { inputSchema } from './input-schema.ts'
import type { Answered, Operation, Parameter, Refusal, Schema } from './operation.ts'
import {
  ANY_OBJECT,
  HONOURED,
  INTEGER,
  json,
  listOf,
  nullable,
  object,
  oneOf,
  ref,
  STRING,
} from './operation.ts'

type Words = {
  readonly tag: string
  readonly summary: string
  readonly body?: Schema
  readonly bodyIsOptional?: boolean
  readonly success: Readonly<Record<string, Answered>>
  readonly refusals?: readonly Refusal[]
  /** If-Match and If-None-Match are honoured. */
  readonly conditional?: boolean
}

/** Names of the component schemas of the kinds. */
export const KIND_SCHEMAS = {
  auth_methods: 'AuthMethod',
  targets: 'Target',
  bindings: 'Binding',
  intent_policies: 'IntentPolicy',
} as const

const reason = inputSchema(reasonBody)

const WORDS: Readonly<Record<string, Words>> = {
  ...Object.fromEntries(
    Object.entries(KIND_SEGMENTS).flatMap(([segment, kind]) =>
      objectWords(segment, KIND_SCHEMAS[kind], ref(KIND_SCHEMAS[kind]), ref(KIND_SCHEMAS[kind])),
    ),
  ),
  ...Object.fromEntries(
    objectWords('secrets', 'secret', inputSchema(secretBody), ref('SecretDescription')),
  ),
  'get-policy': {
    tag: 'Policy',
    summary: 'The whole policy, as it may be applied again',
    success: { 200: json('The document.', ref('PolicyDocument')) },
  },
  'plan-policy': {
    tag: 'Policy',
    summary: 'What applying a document would change',
    body: ref('PolicyDocument'),
    success: { 200: json('The plan.', ref('Plan')) },
  },
  'apply-policy': {
    tag: 'Policy',
    summary: 'Make a document the whole policy, in one revision',
    body: ref('PolicyDocument'),
    success: { 200: json('What was changed.', ref('Plan')) },
    refusals: [409],
    conditional: true,
  },
  'list-sessions': {
    tag: 'Sessions',
    summary: 'Sessions, newest first',
    success: { 200: json('A page.', pageOf(ref('Session'))) },
  },
  'get-session': {
    tag: 'Sessions',
    summary: 'One session, with its intent as declared',
    success: { 200: json('The session.', ref('Session')) },
  },
  'revoke-session': {
    tag: 'Sessions',
    summary: 'End one session',
    body: reason,
    bodyIsOptional: true,
    success: {
      200: json(
        'It is ended.',
        object(
          {
            id: STRING,
            state: oneOf(['ended']),
            revoked: INTEGER,
            credentials: listOf(ANY_OBJECT),
            aws_honours_until: HONOURED,
          },
          ['id', 'state', 'revoked', 'credentials'],
        ),
      ),
    },
  },
  'revoke-sessions': {
    tag: 'Sessions',
    summary: 'End every session that matches all that is given',
    body: inputSchema(revokeBody),
    success: {
      200: json(
        'How many were ended.',
        object({ revoked: INTEGER, aws_honours_until: HONOURED }, ['revoked']),
      ),
    },
  },
  'narrow-session': {
    tag: 'Sessions',
    summary: 'Take effects away from a session',
    body: inputSchema(narrowBody),
    success: { 200: json('The session as it is now.', ref('Session')) },
    refusals: [409],
  },
  'suspend-session': {
    tag: 'Sessions',
    summary: 'Let a session do nothing until it is restored',
    body: inputSchema(suspendBody),
    success: { 200: json('The session as it is now.', ref('Session')) },
    refusals: [409],
  },
  'restore-session': {
    tag: 'Sessions',
    summary: 'Give a narrowed or suspended session back what it had; never one that has ended',
    body: inputSchema(restoreBody),
    bodyIsOptional: true,
    success: { 200: json('The session as it is now.', ref('Session')) },
    refusals: [409],
  },
  'get-kill-switch': {
    tag: 'Kill switch',
    summary: 'Whether everything is refused',
    success: { 200: json('Its state.', ref('KillSwitch')) },
  },
  'put-kill-switch': {
    tag: 'Kill switch',
    summary: 'Refuse everything, or stop refusing',
    body: inputSchema(killSwitchBody),
    success: { 200: json('Its state.', ref('KillSwitch')) },
  },
  'list-approvals': {
    tag: 'Approvals',
    summary: 'Approvals, newest first',
    success: { 200: json('A page.', pageOf(ref('Approval'))) },
  },
  'get-approval': {
    tag: 'Approvals',
    summary: 'One approval',
    success: { 200: json('The approval.', ref('Approval')) },
  },
  approve: decisionWords('Let one action happen, once'),
  deny: decisionWords('Refuse what was asked for'),
  'list-audit': {
    tag: 'Audit',
    summary: 'Audit events, oldest first',
    success: { 200: json('A page.', pageOf(ref('AuditEvent'))) },
  },
}

function operationOf(route: AdminRoute): Operation {
  const words = WORDS[route.operation]
  if (words === undefined) throw new Error(`${route.operation} has no description`)
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name = '']) => name)
  const refusals: Refusal[] = [
    ...([400, 401, 403, 503] as const),
    ...(inPath.length > 0 && route.method !== 'PUT' ? ([404] as const) : []),
    ...(words.conditional === true ? ([412] as const) : []),
    ...(words.body === undefined ? [] : ([413, 415, 422] as const)),
    ...(words.refusals ?? []),
  ]
  return {
    id: route.operation,
    // The methods of AdminRoute in lower case are those of Operation.
    method: route.method.toLowerCase() as Operation['method'],
    path: `/admin/v1${route.path.replaceAll(/:(\w+)/g, '{$1}')}`,
    tag: words.tag,
    summary: words.summary,
    needs: route.role,
    parameters: [
      ...inPath.map(
        (name) => ({ name, in: 'path', required: true, description: PATH[name] ?? '' }) as const,
      ),
      ...(route.query ?? []).map((name) => queryParameter(name)),
      ...(words.conditional === true ? CONDITIONAL : []),
    ],
    ...(words.body === undefined
      ? {}
      : {
          request: {
            mediaType: 'application/json',
            schema: words.body,
            optional: words.bodyIsOptional === true,
          },
        }),
    success: words.success,
    refusals,
  }
}

const PATH: Readonly<Record<string, string>> = { name: 'Name of the object.', id: 'Id.' }

const QUERY: Readonly<Record<string, { readonly description: string; readonly schema?: Schema }>> =
  {
    cursor: { description: 'next_cursor of the page before.' },
    limit: {
      description: 'At most this many, 100 when absent.',
      schema: { type: 'integer', minimum: 1, maximum: 500 },
    },
    prune: {
      description: 'With false, what the document does not name is kept.',
      schema: { type: 'boolean', default: true },
    },
    method: { description: 'Name of the Auth Method.' },
    identity: { description: '{auth_method}:{subject}' },
    target: { description: 'Name of a granted target.' },
    binding: { description: 'Name of a binding that matched.' },
    agent: { description: 'Name that the agent declared.' },
    state: {
      description: 'State of the session.',
      schema: oneOf(['active', 'narrowed', 'suspended', 'ended']),
    },
    root: { description: 'Id of the session at the root of a tree.' },
    session: { description: 'Id of a session.' },
    decision: { description: 'Id of a decision.' },
    origin: {
      description: 'Kind of origin that was declared, for the action or else for its session.',
      schema: oneOf(ORIGIN_KINDS),
    },
    origin_attested: {
      description: 'Kind of origin that a token proved.',
      schema: oneOf(ORIGIN_KINDS),
    },
    type: { description: 'Type of the event.' },
  }

function queryParameter(name: string): Parameter {
  const words = QUERY[name]
  if (words === undefined) throw new Error(`the query parameter ${name} has no description`)
  return { name, in: 'query', ...words }
}

const CONDITIONAL: readonly Parameter[] = [
  { name: 'If-Match', in: 'header', description: 'Only if its ETag is one of these.' },
  { name: 'If-None-Match', in: 'header', description: 'With *, only if there is none.' },
]

function pageOf(items: Schema): Schema {
  return object({ items: listOf(items), next_cursor: nullable(STRING) })
}

function decisionWords(summary: string): Words {
  return {
    tag: 'Approvals',
    summary,
    body: reason,
    bodyIsOptional: true,
    success: { 200: json('The approval as it is now.', ref('Approval')) },
    refusals: [409],
  }
}

function objectWords(
  segment: string,
  what: string,
  body: Schema,
  answer: Schema,
): [string, Words][] {
  const tag = segment
  const revised = { allOf: [answer, ref('Revision')], unevaluatedProperties: true }
  return [
    [
      `list-${segment}`,
      { tag, summary: `List, by name`, success: { 200: json('A page.', pageOf(answer)) } },
    ],
    [
      `validate-${segment}`,
      {
        tag,
        summary: `Check one ${what} without storing it`,
        body,
        success: { 200: json('It may be stored.', ref('Validity')) },
      },
    ],
    [
      `get-${segment}`,
      { tag, summary: `One ${what}`, success: { 200: json('As stored.', answer) } },
    ],
    [
      `put-${segment}`,
      {
        tag,
        summary: `Create or replace one ${what}`,
        body,
        success: { 200: json('Replaced, or unchanged.', revised), 201: json('Created.', revised) },
        refusals: [409],
        conditional: true,
      },
    ],
    [
      `delete-${segment}`,
      {
        tag,
        summary: `Delete one ${what} that nothing refers to`,
        success: { 200: json('Deleted.', ref('Revision')) },
        refusals: [409],
        conditional: true,
      },
    ],
  ]
}

// Last, since it reads the tables above.
export const ADMIN_OPERATIONS: readonly Operation[] = ADMIN_ROUTES.map(operationOf)
