import type { IncomingMessage, ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../functions/core/credential.ts'
import { OutboundError } from '../../functions/net/outbound.ts'
import { startOrigin, startRawOrigin, type Origin } from '../fakes/origin.ts'
import { bodyOf, CANARY, Site, type SiteOptions } from './http-site.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

let handler: Handler = (_, response) => response.end()
let origin: Origin

beforeAll(async () => {
  origin = await startOrigin((request, response) => handler(request, response))
})
afterAll(() => origin.close())

function site(options: Omit<SiteOptions, 'base'> & { base?: string } = {}): Site {
  return new Site({ base: origin.url, ...options })
}

type Echo = { method: string; url: string; lines: [string, string][]; body: string }

/** Answers what it was sent, as it was on the wire. */
const echo: Handler = (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const lines = request.rawHeaders.flatMap((name, i, all) =>
      i % 2 === 0 ? [[name.toLowerCase(), all[i + 1]]] : [],
    )
    const body = Buffer.concat(chunks).toString()
    // Base64 twice: what the broker looks for is not what this test asks for.
    const report = JSON.stringify({ method: request.method, url: request.url, lines, body })
    response.end(Buffer.from(report).reverse().toString('base64'))
  })
}

async function sent(
  at: Site,
  request: Parameters<Site['call']>[0] = {},
  input: Parameters<Site['call']>[1] = {},
): Promise<Echo & { headers: Map<string, string> }> {
  handler = echo
  const { text } = await at.answer(request, input)
  const report = JSON.parse(Buffer.from(text, 'base64').reverse().toString()) as Echo
  return { ...report, headers: new Map(report.lines) }
}

function answers(
  body: string | Buffer,
  headers: Record<string, string | string[]> = {},
  status = 200,
): void {
  handler = (_, response) => response.writeHead(status, headers).end(body)
}

describe('the request that is sent', () => {
  test('F7 is the judged one: method, path, query and body', async () => {
    const report = await sent(site({ base: `${origin.url}/api/v1` }), {
      method: 'POST',
      rawPath: '/customers/7',
      rawQuery: 'a=1&a=2&b[]=%26',
      headers: [['Content-Type', 'application/json']],
      body: bodyOf('{"a":', '1}'),
    })
    expect(report).toMatchObject({
      method: 'POST',
      url: '/api/v1/customers/7?a=1&a=2&b[]=%26',
      body: '{"a":1}',
    })
    expect(report.headers.get('content-type')).toBe('application/json')
  })

  test.each([
    [{ inject: 'bearer' as const }, 'authorization', `Bearer ${CANARY}`],
    [
      { inject: 'basic' as const, username: 'bot' },
      'authorization',
      `Basic ${btoa(`bot:${CANARY}`)}`,
    ],
    [{ inject: 'header' as const, name: 'X-Api-Key' }, 'x-api-key', CANARY],
    [{ inject: 'cookie' as const, name: 'sid' }, 'cookie', `sid=${CANARY}`],
  ])('carries the credential as %o', async (credential, name, value) => {
    const report = await sent(site({ credential }))
    expect(report.lines.filter(([line]) => line === name)).toEqual([[name, value]])
  })

  test('carries the credential in the query, after what the agent asked for', async () => {
    const at = site({ credential: { inject: 'query', name: 'api_key' } })
    expect((await sent(at, { rawQuery: 'q=1' })).url).toBe(`/?q=1&api_key=${CANARY}`)
    expect((await sent(at)).url).toBe(`/?api_key=${CANARY}`)
  })

  test.each([
    'api_key=x',
    'q=1&API_KEY=x',
    'api%5Fkey',
    'api%255Fkey=x',
    'api_key[]=x',
    'a=1;api_key=x',
    'api.key=x',
    '+api_key=x',
    'a%5Fpi=1&api_key%5B0%5D=x',
  ])(
    'G-7 is refused when the agent names the credential parameter itself: %s',
    async (rawQuery) => {
      const at = site({ credential: { inject: 'query', name: 'api_key' } })
      expect(await at.normalise({ rawQuery })).toEqual({
        ok: false,
        failure: { kind: 'action_malformed', reason: 'query_names_credential' },
      })
    },
  )

  test('MC-08 G-1 SSRF-4 takes no credential, routing or framing from the agent', async () => {
    const hostile = [
      'Authorization',
      'authorization',
      'Cookie',
      'Proxy-Authorization',
      'Proxy-Connection',
      'X-Upstream-Authorization',
      'X_Upstream_Authorization',
      'X-Forwarded-For',
      'X-Forwarded-Host',
      'X_Forwarded_Host',
      'Forwarded',
      'Host',
      'X-Host',
      'Connection',
      'Keep-Alive',
      'TE',
      'Trailer',
      'Upgrade',
      'Expect',
      'Accept-Encoding',
      'DPoP',
      'Sallyport-Action-Origin',
      'X-Real-IP',
      'Via',
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-Openai-Base-Url',
      'Range',
      'If-Range',
      'X-Custom',
      'X-Api-Key',
      'X_Api_Key',
      'Api-Key',
      'Set-Cookie',
      'CF-Connecting-IP',
      'Content-Encoding',
    ]
    const at = site({ credential: { inject: 'header', name: 'x-api-key' } })
    const report = await sent(at, { headers: hostile.map((name) => [name, 'evil.example']) })
    expect(JSON.stringify(report)).not.toContain('evil')
    expect(report.headers.get('x-api-key')).toBe(CANARY)
    expect(report.headers.get('host')).toBe(new URL(origin.url).host)
    expect(report.headers.get('accept-encoding')).toBe('identity')
  })

  test('G-1 does not take a header that Connection lists', async () => {
    const report = await sent(site(), {
      headers: [
        ['Accept', 'text/x'],
        ['If-Match', '"1"'],
        ['Connection', 'close, If-Match'],
      ],
    })
    expect(report.headers.get('accept')).toBe('text/x')
    expect(report.headers.has('if-match')).toBe(false)
  })

  test('takes the headers that the target opts into', async () => {
    const at = site({ config: { request_headers: ['X-Tenant'] } })
    expect((await sent(at, { headers: [['x-tenant', 't1']] })).headers.get('x-tenant')).toBe('t1')
  })

  test.each([
    ['header_value', ['Accept', 'a\r\nX-Evil: 1']],
    ['header_value', ['Accept', 'a\0']],
    ['header_value', ['Accept', 'a\n b']],
    ['header_value', ['User-Agent', 'naïve']],
    ['header_name', ['X Evil', 'a']],
    ['header_name', ['X-Evil\r\nA', 'a']],
  ] as const)('G-2 is refused (%s) for %j', async (reason, line) => {
    expect(await site().normalise({ headers: [line] })).toEqual({
      ok: false,
      failure: { kind: 'action_malformed', reason },
    })
  })

  test('is refused when a header with one value comes twice', async () => {
    const headers = [
      ['User-Agent', 'a'],
      ['user-agent', 'b'],
    ] as const
    expect(await site().normalise({ headers })).toMatchObject({
      failure: { reason: 'header_repeated' },
    })
  })

  test.each(['//evil.example/', '/\\evil.example', '/%2e%2e/admin', '/..%2fadmin'])(
    'SSRF-4 G-5 never leaves the base: %s is refused',
    async (rawPath) => {
      expect((await site().normalise({ rawPath })).ok).toBe(false)
    },
  )

  test('SSRF-4 goes to the origin of the target whatever the path looks like', async () => {
    for (const rawPath of ['/@evil.example', '/https:evil.example', '/.evil.example']) {
      const normalised = await site().normalise({ rawPath })
      if (normalised.ok) expect(normalised.value.prepared.url.origin).toBe(origin.url)
    }
  })

  test('is refused when it declares a body that is too large, and nothing is sent', async () => {
    const at = site({ config: { max_request_bytes: 10 } })
    const hits = origin.hits
    const headers = [['Content-Length', '11']] as const
    expect(await at.call({ method: 'POST', headers })).toMatchObject({
      failure: { kind: 'payload_too_large', maxBytes: 10 },
    })
    expect(origin.hits).toBe(hits)
  })

  test('is ended when its body grows too large on the way', async () => {
    handler = echo
    const at = site({ config: { max_request_bytes: 10 } })
    const result = await at.call({
      method: 'PUT',
      headers: [['Content-Type', 'application/octet-stream']],
      body: bodyOf('12345', '67890', '1'),
    })
    expect(result).toEqual({ ok: false, failure: { kind: 'payload_too_large', maxBytes: 10 } })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: null })])
  })

  test('carries the length of a small body whose length is known', async () => {
    const headers = [
      ['Content-Type', 'text/plain'],
      ['Content-Length', '10'],
    ] as const
    const report = await sent(site(), { method: 'PUT', headers, body: bodyOf('12345', '67890') })
    expect(report.headers.get('content-length')).toBe('10')
    expect(report.headers.has('transfer-encoding')).toBe(false)
    expect(report.body).toBe('1234567890')
  })

  test('passes a body of exactly the size that is allowed', async () => {
    const at = site({ config: { max_request_bytes: 10 } })
    const report = await sent(at, {
      method: 'PUT',
      headers: [['Content-Type', 'application/octet-stream']],
      body: bodyOf('12345', '67890'),
    })
    expect(report.body).toBe('1234567890')
  })
})

describe('the credential', () => {
  test('goes to its allowed origins only; otherwise nothing is sent', async () => {
    const hits = origin.hits
    const at = site({ secret: new Secret(CANARY, ['https://other.example']) })
    const result = await at.call()
    expect(result).toMatchObject({
      failure: { kind: 'unavailable', reason: 'credential_origin_not_allowed' },
    })
    expect(origin.hits).toBe(hits)
    expect(at.outcomes).toEqual([
      expect.objectContaining({ result: 'aborted', status: null, bytes: 0 }),
    ])
  })

  test('is not done without when it is missing', async () => {
    const hits = origin.hits
    expect(await site({ secret: null }).call()).toMatchObject({
      failure: { kind: 'unavailable', reason: 'credential_missing' },
    })
    expect(origin.hits).toBe(hits)
  })

  test.each(['bearer', 'basic', 'header', 'query', 'cookie'] as const)(
    'F6 G-2 LEAK-2 that cannot be carried is refused without being named (%s)',
    async (inject) => {
      for (const bad of ['\r\nx: 1', '\n', '\0', '\u2028\ud800', '\x7f']) {
        const secret = new Secret(`${CANARY}${bad}`, [origin.url])
        const name = ['header', 'query', 'cookie'].includes(inject) ? { name: 'key' } : {}
        const username = inject === 'basic' ? { username: 'u' } : {}
        const at = site({ secret, credential: { inject, ...name, ...username } })
        const result = await at.call()
        expect(result).toMatchObject({
          failure: { kind: 'unavailable', reason: 'credential_unusable' },
        })
        expect(JSON.stringify(result)).not.toContain(CANARY)
      }
    },
  )

  test('of three bytes is no credential', async () => {
    expect(await site({ secret: new Secret('abc', [origin.url]) }).call()).toMatchObject({
      failure: { reason: 'credential_unusable' },
    })
  })
})

describe('LEAK-4 LEAK-5 an answer that repeats the credential', () => {
  test('has it redacted in the body, cut into chunks anywhere, and is recorded as reflected', async () => {
    for (let at = 1; at < CANARY.length; at += 7) {
      handler = (_, response) => {
        response.write(`{"authorization":"Bearer ${CANARY.slice(0, at)}`)
        setTimeout(() => response.end(`${CANARY.slice(at)}","b64":"${btoa(`u:${CANARY}`)}"}`), 5)
      }
      const target = site()
      const { text } = await target.answer()
      expect(text).toMatch(
        /^\{"authorization":"Bearer \[redacted\]","b64":"[^"]*\[redacted\][^"]*"\}$/,
      )
      expect(target.outcomes).toEqual([
        expect.objectContaining({ result: 'completed', reflected: true, bytes: text.length }),
      ])
    }
  })

  test('has it redacted in every header that passes', async () => {
    answers('ok', { etag: `"${CANARY}"`, 'x-ratelimit-id': CANARY, 'x-request-id': btoa(CANARY) })
    const at = site()
    const { headers } = await at.answer()
    expect(headers.get('etag')).toBe('"[redacted]"')
    expect(JSON.stringify([...headers])).not.toContain(CANARY)
    expect(at.outcomes[0]?.reflected).toBe(true)
  })

  test('has it redacted in an error answer (LEAK-3)', async () => {
    answers(`bad key ${CANARY}`, {}, 401)
    expect(await site().answer()).toMatchObject({ status: 401, text: 'bad key [redacted]' })
  })

  test('has it redacted in an event stream, without delay to the events', async () => {
    let release = (): void => {}
    handler = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(`data: ${CANARY}\n\n`)
      release = () => response.end('data: end\n\n')
    }
    const result = await site().call()
    if (!result.ok || result.value.body === null) throw new Error('no answer')
    const reader = result.value.body.getReader()
    let text = ''
    while (!text.includes('\n\n')) text += Buffer.from((await reader.read()).value ?? []).toString()
    expect(text).toBe('data: [redacted]\n\n')
    release()
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('data: end\n\n')
    expect((await reader.read()).done).toBe(true)
  })

  test('is refused under on_reflection: block', async () => {
    const blocking = { config: { on_reflection: 'block' } }
    for (const send of [
      () => answers(`x${CANARY}`),
      () => answers('x', { etag: CANARY }),
      () => answers(`[${JSON.stringify(CANARY)}]`, { 'content-type': 'application/json' }),
    ]) {
      send()
      const at = site(blocking)
      expect(await at.call()).toEqual({
        ok: false,
        failure: {
          kind: 'action_denied',
          code: 'credential_reflected',
          reason: 'credential_reflected',
        },
      })
      expect(at.outcomes).toEqual([
        expect.objectContaining({ result: 'aborted', reflected: true, bytes: 0, status: 200 }),
      ])
    }
  })

  test('is broken off under block when it is too large to be held', async () => {
    answers(`${'a'.repeat(3000)}${CANARY}`)
    const at = site({ config: { on_reflection: 'block' }, target: { max_masked_bytes: 1000 } })
    await expect(at.answer()).rejects.toThrow()
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'aborted', reflected: true })])
  })

  test('passes under block when it does not repeat it', async () => {
    for (const body of ['small', 'a'.repeat(3000)]) {
      answers(body)
      const at = site({ config: { on_reflection: 'block' }, target: { max_masked_bytes: 1000 } })
      expect((await at.answer()).text).toBe(body)
    }
  })

  test('is not released when it is encoded: it was not asked for and cannot be looked through', async () => {
    answers(gzipSync(`Bearer ${CANARY}`), { 'content-encoding': 'gzip' })
    const at = site()
    expect(await at.call()).toEqual({
      ok: false,
      failure: { kind: 'upstream_failed', reason: 'encoded', timedOut: false },
    })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'aborted', status: 200 })])
  })

  test('is not asked for in pieces: Range is not forwarded', async () => {
    const report = await sent(site(), { headers: [['Range', 'bytes=0-9']] })
    expect(report.headers.has('range')).toBe(false)
    const open = site({ credential: null, config: { request_headers: ['range'] } })
    expect((await sent(open, { headers: [['Range', 'bytes=0-9']] })).headers.get('range')).toBe(
      'bytes=0-9',
    )
  })
})

describe('the headers of an answer', () => {
  test('G-3 never hold cookies, challenges, framing or words about this origin', async () => {
    answers('ok', {
      'set-cookie': ['a=1', 'b=2'],
      'set-cookie2': 'a',
      'www-authenticate': 'Basic',
      'proxy-authenticate': 'x',
      'alt-svc': 'x',
      'clear-site-data': '*',
      'keep-alive': 'x',
      'strict-transport-security': 'x',
      'access-control-allow-origin': '*',
      'x-internal': 'secret',
      server: 'x',
      'sallyport-decision': 'dec_evil',
      'content-type': 'text/html',
      etag: '"1"',
      'x-ratelimit-remaining': '3',
      'retry-after': '1',
      'x-secret': 'x',
      'cache-control': 'public',
      connection: 'x-opted',
      'x-opted': 'hop',
      refresh: '0;url=x',
    })
    const { headers } = await site({ config: { response_headers: ['x-opted'] } }).answer()
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'text/html',
      etag: '"1"',
      'x-ratelimit-remaining': '3',
      'retry-after': '1',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    })
  })

  test('G-3 with two lengths or with both framings are refused', async () => {
    for (const head of [
      'Content-Length: 2\r\nContent-Length: 3',
      'Content-Length: 2\r\nTransfer-Encoding: chunked',
    ]) {
      const raw = await startRawOrigin((socket) => {
        socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\nok`))
      })
      const at = site({ base: raw.url })
      const result = await at.call()
      if (result.ok && result.value.body !== null) {
        await expect(new Response(result.value.body).text()).rejects.toThrow()
      }
      expect(at.outcomes.map(({ result }) => result)).toEqual(['unknown'])
      await raw.close()
    }
  })
})

describe('SSRF-3 a redirect', () => {
  test.each([301, 302, 303, 307, 308])('%i is returned and not followed', async (status) => {
    answers('', { location: '/v2/next?x=1#top' }, status)
    const hits = origin.hits
    const { headers, ...answer } = await site().answer()
    expect(answer.status).toBe(status)
    expect(headers.get('location')).toBe('/t/crm/v2/next?x=1#top')
    expect(origin.hits).toBe(hits + 1)
  })

  test.each([
    ['/api/next', '/t/crm/next'],
    ['next', '/t/crm/next'],
    ['/api', '/t/crm/'],
    ['/apis/next', null],
    ['/other', null],
    ['../up', null],
    ['//evil.example/api/', null],
    ['https://evil.example/api/?sig=1', null],
    ['/\\evil.example', null],
    ['javascript:alert(1)', null],
    ['http://[', null],
  ])('to %s below the base /api becomes %s', async (location, expected) => {
    answers('', { location }, 302)
    const { headers } = await site({ base: `${origin.url}/api` }).answer({ rawPath: '/x' })
    expect(headers.get('location') ?? null).toBe(expected)
  })

  test('does not hand out the credential that is in the query', async () => {
    const at = site({ credential: { inject: 'query', name: 'key' } })
    answers('', { location: `/next?a=1&key=${CANARY}&b=${CANARY}&k%65y=x` }, 302)
    const { headers } = await at.answer()
    expect(headers.get('location')).toBe('/t/crm/next?a=1&b=[redacted]')
    expect(at.outcomes[0]?.reflected).toBe(true)
  })

  test('is rewritten in Link as well, and links to elsewhere are dropped', async () => {
    const at = site({ credential: { inject: 'query', name: 'key' } })
    const link = `<${origin.url}/p?page=2&key=${CANARY}>; rel="next", <https://evil.example/?sig=1>; rel="a,b", </p?page=9>; rel="last"`
    answers('ok', { link })
    expect((await at.answer()).headers.get('link')).toBe(
      '</t/crm/p?page=2>; rel="next", </t/crm/p?page=9>; rel="last"',
    )
  })
})

describe('a masked answer', () => {
  const json = { 'content-type': 'application/json' }
  const mask = { mask: [{ json_path: '$..ssn' }] }

  test('is released without the value, and counted', async () => {
    answers(`{"ssn":"1","ssn":"2","n":12345678901234567890,"k":"${CANARY}"}`, json)
    const at = site({ target: mask })
    const { text } = await at.answer()
    expect(text).toBe(
      '{"ssn":"[masked]","ssn":"[masked]","n":12345678901234567890,"k":"[redacted]"}',
    )
    expect(at.outcomes).toEqual([
      { result: 'completed', status: 200, bytes: text.length, rows: 0, reflected: true, masked: 2 },
    ])
  })

  test('beyond max_masked_bytes is refused', async () => {
    answers(JSON.stringify({ a: 'x'.repeat(2000) }), json)
    const at = site({ target: { ...mask, max_masked_bytes: 1000 } })
    expect(await at.call()).toMatchObject({
      failure: { kind: 'action_denied', code: 'response_too_large' },
    })
    expect(at.outcomes).toEqual([
      expect.objectContaining({ result: 'truncated', bytes: 0, status: 200 }),
    ])
  })

  test.each([
    ['{"ssn":1}', 'text/html', 200],
    ['{"ssn":1}', 'application/json', 206],
    ['{"ssn":1', 'application/json', 200],
    ['data: {"ssn":1}\n\n', 'text/event-stream', 200],
    ['{"ssn":1}\n{"ssn":2}', 'application/json', 200],
  ])('that cannot be masked is refused: %j as %s (%i)', async (body, type, status) => {
    answers(body, { 'content-type': type }, status)
    const at = site({ target: mask })
    expect(await at.call()).toMatchObject({
      failure: { kind: 'action_denied', code: 'response_unmaskable' },
    })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'aborted', bytes: 0 })])
  })

  test('does not pass more than the reserved bytes either', async () => {
    answers('{"a":"0123456789"}', json)
    const at = site({ target: mask })
    await expect(at.answer({}, { maxResponseBytes: 5 })).rejects.toThrow()
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'truncated', bytes: 5 })])
  })
})

describe('the outcome', () => {
  async function chunksOf(at: Site, input: Parameters<Site['call']>[1] = {}) {
    const result = await at.call({}, input)
    if (!result.ok || result.value.body === null) throw new Error('no answer')
    const reader = result.value.body.getReader()
    let text = ''
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return { text, error: null }
        text += Buffer.from(value).toString()
      }
    } catch (error) {
      return { text, error }
    }
  }

  test('of an answer over the reserved bytes is `truncated`; exactly these bytes pass', async () => {
    handler = (_, response) => {
      response.write('12345')
      setTimeout(() => response.end('67890'), 5)
    }
    for (const [maxResponseBytes, text] of [
      [7, '1234567'],
      [5, '12345'],
      [3, '123'],
      [0, ''],
    ] as const) {
      const at = site()
      const passed = await chunksOf(at, { maxResponseBytes })
      expect(passed.text).toBe(text)
      expect(passed.error).toBeInstanceOf(Error)
      expect(at.outcomes).toEqual([
        expect.objectContaining({ result: 'truncated', bytes: text.length }),
      ])
    }
    const whole = site()
    expect(await chunksOf(whole, { maxResponseBytes: 10 })).toEqual({
      text: '1234567890',
      error: null,
    })
    expect(whole.outcomes).toEqual([expect.objectContaining({ result: 'completed', bytes: 10 })])
  })

  test('does not release a piece of the credential at the cut', async () => {
    answers(`ab${CANARY}`)
    const at = site()
    const { text } = await chunksOf(at, { maxResponseBytes: 12 })
    expect(text).toBe('ab[redacted]'.slice(0, 12))
  })

  test('is recorded before the last chunk is released', async () => {
    answers('whole')
    const order: string[] = []
    const result = await site().call(
      {},
      {
        settle: async () => {
          await new Promise((resolve) => setTimeout(resolve, 10))
          order.push('recorded')
          return true
        },
      },
    )
    if (!result.ok || result.value.body === null) throw new Error('no answer')
    for await (const _ of result.value.body) order.push('chunk')
    expect(order).toEqual(['recorded', 'chunk'])
  })

  test.each([
    ['false', async () => false],
    ['an error', () => Promise.reject(new Error('store'))],
  ])('that is not recorded (%s) breaks the stream off before its last chunk', async (_, settle) => {
    answers('whole')
    const passed = await chunksOf(site(), { settle })
    expect(passed.text).toBe('')
    expect(passed.error).toBeInstanceOf(Error)
    answers('', { 'content-length': '0' })
    expect(await site().call({}, { settle })).toMatchObject({
      failure: { kind: 'unavailable', reason: 'outcome_not_recorded' },
    })
  })

  test.each([204, 304])(
    'of a status without a body (%i) is recorded before the answer',
    async (status) => {
      handler = (_, response) => response.writeHead(status, { etag: '"1"' }).end()
      const at = site()
      const result = await at.call()
      expect(result).toMatchObject({ ok: true, value: { status, body: null } })
      expect(at.outcomes).toEqual([
        expect.objectContaining({ result: 'completed', status, bytes: 0 }),
      ])
    },
  )

  test('of HEAD has no body', async () => {
    answers('body', { 'content-type': 'text/plain' })
    const at = site()
    expect(await at.call({ method: 'HEAD' })).toMatchObject({
      ok: true,
      value: { status: 200, body: null },
    })
    expect(at.outcomes).toHaveLength(1)
  })

  test('G-10 of an answer that the agent cancels is `aborted`, and the upstream is ended', async () => {
    const closed = new Promise<void>((resolve) => {
      handler = (_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        const ticking = setInterval(() => response.write('data: tick\n\n'), 5)
        response.on('close', () => {
          clearInterval(ticking)
          resolve()
        })
      }
    })
    const at = site()
    const result = await at.call()
    if (!result.ok || result.value.body === null) throw new Error('no answer')
    const reader = result.value.body.getReader()
    await reader.read()
    await reader.cancel()
    await closed
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'aborted', status: 200 })])
    expect(at.outcomes[0]?.bytes).toBeGreaterThan(0)
  })

  test('G-10 is `aborted` when the agent cancels while the upstream is silent', async () => {
    const closed = new Promise<void>((resolve) => {
      handler = (_, response) => {
        response.write('begun')
        response.on('close', () => resolve())
      }
    })
    const at = site()
    const result = await at.call()
    if (!result.ok || result.value.body === null) throw new Error('no answer')
    const reader = result.value.body.getReader()
    const pending = reader.read()
    await reader.cancel()
    await pending
    await closed
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'aborted' })])
  })

  test('G-10 is recorded when the agent goes before the upstream has answered', async () => {
    const gone = Promise.withResolvers<void>()
    const closed = new Promise<void>((resolve) => {
      handler = (_, response) => {
        response.on('close', () => resolve())
        gone.resolve()
      }
    })
    const at = site()
    const result = await at.call({}, { cancelled: gone.promise })
    await closed
    expect(result).toMatchObject({ failure: { kind: 'upstream_failed' } })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: null })])
  })

  test('DEP-9 of an upstream that resets in the middle is `unknown`, and the stream breaks off', async () => {
    handler = (_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('begun')
      setTimeout(() => response.socket?.destroy(), 5)
    }
    const at = site()
    const passed = await chunksOf(at)
    expect(passed.error).toBeInstanceOf(Error)
    expect(String(passed.error)).not.toContain('127.0.0.1')
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: 200 })])
  })

  test('DEP-9 of an upstream that falls silent is `unknown`', async () => {
    handler = (_, response) => {
      response.write('begun')
    }
    const at = site({ config: { timeout_ms: 50 } })
    const passed = await chunksOf(at)
    expect(passed.error).toBeInstanceOf(Error)
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: 200 })])
  })

  test('DEP-9 of an upstream that does not answer is `unknown`: it may have acted', async () => {
    handler = () => {}
    const at = site({ config: { timeout_ms: 50 } })
    expect(await at.call()).toEqual({
      ok: false,
      failure: { kind: 'upstream_failed', reason: 'timeout', timedOut: true },
    })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: null })])
  })

  test('DEP-9 LEAK-3 of an upstream that is down is `upstream_error`, without its address', async () => {
    const gone = await startOrigin(() => {})
    await gone.close()
    const at = site({ base: gone.url })
    const result = await at.call()
    expect(result).toEqual({
      ok: false,
      failure: { kind: 'upstream_failed', reason: 'connect_failed', timedOut: false },
    })
    expect(at.outcomes).toEqual([
      expect.objectContaining({ result: 'upstream_error', status: null }),
    ])
  })

  test('of a masked answer that breaks off is `unknown`', async () => {
    handler = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"ssn":')
      setTimeout(() => response.socket?.destroy(), 5)
    }
    const at = site({ target: { mask: [{ json_path: '$.ssn' }] } })
    expect(await at.call()).toMatchObject({
      failure: { kind: 'upstream_failed', reason: 'broken_off' },
    })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown', status: 200 })])
  })

  test('is recorded once when the transport has a bug', async () => {
    const at = site({ outbound: () => Promise.reject(new TypeError('bug')) })
    await expect(at.call()).rejects.toThrow('bug')
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'unknown' })])
  })

  test('of a status that is no answer is a failure', async () => {
    const at = site({ outbound: async () => ({ status: 101, headers: [], body: null }) })
    expect(await at.call()).toMatchObject({
      failure: { kind: 'upstream_failed', reason: 'status' },
    })
    expect(at.outcomes).toHaveLength(1)
  })

  test('SSRF-5 of an address that is refused says that nothing was sent', async () => {
    const at = site({ outbound: () => Promise.reject(new OutboundError('address_refused')) })
    expect(await at.call()).toMatchObject({ failure: { reason: 'address_refused' } })
    expect(at.outcomes).toEqual([expect.objectContaining({ result: 'upstream_error' })])
  })
})

describe('the fingerprint that an approval is for', () => {
  const post = (body: string, type = 'text/plain', extra: [string, string][] = []) => ({
    method: 'POST',
    headers: [['content-type', type] as const, ...extra],
    body: bodyOf(...body),
  })

  async function fingerprintOf(at: Site, request: Parameters<Site['call']>[0]) {
    const normalised = await at.normalise(request)
    if (!normalised.ok) throw new Error('malformed')
    const result = await at.compiled.fingerprint(normalised.value.prepared)
    return { result, prepared: normalised.value.prepared }
  }

  test('is the same for the same request, and differs with the body, its type and opted-in headers', async () => {
    const at = site({ config: { request_headers: ['x-tenant'] } })
    const [a, b, ...others] = await Promise.all(
      [
        post('abc'),
        post('abc', 'text/plain', [
          ['x-request-id', '2'],
          ['traceparent', 'x'],
        ]),
        post('abd'),
        post('abc', 'text/html'),
        post('abc', 'text/plain', [['x-tenant', '2']]),
      ].map((request) => fingerprintOf(at, request)),
    )
    expect(b?.result).toEqual(a?.result)
    for (const other of others) expect(other.result).not.toEqual(a?.result)
  })

  test('leaves the request to be sent, with the bytes that were read', async () => {
    handler = echo
    const at = site()
    const { prepared } = await fingerprintOf(at, post('abc'))
    expect(Buffer.from(prepared.body as Uint8Array).toString()).toBe('abc')
    const report = await sent(at, post('abc'), { prepared })
    expect(report.body).toBe('abc')
  })

  test('is refused for a body that cannot be held', async () => {
    const { result } = await fingerprintOf(site(), post('x'.repeat(1024)))
    expect(result.ok).toBe(true)
    const tooLarge = { ...post(''), body: bodyOf(new Uint8Array(1024 * 1024 + 1)) }
    expect((await fingerprintOf(site(), tooLarge)).result).toMatchObject({
      failure: { kind: 'payload_too_large' },
    })
  })
})
