// The embedded file: group commit, and that what was acknowledged is in the file, whatever happens.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fdatasync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import type { FileDriver } from '../../functions/store/file-driver.ts'
import { migrate } from '../../functions/store/migrate.ts'
import { decisionOf, eventOf, freshId, opening, sessionOf, storesOn } from './values.ts'

const CREATE = { sql: 'CREATE TABLE t (a integer PRIMARY KEY) STRICT', args: [] }
const insert = (a: number) => ({ sql: 'INSERT INTO t VALUES (?1) RETURNING a', args: [a] })

let folder: string
let path: string
let driver: FileDriver
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'file-driver-'))
  path = join(folder, 'store.db')
  driver = createFileDriver({ path, busyTimeoutMs: 20 })
})
afterEach(async () => {
  await driver.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Through a connection of its own, as somebody else would see the file. */
function seen(sql: string): readonly unknown[] {
  const other = new DatabaseSync(path)
  try {
    return other.prepare(sql).all()
  } finally {
    other.close()
  }
}

describe('group commit', () => {
  test('writes that arrive together share a commit, and each gets its own rows', async () => {
    await driver.write([CREATE])
    const before = driver.counters.commits
    const rows = await Promise.all(
      Array.from({ length: 100 }, (_, n) => driver.write([insert(n), insert(n + 1000)])),
    )
    expect(rows[42]).toEqual([[{ a: 42 }], [{ a: 1042 }]])
    expect(driver.counters.commits - before).toBe(1)
  })

  test('a batch that fails fails alone and whole', async () => {
    await driver.write([CREATE])
    const results = await Promise.allSettled([
      driver.write([insert(1)]),
      driver.write([insert(2), insert(1)]),
      driver.write([{ sql: 'INSERT INTO nowhere VALUES (1)', args: [] }]),
      driver.write([insert(3)]),
    ])
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
    ])
    expect(seen('SELECT a FROM t')).toEqual([{ a: 1 }, { a: 3 }])
    expect(driver.counters.reconnects).toBe(0)
  })

  test('AUD-5 beyond the bound of the queue a write is refused at once', async () => {
    const small = createFileDriver({ path, maxQueued: 2 })
    const results = await Promise.allSettled([
      small.write([CREATE]),
      small.write([insert(1)]),
      small.write([insert(2)]),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    await small.close()
    expect(seen('SELECT a FROM t')).toEqual([{ a: 1 }])
  })

  test('what waits when the driver is closed is written, and nothing after', async () => {
    const pending = driver.write([CREATE, insert(7)])
    await driver.close()
    expect(await pending).toEqual([[], [{ a: 7 }]])
    await expect(driver.write([insert(8)])).rejects.toThrow(StoreUnavailable)
    await expect(driver.read([insert(8)])).rejects.toThrow(StoreUnavailable)
    expect(seen('SELECT a FROM t')).toEqual([{ a: 7 }])
  })

  test('AUD-3 a write is acknowledged after its fsync, and those that arrive meanwhile share the next', async () => {
    const waiting: (() => void)[] = []
    const slow = createFileDriver({
      path,
      sync: (fd, done) => {
        waiting.push(() => fdatasync(fd, done))
      },
    })
    const acknowledged: number[] = []
    const write = async (n: number) => {
      await slow.write([insert(n)])
      acknowledged.push(n)
    }
    const synced = async () => {
      await vi.waitUntil(() => waiting.length > 0)
      waiting.shift()?.()
    }
    await Promise.all([slow.write([CREATE]), synced()])
    const first = write(1)
    await vi.waitUntil(() => waiting.length === 1)
    // The others can see it, but nobody was told.
    expect(seen('SELECT a FROM t')).toEqual([{ a: 1 }])
    const rest = [write(2), write(3)]
    expect(acknowledged).toEqual([])
    await Promise.all([first, synced()])
    expect(acknowledged).toEqual([1])
    await Promise.all([...rest, synced()])
    expect(acknowledged).toEqual([1, 2, 3])
    expect(slow.counters.commits).toBe(3)
    await slow.close()
  })

  test('AUD-2 when the disk fails nothing is acknowledged, from then on', async () => {
    let fails = false
    const failing = createFileDriver({
      path,
      sync: (fd, done) => (fails ? done(new Error('EIO')) : fdatasync(fd, done)),
    })
    await failing.write([CREATE])
    fails = true
    await expect(failing.write([insert(1)])).rejects.toThrow(StoreUnavailable)
    fails = false
    await expect(failing.write([insert(2)])).rejects.toThrow('start the broker again')
    expect(await failing.read([{ sql: 'SELECT 1 AS one', args: [] }])).toEqual([[{ one: 1 }]])
    await failing.close()
  })

  test('the log is synced before it is copied into the file', async () => {
    const pragmas = ['synchronous', 'journal_mode', 'foreign_keys'].map((name) => ({
      sql: `PRAGMA ${name}`,
      args: [],
    }))
    expect(await driver.read(pragmas)).toEqual([
      [{ synchronous: 1 }],
      [{ journal_mode: 'wal' }],
      [{ foreign_keys: 1 }],
    ])
  })
})

describe('failure', () => {
  test('AUD-2 a lock held longer than the timeout refuses writes, and none after it is lost', async () => {
    await migrate(driver)
    const stores = storesOn(driver)
    const blocker = new DatabaseSync(path)
    const acknowledged: string[] = []
    for (let round = 0; round < 10; round += 1) {
      blocker.exec('BEGIN IMMEDIATE')
      const blocked = await Promise.allSettled(
        [1, 2, 3].map(() => stores.records.recordDecision(decisionOf(freshId('ses')))),
      )
      for (const one of blocked) expect(one).toMatchObject({ reason: { name: 'StoreUnavailable' } })
      blocker.exec('ROLLBACK')
      for (let n = 0; n < 100; n += 1) {
        const session = sessionOf()
        const decision = decisionOf(session.id, { opens: opening(session) })
        expect(await stores.records.recordDecision(decision)).toBe('recorded')
        acknowledged.push(session.id)
      }
    }
    blocker.close()
    expect(driver.counters.reconnects).toBeGreaterThan(0)
    await driver.close()
    const rows = seen('SELECT id FROM session') as { id: string }[]
    expect(rows.map(({ id }) => id).toSorted()).toEqual(acknowledged.toSorted())
    expect(seen('SELECT count(*) AS n FROM audit_event')).toEqual([{ n: 2000 }])
  })

  test('a commit that fails acknowledges nothing of its group', async () => {
    await driver.write([CREATE])
    await driver.write([
      {
        sql: `CREATE TABLE child (a integer REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED) STRICT`,
        args: [],
      },
    ])
    const orphan = { sql: 'INSERT INTO child VALUES (99)', args: [] }
    const results = await Promise.allSettled([driver.write([insert(1)]), driver.write([orphan])])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(driver.counters.reconnects).toBe(1)
    expect(seen('SELECT a FROM t')).toEqual([])
    await driver.write([insert(2)])
    expect(seen('SELECT a FROM t')).toEqual([{ a: 2 }])
  })

  test('DEP-1 a file that cannot be opened is unavailable, and is opened once it can be', async () => {
    const blocked = join(folder, 'blocked')
    writeFileSync(blocked, 'a file where the folder should be')
    const late = createFileDriver({ path: join(blocked, 'store.db') })
    await expect(late.write([CREATE])).rejects.toThrow(StoreUnavailable)
    await expect(late.read([CREATE])).rejects.toThrow(StoreUnavailable)
    rmSync(blocked)
    mkdirSync(blocked)
    await late.write([CREATE])
    await late.close()
  })
})

describe('other processes', () => {
  const script = fileURLToPath(
    new URL(`../../.cache/test/file-writer-${process.pid}.mjs`, import.meta.url),
  )
  beforeAll(() => {
    const entry = fileURLToPath(new URL('file-writer.ts', import.meta.url))
    buildSync({
      entryPoints: [entry],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    return () => rmSync(script, { force: true })
  })

  /** The acknowledged ids, as they come. */
  function start(count: number, busyTimeoutMs: number) {
    const args = [script, path, String(count), String(busyTimeoutMs)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines: string[] = []
    const exited = new Promise((resolve) => {
      createInterface({ input: child.stdout })
        .on('line', (line) => lines.push(line))
        .on('close', resolve)
    })
    const acknowledged = () => lines.filter((line) => line.startsWith('evt_'))
    return { child, lines, acknowledged, exited }
  }

  async function until(holds: () => boolean, children: readonly ChildProcess[]): Promise<void> {
    while (!holds() && children.some(({ exitCode }) => exitCode === null))
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
  }

  function recorded(): readonly string[] {
    return (seen('SELECT id FROM audit_event') as { id: string }[]).map(({ id }) => id)
  }

  test('AUD-2 of what two processes record under contention all that was acknowledged is there', async () => {
    await migrate(driver)
    const writers = [start(300, 2), start(300, 2)]
    const blocker = new DatabaseSync(path, { timeout: 1000 })
    const running = () => writers.some(({ child }) => child.exitCode === null)
    await until(
      () => writers.every(({ lines }) => lines.includes('ready')),
      writers.map(({ child }) => child),
    )
    while (running()) {
      blocker.exec('BEGIN IMMEDIATE')
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
      blocker.exec('ROLLBACK')
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
    }
    await Promise.all(writers.map(({ exited }) => exited))
    blocker.close()
    const acknowledged = writers.flatMap((writer) => writer.acknowledged())
    const refused = writers.flatMap(({ lines }) => lines.filter((line) => line === 'refused'))
    expect(acknowledged.length + refused.length).toBe(600)
    expect(refused.length).toBeGreaterThan(0)
    expect(recorded().toSorted()).toEqual(acknowledged.toSorted())
  })

  test('AUD-3 what a process acknowledged before kill -9 is there, and the file is whole', async () => {
    await migrate(driver)
    const writer = start(100_000, 1000)
    await until(() => writer.acknowledged().length > 200, [writer.child])
    writer.child.kill('SIGKILL')
    await writer.exited
    const there = new Set(recorded())
    expect(writer.acknowledged().filter((id) => !there.has(id))).toEqual([])
    expect(seen('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
    await storesOn(driver).records.recordRefusal(eventOf('refusal'))
  })
})
