// Runs the load generator in its process and sums up what it saw.
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'

export type LoadOrder = {
  readonly baseUrl: string
  /** Whole HTTP/1.1 requests, sent in turn. */
  readonly requests: readonly string[]
  readonly connections: number
  readonly maxSeconds: number
  readonly maxRequests: number
}

export type LoadResult = {
  readonly seconds: number
  readonly latenciesMs: readonly number[]
  /** The first answer that was no success, for the message of a failed run. */
  readonly refusal: string | null
}

export type Figures = {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU time of the measured process, all threads, per request; null where there is no such process. */
  readonly cpuMicros: number | null
}

/** One run against what is warm. `pid` is the process whose CPU time is counted. */
export async function measure(
  order: Omit<LoadOrder, 'maxSeconds' | 'maxRequests'>,
  seconds: number,
  pid: number | null,
): Promise<Figures> {
  const cpuBefore = pid === null ? 0 : cpuMicrosOf(pid)
  const result = await load({ ...order, maxSeconds: seconds, maxRequests: Infinity })
  return figuresOf(result, pid === null ? null : cpuMicrosOf(pid) - cpuBefore)
}

/** A single refusal fails the run: a figure of refusals means nothing. */
export async function load(order: LoadOrder): Promise<LoadResult> {
  const child = fork(new URL('./load.ts', import.meta.url), { serialization: 'advanced' })
  const result = await new Promise<LoadResult>((resolve, reject) => {
    child.once('message', (message) => {
      // The only message that load.ts sends.
      resolve(message as LoadResult)
    })
    child.once('exit', (code) => reject(new Error(`the load generator ended with ${code}`)))
    child.send(order)
  })
  if (result.refusal !== null) throw new Error(`not every answer was a success:\n${result.refusal}`)
  return result
}

export function figuresOf(result: LoadResult, cpuMicros: number | null): Figures {
  const sorted = [...result.latenciesMs].sort((a, b) => a - b)
  const at = (quantile: number) => sorted[Math.floor(quantile * (sorted.length - 1))] ?? NaN
  return {
    requests: sorted.length,
    perSecond: sorted.length / result.seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuMicros: cpuMicros === null ? null : cpuMicros / sorted.length,
  }
}

/** USER_HZ is 100 on every Linux. */
const MICROS_PER_TICK = 10_000

/** User and system time of a process and all its threads (proc(5), stat fields 14 and 15). */
function cpuMicrosOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK
}

export function rssMiBOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024
}
