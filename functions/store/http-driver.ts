// libSQL over HTTP (Turso, sqld): Workers and Lambda. One batch is one request; there are no
// interactive transactions.
import { createClient } from '@libsql/client/http'
import type { Client, ResultSet } from '@libsql/client/http'
import { STORE_DEADLINE_MS, withinDeadline } from './deadline.ts'
import type { Driver, Row, Statement } from './driver.ts'

export type HttpDriverOptions = {
  /** `libsql:`, `https:` or `http:` */
  readonly url: string
  readonly authToken?: string
  readonly deadlineMs?: number
}

export function createHttpDriver(options: HttpDriverOptions): Driver {
  const deadlineMs = options.deadlineMs ?? STORE_DEADLINE_MS
  const client = createClient({
    url: options.url,
    ...(options.authToken === undefined ? {} : { authToken: options.authToken }),
    // No queue of its own: on Workers one request must not wait for another's to end. Zero would say so,
    // but the client reads it as its default of 20.
    concurrency: Number.MAX_SAFE_INTEGER,
    // A redirect could send the token elsewhere; the abort frees the connection of a request nobody awaits.
    fetch: (request: Request) =>
      fetch(request, { redirect: 'manual', signal: AbortSignal.timeout(deadlineMs) }),
  })
  const counters = { reads: 0, writes: 0, reconnects: 0 }
  const batch = (statements: readonly Statement[], mode: 'read' | 'write') =>
    withinDeadline(deadlineMs, async () => (await send(client, statements, mode)).map(toRows))
  return {
    isOrdered: false,
    counters,
    read(statements) {
      counters.reads += 1
      return batch(statements, 'read')
    },
    write(statements, diagnosis) {
      counters.writes += 1
      return batch(diagnosis === undefined ? statements : [...statements, diagnosis], 'write')
    },
    async close() {
      client.close()
    },
  }
}

function send(client: Client, statements: readonly Statement[], mode: 'read' | 'write') {
  return client.batch(
    statements.map(({ sql, args }) => ({ sql, args: [...args] })),
    mode,
  )
}

function toRows({ columns, rows }: ResultSet): readonly Row[] {
  return rows.map((row) =>
    // The client's values are SQLite values; integers are numbers (its default `intMode`).
    Object.fromEntries(columns.map((column, index) => [column, row[index] as Row[string]])),
  )
}
