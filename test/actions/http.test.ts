import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normaliseHttp, parseHttpRules } from '../../functions/actions/http.ts'
import type { HttpTargetRules, RawHttpRequest } from '../../functions/actions/http.ts'
import type { JsonObject } from '../../functions/core/identity.ts'

function rulesOf(config: JsonObject = {}): HttpTargetRules {
  const { rules, errors } = parseHttpRules({ base_url: 'https://crm.example/api', ...config })
  if (rules === null) throw new Error(JSON.stringify(errors))
  return { name: 'crm', labels: ['customer-facing'], ...rules }
}

function bodyOf(...chunks: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk)
      }
      controller.close()
    },
  })
}

const raw = (changes: Partial<RawHttpRequest> = {}): RawHttpRequest => ({
  method: 'GET',
  rawPath: '/v1/customers/7',
  rawQuery: '',
  headers: [],
  body: null,
  ...changes,
})

async function read(changes: Partial<RawHttpRequest>, rules = rulesOf()) {
  const normalised = await normaliseHttp(raw(changes), rules)
  if (!normalised.ok) throw new Error(JSON.stringify(normalised.failure))
  return normalised.value
}

async function refusal(changes: Partial<RawHttpRequest>, rules = rulesOf()) {
  const normalised = await normaliseHttp(raw(changes), rules)
  if (normalised.ok) return 'accepted'
  const { failure } = normalised
  return failure.kind === 'action_malformed' ? failure.reason : failure.kind
}

const form = [['Content-Type', 'application/x-www-form-urlencoded']] as const
const json = [['content-type', 'application/json; charset=utf-8']] as const

describe('an HTTP request as an action', () => {
  test('is its method, its canonical path and its target, with no value in the record', async () => {
    const { action, method, path, query, url } = await read({
      rawPath: '/v1/%63ustomers/7',
      rawQuery: 'b=secret&a=1&b=2',
    })
    expect({ method, path, query, url: url.href }).toEqual({
      method: 'GET',
      path: '/v1/customers/7',
      query: 'b=secret&a=1&b=2',
      url: 'https://crm.example/api/v1/customers/7?b=secret&a=1&b=2',
    })
    expect(action).toEqual({
      name: 'http.request',
      target: 'crm',
      targetType: 'http',
      targetLabels: ['customer-facing'],
      effects: ['read'],
      objects: ['GET /v1/customers/7'],
      destinations: ['crm.example'],
      properties: {
        method: 'GET',
        url: 'https://crm.example/api/v1/customers/7?b=secret&a=1&b=2',
      },
      record: { method: 'GET', path: '/v1/customers/7', query_names: ['a', 'b'] },
    })
  })

  test('no path, and a slash, are the base URL itself', async () => {
    for (const rawPath of ['', '/']) {
      const { path, url } = await read({ rawPath })
      expect([path, url.href]).toEqual(['/', 'https://crm.example/api'])
    }
    const rooted = rulesOf({ base_url: 'https://crm.example' })
    expect((await read({ rawPath: '' }, rooted)).url.href).toBe('https://crm.example/')
    const slashed = rulesOf({ base_url: 'https://crm.example/api/' })
    expect((await read({ rawPath: '/a' }, slashed)).url.href).toBe('https://crm.example/api/a')
  })

  test.each([
    ['GET', 'read'],
    ['HEAD', 'read'],
    ['OPTIONS', 'read'],
    ['POST', 'write'],
    ['PUT', 'write'],
    ['PATCH', 'write'],
    ['DELETE', 'delete'],
    ['PROPFIND', 'admin'],
    ['MKCOL', 'admin'],
    ['M-SEARCH', 'admin'],
  ])('%s is %s', async (method, effect) => {
    expect((await read({ method })).action.effects).toEqual([effect])
  })

  test('SSRF-4 nothing of the request chooses where it goes', async () => {
    for (const rawPath of [
      '//evil.example/',
      '/\\evil.example',
      'https://evil.example/',
      '@evil',
    ]) {
      expect(await refusal({ rawPath })).toMatch(/^path_/)
    }
    const { url } = await read({
      headers: [
        ['host', 'evil.example'],
        ['x-forwarded-host', 'evil.example'],
        ['x-original-url', '/admin'],
      ],
    })
    expect(url.origin).toBe('https://crm.example')
  })
})

describe('G-6 the method that was judged is the one that is performed', () => {
  test.each(['get', 'Get', 'pATCH', '', 'GET ', 'GET\r\nX', 'G\u0130T', '1GET', '*'])(
    'method %j is refused',
    async (method) => expect(await refusal({ method })).toBe('method_malformed'),
  )

  test.each(['TRACE', 'CONNECT', 'TRACK', 'PRI'])('%s is refused', async (method) => {
    expect(await refusal({ method })).toBe('method_refused')
  })

  test.each([
    'X-HTTP-Method-Override',
    'x-http-method',
    'X-Method-Override',
    'x_http_method_override',
    'X-Http_Method-Override',
  ])('header %s is refused', async (name) => {
    expect(await refusal({ method: 'POST', headers: [[name, 'DELETE']] })).toBe('method_override')
  })

  test.each([
    '_method=DELETE',
    'a=1&_method=DELETE',
    'a=1;_method=DELETE',
    '%5Fmethod=DELETE',
    '_METHOD=delete',
    '+_method=DELETE',
    '_method[]=DELETE',
    '_method',
    'X-HTTP-Method-Override=PUT',
  ])('query %s is refused', async (rawQuery) => {
    expect(await refusal({ method: 'POST', rawQuery })).toBe('method_override')
  })

  test.each([
    ['a form', [...form], ['a=1&_met', 'hod=DELETE']],
    ['an encoded name', [...form], ['%5fmethod=DELETE']],
    [
      'a charset',
      [['content-type', 'application/X-WWW-Form-urlencoded; charset=UTF-8']],
      ['_method=DELETE'],
    ],
    ['no content type', [], ['_method=DELETE']],
  ] as [string, [string, string][], string[]][])(
    'a form body is refused: %s',
    async (_, headers, chunks) => {
      const body = bodyOf(...chunks)
      expect(await refusal({ method: 'POST', headers, body })).toBe('method_override')
    },
  )

  test('a form without an override is sent as it came', async () => {
    const { body } = await read({ method: 'POST', headers: form, body: bodyOf('a=1&', 'b=%26') })
    expect(new TextDecoder().decode(body as Uint8Array)).toBe('a=1&b=%26')
  })

  test('a form too long to be read is refused', async () => {
    const body = bodyOf('a='.padEnd(262_145, 'x'))
    expect(await refusal({ method: 'POST', headers: form, body })).toBe('payload_too_large')
  })

  test.each([
    [
      'in one piece',
      ['--x\r\nContent-Disposition: form-data; name="_method"\r\n\r\nDELETE\r\n--x--'],
    ],
    [
      'between two chunks',
      ['--x\r\nContent-Disposition: form-data; name="_me', 'thod"\r\n\r\nDELETE'],
    ],
    ['unquoted', ['--x\r\nContent-Disposition: form-data; name=_method\r\n\r\nDELETE']],
  ])('a multipart body that overrides is broken off: %s', async (_, chunks) => {
    const headers = [['content-type', 'multipart/form-data; boundary=x']] as const
    const { body } = await read({ method: 'POST', headers, body: bodyOf(...chunks) })
    await expect(new Response(body).text()).rejects.toThrow()
  })

  test('a multipart body without an override passes byte for byte', async () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 256)
    const headers = [['content-type', 'multipart/form-data; boundary=x']] as const
    const { body } = await read({ method: 'POST', headers, body: bodyOf(bytes, bytes) })
    const passed = new Uint8Array(await new Response(body).arrayBuffer())
    expect(passed.length).toBe(200_000)
    expect(passed.slice(100_000)).toEqual(bytes)
  })

  test('any other body is not read', async () => {
    const body = bodyOf('{"a":1}')
    const sent = await read({ method: 'POST', headers: json, body })
    expect(sent.body).toBe(body)
    expect(body.locked).toBe(false)
  })

  test.each(['GET', 'HEAD', 'OPTIONS'])(
    '%s with a body is refused, an empty one is none',
    async (method) => {
      expect(await refusal({ method, body: bodyOf('x') })).toBe('body_not_allowed')
      expect((await read({ method, body: bodyOf('', '') })).body).toBe(null)
    },
  )

  test('a body in a coding or under two types is refused', async () => {
    const gzip = [...json, ['content-encoding', 'gzip']] as const
    expect(await refusal({ method: 'POST', headers: gzip, body: bodyOf('x') })).toBe(
      'content_encoding',
    )
    const two = [...form, ...json] as const
    expect(await refusal({ method: 'POST', headers: two, body: bodyOf('x') })).toBe(
      'content_type_ambiguous',
    )
    const utf16 = [['content-type', 'application/x-www-form-urlencoded; charset=utf-16']] as const
    expect(await refusal({ method: 'POST', headers: utf16, body: bodyOf('x') })).toBe(
      'content_type_ambiguous',
    )
  })

  test('a caller that goes away while its body is read is refused, not a fault', async () => {
    const body = new ReadableStream<Uint8Array>({ pull: (c) => c.error(new Error('gone')) })
    expect(await refusal({ method: 'POST', headers: form, body })).toBe('body_aborted')
  })
})

describe('G-7 the query that was judged is the one that is sent', () => {
  test.each([
    ['a=1&a=2&a=', 'a=1&a=2&a=', ['a']],
    ['a%5B%5D=1&a[]=2', 'a%5B%5D=1&a[]=2', ['a[]']],
    ['a=1%26b=2', 'a=1%26b=2', ['a']],
    ['a%26b=1', 'a%26b=1', ['a&b']],
    ['a=1;b=2', 'a=1;b=2', ['a', 'b']],
    ['q=it\'s "<x>"'.replaceAll(' ', '+'), 'q=it%27s+%22%3Cx%3E%22', ['q']],
    ['&&a', '&&a', ['a']],
    ['a+b=1', 'a+b=1', ['a b']],
    ['q=a%0Ab', 'q=a%0Ab', ['q']],
    ['{"x":1}', '{%22x%22:1}', ['{"x":1}']],
  ])('%j is sent as %j, and every name is seen', async (rawQuery, query, names) => {
    const { action, ...sent } = await read({ rawQuery })
    expect(sent.query).toBe(query)
    expect(sent.url.search).toBe(`?${query}`)
    expect(action.record['query_names']).toEqual(names)
  })

  test.each([
    ['a=1#b', 'query_fragment'],
    ['a=\u0000', 'query_control_character'],
    ['a=%00', 'query_control_character'],
    ['a=1\r\nX: y', 'query_control_character'],
    ['a=1\tb', 'query_control_character'],
    ['a= b', 'query_not_ascii'],
    ['a=é', 'query_not_ascii'],
    ['a=%', 'query_invalid_escape'],
    ['a=%g1', 'query_invalid_escape'],
    ['a='.padEnd(17_000, 'x'), 'query_too_long'],
  ])('%j is refused', async (rawQuery, reason) => {
    expect(await refusal({ rawQuery })).toBe(reason)
  })

  test('G-5 G-7 whatever is accepted is sent byte for byte as judged', async () => {
    const text = fc.string({ unit: 'binary-ascii', maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(text, text, async (path, rawQuery) => {
        const normalised = await normaliseHttp(raw({ rawPath: `/${path}`, rawQuery }), rulesOf())
        if (!normalised.ok) return
        const { url, path: judged, query, action } = normalised.value
        const below = judged === '/' ? '' : judged
        expect(url.href).toBe(`https://crm.example/api${below}${query === '' ? '' : `?${query}`}`)
        expect(action.objects).toEqual([`GET ${judged}`])
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('overrides of effects', () => {
  const rules = rulesOf({
    effects: [
      { match: 'POST /v1/admin:reset', effect: 'admin' },
      { match: 'POST /v1/search', effect: 'read' },
      { match: '* /v1/mail/**', effect: 'send' },
      { match: 'POST /v1/**', effect: 'execute' },
    ],
  })
  const effects = async (method: string, rawPath: string) =>
    (await read({ method, rawPath }, rules)).action.effects

  test('the first rule that matches decides, else the method', async () => {
    expect(await effects('POST', '/v1/search')).toEqual(['read'])
    expect(await effects('POST', '/v1/other')).toEqual(['execute'])
    expect(await effects('GET', '/v1/mail/7/send')).toEqual(['send'])
    expect(await effects('PUT', '/v1/search')).toEqual(['write'])
  })

  test.each(['/v1/Admin:reset', '/v1/admin%3Areset', '/v1/admin:reset/', '/V1/ADMIN%3areset/'])(
    'G-5 no other spelling gets below a stricter effect: %s',
    async (path) => expect(await effects('POST', path)).toContain('admin'),
  )

  test('another spelling never gains a milder effect', async () => {
    expect(await effects('POST', '/v1/Search')).toEqual(['execute'])
    expect(await effects('POST', '/V1/Search/')).toEqual(['write'])
  })
})

describe('GraphQL', () => {
  const rules = rulesOf({
    graphql_paths: ['/graphql'],
    effects: [{ match: 'POST /graphql', effect: 'read' }],
  })
  const post = (body: unknown, changes: Partial<RawHttpRequest> = {}) => ({
    method: 'POST',
    rawPath: '/graphql',
    headers: json,
    body: bodyOf(typeof body === 'string' ? body : JSON.stringify(body)),
    ...changes,
  })

  test.each([
    ['{ customer(id: 7) { name } }', ['read'], ['query']],
    [
      'query Q($id: ID) { customer(id: $id) { ...F } } fragment F on C { name }',
      ['read'],
      ['query'],
    ],
    ['mutation { delete(id: 7) }', ['write'], ['mutation']],
    ['subscription { ticks }', ['admin'], ['subscription']],
    ['# query\nmutation { a }', ['write'], ['mutation']],
    ['query mutation { mutation }', ['read'], ['query']],
    ['{ a(text: "mutation { b }") }', ['read'], ['query']],
  ])(
    '%s is what its operation says, not what POST or a rule says',
    async (query, effects, operations) => {
      const { action, body } = await read(post({ query, variables: { secret: 'v' } }), rules)
      expect(action.effects).toEqual(effects)
      expect(action.record['graphql']).toEqual(operations)
      expect(action.properties['body']).toBe(query)
      expect(JSON.stringify(action.properties)).not.toContain('secret')
      expect(new TextDecoder().decode(body as Uint8Array)).toContain('variables')
    },
  )

  test('several operations need a name, and all of them count', async () => {
    const query = 'query A { a } mutation B { b }'
    expect(await refusal(post({ query }), rules)).toBe('graphql_ambiguous_operation')
    expect(await refusal(post({ query, operationName: 'C' }), rules)).toBe('graphql_operation_name')
    expect(await refusal(post({ query, operationName: ['A'] }), rules)).toBe(
      'graphql_operation_name',
    )
    const { action } = await read(post({ query, operationName: 'A' }), rules)
    expect(action.effects).toEqual(['read', 'write'])
    const twice = 'query A { a } mutation A { b }'
    expect(await refusal(post({ query: twice, operationName: 'A' }), rules)).toBe(
      'graphql_ambiguous_operation',
    )
  })

  test('a batch has the effects of all its requests', async () => {
    const batch = [{ query: '{ a }' }, { query: 'mutation { b }' }]
    expect((await read(post(batch), rules)).action.effects).toEqual(['read', 'write'])
    expect(await refusal(post([]), rules)).toBe('graphql_batch_size')
    expect(await refusal(post(Array(21).fill({ query: '{ a }' })), rules)).toBe(
      'graphql_batch_size',
    )
    expect(await refusal(post([[{ query: '{ a }' }]]), rules)).toBe('graphql_not_an_object')
  })

  test.each([
    ['no document', {}, 'graphql_without_document'],
    ['an empty document', { query: '' }, 'graphql_unparsable'],
    ['no operation', { query: 'fragment F on C { a }' }, 'graphql_without_operation'],
    ['a schema', { query: 'type A { a: Int }' }, 'graphql_not_executable'],
    ['a syntax error', { query: '{ a ' }, 'graphql_unparsable'],
    ['a stored document', { id: 'abc' }, 'graphql_unknown_member'],
    [
      'a hash beside a document',
      { query: '{ a }', extensions: { persistedQuery: { sha256Hash: 'x' } } },
      'graphql_persisted_query',
    ],
    [
      'extensions as text',
      { query: '{ a }', extensions: '{"persistedQuery":{}}' },
      'graphql_extensions',
    ],
    ['an unknown member', { query: '{ a }', documentId: 'x' }, 'graphql_unknown_member'],
    ['a document in a list', { query: ['{ a }'] }, 'graphql_without_document'],
    ['deep nesting', { query: '{a'.repeat(4_000) + '}'.repeat(4_000) }, 'graphql_unparsable'],
    ['too many tokens', { query: `{ ${'a '.repeat(20_000)} }` }, 'graphql_unparsable'],
    ['two documents', '{"query":"{ a }","query":"mutation { b }"}', 'graphql_malformed_json'],
    ['no JSON', 'query=mutation{b}', 'graphql_malformed_json'],
    ['a byte order mark', '\uFEFF{"query":"{ a }"}', 'graphql_malformed_json'],
    ['too long a body', { query: `{ a } #${'x'.repeat(262_144)}` }, 'payload_too_large'],
  ])('%s is refused', async (_, body, reason) => {
    expect(await refusal(post(body), rules)).toBe(reason)
  })

  test('other content types, methods and parameters in the URL are refused', async () => {
    const typed = (type: string) => post('mutation { a }', { headers: [['content-type', type]] })
    expect(await refusal(typed('application/x-www-form-urlencoded'), rules)).toBe(
      'graphql_content_type',
    )
    expect(await refusal(typed('multipart/form-data; boundary=x'), rules)).toBe(
      'graphql_content_type',
    )
    expect(await refusal(typed('text/plain'), rules)).toBe('graphql_content_type')
    expect(await refusal(post({ query: '{ a }' }, { headers: [] }), rules)).toBe(
      'graphql_content_type',
    )
    expect(await refusal(post({ query: '{ a }' }, { method: 'PUT' }), rules)).toBe('graphql_method')
    for (const rawQuery of ['query=mutation{b}', 'operationName=B', 'documentId=x', 'Query=x']) {
      expect(await refusal(post({ query: '{ a }' }, { rawQuery }), rules)).toBe(
        'graphql_parameters_in_url',
      )
    }
    expect((await read(typed('application/graphql'), rules)).action.effects).toEqual(['write'])
    const versioned = post({ query: '{ a }' }, { rawQuery: 'api-version=2' })
    expect((await read(versioned, rules)).action.effects).toEqual(['read'])
  })

  test('a GET is what its document says', async () => {
    const get = (rawQuery: string) => ({ rawPath: '/graphql', rawQuery })
    expect((await read(get('query=%7Ba%7D'), rules)).action.effects).toEqual(['read'])
    expect((await read(get('query=mutation%7Bb%7D'), rules)).action.effects).toEqual(['write'])
    expect((await read(get(''), rules)).action.effects).toEqual(['read'])
    expect(await refusal(get('query=%7Ba%7D&query=mutation%7Bb%7D'), rules)).toBe(
      'graphql_duplicate_parameter',
    )
    expect(await refusal(get('extensions=%7B%7D&query=%7Ba%7D'), rules)).toBe('graphql_extensions')
    expect(await refusal(get('hash=abc'), rules)).toBe('graphql_unknown_member')
    expect(await refusal(get('operationName=A'), rules)).toBe('graphql_without_document')
  })

  test.each(['/GraphQL', '/graphql/', '/%67raphql'])('%s is the same endpoint', async (rawPath) => {
    const { action } = await read(post({ query: 'mutation { b }' }, { rawPath }), rules)
    expect(action.effects).toEqual(['write'])
  })
})

describe('the rules of a target', () => {
  const mistakes = (config: JsonObject) =>
    parseHttpRules(config).errors.map(({ path, code }) => `${path} ${code}`)

  test('every mistake is reported at once, with its path', () => {
    const errors = mistakes({
      base_url: 'https://crm.example/a/../b',
      effects: [
        { match: 'POST /a*b', effect: 'read' },
        { match: 'search', effect: 'own', extra: 1 },
        'x',
      ],
      allow_semicolon: 'yes',
      graphql_paths: ['graphql', '/a/../b', 7],
    })
    expect(errors).toEqual([
      '/base_url invalid',
      '/effects/0/match invalid',
      '/effects/1/extra unknown_member',
      '/effects/1/match invalid',
      '/effects/1/effect invalid',
      '/effects/2 type',
      '/allow_semicolon type',
      '/graphql_paths/0 invalid',
      '/graphql_paths/1 invalid',
      '/graphql_paths/2 invalid',
    ])
  })

  test.each([
    [undefined, 'required'],
    [7, 'type'],
    ['/api', 'invalid'],
    ['ftp://a.example', 'invalid'],
    ['https://user:pw@a.example', 'unsafe'],
    ['https://a.example/?x=1', 'invalid'],
    ['https://a.example/#', 'invalid'],
    ['https://a.example\\@b.example', 'invalid'],
    ['https://0x7f.1/', 'invalid'],
    ['https://a.example//b', 'invalid'],
    ['https://a.example/%2e%2e', 'invalid'],
    ['https://a.example/a;b', 'invalid'],
    ['https://a.example/%61', 'invalid'],
    [' https://a.example', 'invalid'],
  ])('base_url %j is refused', (baseUrl, code) => {
    const config: JsonObject = baseUrl === undefined ? {} : { base_url: baseUrl }
    expect(mistakes(config)).toContain(`/base_url ${code}`)
  })
})
