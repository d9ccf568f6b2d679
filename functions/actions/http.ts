// An HTTP request as an action: one canonical method, path and query, checked and sent as they are
// returned here. What cannot be agreed on is refused (reliability.md G-5, G-6, G-7).
import type { Failure } from '../core/failure.ts'
import type { JsonObject } from '../core/identity.ts'
import type { Action } from '../core/intent.ts'
import { objectMatches } from '../core/object-pattern.ts'
import type { Effect } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { readCapped } from '../net/read-body.ts'
import { MAX_FORM_BYTES, readForm, watchMultipart } from './form-body.ts'
import type { GraphqlReading } from './graphql.ts'
import { canonicalPath } from './http-path.ts'
import { canonicalQuery, formNames, overridesMethod } from './http-query.ts'
import type { EffectRule, HttpTargetRules } from './http-rules.ts'

export { HTTP_RULE_MEMBERS, parseHttpRules, type HttpTargetRules } from './http-rules.ts'

type Body = ReadableStream<Uint8Array> | Uint8Array | null

export type RawHttpRequest = {
  readonly method: string
  /** What follows `/t/{target}`, as received: '' or beginning with `/`. */
  readonly rawPath: string
  /** Without `?`; '' for none. */
  readonly rawQuery: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: ReadableStream<Uint8Array> | null
}

export type NormalisedHttp = {
  readonly action: Action
  readonly method: string
  /** Canonical path below the base URL; `/` stands for the base URL itself. */
  readonly path: string
  /** Canonical query without `?`; '' for none. */
  readonly query: string
  /**
   * What to send the request to: base URL, path and query joined. Nothing else agrees with the
   * action.
   */
  readonly url: URL
  readonly body: Body
}

/** Upper-case only: `get` and `Get` are other methods to some servers, and the same to others. */
const METHOD = /^[A-Z][A-Z-]{0,31}$/
/** Echo, tunnel, and the preface of HTTP/2: nothing a target's policy could mean. */
const REFUSED_METHODS: ReadonlySet<string> = new Set(['CONNECT', 'PRI', 'TRACE', 'TRACK'])
const METHOD_EFFECTS: ReadonlyMap<string, Effect> = new Map<string, Effect>([
  ['GET', 'read'],
  ['HEAD', 'read'],
  ['OPTIONS', 'read'],
  ['POST', 'write'],
  ['PUT', 'write'],
  ['PATCH', 'write'],
  ['DELETE', 'delete'],
])
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Without a type, some servers read a form. */
const FORM_TYPES: ReadonlySet<string> = new Set(['', 'application/x-www-form-urlencoded'])
const OVERRIDE_HEADERS: ReadonlySet<string> = new Set([
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
])

type Parts = Pick<NormalisedHttp, 'method' | 'path' | 'query' | 'url'> & {
  readonly names: readonly string[]
}
/** A body that was looked into, and what GraphQL says when it was GraphQL. */
type Inspected = { readonly body: Body; readonly graphql: GraphqlReading | null }

export async function normaliseHttp(
  raw: RawHttpRequest,
  rules: HttpTargetRules,
): Promise<Result<NormalisedHttp, Failure>> {
  const parts = partsOf(raw, rules)
  if (typeof parts === 'string') return fail(malformed(parts))
  const inspected = await inspect(raw, parts, rules)
  if (!inspected.ok) return inspected
  const { body, graphql } = inspected.value
  if (graphql !== null && !graphql.ok) return fail(malformed(graphql.reason))
  const action = actionOf(parts, graphql, rules)
  const { method, path, query, url } = parts
  return ok({ action, method, path, query, url, body })
}

function malformed(reason: string): Failure {
  return { kind: 'action_malformed', reason }
}

/** The canonical parts; a string is the reason of a refusal. */
function partsOf(raw: RawHttpRequest, rules: HttpTargetRules): Parts | string {
  const { method } = raw
  if (!METHOD.test(method)) return 'method_malformed'
  if (REFUSED_METHODS.has(method)) return 'method_refused'
  if (raw.headers.some(([name]) => isOverrideHeader(name))) return 'method_override'
  const path = canonicalPath(raw.rawPath, rules.path)
  if (!path.ok) return path.reason
  const query = canonicalQuery(raw.rawQuery)
  if (!query.ok) return query.reason
  const names = formNames(query.text)
  if (overridesMethod(names)) return 'method_override'
  const url = joinUrl(rules.baseUrl, path.text, query.text)
  if (url === null) return 'url_ambiguous'
  return { method, path: path.text, query: query.text, url, names }
}

/** `X_HTTP_Method` too: gateways in front of CGI make the two the same variable. */
function isOverrideHeader(name: string): boolean {
  return OVERRIDE_HEADERS.has(name.toLowerCase().replaceAll('_', '-'))
}

/** The one URL of the request; null where the URL parser would send another one than was judged. */
function joinUrl(baseUrl: URL, path: string, query: string): URL | null {
  const below = path === '/' ? baseUrl.pathname : baseUrl.pathname.replace(/\/$/, '') + path
  const text = `${baseUrl.origin}${below}${query === '' ? '' : `?${query}`}`
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  return url.href === text ? url : null
}

async function inspect(
  raw: RawHttpRequest,
  parts: Parts,
  rules: HttpTargetRules,
): Promise<Result<Inspected, Failure>> {
  try {
    return await inspectBody(raw, parts, rules)
  } catch {
    // Only the caller's stream throws here: it went away before its body was read.
    return fail(malformed('body_aborted'))
  }
}

async function inspectBody(
  raw: RawHttpRequest,
  parts: Parts,
  rules: HttpTargetRules,
): Promise<Result<Inspected, Failure>> {
  const { body } = raw
  const isGraphql = isGraphqlPath(parts.path, rules)
  if (BODILESS.has(parts.method)) {
    // Some entries drop such a body and leave what announced it: refused by either.
    if (announcesBody(raw) || (body !== null && !(await isEmpty(body)))) {
      return fail(malformed('body_not_allowed'))
    }
    const reads = isGraphql && parts.method !== 'OPTIONS'
    const graphql = reads ? (await loadGraphql()).readGraphqlQuery(parts.query) : null
    return ok({ body: null, graphql })
  }
  // The coding is not forwarded, and what is inside it could not be looked at.
  if (hasContentCoding(raw)) return fail(malformed('content_encoding'))
  if (isGraphql) return inspectGraphql(raw, parts)
  if (body === null) return ok({ body, graphql: null })
  const contentType = contentTypeOf(raw)
  if (contentType === null) return fail(malformed('content_type_ambiguous'))
  if (contentType === 'multipart/form-data') {
    return ok({ body: watchMultipart(body), graphql: null })
  }
  if (!FORM_TYPES.has(contentType)) return ok({ body, graphql: null })
  const form = await readForm(body)
  if (form.kind === 'method_override') return fail(malformed('method_override'))
  if (form.kind === 'too_large') return fail(tooLarge(MAX_FORM_BYTES))
  return ok({ body: form.bytes, graphql: null })
}

function announcesBody(raw: RawHttpRequest): boolean {
  const lengths = headerValues(raw, 'content-length')
  return (
    headerValues(raw, 'transfer-encoding').length > 0 || lengths.some((text) => !/^0+$/.test(text))
  )
}

function tooLarge(maxBytes: number): Failure {
  return { kind: 'payload_too_large', maxBytes }
}

/** Few targets speak GraphQL, and its parser is no small part of a cold start. */
function loadGraphql() {
  return import('./graphql.ts')
}

async function inspectGraphql(
  raw: RawHttpRequest,
  { method, names }: Parts,
): Promise<Result<Inspected, Failure>> {
  if (method !== 'POST') return fail(malformed('graphql_method'))
  const { hasGraphqlParameters, MAX_GRAPHQL_BYTES, readGraphqlBody } = await loadGraphql()
  if (hasGraphqlParameters(names)) return fail(malformed('graphql_parameters_in_url'))
  const contentType = contentTypeOf(raw)
  if (contentType === null) return fail(malformed('content_type_ambiguous'))
  const bytes = await readCapped(raw.body, MAX_GRAPHQL_BYTES)
  if (bytes === null) return fail(tooLarge(MAX_GRAPHQL_BYTES))
  return ok({ body: bytes, graphql: readGraphqlBody(contentType, bytes) })
}

/**
 * Servers route `/GraphQL/` to the same endpoint, so the comparison is loose; objects stay exact.
 */
function isGraphqlPath(path: string, { graphqlPaths }: HttpTargetRules): boolean {
  return graphqlPaths.some((candidate) => loose(candidate) === loose(path))
}

/** Media type, lower-case, without parameters; '' when absent, null when it is not one value. */
function contentTypeOf(raw: RawHttpRequest): string | null {
  const values = headerValues(raw, 'content-type')
  const [value = '', ...more] = values
  if (more.length > 0 || value.includes(',')) return null
  const [type = '', ...parameters] = value.split(';').map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))
  // In UTF-7 or UTF-16 `_method` is spelled with other bytes than the ones that are looked for.
  const isUtf8 = charset === undefined || /^charset="?(?:utf-8|us-ascii)"?$/.test(charset)
  return isUtf8 || !/form|json|graphql/.test(type) ? type : null
}

function hasContentCoding(raw: RawHttpRequest): boolean {
  return headerValues(raw, 'content-encoding').some((value) => value.toLowerCase() !== 'identity')
}

function headerValues(raw: RawHttpRequest, wanted: string): readonly string[] {
  return raw.headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)
}

async function isEmpty(body: ReadableStream<Uint8Array>): Promise<boolean> {
  return (await readCapped(body, 0)) !== null
}

function actionOf(parts: Parts, graphql: GraphqlReading | null, rules: HttpTargetRules): Action {
  const { method, path, url, names } = parts
  const document = graphql !== null && graphql.ok ? graphql : null
  const record: JsonObject = { method, path, query_names: [...names] }
  const properties: JsonObject = { method, url: url.href }
  return {
    name: 'http.request',
    target: rules.name,
    targetType: 'http',
    targetLabels: rules.labels,
    effects: document?.effects ?? effectsOf(method, path, rules.effects),
    objects: [`${method} ${path}`],
    destinations: [rules.baseUrl.host],
    properties: document === null ? properties : { ...properties, body: document.text },
    record: document === null ? record : { ...record, graphql: [...document.operations] },
  }
}

/**
 * The effect of the first rule that matches, else of the method. Servers take `/Admin/` and
 * `/admin`, `a:b` and `a%3Ab` for one: a rule that another spelling falls under adds its effect, so
 * that no spelling gets below it. `read` is not added; it would raise nothing.
 */
function effectsOf(method: string, path: string, rules: readonly EffectRule[]): readonly Effect[] {
  const object = `${method} ${path}`
  const exact = rules.find(({ match }) => objectMatches(match, object))?.effect
  const effects = new Set<Effect>([exact ?? METHOD_EFFECTS.get(method) ?? 'admin'])
  const spelled = loose(object)
  const near = rules.find(({ match }) => objectMatches(loose(match), spelled))?.effect
  if (near !== undefined && near !== 'read') effects.add(near)
  return [...effects]
}

/** Decoded, lower-case, without a slash or parameters at the end of it: for comparison only. */
function loose(text: string): string {
  let decoded = text
  try {
    decoded = decodeURIComponent(text)
  } catch {
    // A pattern of a policy may hold a bare `%`; it is compared as it is.
  }
  return decoded
    .toLowerCase()
    .replace(/;[^/]*/g, '')
    .replace(/\/+/g, '/')
    .replace(/(.)\/$/, '$1')
}
