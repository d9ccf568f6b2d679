// libSQL over HTTP for tests: the part of Hrana 2 over HTTP (POST /v2/pipeline, JSON) that libSQL's own
// client uses, in front of an embedded file. A transaction must end in the pipeline that began it.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'

/** What the server does instead of answering. A `late` one does the work, and answers when it is too late. */
export type HranaFault = 'error' | 'hang' | 'reset' | 'late' | null

export type HranaServer = {
  readonly url: string
  /** Pipelines received. */
  readonly requests: number
  /** From now on, until `null`. */
  setFault(fault: HranaFault): void
  close(): Promise<void>
}

type HranaValue =
  | { type: 'null' }
  | { type: 'integer'; value: string }
  | { type: 'float'; value: number }
  | { type: 'text'; value: string }
  | { type: 'blob'; base64: string }
type HranaStatement = { sql?: string; sql_id?: number; args?: HranaValue[]; want_rows?: boolean }
type Condition =
  | { type: 'ok' | 'error'; step: number }
  | { type: 'not'; cond: Condition }
  | { type: 'and' | 'or'; conds: Condition[] }
type Step = { condition?: Condition | null; stmt: HranaStatement }
type HranaRequest =
  | { type: 'execute'; stmt: HranaStatement }
  | { type: 'batch'; batch: { steps: Step[] } }
  | { type: 'sequence'; sql?: string; sql_id?: number }
  | { type: 'store_sql'; sql_id: number; sql: string }
  | { type: 'close_sql'; sql_id: number }
  | { type: 'close' }
type HranaError = { message: string; code: string }

/** What a client may bind in one statement: the smallest limit of the stores we run on (D1). */
const MAX_PARAMETERS = 100

export async function startHranaServer(
  options: { readonly path?: string; readonly token?: string } = {},
): Promise<HranaServer> {
  const folder = options.path === undefined ? mkdtempSync(join(tmpdir(), 'hrana-')) : null
  const database = new HranaDatabase(options.path ?? join(folder ?? '', 'hrana.db'))
  let fault: HranaFault = null
  let requests = 0
  const hanging = new Set<ServerResponse>()
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST' || request.url !== '/v2/pipeline') return send(response, 404, {})
    if (options.token !== undefined && request.headers.authorization !== `Bearer ${options.token}`)
      return send(response, 401, { message: 'unauthorized', code: 'AUTH' })
    const body = await readBody(request)
    requests += 1
    if (fault === 'late') database.pipeline(body)
    if (fault === 'hang' || fault === 'late') return hanging.add(response)
    if (fault === 'reset') return request.socket.resetAndDestroy()
    if (fault === 'error') return send(response, 500, { message: 'injected', code: 'INTERNAL' })
    return send(response, 200, database.pipeline(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    get requests() {
      return requests
    },
    setFault(next) {
      fault = next
    },
    async close() {
      for (const response of hanging) response.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      database.close()
      if (folder !== null) rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

class HranaDatabase {
  readonly #connection: DatabaseSync

  constructor(path: string) {
    this.#connection = new DatabaseSync(path, { timeout: 5000 })
    this.#connection.exec('PRAGMA journal_mode = WAL')
    // Durability is not what these tests are about.
    this.#connection.exec('PRAGMA synchronous = OFF')
  }

  pipeline(body: string) {
    // Sent by libSQL's client, whose protocol this is.
    const { requests } = JSON.parse(body) as { requests: HranaRequest[] }
    const texts = new Map<number, string>()
    const results = requests.map((request) => {
      try {
        return { type: 'ok', response: this.#respond(request, texts) }
      } catch (error) {
        return { type: 'error', error: toHranaError(error) }
      }
    })
    if (this.#connection.isTransaction) this.#connection.exec('ROLLBACK')
    return { baton: null, base_url: null, results }
  }

  close(): void {
    this.#connection.close()
  }

  #respond(request: HranaRequest, texts: Map<number, string>) {
    switch (request.type) {
      case 'execute':
        return { type: 'execute', result: this.#execute(request.stmt, texts) }
      case 'batch':
        return { type: 'batch', result: this.#batch(request.batch.steps, texts) }
      case 'sequence':
        this.#connection.exec(sqlOf(request, texts))
        return { type: 'sequence' }
      case 'store_sql':
        texts.set(request.sql_id, request.sql)
        return { type: 'store_sql' }
      case 'close_sql':
        texts.delete(request.sql_id)
        return { type: 'close_sql' }
      case 'close':
        return { type: 'close' }
      default:
        throw new Error('unknown request')
    }
  }

  #batch(steps: readonly Step[], texts: Map<number, string>) {
    const results: unknown[] = steps.map(() => null)
    const errors: (HranaError | null)[] = steps.map(() => null)
    const holds = (condition: Condition): boolean => {
      switch (condition.type) {
        case 'ok':
          return results[condition.step] !== null
        case 'error':
          return errors[condition.step] !== null
        case 'not':
          return !holds(condition.cond)
        case 'and':
          return condition.conds.every(holds)
        case 'or':
          return condition.conds.some(holds)
      }
    }
    for (const [index, { condition, stmt }] of steps.entries()) {
      if (condition !== null && condition !== undefined && !holds(condition)) continue
      try {
        results[index] = this.#execute(stmt, texts)
      } catch (error) {
        errors[index] = toHranaError(error)
      }
    }
    return { step_results: results, step_errors: errors, replication_index: null }
  }

  #execute(statement: HranaStatement, texts: Map<number, string>) {
    const args = (statement.args ?? []).map(fromHrana)
    if (args.length > MAX_PARAMETERS) throw new Error('too many SQL variables')
    const prepared = this.#connection.prepare(sqlOf(statement, texts))
    prepared.setReadBigInts(true)
    const columns = prepared.columns()
    if (columns.length === 0) {
      const { changes, lastInsertRowid } = prepared.run(...args)
      return {
        cols: [],
        rows: [],
        affected_row_count: Number(changes),
        last_insert_rowid: `${lastInsertRowid}`,
      }
    }
    const cols = columns.map(({ name, type }) => ({ name, decltype: type }))
    prepared.setReturnArrays(true)
    // Each row is an array of SQLite values now, which the types do not say.
    const rows = prepared.all(...args) as unknown as unknown[][]
    return {
      cols,
      rows: statement.want_rows === false ? [] : rows.map((row) => row.map(toHrana)),
      affected_row_count: 0,
      last_insert_rowid: null,
    }
  }
}

function sqlOf(of: { sql?: string; sql_id?: number }, texts: Map<number, string>): string {
  const sql = of.sql ?? (of.sql_id === undefined ? undefined : texts.get(of.sql_id))
  if (sql === undefined) throw new Error('SQL text not found')
  return sql
}

function fromHrana(value: HranaValue): SQLInputValue {
  switch (value.type) {
    case 'null':
      return null
    case 'integer':
      return BigInt(value.value)
    case 'float':
    case 'text':
      return value.value
    case 'blob':
      return Buffer.from(value.base64, 'base64')
  }
}

function toHrana(value: unknown): HranaValue {
  if (value === null || value === undefined) return { type: 'null' }
  if (typeof value === 'bigint') return { type: 'integer', value: String(value) }
  if (typeof value === 'number') return { type: 'float', value }
  if (value instanceof Uint8Array)
    return { type: 'blob', base64: Buffer.from(value).toString('base64') }
  return { type: 'text', value: String(value) }
}

/** Those of sqlite.org/rescode.html that a client tells apart. */
const PRIMARY_CODES: Readonly<Record<number, string>> = {
  5: 'SQLITE_BUSY',
  19: 'SQLITE_CONSTRAINT',
}

/** As sqld reports them: the primary code only, and its prefix. */
function toHranaError(error: unknown): HranaError {
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return { message: `SQLite error: ${message}`, code: PRIMARY_CODES[code] ?? 'SQLITE_ERROR' }
}
