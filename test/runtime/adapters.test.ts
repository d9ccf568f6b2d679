// One suite over every entry: what a client sent is what the app sees, and what the app answers is what
// the client gets, within the capabilities that the entry's row promises.
import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { capabilities } from '../../functions/http/capabilities.ts'
import type { EntryKind } from '../../functions/http/capabilities.ts'
import { ECHO_SECRET, patternBytes } from '../fakes/echo-app.ts'
import type { EchoReport } from '../fakes/echo-app.ts'
import { startLambda, startNode, startWorkerd } from './rig.ts'
import type { Running } from './rig.ts'

const entries: readonly (readonly [EntryKind, () => Promise<Running>])[] = [
  ['node', () => startNode({ app: 'echo' })],
  ['workerd', () => startWorkerd({ app: 'echo' })],
  ['lambda-url', () => startLambda('url', { app: 'echo' })],
  ['lambda-url-streaming', () => startLambda('url-streaming', { app: 'echo' })],
  ['lambda-apigw-v1', () => startLambda('apigw-v1', { app: 'echo' })],
  ['lambda-apigw-v2', () => startLambda('apigw-v2', { app: 'echo' })],
]

/** Where an entry has no bound of its own, or one too large to test often. */
const LARGE_BYTES = 32 * 1024 * 1024

type Sent = {
  readonly method?: string
  readonly path: string
  readonly headers?: readonly string[]
  readonly body?: Uint8Array | string
}

type Got = { readonly status: number; readonly headers: IncomingMessage['headers']; body: Buffer }

describe.each(entries)('the %s entry', (entry, start) => {
  const row = capabilities[entry]
  let running: Running
  beforeAll(async () => {
    running = await start()
  })
  afterAll(async () => running?.stop())

  /** Raw HTTP: fetch would tidy up the path and join the headers before they are sent. */
  async function send(sent: Sent): Promise<Got> {
    const incoming = await open(sent)
    const chunks: Buffer[] = []
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
    const { statusCode: status = 0, headers } = incoming
    return { status, headers, body: Buffer.concat(chunks) }
  }

  async function open({
    method = 'GET',
    path,
    headers = [],
    body,
  }: Sent): Promise<IncomingMessage> {
    const { hostname, port, host } = new URL(running.baseUrl)
    const length = body === undefined ? [] : ['content-length', `${Buffer.byteLength(body)}`]
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        hostname,
        port,
        method,
        path,
        headers: ['host', host, ...headers, ...length],
        agent: false,
      })
      request.on('response', resolve)
      request.on('error', reject)
      request.end(body)
    })
  }

  async function echo(sent: Sent): Promise<EchoReport> {
    const got = await send(sent)
    expect(got.status).toBe(200)
    return JSON.parse(got.body.toString('utf8')) as EchoReport
  }

  function linesNamed(report: EchoReport, name: string): string[] {
    return report.headerLines.filter(([line]) => line.toLowerCase() === name).map(([, v]) => v)
  }

  test('keeps method, path and query', async () => {
    const report = await echo({ method: 'DELETE', path: '/a/b?x=1&x=2&y=%26z' })
    expect(report.method).toBe('DELETE')
    expect(report.path).toBe('/a/b')
    expect(report.rawTarget).toBe('/a/b?x=1&x=2&y=%26z')
  })

  test('G-5: shows the path as sent, or as it will be judged, never two of them', async () => {
    const path = "/t/crm/a%2Fb/%252e%252e/caf%C3%A9/%3Fq/;v=1/(x)'!*"
    const report = await echo({ path })
    const shown = report.rawTarget.split('?')[0] ?? ''
    expect(report.path).toBe(new URL(`http://x${shown}`).pathname)
    if (row.rawPath) expect(report.rawTarget).toBe(path)
    // A question mark that was part of the path never becomes a query.
    expect(new URL(`http://x${report.rawTarget}`).search).toBe('')
  })

  test('G-5: never hides that the client sent dot segments where it can know', async () => {
    const report = await echo({ path: '/t/crm/x/%2e%2e/admin' })
    if (row.rawPath) expect(report.rawTarget).toBe('/t/crm/x/%2e%2e/admin')
    else expect(report.path).toBe('/t/crm/admin')
  })

  test('keeps every byte of a long query', async () => {
    const query = `q=${'abcdefgh'.repeat(700)}&last=1`
    expect((await echo({ path: `/long?${query}` })).rawTarget).toBe(`/long?${query}`)
  })

  test.each(['authorization', 'dpop', 'x-thing'])(
    'RB-09, DP-02: never drops a repeated %s header',
    async (name) => {
      const report = await echo({ path: '/x', headers: [name, 'one', name, 'two'] })
      const lines = linesNamed(report, name)
      if (row.duplicateRequestHeaders === 'separate') {
        expect(lines).toEqual(['one', 'two'])
      } else {
        expect(lines).toHaveLength(1)
        expect(lines[0]).toMatch(/^one, ?two$/)
      }
    },
  )

  test('RB-09: shows both Authorization values to whoever reads the joined header', async () => {
    const report = await echo({
      path: '/x',
      headers: ['authorization', 'Bearer a', 'Authorization', 'Bearer b'],
    })
    expect(report.joinedAuthorization).toMatch(/^Bearer a, ?Bearer b$/)
  })

  test('keeps a comma inside one header value', async () => {
    const report = await echo({ path: '/x', headers: ['authorization', 'Bearer a,b'] })
    expect(linesNamed(report, 'authorization')).toEqual(['Bearer a,b'])
  })

  test('carries cookies', async () => {
    const report = await echo({ path: '/x', headers: ['cookie', 'a=1; b=2'] })
    expect(linesNamed(report, 'cookie')).toEqual(['a=1; b=2'])
  })

  test.each(['application/octet-stream', 'application/x-www-form-urlencoded', 'application/json'])(
    'carries a %s body unchanged',
    async (type) => {
      const isText = type !== 'application/octet-stream'
      const body = isText ? Buffer.from('grant_type=x&emoji=\u{1F600}"\n') : patternBytes(70_000)
      const report = await echo({
        method: 'POST',
        path: '/x',
        headers: ['content-type', type],
        body,
      })
      expect(report.bodyBytes).toBe(body.byteLength)
      expect(report.bodySha256).toBe(createHash('sha256').update(body).digest('hex'))
    },
  )

  test('carries a request body as large as it promises', async () => {
    const body = patternBytes(Math.min(row.maxRequestBytes ?? LARGE_BYTES, LARGE_BYTES))
    const report = await echo({ method: 'POST', path: '/x', body })
    expect(report.bodyBytes).toBe(body.byteLength)
    expect(report.bodySha256).toBe(createHash('sha256').update(body).digest('hex'))
  })

  test('carries an answer as large as it promises', async () => {
    const n = Math.min(row.maxResponseBytes ?? LARGE_BYTES, LARGE_BYTES)
    const got = await send({ path: `/bytes?n=${n}` })
    expect(got.status).toBe(200)
    expect(got.body.equals(patternBytes(n))).toBe(true)
  })

  if (!row.responseStreaming) {
    test('answers with an error instead of a cut answer beyond its limit', async () => {
      const got = await send({ path: '/bytes?n=7000000' })
      expect(got.status).toBe(502)
      expect(JSON.parse(got.body.toString())).toMatchObject({ code: 'response_too_large' })
    })
  }

  test('carries bytes that are not text, whatever their type says', async () => {
    const got = await send({ path: '/bytes?n=4096&type=text/plain' })
    expect(got.body.equals(patternBytes(4096))).toBe(true)
    expect(got.headers['content-type']).toBe('text/plain')
  })

  test('takes the client address from the connection, never from a header', async () => {
    const spoofed = '203.0.113.99'
    const headers = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'true-client-ip'].flatMap(
      (name) => [name, spoofed],
    )
    const others = entry === 'workerd' ? [] : ['cf-connecting-ip', spoofed]
    const { clientAddress } = await echo({ path: '/x', headers: [...headers, ...others] })
    expect(clientAddress).not.toBe(spoofed)
    expect(clientAddress).toMatch(/^(127\.0\.0\.1|::1)$/)
  })

  test('answers HEAD with the headers and without a body', async () => {
    const got = await send({ method: 'HEAD', path: '/cookies' })
    expect(got.status).toBe(200)
    expect(got.headers['content-type']).toBe('text/plain')
    expect(got.body).toHaveLength(0)
  })

  test('passes 204 and 304 on without a body', async () => {
    expect(await send({ path: '/empty' })).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    const notModified = await send({ path: '/not-modified' })
    expect(notModified.status).toBe(304)
    expect(notModified.headers.etag).toBe('"1"')
  })

  test('keeps each Set-Cookie a line of its own', async () => {
    const got = await send({ path: '/cookies' })
    expect(got.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2, with comma'])
    expect(got.headers.link).toBe('<a>, <b>')
  })

  test('streams the answer, or sends it whole, as its row says', async () => {
    const incoming = await open({ path: '/stream' })
    const chunks: string[] = []
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk.toString())
    expect(chunks.join('')).toBe('firstsecondthird')
    if (row.responseStreaming) expect(chunks[0]).toBe('first')
    else expect(chunks).toHaveLength(1)
  })

  if (row.requestStreaming) {
    test('streams the request', async () => {
      const { hostname, port } = new URL(running.baseUrl)
      const request = httpRequest({ hostname, port, method: 'POST', path: '/upload', agent: false })
      const answered = new Promise((resolve, reject) => {
        request.on('response', (incoming) => incoming.resume().on('end', resolve))
        request.on('error', reject)
      })
      request.write(patternBytes(5000))
      // The rest is sent only after the app has seen the beginning.
      await expect.poll(async () => (await seen()).uploadedBytes).toBe(5000)
      request.end('rest')
      await answered
      expect((await seen()).uploadedBytes).toBe(5004)
    })
  }

  // Lambda tells a function nothing of a client that has gone.
  if (entry === 'node' || entry === 'workerd') {
    test('G-10: ends the upstream of an answer that nobody reads any more', async () => {
      const before = await seen()
      const incoming = await open({ path: '/endless' })
      await new Promise((resolve) => incoming.once('data', resolve))
      incoming.destroy()
      await expect.poll(async () => (await seen()).cancelled).toBe(before.cancelled + 1)
    })
  }

  async function seen(): Promise<{ cancelled: number; migrated: number; uploadedBytes: number }> {
    return JSON.parse((await send({ path: '/seen' })).body.toString())
  }

  test('never passes half an answer off as a whole one', async () => {
    const outcome = await send({ path: '/break' }).then(
      (got) => got.status,
      () => 'broken off',
    )
    expect(outcome).toBe(row.responseStreaming ? 'broken off' : 502)
  })

  test.each(['/throw', '/break', '/break-at-once'])(
    'LEAK: tells the client nothing of what broke in %s',
    async (path) => {
      const text = await send({ path }).then(
        (got) => `${JSON.stringify(got.headers)}${got.body.toString()}`,
        () => '',
      )
      expect(text).not.toContain(ECHO_SECRET)
      expect(text).not.toContain('echo-app')
    },
  )

  test('answers 500 to a bug and goes on serving', async () => {
    const got = await send({ path: '/throw' })
    expect(got.status).toBe(500)
    expect(JSON.parse(got.body.toString())).toMatchObject({ code: 'internal_error', status: 500 })
    expect((await send({ path: '/healthz' })).status).toBe(200)
  })

  test('migrates once', async () => {
    await Promise.all([send({ path: '/healthz' }), send({ path: '/healthz' })])
    expect((await seen()).migrated).toBe(1)
  })
})
