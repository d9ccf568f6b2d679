// The events that Function URLs and API Gateway make of an HTTP request, and the HTTP answers that they
// make of a result. What AWS does to paths, headers and bodies on the way is imitated, faults included.
import type { IncomingMessage } from 'node:http'

export type LambdaKind = 'url' | 'url-streaming' | 'apigw-v1' | 'apigw-v2'

type Received = {
  readonly incoming: IncomingMessage
  readonly body: Buffer
  readonly requestId: string
}

/**
 * Stands for the TLS connection to a custom domain with mutual TLS, which the front of this rig has not:
 * the PEM that the client showed, percent-encoded. Like the connection, it never reaches the function.
 */
export const CLIENT_CERT_HEADER = 'x-rig-client-cert'

function clientCertOf(kind: LambdaKind, incoming: IncomingMessage): unknown {
  const pem = incoming.headers[CLIENT_CERT_HEADER]
  if (typeof pem !== 'string' || kind.startsWith('url')) return null
  return { clientCertPem: decodeURIComponent(pem), subjectDN: 'C=XX', issuerDN: 'C=XX' }
}

export function eventOf(kind: LambdaKind, received: Received): unknown {
  return kind === 'apigw-v1' ? eventV1(received) : eventV2(kind, received)
}

function eventV2(kind: LambdaKind, { incoming, body, requestId }: Received): unknown {
  const { path, query } = splitTarget(incoming)
  const headers: Record<string, string> = {}
  const cookies: string[] = []
  for (const [name, value] of linesOf(incoming)) {
    const lower = name.toLowerCase()
    if (lower === 'cookie') cookies.push(...value.split('; '))
    else headers[lower] = headers[lower] === undefined ? value : `${headers[lower]},${value}`
  }
  const sourceIp = incoming.socket.remoteAddress ?? ''
  // A client's own value stays in front, as AWS does it.
  headers['x-forwarded-for'] = [headers['x-forwarded-for'], sourceIp].filter(Boolean).join(', ')
  return {
    version: '2.0',
    routeKey: '$default',
    // HTTP APIs decode the path, and a decoded `?` ends it; Function URLs deliver it as sent.
    rawPath: kind === 'apigw-v2' ? (decoded(path).split('?')[0] ?? '/') : path,
    rawQueryString: query,
    headers,
    ...(cookies.length > 0 ? { cookies } : {}),
    requestContext: {
      accountId: 'anonymous',
      apiId: 'api',
      authentication: authenticationOf(clientCertOf(kind, incoming)),
      domainName: 'api.example',
      domainPrefix: 'api',
      http: {
        method: incoming.method,
        path: decoded(path),
        protocol: 'HTTP/1.1',
        sourceIp,
        userAgent: incoming.headers['user-agent'] ?? '',
      },
      requestId,
      routeKey: '$default',
      stage: '$default',
      time: '22/Nov/2026:03:00:00 +0000',
      timeEpoch: 1_795_316_400_000,
    },
    ...bodyMembers(body, isTextual(incoming)),
  }
}

function authenticationOf(clientCert: unknown): unknown {
  return clientCert === null ? null : { clientCert }
}

/** A REST API with everything as binary media type: every body arrives as base64. */
function eventV1({ incoming, body, requestId }: Received): unknown {
  const { path, query } = splitTarget(incoming)
  const multiValueHeaders: Record<string, string[]> = {}
  for (const [name, value] of linesOf(incoming)) (multiValueHeaders[name] ??= []).push(value)
  const sourceIp = incoming.socket.remoteAddress ?? ''
  multiValueHeaders['X-Forwarded-For'] = [
    [incoming.headers['x-forwarded-for'], sourceIp].filter(Boolean).join(', '),
  ]
  delete multiValueHeaders['x-forwarded-for']
  const parameters: Record<string, string[]> = {}
  for (const [name, value] of new URLSearchParams(query)) (parameters[name] ??= []).push(value)
  return {
    resource: '/{proxy+}',
    path,
    httpMethod: incoming.method,
    headers: lastOf(multiValueHeaders),
    multiValueHeaders,
    queryStringParameters: query === '' ? null : lastOf(parameters),
    multiValueQueryStringParameters: query === '' ? null : parameters,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: null,
    requestContext: {
      accountId: '000000000000',
      apiId: 'api',
      httpMethod: incoming.method,
      identity: {
        sourceIp,
        userAgent: incoming.headers['user-agent'] ?? null,
        clientCert: clientCertOf('apigw-v1', incoming),
      },
      path: `/prod${path}`,
      protocol: 'HTTP/1.1',
      requestId,
      stage: 'prod',
    },
    ...bodyMembers(body, false),
  }
}

function splitTarget(incoming: IncomingMessage): { path: string; query: string } {
  const target = incoming.url ?? '/'
  const mark = target.indexOf('?')
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}

function linesOf(incoming: IncomingMessage): [string, string][] {
  const lines: [string, string][] = []
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const name = incoming.rawHeaders[i] ?? ''
    // Hop-by-hop headers end at the front.
    if (/^(connection|keep-alive|transfer-encoding|te|upgrade|expect)$/i.test(name)) continue
    if (name.toLowerCase() === CLIENT_CERT_HEADER) continue
    lines.push([name, incoming.rawHeaders[i + 1] ?? ''])
  }
  return lines
}

function lastOf(values: Readonly<Record<string, string[]>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, all]) => [name, all.at(-1) ?? '']))
}

function bodyMembers(body: Buffer, isText: boolean): Record<string, unknown> {
  if (body.length === 0) return { isBase64Encoded: false }
  return isText
    ? { body: body.toString('utf8'), isBase64Encoded: false }
    : { body: body.toString('base64'), isBase64Encoded: true }
}

function isTextual(incoming: IncomingMessage): boolean {
  return /^(text\/|application\/(json|javascript|xml))/i.test(
    incoming.headers['content-type'] ?? '',
  )
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

export type LambdaAnswer = {
  readonly statusCode: number
  /** Name, value, name, value. */
  readonly headers: readonly string[]
}

/** Status and headers of a buffered result, or of the metadata of a streamed one. */
export function answerOf(result: unknown): LambdaAnswer | null {
  if (typeof result !== 'object' || result === null) return null
  const { statusCode, headers, multiValueHeaders, cookies } = result as Record<string, unknown>
  if (typeof statusCode !== 'number') return null
  const list: string[] = []
  for (const [name, value] of Object.entries(headers ?? {})) list.push(name, String(value))
  for (const [name, values] of Object.entries(multiValueHeaders ?? {})) {
    for (const value of values as readonly string[]) list.push(name, value)
  }
  for (const cookie of (cookies ?? []) as readonly string[]) list.push('set-cookie', cookie)
  return { statusCode, headers: list }
}
