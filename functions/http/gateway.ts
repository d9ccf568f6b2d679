// ANY /t/{target}/…: cuts the target out of the raw request target, hands the rest to the action path
// and the target's answer back. It decides nothing.
import { act, type ActionDeps } from '../core/action.ts'
import type { Failure } from '../core/failure.ts'
import type { JsonObject } from '../core/identity.ts'
import type { ExchangeDeps } from '../core/exchange.ts'
import type { PresentedHandle } from '../core/presented-handle.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { readCredentials } from './credentials.ts'
import type { RequestFacts } from '../platform.ts'
import { readHandle, singleHeader } from './authorization.ts'
import { problemAnswer, toResponse, type WireAnswer } from './error.ts'
import type { RawHttpRequest } from '../actions/http.ts'
import type { HttpAnswer } from '../targets/http.ts'

const PREFIX = '/t/'
/** Of a target that hands over credentials; of any other a path like all of its own. */
const CREDENTIALS = /^\/t\/[^/?]*\/credentials(\?|$)/
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
  deps: ActionDeps & ExchangeDeps,
): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  const isForCredentials = CREDENTIALS.test(facts.rawTarget)
  const answered =
    isForCredentials && request.method === 'GET'
      ? await runCredentials(request, facts, decisionId, deps)
      : await run(request, facts, decisionId, deps)
  if (!answered.ok) {
    const wire = problemAnswer(answered.failure, decisionId)
    // At every target, so that nobody learns by it what kind of target there is.
    const message = isForCredentials ? { message: messageOf(wire.body) } : {}
    return withDecision(
      toResponse({
        ...wire,
        headers: withDiscovery(wire.headers, facts, deps),
        body: { ...wire.body, ...message },
      }),
      decisionId,
    )
  }
  return withDecision(toHttp(answered.value), decisionId)
}

/** What the AWS SDKs show of a refusal. */
function messageOf({ title, hint }: WireAnswer['body']): string {
  return typeof hint === 'string' ? `${String(title)}: ${hint}` : String(title)
}

/**
 * At every target, whatever it is: who shows no handle learns no more here than at the exchange. A handle is
 * used for an action, which of a target without such an endpoint is one like any other.
 */
async function runCredentials(
  request: Request,
  facts: RequestFacts,
  decisionId: string,
  deps: ActionDeps & ExchangeDeps,
): Promise<Result<HttpAnswer, Failure>> {
  const split = splitTarget(facts.rawTarget)
  if (split === null) return fail({ kind: 'not_found' })
  const act = (handle: PresentedHandle) => run(request, facts, decisionId, deps, handle)
  return readCredentials({ request, facts, ...split, decisionId, act }, deps)
}

async function run(
  request: Request,
  facts: RequestFacts,
  decisionId: string,
  deps: ActionDeps,
  presented: PresentedHandle | null = null,
): Promise<Result<HttpAnswer, Failure>> {
  const split = splitTarget(facts.rawTarget)
  if (split === null) return fail({ kind: 'not_found' })
  const handle = presented === null ? readHandle(request, facts, deps.issuer) : ok(presented)
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
