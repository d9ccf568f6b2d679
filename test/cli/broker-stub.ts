// A broker that answers `/token-exchange` and `/revoke` as design and OpenAPI have it and decides nothing: for
// what the CLI makes of answers.
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Answer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}

export type BrokerStub = {
  readonly url: string
  readonly seen: {
    readonly path: string
    readonly form: URLSearchParams
    readonly headers: IncomingHttpHeaders
  }[]
  /** The last one is given again and again. */
  answers: readonly Answer[]
  revocation: number
  revoked: unknown
  close(): Promise<void>
}

export async function startBrokerStub(): Promise<BrokerStub> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const path = request.url ?? ''
      const form = new URLSearchParams(Buffer.concat(chunks).toString())
      const before = stub.seen.filter((one) => one.path === '/token-exchange').length
      stub.seen.push({ path, form, headers: request.headers })
      const given = stub.answers[before] ?? stub.answers.at(-1) ?? { status: 500, body: {} }
      const answer = path === '/revoke' ? { status: stub.revocation, body: stub.revoked } : given
      const headers = 'headers' in answer ? answer.headers : {}
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(answer.body))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo // it listens on TCP
  const stub: BrokerStub = {
    url: `http://127.0.0.1:${port}`,
    seen: [],
    answers: [],
    revocation: 200,
    revoked: {},
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
  return stub
}
