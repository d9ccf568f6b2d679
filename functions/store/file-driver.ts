// The embedded file of one Node process, by Node's own SQLite (docs/decisions/0006-node-sqlite.md).
// Concurrent writes share one transaction and one fsync (group commit). The fsync is our own, so that the
// event loop does not wait for the disk: a write is acknowledged after it and never before.
import { closeSync, fdatasync, fdatasyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { StoreUnavailable } from '../core/records.ts'
import type { Driver, Row, Statement } from './driver.ts'

export type FileDriverOptions = {
  /** A file, or `:memory:` for tests. */
  readonly path: string
  /** How long to wait for another process. The wait blocks this one's event loop. */
  readonly busyTimeoutMs?: number
  /** Batches that may wait; the rest are refused at once, so that a slow disk cannot pile up memory. */
  readonly maxQueued?: number
  /** Makes what was written to an open file durable; for tests. */
  readonly sync?: (fd: number, done: (error: Error | null) => void) => void
}

export interface FileDriver extends Driver {
  readonly counters: { reads: number; writes: number; reconnects: number; commits: number }
}

type RowSets = readonly (readonly Row[])[]
type Prepared = { readonly statement: StatementSync; readonly isReader: boolean }
type Batch = {
  readonly statements: readonly Statement[]
  readonly diagnosis: Statement | undefined
}
type Pending = Batch & {
  readonly resolve: (rows: RowSets) => void
  readonly reject: (error: StoreUnavailable) => void
}
type Outcome =
  | { readonly ok: true; readonly rows: RowSets }
  | { readonly ok: false; readonly cause: unknown }

const DEFAULT_BUSY_TIMEOUT_MS = 1000
const DEFAULT_MAX_QUEUED = 4096
/** Batches in one transaction: bounds how long one turn of the event loop may take. */
const MAX_GROUP = 256
/** Pages kept in memory: the upper levels of the indexes of a large log, and what was written of late. */
const CACHE_KIB = 8 * 1024
/** 16 MiB of log before it is copied into the file: pages that change often are then copied once for many writes. */
const CHECKPOINT_PAGES = 4096
/** Statements are static text, so that the cache has an end; migrations alone could pass it. */
const MAX_PREPARED = 256
const NO_ROWS: readonly Row[] = []

export function createFileDriver(options: FileDriverOptions): FileDriver {
  return new EmbeddedFile(options)
}

class EmbeddedFile implements FileDriver {
  readonly isOrdered = true
  readonly counters = { reads: 0, writes: 0, reconnects: 0, commits: 0 }
  readonly #options: FileDriverOptions
  readonly #maxQueued: number
  readonly #prepared = new Map<string, Prepared>()
  #connection: DatabaseSync | null = null
  /** The write-ahead log of the connection, for its fsync. */
  #log: number | null = null
  #queue: Pending[] = []
  #draining: Promise<void> | null = null
  #closing = false
  #closed = false
  /** Set for good: what a disk that failed to write still holds is nothing to reason about. */
  #diskFailure: Error | null = null

  constructor(options: FileDriverOptions) {
    this.#options = options
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED
  }

  async read(statements: readonly Statement[]): Promise<RowSets> {
    this.counters.reads += 1
    const outcome = this.#transaction('BEGIN', (connection) => {
      const rows = statements.map((one) => this.#run(one).rows)
      connection.exec('COMMIT')
      return rows
    })
    if (outcome.ok) return outcome.rows
    throw new StoreUnavailable('the store did not answer a read', { cause: outcome.cause })
  }

  write(statements: readonly Statement[], diagnosis?: Statement): Promise<RowSets> {
    this.counters.writes += 1
    if (this.#closing) return Promise.reject(new StoreUnavailable('the store is closed'))
    if (this.#diskFailure !== null) return Promise.reject(diskFailed(this.#diskFailure))
    if (this.#queue.length >= this.#maxQueued)
      return Promise.reject(new StoreUnavailable('too many writes are waiting for the store'))
    return new Promise((resolve, reject) => {
      this.#queue.push({ statements, diagnosis, resolve, reject })
      this.#draining ??= this.#drain()
    })
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.#draining
    this.#closed = true
    this.#disconnect()
  }

  /**
   * Group by group until nobody waits. A group is what arrived in one turn of the event loop, or while the
   * group before it was on its way to the disk.
   */
  async #drain(): Promise<void> {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, MAX_GROUP)
      const outcomes = await this.#commit(group)
      group.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index]
        if (outcome?.ok === true) resolve(outcome.rows)
        else reject(new StoreUnavailable('the store refused a write', { cause: outcome?.cause }))
      })
    }
    this.#draining = null
  }

  async #commit(group: readonly Batch[]): Promise<readonly Outcome[]> {
    if (this.#diskFailure !== null)
      return group.map(() => ({ ok: false, cause: this.#diskFailure }))
    const outcomes = this.#allTogether(group) ?? this.#eachByItself(group)
    this.counters.commits += 1
    if (!outcomes.some(({ ok }) => ok)) return outcomes
    const failure = await this.#sync(group.length === 1)
    if (failure === null) return outcomes
    this.#diskFailure = failure
    return group.map(() => ({ ok: false, cause: failure }))
  }

  /**
   * What PRAGMA synchronous = FULL does within COMMIT. A frame of the log that is durable makes all before
   * it durable. Off the event loop, but for a write that nobody else waits with: there a change of threads
   * costs about what the disk does.
   */
  async #sync(isAlone: boolean): Promise<Error | null> {
    const { path, sync } = this.#options
    if (path === ':memory:') return null
    try {
      const log = (this.#log ??= openSync(`${path}-wal`, 'r+'))
      if (sync === undefined && isAlone) {
        fdatasyncSync(log)
        return null
      }
      return await new Promise<Error | null>((resolve) => {
        const begin = sync ?? fdatasync
        begin(log, resolve)
      })
    } catch (cause) {
      return cause instanceof Error ? cause : new Error(String(cause))
    }
  }

  /** What nearly always happens: nothing fails. Null, and nothing was done, when a batch of the group does. */
  #allTogether(group: readonly Batch[]): readonly Outcome[] | null {
    const outcomes: Outcome[] = []
    let isRefused = false
    const committed = this.#transaction('BEGIN IMMEDIATE', (connection) => {
      try {
        for (const batch of group) outcomes.push({ ok: true, rows: this.#runBatch(batch) })
        connection.exec('COMMIT')
      } catch (cause) {
        // Some errors (disk full, I/O) end the whole transaction by themselves; others are one batch's own.
        if (isBusy(cause) || !connection.isTransaction || outcomes.length === group.length)
          throw cause
        connection.exec('ROLLBACK')
        isRefused = true
      }
      return []
    })
    if (isRefused) return null
    return committed.ok ? outcomes : group.map(() => committed)
  }

  /** Each batch in a savepoint: its failure undoes it and leaves the rest of the group. */
  #eachByItself(group: readonly Batch[]): readonly Outcome[] {
    const outcomes: Outcome[] = []
    const committed = this.#transaction('BEGIN IMMEDIATE', (connection) => {
      for (const batch of group) outcomes.push(this.#savepoint(connection, batch))
      connection.exec('COMMIT')
      return []
    })
    return committed.ok ? outcomes : group.map(() => committed)
  }

  /** Throws when the transaction is lost. */
  #savepoint(connection: DatabaseSync, batch: Batch): Outcome {
    connection.exec('SAVEPOINT batch')
    try {
      const rows = this.#runBatch(batch)
      connection.exec('RELEASE batch')
      return { ok: true, rows }
    } catch (cause) {
      // Then nothing of the group may be acknowledged.
      if (isBusy(cause) || !connection.isTransaction) throw cause
      connection.exec('ROLLBACK TO batch')
      connection.exec('RELEASE batch')
      return { ok: false, cause }
    }
  }

  #runBatch({ statements, diagnosis }: Batch): RowSets {
    const results = statements.map((one) => this.#run(one))
    const rows = results.map((result) => result.rows)
    if (diagnosis === undefined) return rows
    return [...rows, results[0]?.hasChanged === true ? [] : this.#run(diagnosis).rows]
  }

  /** `work` ends what it began. */
  #transaction(
    begin: 'BEGIN' | 'BEGIN IMMEDIATE',
    work: (connection: DatabaseSync) => RowSets,
  ): Outcome {
    try {
      const connection = this.#connect()
      connection.exec(begin)
      return { ok: true, rows: work(connection) }
    } catch (cause) {
      this.#reconnect()
      return { ok: false, cause }
    }
  }

  #run({ sql, args }: Statement): { readonly rows: readonly Row[]; readonly hasChanged: boolean } {
    const { statement, isReader } = this.#prepared.get(sql) ?? this.#prepare(sql)
    // The columns of a row are SQLite values, which is what Row holds.
    if (isReader) return { rows: statement.all(...args) as readonly Row[], hasChanged: false }
    return { rows: NO_ROWS, hasChanged: statement.run(...args).changes > 0 }
  }

  #prepare(sql: string): Prepared {
    const statement = this.#connect().prepare(sql)
    const prepared = { statement, isReader: statement.columns().length > 0 }
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear()
    this.#prepared.set(sql, prepared)
    return prepared
  }

  #connect(): DatabaseSync {
    if (this.#closed) throw new StoreUnavailable('the store is closed')
    this.#connection ??= open(this.#options)
    return this.#connection
  }

  /** After any failure of a transaction: what state the connection is in is nothing to reason about. */
  #reconnect(): void {
    // A database in memory is gone with its connection, and has nobody to be busy with.
    if (this.#options.path === ':memory:') {
      if (this.#connection?.isTransaction === true) this.#connection.exec('ROLLBACK')
      return
    }
    if (this.#connection !== null) this.counters.reconnects += 1
    this.#disconnect()
  }

  #disconnect(): void {
    const connection = this.#connection
    if (this.#log !== null) closeSync(this.#log)
    this.#connection = null
    this.#log = null
    this.#prepared.clear()
    if (connection === null) return
    // Closing with a transaction open would keep its lock until garbage collection. Either call fails on a
    // connection that is already broken, which is no reason not to open a new one.
    for (const step of [() => rollback(connection), () => connection.close()]) {
      try {
        step()
      } catch (cause) {
        void cause
      }
    }
  }
}

function diskFailed(cause: Error): StoreUnavailable {
  const message = 'the disk did not keep a write; mend it and start the broker again'
  return new StoreUnavailable(message, { cause })
}

function rollback(connection: DatabaseSync): void {
  if (connection.isTransaction) connection.exec('ROLLBACK')
}

function open({ path, busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS }: FileDriverOptions) {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const connection = new DatabaseSync(path, { timeout: busyTimeoutMs })
  connection.exec('PRAGMA journal_mode = WAL')
  // Syncs the log before each checkpoint, and the file after it; the fsync of each commit is #sync.
  connection.exec('PRAGMA synchronous = NORMAL')
  connection.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  connection.exec('PRAGMA foreign_keys = ON')
  connection.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
  return connection
}

/** Primary result codes: the low byte of what node:sqlite reports (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6

function isBusy(cause: unknown): boolean {
  const code = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) & 0xff : 0
  return code === SQLITE_BUSY || code === SQLITE_LOCKED
}
