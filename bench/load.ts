// The load generator: a process of its own with keep-alive connections, each with one request on its way.
// It is as plain as it can be, because it shares the machine's cores with what it measures.
import { connect, type Socket } from 'node:net'
import type { LoadOrder, LoadResult } from './run-load.ts'

const HEAD_END = Buffer.from('\r\n\r\n')
const CHUNKED_END = Buffer.from('0\r\n\r\n')

/** What one connection has received of the answer it waits for. */
type Answer = { bytes: Buffer; wholeLength: number | null; isChunked: boolean; isLast: boolean }

process.once('message', (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})

async function run(order: LoadOrder): Promise<LoadResult> {
  const requests = order.requests.map((request) => Buffer.from(request))
  const latenciesMs: number[] = []
  let next = 0
  let refusal: string | null = null
  const started = performance.now()
  const endsAt = started + order.maxSeconds * 1000

  const { port, hostname: host } = new URL(order.baseUrl)
  const lane = (resolve: () => void, reject: (error: Error) => void): void => {
    let answer = fresh()
    let sentAt = 0
    const send = (socket: Socket): void => {
      if (next >= order.maxRequests || performance.now() >= endsAt) {
        socket.destroy()
        return resolve()
      }
      const request = requests[next % requests.length] ?? Buffer.alloc(0)
      next += 1
      sentAt = performance.now()
      socket.write(request)
    }
    const open = (): void => {
      const socket = connect({ port: Number(port), host, noDelay: true })
      socket.on('error', reject)
      socket.on('connect', () => send(socket))
      socket.on('data', (chunk: Buffer) => {
        answer.bytes = answer.bytes.length === 0 ? chunk : Buffer.concat([answer.bytes, chunk])
        if (!isWhole(answer)) return
        latenciesMs.push(performance.now() - sentAt)
        const status = answer.bytes.toString('latin1', 9, 12)
        if (!status.startsWith('2')) refusal ??= answer.bytes.toString()
        const { isLast } = answer
        answer = fresh()
        if (!isLast) return send(socket)
        socket.destroy()
        open()
      })
    }
    open()
  }
  await Promise.all(Array.from({ length: order.connections }, () => new Promise<void>(lane)))
  const seconds = (performance.now() - started) / 1000
  return { seconds, latenciesMs, refusal }
}

function fresh(): Answer {
  return { bytes: Buffer.alloc(0), wholeLength: null, isChunked: false, isLast: false }
}

function isWhole(answer: Answer): boolean {
  if (answer.wholeLength === null && !answer.isChunked) {
    const end = answer.bytes.indexOf(HEAD_END)
    if (end < 0) return false
    const head = answer.bytes.toString('latin1', 0, end).toLowerCase()
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1]
    answer.isChunked = length === undefined && head.includes('\r\ntransfer-encoding: chunked')
    // A server closes after some thousands of requests and says so in the last answer.
    answer.isLast = head.includes('\r\nconnection: close')
    answer.wholeLength = end + HEAD_END.length + Number(length ?? 0)
  }
  if (answer.isChunked) return answer.bytes.subarray(-CHUNKED_END.length).equals(CHUNKED_END)
  return answer.bytes.length >= (answer.wholeLength ?? Infinity)
}
