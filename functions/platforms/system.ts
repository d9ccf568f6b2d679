// Clock, ids, hashing and log lines: what every runtime gets from the same standard APIs.
import { createHash } from 'node:crypto'
import type { LogLevel } from '../config.ts'
import type { Clock, Hashing, Ids } from '../core/ports.ts'
import type { Platform } from '../platform.ts'

export const systemClock: Clock = {
  nowSeconds: () => Math.floor(Date.now() / 1000),
  nowMs: () => Date.now(),
}

/** 128 random bits: as unguessable as a key, 22 characters long. */
const ID_BYTES = 16

export const randomIds: Ids = {
  fresh: (prefix) => `${prefix}_${base64url(crypto.getRandomValues(new Uint8Array(ID_BYTES)))}`,
}

export const sha256Hashing: Hashing = {
  sha256Hex: (text) => createHash('sha256').update(text, 'utf8').digest('hex'),
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

function base64url(bytes: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...bytes))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
