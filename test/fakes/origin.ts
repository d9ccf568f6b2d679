// A real HTTP server on a free port of the loopback: stands for whatever the broker calls.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  createServer as createRawServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net'

export type Origin = {
  readonly url: string
  readonly port: number
  /** Requests or, for a raw origin, connections so far. */
  hits: number
  close(): Promise<void>
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export function startOrigin(handler: Handler): Promise<Origin> {
  const server = createServer((request, response) => {
    origin.hits += 1
    handler(request, response)
  })
  const origin: Origin = { url: '', port: 0, hits: 0, close: () => stop(server) }
  return listen(server, origin)
}

/** Answers bytes instead of HTTP. */
export function startRawOrigin(handler: (socket: Socket) => void): Promise<Origin> {
  const server = createRawServer((socket) => {
    origin.hits += 1
    socket.on('error', () => undefined)
    handler(socket)
  })
  const origin: Origin = { url: '', port: 0, hits: 0, close: () => stop(server) }
  return listen(server, origin)
}

const sockets = new WeakMap<Server, Set<Socket>>()

async function listen(server: Server, origin: Origin): Promise<Origin> {
  const open = new Set<Socket>()
  sockets.set(server, open)
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A TCP server that listens has an address with a port.
  const { port } = server.address() as AddressInfo
  return Object.assign(origin, { port, url: `http://127.0.0.1:${port}` })
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  for (const socket of sockets.get(server) ?? []) socket.destroy()
  await closed
}
