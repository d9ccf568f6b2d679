// Clock, ids, hashing and log lines: what every runtime gets from the same standard APIs.
import { Buffer } from 'node:buffer'
import * as nodeCrypto from 'node:crypto'
import type { LogLevel } from '../config.ts'
import type { Clock, Hashing, Ids, Timers } from '../core/ports.ts'
import type { Platform } from '../platform.ts'

export const systemClock: Clock = {
  nowSeconds: () => Math.floor(Date.now() / 1000),
  nowMs: () => Date.now(),
}

export const systemTimers: Timers = {
  after(ms, work) {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
}

/** 128 random bits: as unguessable as a key, 22 characters of each id. */
const ID_BYTES = 16

/**
 * The time, and then the random bits. Ids made together lie together in every index, which halves what
 * a write costs in a large database; the secret is in the second part alone.
 */
export const randomIds: Ids = {
  fresh: (prefix) => `${prefix}_${sortableTime()}${randomText()}`,
}

/** Milliseconds in nine digits, 0-9a-v, that sort as the time does. */
function sortableTime(): string {
  return Date.now().toString(32).padStart(9, '0')
}

/** Random bytes are fetched for many ids at once: one call costs as much for 16 as for 2,048. */
const pool = { bytes: Buffer.alloc(128 * ID_BYTES), used: 128 * ID_BYTES }

function randomText(): string {
  if (pool.used === pool.bytes.length) {
    crypto.getRandomValues(pool.bytes)
    pool.used = 0
  }
  const from = pool.used
  pool.used += ID_BYTES
  return pool.bytes.toString('base64url', from, pool.used)
}

/** Twice as fast as a hash object for what is hashed once; not every runtime has it. */
const hashOnce: typeof nodeCrypto.hash | undefined = nodeCrypto.hash

export const sha256Hashing: Hashing = {
  sha256Hex: (text) =>
    hashOnce?.('sha256', text, 'hex') ??
    nodeCrypto.createHash('sha256').update(text, 'utf8').digest('hex'),
}

const severity: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** One JSON object a line; lines below `level` are dropped. */
export function jsonLog(level: LogLevel, write: (line: string) => void): Platform['log'] {
  return (lineLevel, message, facts) => {
    if (severity[lineLevel] < severity[level]) return
    write(JSON.stringify({ ...facts, time: new Date().toISOString(), level: lineLevel, message }))
  }
}

/** What may be logged of an unexpected error: never its message, runtimes put header values into it (F6). */
export function errorFacts(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return { error: typeof error }
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return { error: error.name, frames: frames.slice(0, MAX_FRAMES).map((line) => line.trim()) }
}

const MAX_FRAMES = 6
