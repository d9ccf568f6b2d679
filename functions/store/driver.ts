// One atomic batch is the only unit of work (design/architecture.md, State): the same on an embedded
// file, libSQL over HTTP and D1. There are no interactive transactions.

export type Value = null | string | number | Uint8Array

export type Statement = { readonly sql: string; readonly args: readonly Value[] }

export type Row = { readonly [column: string]: Value }

export interface Driver {
  /** Reads in one round trip, from one consistent state. */
  read(statements: readonly Statement[]): Promise<readonly (readonly Row[])[]>
  /**
   * Writes in one round trip, all or nothing, durable when it resolves. Rows come from RETURNING and
   * SELECT. `diagnosis` reads why the first statement changed nothing, in the same batch; its rows come
   * last. A driver that can tell leaves it out, with no rows, when the first statement did change something.
   */
  write(
    statements: readonly Statement[],
    diagnosis?: Statement,
  ): Promise<readonly (readonly Row[])[]>
  /** Whether writes take effect in the order of the calls, so that one may build on another in flight. */
  readonly isOrdered: boolean
  /** Round trips since the start, for tests and metrics. */
  readonly counters: { reads: number; writes: number; reconnects: number }
  close(): Promise<void>
}
