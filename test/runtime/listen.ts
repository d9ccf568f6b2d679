// Loopback ports for servers under test.
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** Listens on loopback and returns the port; 0 lets the system choose. */
export async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve())
  })
  // A listening TCP server has an address object, never a pipe name.
  return (server.address() as AddressInfo).port
}

/** A port that was free a moment ago, for a process that has to know its own address beforehand. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  const port = await listen(probe, 0)
  await new Promise<void>((resolve) => probe.close(() => resolve()))
  return port
}

/** Forwards TCP connections as they are; returns how to end it. */
export async function forward(fromPort: number, toPort: number): Promise<() => Promise<void>> {
  const open = new Set<Socket>()
  const server = createServer((inbound) => {
    const outbound = connect(toPort, '127.0.0.1')
    for (const [socket, peer] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      open.add(socket)
      // Without it each answer in two pieces waits some 40 ms for a delayed acknowledgement.
      socket.setNoDelay(true)
      socket.once('close', () => {
        open.delete(socket)
        peer.destroy()
      })
      socket.on('error', () => peer.destroy())
      socket.pipe(peer)
    }
  })
  await listen(server, fromPort)
  return async () => {
    for (const socket of open) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
}
