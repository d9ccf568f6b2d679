// Lambda's HTTP events to a Request and back: Function URLs and HTTP APIs (format 2.0), REST APIs
// (format 1.0). No value is dropped on the way: repeated headers stay apart or arrive joined by a comma.
import type { UntrustedCertificate } from '../core/auth-method.ts'
import { decodePem } from '../crypto/x509/pem.ts'
import type { RequestFacts } from '../platform.ts'

/** Format 1.0 (API Gateway REST). */
type EventV1 = {
  readonly httpMethod: string
  readonly path: string
  readonly headers?: HeaderMap | null
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null
  readonly queryStringParameters?: HeaderMap | null
  readonly multiValueQueryStringParameters?: Readonly<
    Record<string, readonly string[] | undefined>
  > | null
  readonly requestContext: {
    readonly identity: { readonly sourceIp?: string; readonly clientCert?: ClientCert }
  }
  readonly body?: string | null
  readonly isBase64Encoded?: boolean
}

/** Format 2.0 (Function URL, API Gateway HTTP API). */
type EventV2 = {
  readonly version: '2.0'
  readonly rawPath: string
  readonly rawQueryString?: string
  readonly headers?: HeaderMap
  readonly cookies?: readonly string[]
  readonly requestContext: {
    readonly stage?: string
    readonly http: { readonly method: string; readonly sourceIp?: string }
    readonly authentication?: { readonly clientCert?: ClientCert } | null
  }
  readonly body?: string | null
  readonly isBase64Encoded?: boolean
}

/** Of a custom domain with mutual TLS, whose truststore API Gateway has checked it against. */
type ClientCert = { readonly clientCertPem?: string } | null

type HeaderMap = Readonly<Record<string, string | undefined>>
type HeaderLine = readonly [string, string]

export type LambdaFormat = '1.0' | '2.0'

export type LambdaRequest = {
  readonly format: LambdaFormat
  readonly request: Request
  readonly facts: RequestFacts
}

export type LambdaResult = {
  readonly statusCode: number
  readonly headers?: Readonly<Record<string, string>>
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>
  readonly cookies?: readonly string[]
  readonly body: string
  readonly isBase64Encoded: boolean
}

/** Null when the event is of no HTTP kind that is known here, or no valid request. */
export function readLambdaEvent(
  event: unknown,
  context: { readonly issuer: string; readonly signal: AbortSignal },
): LambdaRequest | null {
  try {
    const parts = isEventV2(event) ? partsOfV2(event) : isEventV1(event) ? partsOfV1(event) : null
    if (parts === null) return null
    const { method, target, headerLines, body, clientAddress, clientCertificate } = parts
    const hasBody = body !== null && method !== 'GET' && method !== 'HEAD'
    const request = new Request(`${context.issuer}${target}`, {
      method,
      headers: headerLines.map(([name, value]): [string, string] => [name, value]),
      signal: context.signal,
      ...(hasBody ? { body } : {}),
    })
    return {
      format: parts.format,
      request,
      facts: { rawTarget: target, clientAddress, headerLines, clientCertificate },
    }
  } catch {
    // What no Request can hold (TRACE, control characters, lone surrogates): the caller's mistake.
    return null
  }
}

type Parts = {
  readonly format: LambdaFormat
  readonly method: string
  readonly target: string
  readonly headerLines: readonly HeaderLine[]
  readonly body: Uint8Array<ArrayBuffer> | null
  readonly clientAddress: string | null
  readonly clientCertificate: UntrustedCertificate | null
}

function partsOfV2(event: EventV2): Parts {
  const { http, stage, authentication } = event.requestContext
  const path = withoutStage(event.rawPath, stage)
  const headerLines = linesOf(event.headers)
  if (event.cookies !== undefined && event.cookies.length > 0) {
    headerLines.push(['cookie', event.cookies.join('; ')])
  }
  return {
    format: '2.0',
    method: http.method,
    target: `${encodedPath(path)}${querySuffix(event.rawQueryString ?? '')}`,
    headerLines,
    body: bodyOf(event),
    clientAddress: http.sourceIp ?? null,
    clientCertificate: certificateOf(authentication?.clientCert),
  }
}

function partsOfV1(event: EventV1): Parts {
  return {
    format: '1.0',
    method: event.httpMethod,
    target: `${encodedPath(event.path)}${querySuffix(queryOfV1(event))}`,
    headerLines: headerLinesOfV1(event),
    body: bodyOf(event),
    clientAddress: event.requestContext.identity.sourceIp ?? null,
    clientCertificate: certificateOf(event.requestContext.identity.clientCert),
  }
}

/**
 * From the request context, which API Gateway writes and no client can; never from a header. It hands
 * on the leaf alone.
 */
function certificateOf(clientCert: ClientCert | undefined): UntrustedCertificate | null {
  const pem = clientCert?.clientCertPem
  const chain = typeof pem === 'string' ? decodePem(pem) : null
  return chain === null || chain.length === 0 ? null : { chain, provenByPlatform: true }
}

/** A named stage is part of `rawPath` on the API's own domain; the broker knows nothing of stages. */
function withoutStage(rawPath: string, stage: string | undefined): string {
  if (stage === undefined || stage === '$default') return rawPath
  if (rawPath === `/${stage}`) return '/'
  return rawPath.startsWith(`/${stage}/`) ? rawPath.slice(stage.length + 1) : rawPath
}

/**
 * REST APIs and Function URLs deliver the path as sent, HTTP APIs deliver it decoded. Escaping only what
 * no encoded path holds leaves the first unchanged and keeps a decoded `?` or `#` inside the path.
 */
function encodedPath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  return rooted.replace(/%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9\-._~!$&'()*+,;=:@/\\]+/g, (part) =>
    part === '%' ? '%25' : encodeURIComponent(part),
  )
}

function querySuffix(query: string): string {
  return query === '' ? '' : `?${query.replaceAll('#', '%23').replaceAll(' ', '%20')}`
}

/** REST APIs decode the query and drop the order between different names. */
function queryOfV1(event: EventV1): string {
  const pairs: string[] = []
  const values = event.multiValueQueryStringParameters ?? event.queryStringParameters ?? {}
  for (const [name, value] of Object.entries(values)) {
    for (const one of typeof value === 'string' ? [value] : (value ?? [])) {
      pairs.push(`${encodeQuery(name)}=${encodeQuery(one)}`)
    }
  }
  return pairs.join('&')
}

function encodeQuery(text: string): string {
  return encodeURIComponent(text)
}

function headerLinesOfV1(event: EventV1): HeaderLine[] {
  if (event.multiValueHeaders === undefined || event.multiValueHeaders === null) {
    return linesOf(event.headers ?? undefined)
  }
  return Object.entries(event.multiValueHeaders).flatMap(([name, values]) =>
    (values ?? []).map((value): HeaderLine => [name, value]),
  )
}

function linesOf(headers: HeaderMap | undefined): HeaderLine[] {
  return Object.entries(headers ?? {}).flatMap(([name, value]): HeaderLine[] =>
    value === undefined ? [] : [[name, value]],
  )
}

function bodyOf(event: EventV1 | EventV2): Uint8Array<ArrayBuffer> | null {
  if (event.body === undefined || event.body === null || event.body === '') return null
  return event.isBase64Encoded === true
    ? new Uint8Array(Buffer.from(event.body, 'base64'))
    : new TextEncoder().encode(event.body)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function isEventV2(event: unknown): event is EventV2 {
  if (!isRecord(event) || event.version !== '2.0' || typeof event.rawPath !== 'string') return false
  const context = event.requestContext
  return isRecord(context) && isRecord(context.http) && typeof context.http.method === 'string'
}

function isEventV1(event: unknown): event is EventV1 {
  if (!isRecord(event) || typeof event.httpMethod !== 'string') return false
  const context = event.requestContext
  return typeof event.path === 'string' && isRecord(context) && isRecord(context.identity)
}

/** Status and headers of an answer in the form of its event. */
export function responseHead(
  response: Response,
  format: LambdaFormat,
): Pick<LambdaResult, 'statusCode' | 'headers' | 'multiValueHeaders' | 'cookies'> {
  if (format === '1.0') {
    const multiValueHeaders: Record<string, string[]> = {}
    for (const [name, value] of response.headers) (multiValueHeaders[name] ??= []).push(value)
    return { statusCode: response.status, multiValueHeaders }
  }
  const headers: Record<string, string> = {}
  for (const [name, value] of response.headers) if (name !== 'set-cookie') headers[name] = value
  const cookies = response.headers.getSetCookie()
  return { statusCode: response.status, headers, ...(cookies.length > 0 ? { cookies } : {}) }
}

/** A buffered answer. Text that is valid UTF-8 goes as text; everything else as base64. */
export async function lambdaResult(
  response: Response,
  format: LambdaFormat,
): Promise<LambdaResult> {
  const bytes = Buffer.from(await response.arrayBuffer())
  const isText =
    bytes.length === 0 || (isTextType(response.headers.get('content-type')) && isUtf8(bytes))
  return {
    ...responseHead(response, format),
    body: bytes.toString(isText ? 'utf8' : 'base64'),
    isBase64Encoded: !isText,
  }
}

function isTextType(contentType: string | null): boolean {
  return contentType !== null && /^(text\/|application\/([\w.-]+\+)?json\b)/i.test(contentType)
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}
