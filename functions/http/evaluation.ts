// OpenID AuthZEN 1.0 as a server, so that other gateways can ask for the broker's verdict. A denial
// is an answer (200, `decision: false`); only what cannot be read is an error.
import { Hono, type Context } from 'hono'
import { ACTION_TYPES } from '../actions/index.ts'
import {
  evaluateAccess,
  type AccessAnswer,
  type AccessDeps,
  type AccessRequest,
} from '../core/access-evaluation.ts'
import type { Failure } from '../core/failure.ts'
import { isJsonObject } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Ids } from '../core/ports.ts'
import type { Records } from '../core/records.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { PolicySnapshot, PolicySource } from '../core/snapshot.ts'
import type { Admin, AdminRole } from './admin/contract.ts'
import { readJson } from './admin/request.ts'
import { recordForbidden } from './forbidden.ts'
import { parseAccessRequest } from './evaluation-request.ts'

export type EvaluationDeps = Omit<AccessDeps, 'actionTypes'> & {
  readonly records: Pick<Records, 'readExchange' | 'readPolicyState' | 'recordRefusal'>
  readonly policy: PolicySource
  readonly ids: Ids
  readonly issuer: string
  readonly isKilled: () => boolean
  readonly authenticate: (request: Request, role: AdminRole) => Promise<Result<Admin, Failure>>
  readonly sendFailure: (c: Context, failure: Failure, decisionId: string) => Response
}

const SINGLE = '/access/v1/evaluation'
const BATCH = '/access/v1/evaluations'
const MAX_BODY_BYTES = 1_048_576
const MAX_EVALUATIONS = 50
/** What may come back in a header; anything else is not echoed. */
const REQUEST_ID = /^[\w.:/+=-]{1,128}$/

/** After which answer a batch stops (AuthZEN 1.0, `options.evaluations_semantic`). */
const STOPS_AFTER = {
  execute_all: null,
  deny_on_first_deny: false,
  permit_on_first_permit: true,
} as const

type Semantic = keyof typeof STOPS_AFTER

export function evaluationRoutes(deps: EvaluationDeps): Hono {
  const app = new Hono()
  app.all(SINGLE, (c) => answer(c, deps, evaluateOne))
  app.all(BATCH, (c) => answer(c, deps, evaluateMany))
  app.get('/.well-known/authzen-configuration', (c) =>
    c.json({
      policy_decision_point: deps.issuer,
      access_evaluation_endpoint: `${deps.issuer}${SINGLE}`,
      access_evaluations_endpoint: `${deps.issuer}${BATCH}`,
    }),
  )
  return app
}

type Evaluate = (body: JsonValue, session: Session) => Promise<Result<JsonObject, Failure>>
/** What all evaluations of one request are judged by. */
type Session = { readonly snapshot: PolicySnapshot; readonly deps: EvaluationDeps }

async function answer(c: Context, deps: EvaluationDeps, evaluate: Evaluate): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  const answered = await run(c.req.raw, deps, evaluate)
  if (!answered.ok && answered.failure.kind === 'forbidden') {
    await recordForbidden(answered.failure, 'access.evaluation', decisionId, deps)
  }
  const response = answered.ok
    ? c.json(answered.value, 200, { 'cache-control': 'no-store' })
    : deps.sendFailure(c, answered.failure, decisionId)
  const requestId = c.req.header('x-request-id')
  if (requestId === undefined || !REQUEST_ID.test(requestId)) return response
  // A copy: the headers of an answer made elsewhere may be immutable.
  const headers = new Headers(response.headers)
  headers.set('x-request-id', requestId)
  return new Response(response.body, { status: response.status, headers })
}

async function run(
  request: Request,
  deps: EvaluationDeps,
  evaluate: Evaluate,
): Promise<Result<JsonObject, Failure>> {
  if (request.method !== 'POST') return fail({ kind: 'method_not_allowed', allow: ['POST'] })
  if (deps.isKilled()) return fail({ kind: 'killed', by: 'environment' })
  const asker = await deps.authenticate(request, 'evaluator')
  if (!asker.ok) return asker
  const body = await readJson(request, MAX_BODY_BYTES)
  if (!body.ok) return body
  const [state, held] = await Promise.all([deps.records.readPolicyState(), deps.policy.current()])
  if (state.killed) return fail({ kind: 'killed', by: 'policy' })
  const isStale = state.revision !== held.revision
  const snapshot = isStale ? await deps.policy.refresh(state.revision - 1) : held
  return evaluate(body.value, { snapshot, deps })
}

async function evaluateOne(
  body: JsonValue,
  session: Session,
): Promise<Result<JsonObject, Failure>> {
  const request = parseAccessRequest(body, session.deps.clock.nowSeconds())
  if (!request.ok) return request
  return ok(wireOf(await evaluateRequest(request.value, session)))
}

function evaluateRequest(request: AccessRequest, session: Session): Promise<AccessAnswer> {
  return evaluateAccess(request, session.snapshot, { ...session.deps, actionTypes: ACTION_TYPES })
}

/** Members beside `evaluations` are the defaults of each of them. */
async function evaluateMany(
  body: JsonValue,
  session: Session,
): Promise<Result<JsonObject, Failure>> {
  if (!isJsonObject(body)) return wrong('body')
  const { evaluations, options, ...defaults } = body
  const semantic = semanticOf(options)
  if (semantic === null) return wrong('options.evaluations_semantic')
  if (evaluations === undefined) return evaluateOne(body, session)
  if (!Array.isArray(evaluations) || evaluations.length > MAX_EVALUATIONS) {
    return wrong('evaluations')
  }
  if (evaluations.length === 0) return evaluateOne(body, session)
  const answers: JsonObject[] = []
  for (const evaluation of evaluations as readonly JsonValue[]) {
    if (!isJsonObject(evaluation)) return wrong('evaluations')
    const one = await evaluateOne({ ...defaults, ...evaluation }, session)
    const wire = one.ok ? one.value : unreadable(one.failure)
    answers.push(wire)
    if (wire['decision'] === STOPS_AFTER[semantic]) break
  }
  return ok({ evaluations: answers })
}

function semanticOf(options: JsonValue | undefined): Semantic | null {
  const word = isJsonObject(options) ? (options['evaluations_semantic'] ?? 'execute_all') : null
  if (options === undefined) return 'execute_all'
  const known: readonly Semantic[] = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit']
  return known.find((semantic) => semantic === word) ?? null
}

function wrong(parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason: 'invalid_member', parameter })
}

/** One evaluation of a batch that cannot be read is denied; the others stand. */
function unreadable(failure: Failure): JsonObject {
  const parameter = failure.kind === 'malformed_request' ? failure.parameter : undefined
  const message = parameter === undefined ? 'invalid request' : `invalid ${parameter}`
  return { decision: false, context: { error: { status: 400, message } } }
}

function wireOf({ verdict, floor, action }: AccessAnswer): JsonObject {
  const { ruleId, hint, wouldHave } = verdict
  return {
    decision: verdict.verdict === 'allow',
    context: {
      verdict: verdict.verdict,
      tier: verdict.tier,
      reason_code: verdict.reasonCode,
      ...(ruleId === undefined ? {} : { rule_id: ruleId }),
      ...(hint === undefined ? {} : { hint }),
      effects: [...(action?.effects ?? [])],
      objects: [...(action?.objects ?? [])],
      destinations: [...(action?.destinations ?? [])],
      floor,
      evaluator: verdict.evaluator,
      latency_ms: verdict.latencyMs,
      ...(wouldHave === undefined
        ? {}
        : { would_have: { verdict: wouldHave.verdict, reason_code: wouldHave.reasonCode } }),
    },
  }
}
