// The client of OpenID AuthZEN 1.0: any PDP as floor or judge. It fails closed: late, unreachable,
// redirected, malformed or too long an answer is a denial with a reason of its own (RB-16, DEP-7).
import type { Secret } from '../core/credential.ts'
import type { CompiledEvaluator, EvaluatorAnswer, EvaluatorType } from '../core/evaluator.ts'
import type { EvaluationQuestion } from '../core/intent.ts'
import { isJsonObject } from '../core/json.ts'
import type { DocumentError, EvaluatorPolicy } from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import type { Result } from '../core/result.ts'
import { hostRefusal } from '../net/addresses.ts'
import { OutboundError } from '../net/outbound.ts'
import type { Outbound, OutboundResponse, Reach } from '../net/outbound.ts'
import { readCapped } from '../net/read-body.ts'
import { readAuthzenAnswer } from './authzen-answer.ts'
import type { AuthzenAnswer } from './authzen-answer.ts'

export type EvaluatorDeps = {
  readonly outbound: Outbound
  readonly reach: Reach
  readonly secrets: (reference: string) => Promise<Result<Secret, unknown>>
  readonly clock: Clock
}

const DEFAULT_TIMEOUT_MS = 800
/** An action waits for it. */
const MAX_TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 65_536
/** Nothing is cut to fit: what the evaluator would not see whole is denied (INT-2). */
const MAX_QUESTION_CHARACTERS = 262_144

export function authzen(deps: EvaluatorDeps): EvaluatorType {
  return {
    type: 'authzen',
    validate: (policy) => mistakes(policy, deps.reach),
    compile: (policy) => compile(policy, deps),
  }
}

function mistakes(policy: EvaluatorPolicy, reach: Reach): readonly DocumentError[] {
  const errors: DocumentError[] = []
  const report = (path: string, code: string, message: string) =>
    errors.push({ path, code, message })
  if (!URL.canParse(policy.url)) report('/url', 'format', 'must be an absolute URL')
  else {
    const refusal = hostRefusal(new URL(policy.url), reach)
    if (refusal !== null) report('/url', 'unsafe', `may not be reached: ${refusal}`)
    if (policy.url.includes('#')) report('/url', 'format', 'must have no fragment')
  }
  if (policy.model !== undefined) report('/model', 'unexpected', 'is not known to authzen')
  const { timeout_ms: timeoutMs = DEFAULT_TIMEOUT_MS } = policy
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    report('/timeout_ms', 'range', `must be from 1 to ${MAX_TIMEOUT_MS}`)
  }
  return errors
}

function compile(policy: EvaluatorPolicy, deps: EvaluatorDeps): CompiledEvaluator {
  const url = new URL(policy.url)
  return {
    name: `authzen ${url.host}`,
    async evaluate(question): Promise<EvaluatorAnswer> {
      const startedMs = deps.clock.nowMs()
      const answer = await answerInTime(question, { policy, url, deps })
      return { ...answer, latencyMs: Math.max(0, deps.clock.nowMs() - startedMs) }
    },
  }
}

type Site = {
  readonly policy: EvaluatorPolicy
  readonly url: URL
  readonly deps: EvaluatorDeps
}

function denied(reasonCode: string): AuthzenAnswer {
  return { verdict: 'deny', reasonCode }
}

/**
 * One deadline over secret, connection, headers and the last byte of the body (a slow drip
 * included).
 */
async function answerInTime(question: EvaluationQuestion, site: Site): Promise<AuthzenAnswer> {
  const body = JSON.stringify(question)
  if (body.length > MAX_QUESTION_CHARACTERS) return denied('judge_question_too_large')
  const timeoutMs = site.policy.timeout_ms ?? DEFAULT_TIMEOUT_MS
  const ending = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const deadline = new Promise<AuthzenAnswer>((resolve) => {
    timer = setTimeout(() => {
      resolve(denied('judge_timeout'))
      ending.abort()
    }, timeoutMs)
  })
  const call: Call = { ...site, body, timeoutMs, signal: ending.signal, rules: rulesOf(question) }
  try {
    return await Promise.race([ask(call), deadline])
  } finally {
    clearTimeout(timer)
    // Whatever is still open, an unread body for one, ends with the question.
    ending.abort()
  }
}

function rulesOf({ context }: EvaluationQuestion): readonly string[] {
  const rules = context['rules']
  if (!Array.isArray(rules)) return []
  return rules.flatMap((rule) =>
    isJsonObject(rule) && typeof rule['id'] === 'string' ? [rule['id']] : [],
  )
}

type Call = Site & {
  readonly body: string
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly rules: readonly string[]
}

/** Never rejects: after the deadline nobody would be left to hear it. */
async function ask(call: Call): Promise<AuthzenAnswer> {
  try {
    const authorization = await authorizationOf(call)
    if (authorization === null) return denied('judge_secret_refused')
    const requestId = crypto.randomUUID()
    const response = await call.deps.outbound({
      method: 'POST',
      url: call.url,
      headers: [
        ['accept', 'application/json'],
        ['accept-encoding', 'identity'],
        ['content-type', 'application/json'],
        ['x-request-id', requestId],
        ...authorization,
      ],
      body: new TextEncoder().encode(call.body),
      timeoutMs: call.timeoutMs,
      signal: call.signal,
      reach: call.deps.reach,
    })
    return await readResponse(response, requestId, call.rules)
  } catch (error) {
    return denied(reasonOfError(error))
  }
}

/**
 * The header lines of the secret; null when it cannot be had, or may not be sent to this origin.
 */
async function authorizationOf({
  policy,
  url,
  deps,
}: Call): Promise<readonly (readonly [string, string])[] | null> {
  if (policy.secret === undefined) return []
  const secret = await deps.secrets(policy.secret)
  const value = secret.ok ? secret.value.revealFor(url.origin) : null
  return value === null ? null : [['authorization', `Bearer ${value}`]]
}

function reasonOfError(error: unknown): string {
  if (!(error instanceof OutboundError)) return 'judge_unavailable'
  if (error.reason === 'timeout' || error.reason === 'aborted') return 'judge_timeout'
  return error.reason === 'protocol_error' ? 'judge_invalid' : 'judge_unavailable'
}

async function readResponse(
  response: OutboundResponse,
  requestId: string,
  rules: readonly string[],
): Promise<AuthzenAnswer> {
  const fault = responseFault(response, requestId)
  if (fault !== null) {
    await response.body?.cancel()
    return denied(fault)
  }
  const bytes = await readCapped(response.body, MAX_ANSWER_BYTES)
  const text = bytes === null ? null : decodeUtf8(bytes)
  return text === null ? denied('judge_invalid') : readAuthzenAnswer(text, rules)
}

function responseFault(response: OutboundResponse, requestId: string): string | null {
  const { status } = response
  if (status === 429 || status >= 500) return 'judge_unavailable'
  if (status === 401 || status === 403) return 'judge_unauthorized'
  // Redirects among them: the answer of another place is not this evaluator's (SSRF-3).
  if (status !== 200) return 'judge_invalid'
  const types = valuesOf(response, 'content-type')
  const isJson = /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(types[0] ?? '')
  if (types.length !== 1 || !isJson) return 'judge_invalid'
  const codings = valuesOf(response, 'content-encoding')
  if (codings.some((coding) => coding.toLowerCase() !== 'identity')) return 'judge_invalid'
  // An answer to another question: a cache or a proxy has mixed them up.
  const echoed = valuesOf(response, 'x-request-id')
  return echoed.every((id) => id === requestId) ? null : 'judge_invalid'
}

function valuesOf({ headers }: OutboundResponse, wanted: string): readonly string[] {
  return headers.filter(([name]) => name === wanted).map(([, value]) => value.trim())
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
