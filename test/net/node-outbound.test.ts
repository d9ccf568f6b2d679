import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { OutboundError, type OutboundRequest } from '../../functions/net/outbound.ts'
import { readCapped } from '../../functions/net/read-body.ts'
import { startOrigin, startRawOrigin, type Handler, type Origin } from '../fakes/origin.ts'

const origins: Origin[] = []
afterEach(async () => {
  await Promise.all(origins.splice(0).map((origin) => origin.close()))
})

async function origin(handler: Handler): Promise<Origin> {
  const started = await startOrigin(handler)
  origins.push(started)
  return started
}

/** An origin that reads a whole request head and answers these bytes. */
async function rawOrigin(answer: string, andClose = true): Promise<Origin> {
  const started = await startRawOrigin((socket) => {
    socket.once('data', () => {
      socket.write(Buffer.from(answer, 'latin1'))
      if (andClose) socket.end()
    })
  })
  origins.push(started)
  return started
}

function request(url: string, changes: Partial<OutboundRequest> = {}): OutboundRequest {
  return {
    method: 'GET',
    url: new URL(url),
    headers: [],
    body: null,
    timeoutMs: 5_000,
    reach: { privateNetwork: false, loopback: true },
    ...changes,
  }
}

async function text(body: ReadableStream<Uint8Array> | null): Promise<string> {
  return Buffer.from((await readCapped(body, 10_000_000)) ?? []).toString()
}

async function faultOf(call: Promise<unknown>): Promise<OutboundError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof OutboundError)) throw new Error(`no OutboundError: ${inspect(error)}`)
  return error
}

/** Whatever goes wrong goes wrong here: with the head, or with the body. */
async function reasonOf(url: string, changes: Partial<OutboundRequest> = {}): Promise<string> {
  const call = createNodeOutbound()(request(url, changes))
  return (await faultOf(call.then(({ body }) => text(body)))).reason
}

function when<T>(): { promise: Promise<T>; happened: (value: T) => void } {
  let happened: (value: T) => void = () => undefined
  const promise = new Promise<T>((resolve) => {
    happened = resolve
  })
  return { promise, happened }
}

describe('what is sent', () => {
  it('G-1: sends method, path, query and header lines as given, in order, and nothing of its own but framing', async () => {
    const server = await origin((incoming, answer) => {
      answer.end(JSON.stringify([incoming.method, incoming.url, incoming.rawHeaders]))
    })
    const { body } = await createNodeOutbound()(
      request(`${server.url}/a%20b/../c?x=1&x=2`, {
        headers: [
          ['X-One', '1'],
          ['x-two', 'a'],
          ['x-two', 'b'],
          ['Accept-Encoding', 'identity'],
        ],
      }),
    )
    expect(JSON.parse(await text(body))).toEqual([
      'GET',
      '/c?x=1&x=2',
      [
        'Host',
        `127.0.0.1:${server.port}`,
        'X-One',
        '1',
        'x-two',
        'a',
        'x-two',
        'b',
        'Accept-Encoding',
        'identity',
        'Connection',
        'keep-alive',
      ],
    ])
  })

  it('G-1, SSRF-4: Host and framing are its own whatever the caller gives', async () => {
    const server = await origin((incoming, answer) =>
      answer.end(JSON.stringify(incoming.rawHeaders)),
    )
    const { body } = await createNodeOutbound()(
      request(server.url, {
        method: 'POST',
        body: Buffer.from('hello'),
        headers: [
          ...(['Host', 'Connection', 'Keep-Alive', 'Expect', 'TE', 'Trailer'] as const).map(
            (name) => [name, 'evil.test'] as const,
          ),
          ['Content-Length', '1'],
          ['Transfer-Encoding', 'gzip'],
          ['Upgrade', 'h2c'],
          ['Proxy-Connection', 'close'],
        ],
      }),
    )
    expect(JSON.parse(await text(body))).toEqual([
      'Host',
      `127.0.0.1:${server.port}`,
      'Content-Length',
      '5',
      'Connection',
      'keep-alive',
    ])
  })

  it.each([
    ['POST', null, '0', undefined, ''],
    ['DELETE', null, '0', undefined, ''],
    ['POST', Buffer.from('bytes'), '5', undefined, 'bytes'],
    ['PUT', Buffer.alloc(0), '0', undefined, ''],
    ['POST', 'stream', undefined, 'chunked', 'one two'],
    ['DELETE', 'stream', undefined, 'chunked', 'one two'],
  ] as const)('frames a %s with body %s', async (method, given, length, coding, expected) => {
    const server = await origin((incoming, answer) => {
      let received = ''
      incoming.on('data', (chunk: Buffer) => (received += chunk.toString()))
      incoming.on('end', () => answer.end(JSON.stringify([incoming.headers, received])))
    })
    const body = given === 'stream' ? streamOf('one ', 'two') : given
    const answer = await createNodeOutbound()(request(server.url, { method, body }))
    const [headers, received] = JSON.parse(await text(answer.body)) as [
      Record<string, string>,
      string,
    ]
    expect(headers['content-length']).toBe(length)
    expect(headers['transfer-encoding']).toBe(coding)
    expect(received).toBe(expected)
  })

  it.each([
    ['x-key', 'secret-canary\r\nx: y'],
    ['x-key', 'secret-canary\n'],
    ['x-key', 'secret-canary\0'],
    ['x-key', 'secret-canary\u2028'],
    ['x-key', 'secret-canary \u{1F511}'],
    ['secret-canary:', 'x'],
    ['secret-canary x', 'x'],
    ['', 'secret-canary'],
  ])(
    'G-2, LEAK-3, F6: refuses header %j: %j without a word of it in the error',
    async (name, value) => {
      const server = await origin((_incoming, answer) => answer.end())
      const error = await faultOf(
        createNodeOutbound()(request(server.url, { headers: [[name, value]] })),
      )
      expect(error.reason).toBe('protocol_error')
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('secret-canary')
      expect(error.cause).toBeUndefined()
      expect(server.hits).toBe(0)
    },
  )

  it.each(['CONNECT', 'connect', 'GET /evil HTTP/1.1\r\nx:', '', 'GÉT'])(
    'G-6: refuses the method %j',
    async (method) => {
      expect(await reasonOf('http://127.0.0.1:1/', { method })).toBe('protocol_error')
    },
  )

  it('keeps connections, one pool for each reach', async () => {
    let asked = 0
    const resolve = async (): Promise<string[]> => {
      asked += 1
      return ['127.0.0.1']
    }
    const server = await origin((_incoming, answer) => answer.end('ok'))
    const outbound = createNodeOutbound({ resolve })
    const url = `http://origin.test:${server.port}/`
    for (let call = 0; call < 3; call += 1) await text((await outbound(request(url))).body)
    expect(asked).toBe(1)
    await text(
      (await outbound(request(url, { reach: { privateNetwork: true, loopback: true } }))).body,
    )
    expect(asked).toBe(2)
  })
})

describe('where it goes', () => {
  it('SSRF-3: follows no redirect, and returns it', async () => {
    const canary = await origin((_incoming, answer) => answer.end())
    for (const status of [301, 302, 303, 307, 308]) {
      const server = await origin((_incoming, answer) => {
        answer.writeHead(status, { location: canary.url }).end()
      })
      const answer = await createNodeOutbound()(request(server.url))
      expect(answer.status).toBe(status)
      expect(answer.headers).toContainEqual(['location', canary.url])
    }
    expect(canary.hits).toBe(0)
  })

  it('SSRF-2: connects to the address that was checked, and to no other', async () => {
    const server = await origin((_incoming, answer) => answer.end('here'))
    const answers = [
      ['127.0.0.1'],
      ['169.254.169.254'],
      ['10.0.0.1'],
      ['8.8.8.8', '127.0.0.1', '10.0.0.1'],
    ]
    const outbound = createNodeOutbound({ resolve: async () => answers.shift() ?? [] })
    // Nobody but the resolver knows this name, so that an answer proves which address was used.
    const url = `http://rebind.test:${server.port}/`
    expect(await text((await outbound(request(url))).body)).toBe('here')
    await server.close()
    origins.length = 0
    for (const expected of [
      'address_refused',
      'address_refused',
      'address_refused',
      'unresolvable',
    ]) {
      expect((await faultOf(outbound(request(url)))).reason).toBe(expected)
    }
  })

  it('SSRF-2: a name that resolves to the loopback is refused outside development', async () => {
    const outbound = createNodeOutbound({ resolve: async () => ['::ffff:127.0.0.1'] })
    const reach = { privateNetwork: true, loopback: false }
    const error = await faultOf(outbound(request('https://rebind.test/', { reach })))
    expect(error.reason).toBe('address_refused')
  })

  it('SSRF-1: refuses literal addresses before a connection is made', async () => {
    const server = await origin((_incoming, answer) => answer.end())
    const reach = { privateNetwork: true, loopback: false }
    for (const host of ['127.0.0.1', '[::ffff:7f00:1]', 'localhost', '169.254.169.254']) {
      expect(await reasonOf(`https://${host}:${server.port}/`, { reach })).toBe('address_refused')
    }
    expect(server.hits).toBe(0)
  })

  it('tells an unknown name from a closed port', async () => {
    expect(await reasonOf('http://127.0.0.1:1/')).toBe('connect_failed')
    const resolve = async (): Promise<string[]> =>
      Promise.reject(new Error('ENOTFOUND secret.test'))
    const error = await faultOf(createNodeOutbound({ resolve })(request('http://secret.test/')))
    expect(error.reason).toBe('unresolvable')
    expect(inspect(error)).not.toContain('secret.test')
  })

  it.skipIf(!hasOpenssl())(
    'takes no certificate that nobody vouches for (needs openssl)',
    async () => {
      const server = createTlsServer(selfSigned(), (_incoming, answer) => answer.end('secret'))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as AddressInfo
      expect(await reasonOf(`https://127.0.0.1:${port}/`)).toBe('connect_failed')
      server.close()
    },
  )
})

describe('what comes back', () => {
  it('G-3: keeps header lines apart, in order, with lower-case names', async () => {
    const server = await rawOrigin(
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-B: 1\r\nset-cookie: b=2, c\r\nContent-Length: 2\r\n\r\nok',
    )
    const { headers, body, status } = await createNodeOutbound()(request(server.url))
    expect(status).toBe(200)
    expect(headers).toEqual([
      ['set-cookie', 'a=1'],
      ['x-b', '1'],
      ['set-cookie', 'b=2, c'],
      ['content-length', '2'],
    ])
    expect(await text(body)).toBe('ok')
  })

  it('leaves content codings as they come', async () => {
    const packed = gzipSync('hello')
    const server = await origin((_incoming, answer) => {
      answer.writeHead(200, { 'content-encoding': 'gzip' }).end(packed)
    })
    const { body } = await createNodeOutbound()(request(server.url))
    expect(Buffer.from((await readCapped(body, 1_000)) ?? [])).toEqual(packed)
  })

  it('G-3: passes over 1xx answers and drops trailers', async () => {
    const server = await rawOrigin(
      [
        'HTTP/1.1 100 Continue\r\n\r\n',
        'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n',
        '2\r\nok\r\n0\r\nX-T: 1\r\n\r\n',
      ].join(''),
    )
    const answer = await createNodeOutbound()(request(server.url))
    expect(answer.status).toBe(200)
    expect(await text(answer.body)).toBe('ok')
    expect(answer.headers.map(([name]) => name)).not.toContain('x-t')
  })

  it.each([
    ['GET', 204],
    ['GET', 205],
    ['GET', 304],
    ['HEAD', 200],
  ])('has no body for %s with %i, and the connection goes on', async (method, status) => {
    let connections = 0
    const server = await origin((incoming, answer) => {
      incoming.socket.once('close', () => (connections += 1))
      answer.writeHead(status, status === 200 ? { 'content-length': '5' } : {}).end()
    })
    const outbound = createNodeOutbound()
    for (let call = 0; call < 2; call += 1) {
      expect((await outbound(request(server.url, { method }))).body).toBeNull()
    }
    expect(connections).toBe(0)
  })

  const head = 'HTTP/1.1 200 OK\r\n'
  it.each([
    [
      'both framings',
      `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    ],
    ['two lengths', `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!`],
    ['a length that is no number', `${head}Content-Length: 2x\r\n\r\nok`],
    [
      'a chunk size that is no number',
      `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n`,
    ],
    ['a body cut short', `${head}Content-Length: 100\r\n\r\nok`],
    ['chunks cut short', `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nok`],
    ['a header without colon', `${head}broken\r\n\r\n`],
    ['a NUL in a header', `${head}X: a\0b\r\nContent-Length: 0\r\n\r\n`],
    [
      'a head without end',
      `${head}${'X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(2_000)}`,
    ],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['nothing', ''],
    ['a status beyond 599', 'HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n'],
    [
      'an upgrade nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n',
    ],
  ])('G-3: refuses an answer with %s', async (_what, answer) => {
    const server = await rawOrigin(answer)
    expect(await reasonOf(server.url)).toBe('protocol_error')
  })

  it('G-10: streams while the origin is still sending, and reads no further than is asked for', async () => {
    let written = 0
    const server = await origin((_incoming, answer) => {
      const chunk = Buffer.alloc(65_536)
      const more = (): void => {
        while (answer.write(chunk)) written += chunk.length
        written += chunk.length
        if (written < 64_000_000) answer.once('drain', more)
      }
      more()
    })
    const { body } = await createNodeOutbound()(request(server.url))
    const reader = body?.getReader()
    expect((await reader?.read())?.done).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 100))
    // Socket buffers on both sides hold some megabytes; a transport that reads on would take it all.
    expect(written).toBeLessThan(32_000_000)
    await reader?.cancel()
  })
})

describe('how it ends', () => {
  it('times out before the headers, and only there', async () => {
    const silent = await origin(() => undefined)
    expect(await reasonOf(silent.url, { timeoutMs: 50 })).toBe('timeout')
    const slow = await origin((_incoming, answer) => {
      answer.write('a')
      setTimeout(() => answer.end('b'), 150)
    })
    const { body } = await createNodeOutbound()(request(slow.url, { timeoutMs: 100 }))
    expect(await text(body)).toBe('ab')
  })

  it('G-10: cancelling the body closes the connection to the origin', async () => {
    const { promise, happened } = when<string>()
    const server = await origin((incoming, answer) => {
      incoming.socket.once('close', () => happened('closed'))
      answer.write('first')
    })
    const { body } = await createNodeOutbound()(request(server.url))
    await body?.cancel()
    expect(await promise).toBe('closed')
  })

  it('G-10: the signal ends the call before the headers and in the body', async () => {
    const { promise, happened } = when<string>()
    const server = await origin((incoming, answer) => {
      incoming.socket.once('close', () => happened('closed'))
      if (incoming.url === '/body') answer.write('first')
    })
    const outbound = createNodeOutbound()
    const before = new AbortController()
    const silent = outbound(request(server.url, { signal: before.signal }))
    before.abort()
    expect((await faultOf(silent)).reason).toBe('aborted')

    const within = new AbortController()
    const { body } = await outbound(request(`${server.url}/body`, { signal: within.signal }))
    const reading = text(body)
    within.abort()
    expect((await faultOf(reading)).reason).toBe('aborted')
    expect(await promise).toBe('closed')

    const late = outbound(request(server.url, { signal: AbortSignal.abort() }))
    expect((await faultOf(late)).reason).toBe('aborted')
  })

  it('a request body that breaks off breaks the call off', async () => {
    const { promise, happened } = when<string>()
    const server = await origin((incoming) => incoming.once('close', () => happened('closed')))
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('half')),
      pull: (controller) => controller.error(new Error('secret-canary')),
    })
    const error = await faultOf(createNodeOutbound()(request(server.url, { method: 'POST', body })))
    expect(error.reason).toBe('aborted')
    expect(inspect(error)).not.toContain('secret-canary')
    await Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 500))])
  })

  it('an origin that hangs up on an upload cancels the body', async () => {
    const { promise, happened } = when<string>()
    const server = await rawOrigin(
      'HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        controller.enqueue(new Uint8Array(1_000))
      },
      cancel: () => happened('cancelled'),
    })
    const answer = await createNodeOutbound()(request(server.url, { method: 'POST', body }))
    expect(answer.status).toBe(413)
    expect(await promise).toBe('cancelled')
  })

  it('DEP-9: repeats a read on a connection that was closed while idle, and never a write', async () => {
    let connections = 0
    const server = await startRawOrigin((socket) => {
      connections += 1
      let requests = 0
      socket.on('data', () => {
        requests += 1
        if (requests > 1) socket.resetAndDestroy()
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    origins.push(server)
    const outbound = createNodeOutbound()
    for (let call = 0; call < 3; call += 1) {
      expect(await text((await outbound(request(server.url))).body)).toBe('ok')
    }
    expect(connections).toBe(3)
    const write = outbound(request(server.url, { method: 'POST', body: Buffer.from('x') }))
    expect((await faultOf(write)).reason).toBe('protocol_error')
    expect(connections).toBe(3)
  })
})

function streamOf(...parts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift()
      if (part === undefined) controller.close()
      else controller.enqueue(Buffer.from(part))
    },
  })
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function selfSigned(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tls-'))
  try {
    const key = join(folder, 'key.pem')
    const cert = join(folder, 'cert.pem')
    const options = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x'
    const subject = '-addext subjectAltName=IP:127.0.0.1'
    const files = ['-keyout', key, '-out', cert]
    execFileSync(
      'openssl',
      ['req', '-x509', ...options.split(' '), ...subject.split(' '), ...files],
      {
        stdio: 'ignore',
      },
    )
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
