import { describe, expect, test } from 'vitest'
import type { EventDraft } from '../../functions/core/audit.ts'
import type { CompiledAuthMethod } from '../../functions/core/auth-method.ts'
import type { Failure } from '../../functions/core/failure.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { BindingPolicy, TargetPolicy } from '../../functions/core/policy.ts'
import { fail, ok } from '../../functions/core/result.ts'
import type { CompiledIntentPolicy, PolicySnapshot } from '../../functions/core/snapshot.ts'
import { problemAnswer, toResponse } from '../../functions/http/error.ts'
import { evaluationRoutes, type EvaluationDeps } from '../../functions/http/evaluation.ts'
import { createHttpTarget } from '../../functions/targets/http.ts'
import { fakeEvaluator } from '../fakes/evaluator.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z') / 1000
const clock = { nowSeconds: () => NOW, nowMs: () => NOW * 1000 }

const binding: BindingPolicy = {
  name: 'support-crm',
  enabled: true,
  auth_method: 'prod-k8s',
  target: 'crm',
  effect: 'allow',
  condition: 'claims.team == "support"',
  grants: [{ effects: ['read'], objects: ['GET /v1/customers/*', 'POST /v1/search'] }],
  ttl_seconds: 300,
  delivery: 'session',
  mode: 'enforce',
}

const method: CompiledAuthMethod = {
  name: 'prod-k8s',
  type: 'kubernetes',
  selector: { by: 'issuer', issuer: 'https://oidc.example' },
  tokenTypes: [],
  accepts: (claims) => claims['iss'] === 'https://oidc.example',
  verify: () => Promise.reject(new Error('an evaluation verifies no token')),
}

const target: TargetPolicy = {
  name: 'crm',
  type: 'http',
  enabled: true,
  labels: ['customer-facing'],
  config: {
    base_url: 'https://crm.example/api',
    effects: [{ match: 'POST /v1/search', effect: 'read' }],
  },
}

type World = {
  readonly bindings?: readonly BindingPolicy[]
  readonly policies?: readonly CompiledIntentPolicy[]
  readonly killed?: boolean
  readonly authenticate?: EvaluationDeps['authenticate']
  readonly refusals?: EventDraft[]
}

function routes({
  bindings = [binding],
  policies = [],
  killed = false,
  authenticate,
  refusals = [],
}: World) {
  const http = createHttpTarget({
    outbound: () => Promise.reject(new Error('an evaluation calls no target')),
    reach: { privateNetwork: false, loopback: false },
  })
  const snapshot: PolicySnapshot = {
    revision: 7,
    userMethods: new Set(),
    methodsBySelector: new Map(),
    methods: new Map([[method.name, method]]),
    targets: new Map([[target.name, http.compile(target)]]),
    intentPolicies: new Map(policies.map((policy) => [policy.policy.name, policy])),
  }
  return evaluationRoutes({
    records: {
      readPolicyState: async () => ({ revision: 7, killed }),
      recordRefusal: async (event) => void refusals.push(event),
      readExchange: async ({ method, targets }) => ({
        revision: 7,
        killed,
        approval: null,
        parent: null,
        bindings: bindings.filter(
          (one) => one.auth_method === method && targets.includes(one.target),
        ),
      }),
    },
    policy: {
      current: async () => snapshot,
      refresh: async () => snapshot,
      refreshLimited: async () => snapshot,
      atLeast: async () => snapshot,
      noteChange: () => undefined,
    },
    conditions: {
      load: async () => undefined,
      holds: (_, facts) => (facts.claims as JsonObject)['team'] === 'support',
      mistake: () => null,
    },
    clock,
    ids: { fresh: (prefix) => `${prefix}_fresh` },
    issuer: 'https://broker.example',
    isKilled: () => false,
    authenticate:
      authenticate ?? (async () => ok({ name: 'gateway', role: 'evaluator', sessionId: null })),
    sendFailure: (_, failure, decisionId) => toResponse(problemAnswer(failure, decisionId)),
  })
}

const request = {
  subject: {
    type: 'agent',
    id: 'prod-k8s:bot',
    properties: {
      auth_method: 'prod-k8s',
      claims: { iss: 'https://oidc.example', team: 'support' },
      agent: {},
    },
  },
  action: {
    name: 'http.request',
    properties: { method: 'GET', url: 'https://crm.example/api/v1/customers/7' },
  },
  resource: { type: 'http', id: 'crm', properties: { labels: ['customer-facing'] } },
  context: { intent: { purpose: 'look up one customer', origin: {}, envelope: {} }, history: [] },
}

type Reply = {
  readonly status: number
  readonly body: JsonObject
  readonly headers: Headers
}

async function send(
  body: unknown,
  world: World = {},
  init: { path?: string; headers?: Record<string, string>; method?: string } = {},
): Promise<Reply> {
  const { path = '/access/v1/evaluation', headers, method: verb = 'POST' } = init
  const hasBody = verb !== 'GET'
  const response = await routes(world).request(path, {
    method: verb,
    headers: { 'content-type': 'application/json', ...headers },
    ...(hasBody ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  })
  return {
    status: response.status,
    body: (await response.json()) as JsonObject,
    headers: response.headers,
  }
}

async function contextOf(body: unknown, world: World = {}): Promise<JsonObject> {
  const reply = await send(body, world)
  expect(reply.status).toBe(200)
  const context = reply.body['context'] as JsonObject
  expect(reply.body['decision']).toBe(context['verdict'] === 'allow')
  return context
}

const http = (properties: object, changes: object = {}) => ({
  ...request,
  action: { name: 'http.request', properties },
  ...changes,
})

describe('POST /access/v1/evaluation', () => {
  test('answers exactly in the form of the contract', async () => {
    const { status, body, headers } = await send(request)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toEqual({
      decision: true,
      context: {
        verdict: 'allow',
        tier: 'floor',
        reason_code: 'granted',
        effects: ['read'],
        objects: ['GET /v1/customers/7'],
        destinations: ['crm.example'],
        floor: 'evaluated',
        evaluator: 'sallyport',
        latency_ms: 0,
      },
    })
  })

  test('a denial is 200 with decision false', async () => {
    const wipe = http({ method: 'DELETE', url: 'https://crm.example/api/v1/customers/7' })
    expect(await contextOf(wipe)).toMatchObject({
      verdict: 'deny',
      tier: 'floor',
      reason_code: 'not_granted',
      effects: ['delete'],
      floor: 'evaluated',
    })
  })

  test('requests are read by the rules of the configured target', async () => {
    const search = http({
      method: 'POST',
      url: 'https://crm.example/api/v1/search',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(await contextOf(search)).toMatchObject({ verdict: 'allow', effects: ['read'] })
  })

  test.each([
    ['another host', { method: 'GET', url: 'https://evil.example/api/v1/customers/7' }],
    ['beside the base path', { method: 'GET', url: 'https://crm.example/apix/v1/customers/7' }],
    ['above the base path', { method: 'GET', url: 'https://crm.example/api/../v1/customers/7' }],
    ['user info', { method: 'GET', url: 'https://crm.example@evil.example/api/v1/customers/7' }],
    ['a backslash', { method: 'GET', url: 'https://crm.example\\@evil.example/api/v1' }],
    ['a fragment', { method: 'GET', url: 'https://crm.example/api/v1/customers/7#x' }],
    ['dot segments', { method: 'GET', url: 'https://crm.example/api/v1/customers/%2e%2e/x' }],
    ['no URL', { method: 'GET', url: '/v1/customers/7' }],
    ['no method', { url: 'https://crm.example/api/v1/customers/7' }],
    ['a lower-case method', { method: 'get', url: 'https://crm.example/api/v1/customers/7' }],
    [
      'an override',
      {
        method: 'GET',
        url: 'https://crm.example/api/v1/customers/7',
        headers: { 'x-http-method': 'DELETE' },
      },
    ],
    [
      'headers that are none',
      { method: 'GET', url: 'https://crm.example/api/v1/customers/7', headers: [] },
    ],
    ['a body on GET', { method: 'GET', url: 'https://crm.example/api/v1/customers/7', body: 'x' }],
  ])('G-5 G-6 what is not understood is denied: %s', async (_, properties) => {
    expect(await contextOf(http(properties))).toMatchObject({
      verdict: 'deny',
      reason_code: 'not_understood',
    })
  })

  test('the floor takes conditions, claims, expiry and deny bindings into account', async () => {
    const as = (claims: object) => ({
      ...request,
      subject: { ...request.subject, properties: { auth_method: 'prod-k8s', claims } },
    })
    const denied = { verdict: 'deny', reason_code: 'not_granted', floor: 'evaluated' }
    const iss = 'https://oidc.example'
    expect(await contextOf(as({ iss, team: 'sales' }))).toMatchObject(denied)
    expect(await contextOf(as({ iss: 'https://evil.example', team: 'support' }))).toMatchObject(
      denied,
    )
    expect(await contextOf(as({}))).toMatchObject(denied)
    const expired = { ...binding, expires_at: '2026-11-22T11:59:59Z' }
    expect(await contextOf(request, { bindings: [expired] })).toMatchObject(denied)
    const earlier = { ...request, context: { ...request.context, time: '2026-11-22T11:00:00Z' } }
    expect(await contextOf(earlier, { bindings: [expired] })).toMatchObject({ verdict: 'allow' })
    const deny: BindingPolicy = { ...binding, name: 'no-crm', effect: 'deny' }
    expect(await contextOf(request, { bindings: [binding, deny] })).toMatchObject({
      verdict: 'deny',
      reason_code: 'denied_by_binding',
    })
  })

  test('a binding that requires an intent denies without one', async () => {
    const strict: BindingPolicy = { ...binding, intent: { required: true, on_review: 'approval' } }
    expect(await contextOf({ ...request, context: {} }, { bindings: [strict] })).toMatchObject({
      verdict: 'deny',
      reason_code: 'intent_required',
    })
    expect(await contextOf(request, { bindings: [strict] })).toMatchObject({ verdict: 'allow' })
  })

  test('without target, method or binding the floor is not evaluated, and what is open is review', async () => {
    const open = {
      verdict: 'review',
      tier: 'judge',
      reason_code: 'judge_not_configured',
      floor: 'not_evaluated',
    }
    const elsewhere = { ...request, resource: { type: 'http', id: 'unknown' } }
    expect(await contextOf(elsewhere)).toMatchObject(open)
    const foreign = { ...request, subject: { type: 'agent', id: 'x' } }
    expect(await contextOf(foreign)).toMatchObject(open)
    expect(await contextOf(request, { bindings: [] })).toMatchObject(open)
  })

  test('the envelope decides where no floor is known, if it lists the whole action', async () => {
    const envelope = { effects: ['read'], objects: ['GET /v1/**'], destinations: ['a.example'] }
    const asked = (changes: object) =>
      http(
        { method: 'GET', url: 'https://a.example/v1/x' },
        {
          resource: { type: 'http', id: 'unknown' },
          context: { intent: { purpose: 'x', envelope: { ...envelope, ...changes } } },
        },
      )
    expect(await contextOf(asked({}))).toMatchObject({ verdict: 'allow', tier: 'envelope' })
    expect(await contextOf(asked({ destinations: ['b.example'] }))).toMatchObject({
      verdict: 'deny',
      reason_code: 'destination_outside_envelope',
    })
    const mutation = http(
      {
        method: 'POST',
        url: 'https://a.example/graphql',
        headers: { 'Content-Type': 'application/json' },
        body: { query: 'mutation { wipe }' },
      },
      {
        resource: { type: 'http', id: 'unknown' },
        context: { intent: { purpose: 'x', envelope: { effects: ['read'] } } },
      },
    )
    expect(await contextOf(mutation)).toMatchObject({
      verdict: 'deny',
      reason_code: 'effect_outside_envelope',
      effects: ['write'],
    })
  })

  test.each([
    ['mcp.call', { tool: 'send_email', arguments: { to: 'x' } }],
    ['sql.query', { dialect: 'postgres', sql: 'select 1' }],
    ['aws.call', { service: 's3', operation: 'GetObject', parameters: { Bucket: 'reports' } }],
  ])('%s is left open: what it does is not determined here', async (name, properties) => {
    const asked = { ...request, action: { name, properties }, resource: { type: 'x', id: 'other' } }
    expect(await contextOf(asked)).toMatchObject({
      verdict: 'review',
      reason_code: 'judge_not_configured',
    })
    const envelope = { effects: ['read'], tools: ['send_email'], objects: ['**'], destinations: [] }
    const declared = { ...asked, context: { intent: { purpose: 'x', envelope } } }
    expect(await contextOf(declared)).toMatchObject({ verdict: 'review' })
    // At a configured target with grants the floor cannot hold for it.
    expect(await contextOf({ ...declared, resource: request.resource })).toMatchObject({
      verdict: 'deny',
      reason_code: 'not_understood',
    })
  })

  test('a tool outside the envelope is denied', async () => {
    const asked = {
      ...request,
      action: { name: 'mcp.call', properties: { tool: 'send_email' } },
      resource: { type: 'mcp', id: 'mail' },
      context: { intent: { purpose: 'x', envelope: { tools: ['read_email'] } } },
    }
    expect(await contextOf(asked)).toMatchObject({
      verdict: 'deny',
      tier: 'envelope',
      reason_code: 'tool_outside_envelope',
    })
  })

  test.each([
    ['mcp.call', {}],
    ['mcp.call', { tool: 7 }],
    ['mcp.call', { tool: 'x', arguments: 'y' }],
    ['sql.query', { dialect: 'oracle', sql: 'select 1' }],
    ['sql.query', { dialect: 'postgres' }],
    ['aws.call', { service: 's3' }],
    ['aws.call', { service: 's3', operation: 'DestroyEverything' }],
    ['aws.call', { service: 'nothing', operation: 'GetObject' }],
    ['session.open', { targets: ['crm', 'vault'] }],
    ['session.open', { targets: 'crm' }],
    ['session.open', { targets: ['crm'], scope: 'READ' }],
    ['file.delete', { path: '/' }],
    ['toString', {}],
  ])('an action that is not what its name says is denied: %s %j', async (name, properties) => {
    expect(await contextOf({ ...request, action: { name, properties } })).toMatchObject({
      verdict: 'deny',
      reason_code: 'not_understood',
    })
  })

  test('session.open is judged by what is left of its scope', async () => {
    const opening = (scope?: string) => ({
      ...request,
      action: { name: 'session.open', properties: { targets: ['crm'], ...(scope && { scope }) } },
    })
    expect(await contextOf(opening())).toMatchObject({ verdict: 'allow', floor: 'evaluated' })
    expect(await contextOf(opening('read:GET%20/v1/customers/7'))).toMatchObject({
      verdict: 'allow',
    })
    expect(await contextOf(opening('admin'))).toMatchObject({ reason_code: 'not_granted' })
  })
})

describe('rules and judges', () => {
  const rules = [{ id: 'r1', text: 'Nothing destructive.', effect: 'deny' }]
  const withRules = { ...request, context: { ...request.context, rules } }
  const intent = { policy: 'default', required: false, on_review: 'approval' } as const
  const bound: BindingPolicy = { ...binding, intent }
  const policyWith = (parts: Partial<CompiledIntentPolicy>): CompiledIntentPolicy => ({
    policy: { name: 'default', enabled: true, rules: [] },
    floor: null,
    judge: null,
    ...parts,
  })

  test('rules of the request without a judge come back as review', async () => {
    expect(await contextOf(withRules)).toMatchObject({
      verdict: 'review',
      reason_code: 'judge_not_configured',
      rule_id: 'r1',
    })
  })

  test('the judge of the target gets them, with history as data', async () => {
    const judge = fakeEvaluator('judge', {
      verdict: 'deny',
      reasonCode: 'off_purpose',
      ruleId: 'r1',
    })
    const history = [
      { action: { name: 'http.request' }, verdict: 'allow', result: { note: 'reply allow' } },
    ]
    const asked = { ...withRules, context: { ...withRules.context, history } }
    const world = { bindings: [bound], policies: [policyWith({ judge })] }
    expect(await contextOf(asked, world)).toMatchObject({
      verdict: 'deny',
      tier: 'judge',
      reason_code: 'off_purpose',
      rule_id: 'r1',
      evaluator: 'judge',
    })
    expect(judge.asked[0]?.context).toMatchObject({
      rules,
      history,
      intent: { purpose: 'look up one customer' },
      time: '2026-11-22T12:00:00.000Z',
    })
  })

  test('INT-3 a judge that allows overturns no floor', async () => {
    const judge = fakeEvaluator('judge', { verdict: 'allow' })
    const world = { bindings: [bound], policies: [policyWith({ judge })] }
    const wipe = http({ method: 'DELETE', url: 'https://crm.example/api/v1/customers/7' })
    expect(await contextOf(wipe, world)).toMatchObject({ verdict: 'deny', tier: 'floor' })
  })

  test('a policy that is named and not there denies', async () => {
    expect(await contextOf(request, { bindings: [bound] })).toMatchObject({
      verdict: 'deny',
      reason_code: 'intent_policy_missing',
    })
  })

  test('log_only says what it would have done', async () => {
    const world = {
      bindings: [{ ...bound, mode: 'log_only' as const }],
      policies: [policyWith({ judge: fakeEvaluator('j', { verdict: 'deny', reasonCode: 'bad' }) })],
    }
    expect(await contextOf(request, world)).toMatchObject({
      verdict: 'allow',
      reason_code: 'log_only',
      would_have: { verdict: 'deny', reason_code: 'bad' },
    })
  })
})

describe('what cannot be read', () => {
  const without = (member: string) => ({ ...request, [member]: undefined })

  test.each([
    ['no subject', without('subject')],
    ['no action', without('action')],
    ['no resource', without('resource')],
    ['no subject id', { ...request, subject: { type: 'agent' } }],
    ['an empty id', { ...request, resource: { type: 'http', id: '' } }],
    ['a number for a name', { ...request, action: { name: 1 } }],
    ['a context that is none', { ...request, context: [] }],
    ['an array', [request]],
    ['null', null],
    [
      'an intent with an unknown restriction',
      { ...request, context: { intent: { purpose: 'x', envelope: { hosts: [] } } } },
    ],
    ['an intent of the wrong type', { ...request, context: { intent: 'x' } }],
    [
      'effects as text',
      { ...request, context: { intent: { purpose: 'x', envelope: { effects: 'read' } } } },
    ],
    [
      'an envelope without a purpose',
      { ...request, context: { intent: { envelope: { effects: [] } } } },
    ],
    ['a rule without an effect', { ...request, context: { rules: [{ id: 'a', text: 'b' }] } }],
    ['a time without a zone', { ...request, context: { time: '2026-11-22T12:00:00' } }],
    ['a time that is none', { ...request, context: { time: '2026-13-45T99:00:00Z' } }],
    ['history that is none', { ...request, context: { history: ['x'] } }],
  ])('standards §15 %s is 400', async (_, body) => {
    expect((await send(body)).status).toBe(400)
  })

  test('RB-10 standards §15 a duplicate member is 400', async () => {
    const text = JSON.stringify(request).replace('"type":"http"', '"type":"http","type":"mcp"')
    expect((await send(text)).status).toBe(400)
    expect((await send('{"subject":')).status).toBe(400)
  })

  test('unknown members are ignored', async () => {
    const extended = {
      ...request,
      extra: 1,
      subject: { ...request.subject, extra: 1 },
      context: { ...request.context, extra: 1, intent: { ...request.context.intent, extra: 1 } },
    }
    expect((await send(extended)).body).toEqual((await send(request)).body)
  })

  test('another media type is 415, a long body 413, another method 405', async () => {
    const plain = await send('x', {}, { headers: { 'content-type': 'text/plain' } })
    expect(plain.status).toBe(415)
    const long = { ...request, context: { pad: 'x'.repeat(1_100_000) } }
    expect((await send(long)).status).toBe(413)
    expect((await send(null, {}, { method: 'GET' })).status).toBe(405)
  })

  test('who may not ask gets no verdict, and neither does anybody under the kill switch', async () => {
    const refuse = (failure: Failure) => ({ authenticate: async () => fail(failure) })
    expect((await send(request, refuse({ kind: 'unauthenticated' }))).status).toBe(401)
    const forbidden = await send(request, refuse({ kind: 'forbidden', needs: 'evaluator' }))
    expect(forbidden.status).toBe(403)
    expect(forbidden.body['decision']).toBe(undefined)
    const killed = await send(request, { killed: true })
    expect(killed.status).toBeGreaterThanOrEqual(400)
    expect(killed.body['decision']).toBe(undefined)
  })

  test('who is known and may not ask leaves a refusal in the log, a stranger nothing', async () => {
    const refusals: EventDraft[] = []
    const forbidden: Failure = { kind: 'forbidden', needs: 'evaluator', identity: 'ci:viewer' }
    const answered = await send(request, { refusals, authenticate: async () => fail(forbidden) })
    await send(request, { refusals, authenticate: async () => fail({ kind: 'unauthenticated' }) })
    expect(refusals).toEqual([
      expect.objectContaining({
        type: 'refusal',
        decision_id: String(answered.body['decision_id']),
        identity: 'admin:ci:viewer',
        action: { operation: 'access.evaluation' },
        reason: 'forbidden',
      }),
    ])
  })

  test('the role that is asked for is evaluator', async () => {
    const roles: string[] = []
    await send(request, {
      authenticate: async (_, role) => {
        roles.push(role)
        return fail({ kind: 'unauthenticated' })
      },
    })
    expect(roles).toEqual(['evaluator'])
  })

  test('X-Request-ID is echoed when it is one, also with an error', async () => {
    const sent = (id: string, body: unknown = request) =>
      send(body, {}, { headers: { 'x-request-id': id } })
    expect((await sent('req-1')).headers.get('x-request-id')).toBe('req-1')
    expect((await sent('req-1', {})).headers.get('x-request-id')).toBe('req-1')
    expect((await sent('<script>')).headers.get('x-request-id')).toBe(null)
  })
})

describe('POST /access/v1/evaluations', () => {
  const path = '/access/v1/evaluations'
  const wipe = {
    action: {
      name: 'http.request',
      properties: { method: 'DELETE', url: 'https://crm.example/api/v1/customers/7' },
    },
  }
  const decisions = async (body: object) => {
    const reply = await send(body, {}, { path })
    expect(reply.status).toBe(200)
    const evaluations = reply.body['evaluations'] as readonly JsonObject[]
    return evaluations.map((one) => one['decision'])
  }

  test('top-level members are defaults, and every evaluation is answered in order', async () => {
    expect(await decisions({ ...request, evaluations: [{}, wipe, {}] })).toEqual([
      true,
      false,
      true,
    ])
  })

  test.each([
    ['execute_all', [true, false, true]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])('%s', async (semantic, expected) => {
    const options = { evaluations_semantic: semantic }
    expect(await decisions({ ...request, options, evaluations: [{}, wipe, {}] })).toEqual(expected)
  })

  test('one that cannot be read is denied, with why; the others stand', async () => {
    const reply = await send({ ...request, evaluations: [{ subject: null }, {}] }, {}, { path })
    expect(reply.body['evaluations']).toMatchObject([
      { decision: false, context: { error: { status: 400, message: 'invalid subject' } } },
      { decision: true },
    ])
  })

  test('without evaluations it is one evaluation', async () => {
    expect((await send(request, {}, { path })).body['decision']).toBe(true)
    expect((await send({ ...request, evaluations: [] }, {}, { path })).body['decision']).toBe(true)
  })

  test('an unknown semantic, a list that is none and too many are 400', async () => {
    const statuses = await Promise.all(
      [
        { ...request, options: { evaluations_semantic: 'any' }, evaluations: [{}] },
        { ...request, options: [], evaluations: [{}] },
        { ...request, evaluations: {} },
        { ...request, evaluations: ['x'] },
        { ...request, evaluations: Array(51).fill({}) },
      ].map(async (body) => (await send(body, {}, { path })).status),
    )
    expect(statuses).toEqual([400, 400, 400, 400, 400])
  })
})

test('GET /.well-known/authzen-configuration names the endpoints', async () => {
  const reply = await send(null, {}, { path: '/.well-known/authzen-configuration', method: 'GET' })
  expect(reply.body).toEqual({
    policy_decision_point: 'https://broker.example',
    access_evaluation_endpoint: 'https://broker.example/access/v1/evaluation',
    access_evaluations_endpoint: 'https://broker.example/access/v1/evaluations',
  })
})
