// Columns of a row, by type. A column of another type is a bug or a damaged database, never a caller's
// mistake: it throws.
import type { Row } from './driver.ts'

export type RowSets = readonly (readonly Row[])[]

export function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new TypeError(`column ${column} is not text`)
  return value
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column)
}

export function integer(row: Row, column: string): number {
  const value = row[column]
  if (typeof value !== 'number') throw new TypeError(`column ${column} is not a number`)
  return value
}

export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column)
}

/** Booleans are 0 and 1 in SQLite. */
export function flag(row: Row, column: string): boolean {
  return integer(row, column) === 1
}

/** A JSON text that this store wrote from a value of type T. */
export function json<T>(row: Row, column: string): T {
  // Holds because writer and reader of the column are in the same file of store/.
  return JSON.parse(text(row, column)) as T
}

/** The only row of the statement at `index`. */
export function only(sets: RowSets, index: number): Row {
  const row = sets[index]?.[0]
  if (row === undefined) throw new TypeError(`statement ${index} returned no row`)
  return row
}

export function first(sets: RowSets, index: number): Row | null {
  return sets[index]?.[0] ?? null
}
