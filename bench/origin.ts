// The protected API behind the gateway, in a process of its own: as little as an API can do.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const BODY = JSON.stringify({
  id: 42,
  name: 'Ada Ltd',
  plan: 'team',
  seats: 12,
  notes: 'x'.repeat(200),
})

const server = createServer((request, response) => {
  const isAuthorised = request.headers.authorization === `Bearer ${process.env['ORIGIN_KEY']}`
  response.writeHead(isAuthorised ? 200 : 401, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(BODY),
  })
  response.end(BODY)
})

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  // A listening TCP server has an AddressInfo.
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.once('disconnect', () => process.exit(0))
