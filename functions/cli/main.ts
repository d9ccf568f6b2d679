#!/usr/bin/env node
// The executable `sallyport`: the real process around program.ts.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { runChild } from './child.ts'
import { type CliIo, usage } from './io.ts'
import { createPrivate, readPrivate } from './private-file.ts'
import { run } from './program.ts'

const io: CliIo = {
  env: (name) => process.env[name],
  fetch: globalThis.fetch,
  nowMs: () => Date.now(),
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  async readText(path) {
    try {
      return path === '-' ? await text(process.stdin) : await readFile(path, 'utf8')
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
      throw usage(`${path} cannot be read (${code})`)
    }
  },
  async confirm(question) {
    if (!process.stdin.isTTY) return null
    const terminal = createInterface({ input: process.stdin, output: process.stderr })
    try {
      return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
    } finally {
      terminal.close()
    }
  },
  sleep: (ms) => sleep(ms),
  readPrivate,
  createPrivate,
  runChild,
}

process.exitCode = await run(process.argv.slice(2), io)
