// Lambda events, where one format of many fronts means different things: what arrives decoded, empty or
// broken must not turn into another request.
import { expect, test } from 'vitest'
import {
  lambdaResult,
  readLambdaEvent,
  responseHead,
} from '../../functions/platforms/lambda-events.ts'

const context = { issuer: 'https://broker.example', signal: new AbortController().signal }

function v2(
  over: Readonly<Record<string, unknown>>,
  http: Readonly<Record<string, unknown>> = {},
  surroundings: Readonly<Record<string, unknown>> = {},
) {
  const { stage = '$default', ...rest } = over
  return {
    version: '2.0',
    rawPath: '/x',
    rawQueryString: '',
    headers: {},
    requestContext: {
      stage,
      http: { method: 'GET', sourceIp: '192.0.2.1', ...http },
      ...surroundings,
    },
    isBase64Encoded: false,
    ...rest,
  }
}

function v1(over: Readonly<Record<string, unknown>>) {
  return {
    httpMethod: 'GET',
    path: '/x',
    headers: null,
    multiValueHeaders: null,
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    requestContext: { identity: { sourceIp: '192.0.2.1' } },
    body: null,
    isBase64Encoded: false,
    ...over,
  }
}

function read(event: unknown) {
  const got = readLambdaEvent(event, context)
  if (got === null) throw new Error('refused')
  return got
}

test.each([
  // An HTTP API hands the path over decoded: what was %3F or %23 stays inside it.
  ['/users/me?admin=true', '/users/me%3Fadmin=true'],
  ['/orders#frag', '/orders%23frag'],
  ['/a b/café', '/a%20b/caf%C3%A9'],
  ['/100%/x', '/100%25/x'],
  ['/a\u0000b', '/a%00b'],
  // What is encoded stays as it is.
  ['/a%2Fb/%2e%2e/%252e', '/a%2Fb/%2e%2e/%252e'],
  ['no-slash', '/no-slash'],
  ['', '/'],
])('G-5: the path %j becomes the target %j', (rawPath, target) => {
  const { request, facts } = read(v2({ rawPath }))
  expect(facts.rawTarget).toBe(target)
  expect(new URL(request.url).origin).toBe('https://broker.example')
  expect(new URL(request.url).search).toBe('')
})

test('a path cannot change the origin', () => {
  for (const rawPath of [
    '//evil.example/x',
    '/\\evil.example',
    '@evil.example/x',
    '.evil.example',
  ]) {
    expect(new URL(read(v2({ rawPath })).request.url).host).toBe('broker.example')
  }
})

test('the name of a stage is not part of the path', () => {
  const targetOf = (rawPath: string, stage: string) => read(v2({ rawPath, stage })).facts.rawTarget
  expect(targetOf('/prod/t/crm', 'prod')).toBe('/t/crm')
  expect(targetOf('/prod', 'prod')).toBe('/')
  expect(targetOf('/production/x', 'prod')).toBe('/production/x')
  expect(targetOf('/prod/x', '$default')).toBe('/prod/x')
})

test('the query stays as it was sent, and cannot end early', () => {
  expect(read(v2({ rawQueryString: 'a=1&a=2&b=%26%23' })).facts.rawTarget).toBe(
    '/x?a=1&a=2&b=%26%23',
  )
  expect(new URL(read(v2({ rawQueryString: 'a=#b c' })).request.url).hash).toBe('')
})

test('a REST API query keeps every value of a name', () => {
  const event = v1({ multiValueQueryStringParameters: { 'a&b': ['1 ', '='], c: [''] } })
  expect(read(event).facts.rawTarget).toBe('/x?a%26b=1%20&a%26b=%3D&c=')
})

test('TX-10: a REST API query given both ways is not doubled', () => {
  const event = v1({
    queryStringParameters: { a: '2' },
    multiValueQueryStringParameters: { a: ['1', '2'] },
  })
  expect(read(event).facts.rawTarget).toBe('/x?a=1&a=2')
})

test('RB-09: every line of a repeated header arrives, an empty one too', () => {
  const event = v1({ multiValueHeaders: { DPoP: ['a', 'b'], authorization: [''] } })
  expect(read(event).facts.headerLines).toEqual([
    ['DPoP', 'a'],
    ['DPoP', 'b'],
    ['authorization', ''],
  ])
  expect(read(v2({ headers: { dpop: 'a,b', 'x-empty': '' } })).facts.headerLines).toEqual([
    ['dpop', 'a,b'],
    ['x-empty', ''],
  ])
})

test('cookies come back into their header', () => {
  const { request, facts } = read(v2({ cookies: ['a=1', 'b=2'] }))
  expect(request.headers.get('cookie')).toBe('a=1; b=2')
  expect(facts.headerLines).toEqual([['cookie', 'a=1; b=2']])
})

test('a body is what was sent, base64 or not, whatever its length was said to be', async () => {
  const post = { method: 'POST' }
  const binary = v2(
    { body: '/wB4', isBase64Encoded: true, headers: { 'content-length': '1' } },
    post,
  )
  expect(Buffer.from(await read(binary).request.arrayBuffer()).toString('hex')).toBe('ff0078')
  expect(await read(v2({ body: 'é', isBase64Encoded: false }, post)).request.text()).toBe('é')
  expect(read(v2({}, post)).request.body).toBe(null)
})

test("the client address is the front's word alone", () => {
  const headers = { 'x-forwarded-for': '203.0.113.9', 'cf-connecting-ip': '203.0.113.9' }
  expect(read(v2({ headers })).facts.clientAddress).toBe('192.0.2.1')
  expect(read(v1({ headers })).facts.clientAddress).toBe('192.0.2.1')
  expect(read(v2({ headers }, { sourceIp: undefined })).facts.clientAddress).toBe(null)
})

test.each([
  ['nothing', null],
  ['a schedule', { source: 'aws.events', detail: {} }],
  ['a load balancer', { requestContext: { elb: {} }, httpMethod: 'GET', path: '/', headers: {} }],
  ['a version that is not known', { ...v2({}), version: '3.0' }],
  ['a method that no request has', v2({}, { method: 'TRACE' })],
  ['a method with a space', v2({}, { method: 'GET /x' })],
  ['a header with a line break', v2({ headers: { 'x-a': 'b\r\nc: d' } })],
  ['half a character in the path', v2({ rawPath: '/\ud800' })],
])('refuses %s', (_name, event) => {
  expect(readLambdaEvent(event, context)).toBe(null)
})

test('text goes back as text, everything else as base64', async () => {
  const json = new Response('{"a":"é"}', {
    headers: { 'content-type': 'application/problem+json' },
  })
  expect(await lambdaResult(json, '2.0')).toMatchObject({
    body: '{"a":"é"}',
    isBase64Encoded: false,
  })
  const bytes = new Response(new Uint8Array([0xff, 0x00]), {
    headers: { 'content-type': 'text/plain' },
  })
  expect(await lambdaResult(bytes, '1.0')).toMatchObject({ body: '/wA=', isBase64Encoded: true })
})

test('each Set-Cookie keeps its line in both formats', () => {
  const response = new Response(null)
  response.headers.append('set-cookie', 'a=1')
  response.headers.append('set-cookie', 'b=2')
  expect(responseHead(response, '2.0')).toEqual({
    statusCode: 200,
    headers: {},
    cookies: ['a=1', 'b=2'],
  })
  expect(responseHead(response, '1.0')).toEqual({
    statusCode: 200,
    multiValueHeaders: { 'set-cookie': ['a=1', 'b=2'] },
  })
})

test('CA-09 MTLS-1: the client certificate is what API Gateway puts into the context, and nothing else', () => {
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from('leaf').toString('base64')}\n-----END CERTIFICATE-----\n`
  const certificate = { chain: [new Uint8Array(Buffer.from('leaf'))], provenByPlatform: true }
  const clientCert = { clientCertPem: pem }
  const ofV1 = (identity: object) =>
    read(v1({ requestContext: { identity } })).facts.clientCertificate
  const ofV2 = (authentication: unknown) =>
    read(v2({}, {}, { authentication })).facts.clientCertificate
  expect(ofV1({ clientCert })).toEqual(certificate)
  expect(ofV2({ clientCert })).toEqual(certificate)
  for (const none of [undefined, null, {}, { clientCertPem: '' }, { clientCertPem: 'x' }]) {
    expect(ofV1({ clientCert: none })).toBe(null)
    expect(ofV2({ clientCert: none })).toBe(null)
  }
  expect(ofV2(null)).toBe(null)
  const headers = {
    'client-cert': `:${Buffer.from('leaf').toString('base64')}:`,
    'x-amzn-mtls-clientcert': encodeURIComponent(pem),
    'x-forwarded-client-cert': pem.replaceAll('\n', ''),
  }
  const multiValueHeaders = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, [value]]),
  )
  expect(read(v2({ headers })).facts.clientCertificate).toBe(null)
  expect(read(v1({ headers, multiValueHeaders })).facts.clientCertificate).toBe(null)
})
