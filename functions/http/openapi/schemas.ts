// Component schemas of what the broker answers, and of what it reads outside the policy objects. The
// policy objects' own come from functions/policy/schema.ts.
import { EFFECTS } from '../../core/policy.ts'
import { ORIGIN_KINDS } from '../../core/intent.ts'
import { MAX_PROMPT_CHARACTERS, MAX_PURPOSE_CHARACTERS } from '../../core/intent-parse.ts'
import { JWT_BEARER_GRANT, REQUESTED_TOKEN_TYPES, TOKEN_EXCHANGE_GRANT } from '../../core/token.ts'
import { POLICY_KINDS } from '../../policy/schema.ts'
import type { Schema } from './operation.ts'
import {
  ANY_OBJECT,
  HONOURED,
  BOOLEAN,
  INTEGER,
  listOf,
  nullable,
  object,
  oneOf,
  ref,
  STRING,
  TIME,
} from './operation.ts'

const strictly = { additionalProperties: false }
const positive = { type: 'integer', minimum: 1 }
const names = object(Object.fromEntries(POLICY_KINDS.map((kind) => [kind, listOf(STRING)])))
const declaredAndAttested = object({
  declared: nullable(ANY_OBJECT),
  attested: nullable(ANY_OBJECT),
})

const handedOver = {
  ...listOf(object({ sha256: STRING, target: STRING, expires_at: TIME })),
  description:
    'What was handed over and has not expired: by its hash, with what its target says of it.',
}

const administration: Readonly<Record<string, Schema>> = {
  Mistake: object({
    path: { type: 'string', description: 'JSON Pointer into the document.' },
    code: { type: 'string', description: 'Stable word, e.g. required, unknown_member, unsafe.' },
    message: STRING,
  }),
  Validity: object({ valid: { const: true }, warnings: listOf(ref('Mistake')) }),
  Plan: object({
    policy_revision: INTEGER,
    create: names,
    update: names,
    delete: names,
    unchanged: names,
    warnings: listOf(ref('Mistake')),
  }),
  Revision: object({ policy_revision: INTEGER }),
  SecretDescription: {
    ...object({
      name: STRING,
      allowed_origins: listOf(STRING),
      version: INTEGER,
      created_at: TIME,
      updated_at: TIME,
    }),
    description: 'A secret without its value, which is never read back.',
  },
  Session: object(
    {
      id: STRING,
      state: oneOf(['active', 'narrowed', 'suspended', 'ended']),
      own_state: {
        ...oneOf(['active', 'narrowed', 'suspended', 'ended']),
        description: 'Without those it descends from, and without its time.',
      },
      removed_effects: listOf(oneOf(EFFECTS)),
      denials: { type: 'integer', description: 'Refused actions that count against it.' },
      state_change: {
        ...nullable(
          object({
            event_id: STRING,
            time: TIME,
            by: nullable(STRING),
            reason: nullable(STRING),
            action: nullable(ANY_OBJECT),
          }),
        ),
        description: 'Why the state is what it is; null while it is as it was opened.',
      },
      origin: declaredAndAttested,
      identity: { type: 'string', description: '{auth_method}:{subject}' },
      auth_method: STRING,
      subject: STRING,
      cnf: {
        ...nullable(ANY_OBJECT),
        description: 'What its handle is bound to: jkt (DPoP), x5t#S256 (client certificate).',
      },
      on_behalf_of: nullable(
        object({ relation: oneOf(['delegation', 'impersonation']), identity: STRING }),
      ),
      root: nullable(STRING),
      parent: nullable(STRING),
      ancestors: listOf(
        object({
          id: STRING,
          identity: STRING,
          state: oneOf(['active', 'narrowed', 'suspended', 'ended']),
          removed_effects: listOf(oneOf(EFFECTS)),
        }),
      ),
      children: {
        ...object({ items: listOf(ANY_OBJECT), next_cursor: nullable(STRING) }),
        description: 'A page of the sessions right below; of one session only.',
      },
      intent: nullable(ref('AgentIntent')),
      grants: listOf(
        object({
          target: STRING,
          bindings: listOf(STRING),
          grants: listOf(object({ effects: listOf(oneOf(EFFECTS)), objects: listOf(STRING) })),
          intent_policies: listOf(STRING),
          on_review: oneOf(['approval', 'deny', 'allow']),
          mode: oneOf(['enforce', 'log_only']),
        }),
      ),
      delivery: oneOf(['session', 'credential']),
      scope: STRING,
      limits: ANY_OBJECT,
      usage: object({ actions: INTEGER, writes: INTEGER, rows: INTEGER, bytes: INTEGER }),
      created_at: TIME,
      expires_at: TIME,
      policy_revision: INTEGER,
      decision_id: STRING,
      claims: { type: 'object', description: 'Verified claims; of one session only.' },
      token_sha256: { type: 'string', description: 'Of the attestation; of one session only.' },
      credentials: handedOver,
    },
    ['id', 'state', 'identity', 'intent', 'grants', 'usage', 'created_at', 'expires_at'],
  ),
  Approval: object({
    id: STRING,
    state: oneOf(['pending', 'approved', 'denied', 'used', 'expired']),
    url: STRING,
    expires_at: TIME,
    session_id: nullable(STRING),
    action_sha256: STRING,
    subject: { type: 'object', description: 'The normalised action and the declared intent.' },
  }),
  AuditEvent: object({
    id: STRING,
    seq: INTEGER,
    time: TIME,
    type: oneOf([
      'decision',
      'grant',
      'action',
      'outcome',
      'refusal',
      'revocation',
      'state',
      'admin',
    ]),
    decision_id: STRING,
    session_id: nullable(STRING),
    identity: nullable(STRING),
    agent: declaredAndAttested,
    intent: nullable(ANY_OBJECT),
    origin: declaredAndAttested,
    action: nullable(ANY_OBJECT),
    scope: nullable(STRING),
    outcome: ANY_OBJECT,
    reason: nullable(STRING),
    policy_revision: INTEGER,
    prev_hash: nullable(STRING),
    hash: STRING,
    chain: STRING,
    chain_seq: INTEGER,
  }),
  KillSwitch: object({ engaged: BOOLEAN, policy_revision: INTEGER, aws_honours_until: HONOURED }, [
    'engaged',
    'policy_revision',
  ]),
}

const broker: Readonly<Record<string, Schema>> = {
  AgentIntent: {
    ...object(
      {
        type: { const: 'agent_intent' },
        purpose: { type: 'string', maxLength: MAX_PURPOSE_CHARACTERS },
        origin: {
          ...object(
            {
              kind: oneOf(ORIGIN_KINDS),
              id: STRING,
              prompt: { type: 'string', maxLength: MAX_PROMPT_CHARACTERS },
            },
            ['kind'],
          ),
          ...strictly,
        },
        agent: { ...object({ name: STRING, version: STRING, instance: STRING }, []), ...strictly },
        envelope: {
          ...object(
            {
              effects: listOf(oneOf(EFFECTS)),
              tools: listOf(STRING),
              objects: listOf(STRING),
              destinations: listOf(STRING),
              limits: {
                ...object(
                  { actions: positive, writes: positive, rows: positive, bytes: positive },
                  [],
                ),
                ...strictly,
              },
            },
            [],
          ),
          ...strictly,
        },
        expected_seconds: positive,
      },
      ['type', 'purpose'],
    ),
    ...strictly,
  },
  TokenExchangeRequest: object(
    {
      grant_type: oneOf([TOKEN_EXCHANGE_GRANT, JWT_BEARER_GRANT]),
      subject_token: {
        type: 'string',
        description: 'The attestation, or on whose behalf; of token-exchange.',
      },
      subject_token_type: STRING,
      actor_token: {
        type: 'string',
        description:
          'The agent’s own attestation, where the subject is a user or a parent’s handle.',
      },
      actor_token_type: STRING,
      assertion: { type: 'string', description: 'A workload’s JWT, or an ID-JAG; of jwt-bearer.' },
      client_assertion: { type: 'string', description: 'Attests who redeems an ID-JAG.' },
      client_assertion_type: STRING,
      audience: { ...listOf(STRING), description: 'Target names; or resource.' },
      resource: { ...listOf(STRING), description: 'Target URLs, {issuer}/t/{target}.' },
      scope: { type: 'string', description: 'effect or effect:object, space-delimited.' },
      requested_token_type: oneOf(REQUESTED_TOKEN_TYPES),
      authorization_details: {
        type: 'string',
        contentMediaType: 'application/json',
        contentSchema: { ...listOf(ref('AgentIntent')), minItems: 1, maxItems: 1 },
      },
      intent: { type: 'string', description: 'The purpose as plain text.' },
      auth_method: STRING,
      min_policy_revision: STRING,
    },
    ['grant_type'],
  ),
  TokenExchangeAnswer: object(
    {
      access_token: {
        type: 'string',
        description: 'The handle of the session; of AWS credentials the session token.',
      },
      issued_token_type: { type: 'string', description: 'Absent where the grant is jwt-bearer.' },
      token_type: oneOf(['Bearer', 'DPoP', 'N_A']),
      expires_in: INTEGER,
      scope: STRING,
      authorization_details: listOf(ref('AgentIntent')),
      session: object({
        id: STRING,
        targets: { type: 'object', additionalProperties: STRING },
        decision_id: STRING,
        policy_revision: INTEGER,
        delivery: oneOf(['credential']),
        credential: ANY_OBJECT,
      }),
      aws_credentials: {
        ...object({
          Version: { const: 1 },
          AccessKeyId: STRING,
          SecretAccessKey: STRING,
          SessionToken: STRING,
          Expiration: TIME,
        }),
        description: 'In the form of credential_process.',
      },
    },
    ['access_token', 'token_type', 'expires_in', 'scope', 'session'],
  ),
  AwsCredentials: object({
    AccessKeyId: STRING,
    SecretAccessKey: STRING,
    Token: STRING,
    Expiration: TIME,
  }),
  Revocation: object(
    {
      session: object({ id: STRING, state: oneOf(['ended']) }),
      credentials: handedOver,
      aws_honours_until: HONOURED,
    },
    [],
  ),
  TokenRequest: object({ token: STRING, token_type_hint: STRING }, ['token']),
  Introspection: object({ active: BOOLEAN }),
  Evaluation: object(
    {
      subject: object({ type: STRING, id: STRING, properties: ANY_OBJECT }, ['type', 'id']),
      action: object(
        {
          name: oneOf(['mcp.call', 'sql.query', 'http.request', 'aws.call', 'session.open']),
          properties: ANY_OBJECT,
        },
        ['name'],
      ),
      resource: object({ type: STRING, id: STRING, properties: ANY_OBJECT }, ['type', 'id']),
      context: ANY_OBJECT,
    },
    ['subject', 'action', 'resource'],
  ),
  EvaluationAnswer: object({
    decision: BOOLEAN,
    context: object(
      {
        verdict: oneOf(['allow', 'deny', 'review']),
        tier: oneOf(['floor', 'envelope', 'provenance', 'rule', 'judge', 'baseline']),
        reason_code: STRING,
        rule_id: STRING,
        hint: STRING,
        effects: listOf(STRING),
        objects: listOf(STRING),
        destinations: listOf(STRING),
        floor: oneOf(['evaluated', 'not_evaluated']),
        evaluator: STRING,
        latency_ms: { type: 'number' },
      },
      ['verdict', 'tier', 'reason_code'],
    ),
  }),
  OAuthError: object({ error: STRING, error_description: STRING, decision_id: STRING }, ['error']),
  Problem: object(
    {
      type: STRING,
      status: INTEGER,
      title: STRING,
      code: { type: 'string', description: 'Stable word.' },
      decision_id: STRING,
      hint: STRING,
      reason: STRING,
      names: listOf(STRING),
      errors: listOf(ref('Mistake')),
    },
    ['type', 'status', 'title', 'code'],
  ),
}

export const ANSWER_SCHEMAS: Readonly<Record<string, Schema>> = { ...administration, ...broker }
