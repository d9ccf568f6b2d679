// The Node server against clients that do not play by the rules: raw sockets, slow ones and rude ones.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createNodeServer, nodeServerLimits } from '../../functions/platforms/node-server.ts'
import type { NodeServer, NodeServerLimits } from '../../functions/platforms/node-server.ts'
import type { RequestFacts } from '../../functions/platform.ts'
import { listen } from '../runtime/listen.ts'

type Seen = { readonly method: string; readonly body: string; readonly facts: RequestFacts }

type Rig = { readonly port: number; readonly seen: Seen[]; readonly nodeServer: NodeServer }

const running: NodeServer[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map(async ({ drain }) => drain(0)))
})

async function start(
  limits: Partial<NodeServerLimits> = {},
  answer: (request: Request) => Promise<Response> = async () => new Response('fine'),
): Promise<Rig> {
  const seen: Seen[] = []
  const nodeServer = createNodeServer(
    async (request, facts) => {
      const response = await answer(request)
      if (!request.bodyUsed)
        seen.push({ method: request.method, body: await request.text(), facts })
      return response
    },
    () => {},
    { limits: { ...nodeServerLimits, ...limits } },
  )
  running.push(nodeServer)
  return { port: await listen(nodeServer.server, 0), seen, nodeServer }
}

/** Sends bytes as they are and returns all that comes back until the server closes. */
async function converse(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(bytes, 'latin1')
  return untilClosed(socket)
}

async function untilClosed(socket: Socket): Promise<string> {
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  await once(socket, 'close')
  return received
}

const HEAD = 'POST /x HTTP/1.1\r\nHost: a\r\n'
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

const refused: Readonly<Record<string, string>> = {
  'CL.TE': `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'TE.CL': `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'TE.TE, obscured': `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a transfer coding that is not chunked': `${HEAD}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a space before the colon': `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'two lengths': `${HEAD}Content-Length: 0\r\nContent-Length: 36\r\n\r\n${SMUGGLED}`,
  'a length list': `${HEAD}Content-Length: 0, 36\r\n\r\n${SMUGGLED}`,
  'a signed length': `${HEAD}Content-Length: +0\r\n\r\n${SMUGGLED}`,
  'bare LF between headers': `POST /x HTTP/1.1\nHost: a\nContent-Length: 0\n\n${SMUGGLED}`,
  'bare CR in a header': `${HEAD}X-A: b\rTransfer-Encoding: chunked\r\n\r\n${SMUGGLED}`,
  'a folded header': `${HEAD}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n${SMUGGLED}`,
  'NUL in a header': `${HEAD}X-A: b\0c\r\n\r\n${SMUGGLED}`,
  'a chunk size that is no number': `${HEAD}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n${SMUGGLED}`,
  'two Host headers': `GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${SMUGGLED}`,
  'no Host header': `GET /x HTTP/1.1\r\n\r\n${SMUGGLED}`,
  'an absolute target': `GET http://evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  'the asterisk target': `OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  'a method in lower case': `get /x HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  TRACE: `TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  CONNECT: `CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  'a backslash in the path': `GET /a\\b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  'a prior-knowledge h2c preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}

test.each(Object.entries(refused))(
  'G-4, G-6: refuses %s, closes, and runs nothing that follows',
  async (_name, bytes) => {
    const { port, seen } = await start()
    const answer = await converse(port, bytes)
    expect(answer).toMatch(/^(HTTP\/1\.1 (400|405) |$)/)
    expect(answer.match(/HTTP\/1\.1/g)?.length ?? 0).toBeLessThanOrEqual(1)
    expect(seen).toEqual([])
  },
)

test('G-4: takes no upgrade to h2c; the request is answered as what it is', async () => {
  const { port, seen } = await start()
  const answer = await converse(
    port,
    'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n',
  )
  expect(answer).toMatch(/^HTTP\/1\.1 (200|400) /)
  expect(answer).not.toContain('101 ')
  expect(seen.length).toBeLessThanOrEqual(1)
})

test('G-4: chunk extensions change neither the body nor where it ends', async () => {
  const { port, seen } = await start()
  await converse(
    port,
    `POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3;a="b\\"c"\r\nabc\r\n0;x\r\n\r\n`,
  )
  expect(seen.map(({ body }) => body)).toEqual(['abc'])
})

test.each([
  ['lines', 'a:b\r\n'.repeat(2_500)],
  ['bytes', `a: ${'b'.repeat(40_000)}\r\n`],
])('refuses a header section of too many %s with 431', async (_name, lines) => {
  const { port, seen } = await start()
  const answer = await converse(port, `GET /x HTTP/1.1\r\nHost: a\r\n${lines}\r\n${SMUGGLED}`)
  expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  expect(seen).toEqual([])
})

test('RB-09: drops no header line below that limit', async () => {
  const { port, seen } = await start()
  const lines = 'a:b\r\n'.repeat(200)
  await converse(
    port,
    `GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: one\r\n${lines}Authorization: two\r\n\r\n`,
  )
  const values = seen[0]?.facts.headerLines.filter(([name]) => name === 'Authorization')
  expect(values).toEqual([
    ['Authorization', 'one'],
    ['Authorization', 'two'],
  ])
})

test('shows the target exactly as it was sent', async () => {
  const { port, seen } = await start()
  await converse(port, 'GET /a/%2e%2E/b//c?x=%26 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  expect(seen[0]?.facts.rawTarget).toBe('/a/%2e%2E/b//c?x=%26')
})

test('G-8: the limits hold what the reference asks for', () => {
  expect(nodeServerLimits.headersTimeoutMs).toBeLessThanOrEqual(10_000)
  expect(nodeServerLimits.uploadPeriodMs * 2).toBeLessThanOrEqual(30_000)
  expect(nodeServerLimits.maxRequestsPerSocket).toBeGreaterThan(0)
  expect(nodeServerLimits.maxConnections).toBeGreaterThan(0)
})

test('G-8: cuts off who sends headers byte by byte', async () => {
  const { port } = await start({ headersTimeoutMs: 100 })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const drip = setInterval(() => socket.write('x'), 20)
  socket.write('GET /x HTTP/1.1\r\nHost: a\r\nX-Slow: ')
  expect(await untilClosed(socket)).toMatch(/^(HTTP\/1\.1 408 |$)/)
  clearInterval(drip)
})

test('G-8: cuts off who connects and says nothing', async () => {
  const { port } = await start({ headersTimeoutMs: 100 })
  expect(await untilClosed(connect(port, '127.0.0.1'))).toMatch(/^(HTTP\/1\.1 408 |$)/)
})

test('G-8: cuts off an upload that hardly moves', async () => {
  const { port, seen } = await start(
    { uploadPeriodMs: 60, minUploadBytes: 1000 },
    async (request) => {
      await request.text().catch(() => '')
      return new Response('late')
    },
  )
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`${HEAD}Content-Length: 100000\r\n\r\n`)
  const drip = setInterval(() => socket.write('x'), 30)
  await untilClosed(socket)
  clearInterval(drip)
  expect(seen).toEqual([])
})

test('G-8: lets an upload that moves well take its time', async () => {
  let received = 0
  const { port } = await start({ uploadPeriodMs: 60, minUploadBytes: 100 }, async (request) => {
    received = (await request.text()).length
    return new Response('done')
  })
  const socket = connect(port, '127.0.0.1')
  socket.write(`${HEAD}Connection: close\r\nContent-Length: 20000\r\n\r\n`)
  const closed = untilClosed(socket)
  for (let sent = 0; sent < 20; sent += 1) {
    socket.write('x'.repeat(1000))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(await closed).toMatch(/^HTTP\/1\.1 200 /)
  expect(received).toBe(20_000)
})

test('G-8: lets an answer wait for its upstream longer than a silent connection may last', async () => {
  const { port } = await start({ stalledReaderMs: 50 }, async () => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    return new Response('slow but sure')
  })
  const answer = await converse(port, 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  expect(answer).toContain('slow but sure')
})

test('G-8: cuts off a reader that takes nothing', async () => {
  let isCancelled = false
  const { port } = await start({ stalledReaderMs: 100 }, async () => {
    const chunk = new Uint8Array(256 * 1024)
    return new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(chunk),
        cancel: () => {
          isCancelled = true
        },
      }),
    )
  })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
  socket.pause()
  await expect.poll(() => isCancelled, { timeout: 10_000 }).toBe(true)
  socket.destroy()
})

test('G-11: tells the app when the client has gone', async () => {
  let isAborted = false
  const { port } = await start({}, async (request) => {
    await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()))
    isAborted = true
    return new Response('nobody reads this')
  })
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
  setTimeout(() => socket.destroy(), 50)
  await expect.poll(() => isAborted).toBe(true)
})

test('draining answers what runs, takes nothing new and ends', async () => {
  let release: () => void = () => {}
  const isHeld = new Promise<void>((resolve) => (release = resolve))
  const { port, nodeServer } = await start({}, async () => {
    await isHeld
    return new Response('finished')
  })
  const idle = connect(port, '127.0.0.1')
  const busy = connect(port, '127.0.0.1')
  const answered = untilClosed(busy)
  busy.write('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
  await new Promise((resolve) => setTimeout(resolve, 50))
  const drained = nodeServer.drain(10_000)
  const late = connect(port, '127.0.0.1')
  const [refusal] = (await once(late, 'error')) as [NodeJS.ErrnoException]
  expect(refusal.code).toBe('ECONNREFUSED')
  // A connection on which nothing was asked holds nothing up.
  await untilClosed(idle)
  release()
  await drained
  expect(await answered).toContain('finished')
})

test('LEAK: an unexpected error is not spelt out, neither to the client nor in the log', async () => {
  const lines: unknown[] = []
  const secret = 'sk-live-0123456789'
  const nodeServer = createNodeServer(
    async () => {
      throw new TypeError(`Headers.append: "Bearer ${secret}" is an invalid header value.`)
    },
    (...line) => lines.push(line),
  )
  running.push(nodeServer)
  const port = await listen(nodeServer.server, 0)
  const answer = await converse(port, 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 500 /)
  expect(answer).not.toContain(secret)
  expect(JSON.stringify(lines)).not.toContain(secret)
  expect(JSON.stringify(lines)).toContain('TypeError')
})
