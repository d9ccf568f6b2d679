// The target type `http`: any method and path below `base_url`, with the credential injected at that one
// origin. Redirects are returned and never followed; nothing of the agent chooses the destination.
import { createHash } from 'node:crypto'
import {
  normaliseHttp,
  parseHttpRules,
  type HttpTargetRules,
  type RawHttpRequest,
} from '../actions/http.ts'
import type { Secret } from '../core/credential.ts'
import type { Failure } from '../core/failure.ts'
import type { CredentialPolicy, TargetPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { CallInput, CompiledTarget, Normalised, TargetType } from '../core/target.ts'
import { OutboundError, type Outbound, type OutboundResponse, type Reach } from '../net/outbound.ts'
import { readCapped } from '../net/read-body.ts'
import { limitBody, type LimitedBody } from './byte-limit.ts'
import { answerOf, type AnswerRules, type HttpAnswer } from './http-answer.ts'
import { httpSettings, httpTargetMistakes, type HttpSettings } from './http-config.ts'
import { allowedRequestHeaders, requestHeaders, type HeaderLine } from './http-headers.ts'
import { headerOf, injectCredential, queryNames, type Injection } from './inject.ts'
import { compileMask } from './mask.ts'
import { CredentialScan } from './reflection.ts'
import { settleOnce, type Settle } from './settlement.ts'

export type { HttpAnswer, RawHttpRequest }

/** What is sent but for the credential. */
export type PreparedHttp = {
  readonly method: string
  readonly url: URL
  readonly headers: readonly HeaderLine[]
  /** What the caller says that the body is long; 0 when it does not. */
  readonly declaredBytes: number
  /** `fingerprint` puts the bytes that it read in the place of the stream. */
  body: ReadableStream<Uint8Array> | Uint8Array | null
}

export type HttpTargetDeps = { readonly outbound: Outbound; readonly reach: Reach }

type Compiled = CompiledTarget<RawHttpRequest, PreparedHttp, HttpAnswer>

/** All that one target needs, made once when the policy is loaded. */
type Site = {
  readonly outbound: Outbound
  readonly settings: HttpSettings
  readonly rules: HttpTargetRules
  readonly credential: CredentialPolicy | undefined
  readonly requestHeaders: ReadonlySet<string>
  readonly answer: AnswerRules
  readonly scanFor: (secret: Secret | null, injection: Injection) => CredentialScan
}

export function createHttpTarget(
  deps: HttpTargetDeps,
): TargetType<RawHttpRequest, PreparedHttp, HttpAnswer> {
  return {
    type: 'http',
    validate: (target) => httpTargetMistakes(target, deps.reach),
    compile: (target): Compiled => {
      const site = siteOf(target, deps)
      return {
        policy: target,
        normalise: (raw) => normalise(site, raw),
        fingerprint: (prepared) => fingerprint(site, prepared),
        call: (input) => call(site, input),
      }
    },
  }
}

function siteOf(target: TargetPolicy, deps: HttpTargetDeps): Site {
  const settings = httpSettings(target, deps.reach)
  const { rules } = parseHttpRules(target.config)
  if (rules === null) throw new Error('a target was compiled that was not validated')
  const { credential } = target
  const secretParameter = credential?.inject === 'query' ? (credential.name ?? null) : null
  return {
    outbound: deps.outbound,
    settings,
    rules: { ...rules, name: target.name, labels: target.labels ?? [] },
    credential,
    requestHeaders: allowedRequestHeaders({
      optIns: settings.requestHeaders,
      credentialHeader: headerOf(credential),
    }),
    answer: {
      base: {
        origin: rules.baseUrl.origin,
        prefix: rules.baseUrl.pathname.replace(/\/$/, ''),
        gatewayPath: `/t/${target.name}`,
        secretParameter,
      },
      responseHeaders: new Set(settings.responseHeaders),
      mask: compileMask(target.mask),
      isBlocking: settings.onReflection === 'block',
      maxMaskedBytes: settings.maxMaskedBytes,
      idleMs: settings.timeoutMs,
    },
    scanFor: rememberingScans(),
  }
}

/** A scan costs as much to make as the rest of a call; it lives as long as the secret it is for. */
function rememberingScans(): Site['scanFor'] {
  const scans = new WeakMap<Secret, CredentialScan>()
  return (secret, { text }) => {
    const known = secret === null ? undefined : scans.get(secret)
    if (known !== undefined) return known
    const made = new CredentialScan(text)
    if (secret !== null) scans.set(secret, made)
    return made
  }
}

async function normalise(
  site: Site,
  raw: RawHttpRequest,
): Promise<Result<Normalised<PreparedHttp>, Failure>> {
  const headers = requestHeaders(raw.headers, { allowed: site.requestHeaders })
  if (!headers.ok) return headers
  const { maxRequestBytes } = site.settings
  const declaredBytes = declaredLength(raw.headers)
  if (declaredBytes > maxRequestBytes) {
    return fail({ kind: 'payload_too_large', maxBytes: maxRequestBytes })
  }
  const normalised = await normaliseHttp(raw, site.rules)
  if (!normalised.ok) return normalised
  const { action, method, query, url, body } = normalised.value
  const { secretParameter } = site.answer.base
  if (secretParameter !== null && queryNames(query, secretParameter)) {
    return fail({ kind: 'action_malformed', reason: 'query_names_credential' })
  }
  return ok({ action, prepared: { method, url, headers: headers.value, declaredBytes, body } })
}

function declaredLength(headers: readonly HeaderLine[]): number {
  const line = headers.find(([name]) => name.toLowerCase() === 'content-length')
  const length = Number(line?.[1] ?? 0)
  return Number.isNaN(length) ? 0 : length
}

/** What a person approves is held in memory until it is sent. */
const MAX_APPROVED_BYTES = 1024 * 1024

/**
 * The body, its type, its conditions, and the headers that only this target takes. Ids of one request and of its trace
 * are left out: the identical request, repeated once it is approved, has others.
 */
async function fingerprint(site: Site, prepared: PreparedHttp): Promise<Result<string, Failure>> {
  const maxBytes = Math.min(MAX_APPROVED_BYTES, site.settings.maxRequestBytes)
  const body = await heldBody(prepared.body, maxBytes)
  if (!body.ok) return body
  if (prepared.body !== null) prepared.body = body.value
  const meaningful = new Set(['content-type', 'content-language', ...site.settings.requestHeaders])
  // A change that was approved under `If-Match` is another one without it.
  const headers = prepared.headers.filter(
    ([name]) => meaningful.has(name) || name.startsWith('if-'),
  )
  const hash = createHash('sha256').update(JSON.stringify(headers)).update('\n').update(body.value)
  return ok(hash.digest('hex'))
}

async function heldBody(
  body: PreparedHttp['body'],
  maxBytes: number,
): Promise<Result<Uint8Array, Failure>> {
  try {
    const held = body instanceof ReadableStream ? await readCapped(body, maxBytes) : body
    if (body !== null && (held === null || held.length > maxBytes)) {
      return fail({ kind: 'payload_too_large', maxBytes })
    }
    return ok(held ?? new Uint8Array(0))
  } catch {
    // Only the caller's stream throws here: it went away before its body was read.
    return fail({ kind: 'action_malformed', reason: 'body_aborted' })
  }
}

async function call(
  site: Site,
  input: CallInput<PreparedHttp>,
): Promise<Result<HttpAnswer, Failure>> {
  const settle = settleOnce(input.settle)
  try {
    return await perform(site, input, settle)
  } catch (cause) {
    await settle({ result: 'unknown' })
    throw cause
  }
}

async function perform(
  site: Site,
  input: CallInput<PreparedHttp>,
  settle: Settle,
): Promise<Result<HttpAnswer, Failure>> {
  const injected = injectionOf(site, input.credential)
  if (!injected.ok) {
    await settle({ result: 'aborted' })
    return injected
  }
  const framed = await framedBody(input.prepared)
  if (!framed.ok) {
    await settle({ result: 'aborted' })
    return framed
  }
  const calling = new AbortController()
  const abort = (): void => calling.abort()
  const body = limitBody(framed.value, site.settings.maxRequestBytes, abort)
  const response = body.isExceededAtOnce
    ? fail<Failure>({ kind: 'payload_too_large', maxBytes: site.settings.maxRequestBytes })
    : await send({ site, input, injection: injected.value, body, calling })
  if (!response.ok) {
    await settle({ result: resultOf(response.failure) })
    return response
  }
  return answerOf(response.value, {
    ...site.answer,
    method: input.prepared.method,
    requestUrl: input.prepared.url,
    scan: injected.value === null ? null : site.scanFor(input.credential, injected.value),
    maxBytes: input.maxResponseBytes,
    settle,
    abort,
    ...(input.cancelled === undefined ? {} : { cancelled: input.cancelled }),
  })
}

/** Small enough to be read before it is sent, and so to be sent with its length. */
const MAX_FRAMED_BYTES = 64 * 1024

/** Servers that refuse a request without `Content-Length` (411) mostly take small ones. */
async function framedBody(prepared: PreparedHttp): Promise<Result<PreparedHttp['body'], Failure>> {
  const { body, declaredBytes } = prepared
  const isSmall = declaredBytes > 0 && declaredBytes <= MAX_FRAMED_BYTES
  return body === null || !isSmall ? ok(body) : heldBody(body, declaredBytes)
}

/** The origin is the target's own, so no request can have the secret sent elsewhere (SSRF-4). */
function injectionOf(site: Site, secret: Secret | null): Result<Injection | null, Failure> {
  if (site.credential === undefined) return ok(null)
  return injectCredential(site.credential, secret, site.rules.baseUrl.origin)
}

async function send(call: {
  readonly site: Site
  readonly input: CallInput<PreparedHttp>
  readonly injection: Injection | null
  readonly body: LimitedBody
  readonly calling: AbortController
}): Promise<Result<OutboundResponse, Failure>> {
  const { site, input, injection, body, calling } = call
  // The caller may go before the answer comes; its end is the upstream call's end (G-10).
  void input.cancelled?.then(() => calling.abort())
  try {
    const response = await site.outbound({
      method: input.prepared.method,
      url: withQuery(input.prepared.url, injection?.query ?? ''),
      headers: [
        ...input.prepared.headers,
        ['accept-encoding', 'identity'],
        ...(injection?.headers ?? []),
      ],
      body: body.body,
      timeoutMs: site.settings.timeoutMs,
      signal: calling.signal,
      reach: site.settings.reach,
    })
    return ok(response)
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error
    if (body.isExceeded()) {
      return fail({ kind: 'payload_too_large', maxBytes: site.settings.maxRequestBytes })
    }
    return fail({
      kind: 'upstream_failed',
      reason: error.reason,
      timedOut: error.reason === 'timeout',
    })
  }
}

function withQuery(url: URL, added: string): URL {
  if (added === '') return url
  const complete = new URL(url)
  complete.search = url.search === '' ? `?${added}` : `${url.search}&${added}`
  return complete
}

/** Reasons that say that nothing reached the upstream; after all others it may have acted (DEP-9). */
const NOT_SENT: readonly string[] = ['address_refused', 'unresolvable', 'connect_failed']

function resultOf(failure: Failure): 'upstream_error' | 'unknown' {
  const isNotSent = failure.kind === 'upstream_failed' && NOT_SENT.includes(failure.reason)
  return isNotSent ? 'upstream_error' : 'unknown'
}
