// The embedded libSQL file of one Node process. Concurrent writes share one transaction and one fsync
// (group commit), each in a savepoint of its own. A write is acknowledged after COMMIT and never before;
// a connection that was busy once is not trusted again (reference: libsql-client-ts#352).
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'libsql'
import { StoreUnavailable } from '../core/records.ts'
import type { Driver, Row, Statement } from './driver.ts'

export type FileDriverOptions = {
  /** A file, or `:memory:` for tests. */
  readonly path: string
  /** How long to wait for another process. The wait blocks this one's event loop. */
  readonly busyTimeoutMs?: number
  /** Batches that may wait; the rest are refused at once, so that a slow disk cannot pile up memory. */
  readonly maxQueued?: number
}

export interface FileDriver extends Driver {
  readonly counters: { reads: number; writes: number; reconnects: number; commits: number }
}

type RowSets = readonly (readonly Row[])[]
type PreparedStatement = {
  readonly reader: boolean
  all(args: readonly unknown[]): unknown[]
  run(args: readonly unknown[]): unknown
}
type Prepared = { readonly statement: PreparedStatement; readonly isReader: boolean }
type Pending = {
  readonly statements: readonly Statement[]
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
/** Statements are static text, so that the cache has an end; migrations alone could pass it. */
const MAX_PREPARED = 256

export function createFileDriver(options: FileDriverOptions): FileDriver {
  return new EmbeddedFile(options)
}

class EmbeddedFile implements FileDriver {
  readonly isOrdered = true
  readonly counters = { reads: 0, writes: 0, reconnects: 0, commits: 0 }
  readonly #options: FileDriverOptions
  readonly #maxQueued: number
  readonly #prepared = new Map<string, Prepared>()
  #connection: Database.Database | null = null
  #queue: Pending[] = []
  #scheduled = false
  #closed = false

  constructor(options: FileDriverOptions) {
    this.#options = options
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED
  }

  async read(statements: readonly Statement[]): Promise<RowSets> {
    this.counters.reads += 1
    const outcome = this.#transaction('BEGIN', () => statements.map((one) => this.#run(one)))
    if (outcome.ok) return outcome.rows
    throw new StoreUnavailable('the store did not answer a read', { cause: outcome.cause })
  }

  write(statements: readonly Statement[]): Promise<RowSets> {
    this.counters.writes += 1
    if (this.#closed) return Promise.reject(new StoreUnavailable('the store is closed'))
    if (this.#queue.length >= this.#maxQueued)
      return Promise.reject(new StoreUnavailable('too many writes are waiting for the store'))
    return new Promise((resolve, reject) => {
      this.#queue.push({ statements, resolve, reject })
      this.#schedule()
    })
  }

  async close(): Promise<void> {
    while (this.#queue.length > 0) this.#commitGroup()
    this.#closed = true
    this.#disconnect()
  }

  /** After the callbacks of this turn have run, so that all requests that arrived together share a commit. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#commitGroup()
      if (this.#queue.length > 0) this.#schedule()
    })
  }

  #commitGroup(): void {
    const group = this.#queue.splice(0, MAX_GROUP)
    if (group.length === 0) return
    const outcomes: Outcome[] = []
    const committed = this.#transaction('BEGIN IMMEDIATE', () => {
      for (const { statements } of group) outcomes.push(this.#savepoint(statements))
      return []
    })
    this.counters.commits += 1
    group.forEach(({ resolve, reject }, index) => {
      const outcome = committed.ok ? outcomes[index] : committed
      if (outcome?.ok === true) resolve(outcome.rows)
      else reject(new StoreUnavailable('the store refused a write', { cause: outcome?.cause }))
    })
  }

  /** One batch alone: its failure undoes it and leaves the rest of the group. Throws when the transaction is lost. */
  #savepoint(statements: readonly Statement[]): Outcome {
    const connection = this.#connect()
    connection.exec('SAVEPOINT batch')
    try {
      const rows = statements.map((one) => this.#run(one))
      connection.exec('RELEASE batch')
      return { ok: true, rows }
    } catch (cause) {
      // Some errors (disk full, I/O) end the whole transaction; then nothing of the group may be acknowledged.
      if (isBusy(cause) || !connection.inTransaction) throw cause
      connection.exec('ROLLBACK TO batch')
      connection.exec('RELEASE batch')
      return { ok: false, cause }
    }
  }

  #transaction(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => RowSets): Outcome {
    try {
      const connection = this.#connect()
      connection.exec(begin)
      const rows = work()
      connection.exec('COMMIT')
      return { ok: true, rows }
    } catch (cause) {
      this.#reconnect()
      return { ok: false, cause }
    }
  }

  #run({ sql, args }: Statement): readonly Row[] {
    const { statement, isReader } = this.#prepared.get(sql) ?? this.#prepare(sql)
    // The columns of a row are SQLite values, which is what Row holds.
    if (isReader) return statement.all(args) as Row[]
    statement.run(args)
    return []
  }

  #prepare(sql: string): Prepared {
    const statement: PreparedStatement = this.#connect().prepare(sql)
    // Asked for once: what returns no rows costs half as much where none are looked for.
    const prepared = { statement, isReader: statement.reader }
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear()
    this.#prepared.set(sql, prepared)
    return prepared
  }

  #connect(): Database.Database {
    if (this.#closed) throw new StoreUnavailable('the store is closed')
    this.#connection ??= open(this.#options)
    return this.#connection
  }

  /**
   * After any failure of a transaction. libSQL keeps a statement that met SQLITE_BUSY half open, and later
   * writes on that connection are acknowledged and lost; a new connection is the only cure.
   */
  #reconnect(): void {
    // A database in memory is gone with its connection, and has nobody to be busy with.
    if (this.#options.path === ':memory:') {
      if (this.#connection?.inTransaction === true) this.#connection.exec('ROLLBACK')
      return
    }
    if (this.#connection !== null) this.counters.reconnects += 1
    this.#disconnect()
  }

  #disconnect(): void {
    const connection = this.#connection
    this.#connection = null
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

function rollback(connection: Database.Database): void {
  if (connection.inTransaction) connection.exec('ROLLBACK')
}

function open({ path, busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS }: FileDriverOptions) {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const connection = new Database(path, { timeout: busyTimeoutMs })
  connection.exec('PRAGMA journal_mode = WAL')
  connection.exec('PRAGMA synchronous = FULL')
  connection.exec('PRAGMA foreign_keys = ON')
  connection.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
  return connection
}

function isBusy(cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')
}
