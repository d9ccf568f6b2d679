// ANY /t/{target}/…: cuts the target out of the raw request target, hands the rest to the action path
// and the target's answer back. It decides nothing.
import { act, type ActionDeps } from '../core/action.ts'
import type { Failure } from '../core/failure.ts'
import type { JsonObject } from '../core/identity.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { RequestFacts } from '../platform.ts'
import { readHandle, singleHeader } from './authorization.ts'
import { problemAnswer, toResponse } from './error.ts'
import type { RawHttpRequest } from '../actions/http.ts'
import type { HttpAnswer } from '../targets/http.ts'

const PREFIX = '/t/'
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/
/** RFC 9110 §9.3.1 gives a body of these no meaning; none is passed on. */
const WITHOUT_BODY = ['GET', 'HEAD']
const ORIGINS = ['user', 'task', 'agent']

export function isGatewayTarget(rawTarget: string): boolean {
  return rawTarget.startsWith(PREFIX)
}

export async function handleAction(
  request: Request,
  facts: RequestFacts,
  deps: ActionDeps,
): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  const answered = await run(request, facts, decisionId, deps)
  if (!answered.ok) {
    const wire = problemAnswer(answered.failure, decisionId)
    return withDecision(
      toResponse({ ...wire, headers: withDiscovery(wire.headers, facts, deps) }),
      decisionId,
    )
  }
  return withDecision(toHttp(answered.value), decisionId)
}

async function run(
  request: Request,
  facts: RequestFacts,
  decisionId: string,
  deps: ActionDeps,
): Promise<Result<HttpAnswer, Failure>> {
  const split = splitTarget(facts.rawTarget)
  if (split === null) return fail({ kind: 'not_found' })
  const handle = readHandle(request, facts, deps.issuer)
  if (!handle.ok) return handle
  const origin = readDeclaredOrigin(facts)
  if (!origin.ok) return origin
  const raw: RawHttpRequest = {
    method: request.method,
    rawPath: split.path,
    rawQuery: split.query,
    headers: facts.headerLines,
    // Asking for the body is what makes a runtime build the whole request.
    body: WITHOUT_BODY.includes(request.method) ? null : request.body,
  }
  const answered = await act(
    {
      target: split.target,
      handle: handle.value,
      raw,
      declaredOrigin: origin.value,
      cancelled: abortOf(request.signal),
      ...(facts.keepAlive === undefined ? {} : { keepAlive: facts.keepAlive }),
    },
    decisionId,
    deps,
  )
  // Every target that the gateway serves over HTTP answers in this form (targets/http.ts).
  return answered.ok ? ok(answered.value as HttpAnswer) : answered
}

function abortOf(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function splitTarget(rawTarget: string): { target: string; path: string; query: string } | null {
  const question = rawTarget.indexOf('?')
  const whole = question < 0 ? rawTarget : rawTarget.slice(0, question)
  const slash = whole.indexOf('/', PREFIX.length)
  const target = slash < 0 ? whole.slice(PREFIX.length) : whole.slice(PREFIX.length, slash)
  if (!NAME.test(target)) return null
  return {
    target,
    path: slash < 0 ? '' : whole.slice(slash),
    query: question < 0 ? '' : rawTarget.slice(question + 1),
  }
}

/** `Sallyport-Action-Origin` and `-Ref`: why this one action happens, as declared. */
function readDeclaredOrigin(facts: RequestFacts): Result<JsonObject | null, Failure> {
  const kind = singleHeader(facts, 'sallyport-action-origin')
  if (!kind.ok) return kind
  const ref = singleHeader(facts, 'sallyport-action-ref')
  if (!ref.ok) return ref
  if (kind.value === null) return ok(null)
  if (!ORIGINS.includes(kind.value) || (ref.value ?? '').length > 256) {
    return fail({
      kind: 'malformed_request',
      reason: 'bad_origin',
      parameter: 'Sallyport-Action-Origin',
    })
  }
  return ok({ kind: kind.value, ...(ref.value === null ? {} : { id: ref.value }) })
}

/** A 401 names the protected resource's metadata (RFC 9728 §5.1). */
function withDiscovery(
  headers: Readonly<Record<string, string>>,
  facts: RequestFacts,
  deps: ActionDeps,
): Record<string, string> {
  const target = splitTarget(facts.rawTarget)?.target
  const challenge = headers['www-authenticate']
  if (challenge === undefined || target === undefined) return { ...headers }
  const metadata = `${deps.issuer}/.well-known/oauth-protected-resource/t/${target}`
  return { ...headers, 'www-authenticate': `${challenge}, resource_metadata="${metadata}"` }
}

function toHttp(answer: HttpAnswer): Response {
  const headers = new Headers()
  for (const [name, value] of answer.headers) headers.append(name, value)
  return new Response(answer.body, { status: answer.status, headers })
}

function withDecision(response: Response, decisionId: string): Response {
  response.headers.set('sallyport-decision', decisionId)
  return response
}
