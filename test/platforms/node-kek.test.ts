// The key file: made once, private, whole, and never made anew for an old store.
import { chmodSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { loadOrCreateKek } from '../../functions/platforms/node-kek.ts'

function databasePath(): string {
  return join(mkdtempSync(join(tmpdir(), 'sallyport-kek-')), 'deep', 'sallyport.db')
}

test('makes a key that only its owner can read, and keeps it', () => {
  const path = databasePath()
  const key = loadOrCreateKek(path)
  expect(key).toHaveLength(32)
  expect(loadOrCreateKek(path)).toEqual(key)
  expect(statSync(`${path}.kek`).mode & 0o777).toBe(0o600)
  expect(readdirSync(dirname(path))).toEqual(['sallyport.db.kek'])
})

test('makes no new key for a store that has lost its key', () => {
  const path = databasePath()
  loadOrCreateKek(path)
  const other = join(dirname(path), 'other.db')
  writeFileSync(other, 'SQLite format 3')
  expect(() => loadOrCreateKek(other)).toThrow('exists without its key')
})

test('refuses a key that others can read, and one that is no key', () => {
  const path = databasePath()
  loadOrCreateKek(path)
  chmodSync(`${path}.kek`, 0o644)
  expect(() => loadOrCreateKek(path)).toThrow('can be read by others')
  writeFileSync(`${path}.kek`, 'short')
  chmodSync(`${path}.kek`, 0o600)
  expect(() => loadOrCreateKek(path)).toThrow('32 bytes')
})

test('processes that start at once end up with one key', async () => {
  const path = databasePath()
  const source = new URL('../../functions/platforms/node-kek.ts', import.meta.url).href
  const script = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.source).then(({ loadOrCreateKek }) =>
      parentPort.postMessage(Buffer.from(loadOrCreateKek(workerData.path)).toString('hex')))`
  const keys = await Promise.all(
    Array.from(
      { length: 4 },
      async () =>
        new Promise<string>((resolve, reject) => {
          const worker = new Worker(script, { eval: true, workerData: { source, path } })
          worker.on('message', resolve)
          worker.on('error', reject)
        }),
    ),
  )
  expect(new Set(keys).size).toBe(1)
})
