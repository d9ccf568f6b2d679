// A Worker's D1 binding. D1 has batches only, at most 100 bound parameters a statement, and no error
// codes: which is why no statement of store/ relies on any of the three.
import { STORE_DEADLINE_MS, withinDeadline } from './deadline.ts'
import type { Driver, Row, Statement, Value } from './driver.ts'

/** What is used of D1Database, so that this file compiles outside Workers too. */
export interface D1Binding {
  prepare(sql: string): D1Statement
  batch(statements: D1Statement[]): Promise<readonly { readonly results?: readonly unknown[] }[]>
}

export interface D1Statement {
  bind(...values: Value[]): D1Statement
}

export function createD1Driver(
  database: D1Binding,
  { deadlineMs = STORE_DEADLINE_MS }: { readonly deadlineMs?: number } = {},
): Driver {
  const counters = { reads: 0, writes: 0, reconnects: 0 }
  const batch = (statements: readonly Statement[]) =>
    withinDeadline(deadlineMs, async () => {
      const prepared = statements.map(({ sql, args }) => database.prepare(sql).bind(...args))
      const answers = await database.batch(prepared)
      // D1 returns rows as objects of SQLite values.
      return answers.map(({ results }) => (results ?? []) as readonly Row[])
    })
  return {
    isOrdered: false,
    counters,
    read(statements) {
      counters.reads += 1
      return batch(statements)
    },
    write(statements, diagnosis) {
      counters.writes += 1
      return batch(diagnosis === undefined ? statements : [...statements, diagnosis])
    },
    async close() {},
  }
}
