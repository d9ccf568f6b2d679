// The one writer of audit events. An event is appended only behind the head it was chained on, in the
// same atomic batch as what it records: no fork, no gap, nothing done without its event.
import { chainEvent, EMPTY_CHAIN } from '../core/audit.ts'
import type { ChainedEvent, ChainHead, EventDraft } from '../core/audit.ts'
import type { Hashing } from '../core/ports.ts'
import { StoreUnavailable } from '../core/records.ts'
import { ChainHeads, Lanes } from './audit-chain.ts'
import type { Driver, Row, Statement, Value } from './driver.ts'
import { integerOrNull, textOrNull } from './row.ts'
import type { RowSets } from './row.ts'

/** The chain of everything that administration does. */
export const ADMIN_CHAIN = 'admin'

/**
 * Other isolates may append to the same chain, and one that appends without a break wins every time; the
 * others wait until it rests. Each attempt is one round trip.
 */
const MAX_ATTEMPTS = 100
/** Losses after which an append waits a little before it tries again. */
const PATIENT_AFTER = 3
const MAX_PAUSE_MS = 50

/** Parameters ?1 to ?8 of every insert of an event; a guard's own begin at ?9. */
const INSERT_EVENT = `INSERT INTO audit_event
  (id, chain, chain_seq, type, decision_id, prev_hash, hash, draft)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8`
const BEHIND_HEAD = `
  (SELECT hash FROM audit_event WHERE chain = ?2 ORDER BY chain_seq DESC LIMIT 1) IS ?6`
const IS_THERE = 'EXISTS (SELECT 1 FROM audit_event WHERE id = ?1)'

/**
 * The SQL of an append that also needs `guard`, a constant, to hold. An id that is in the log already is
 * not skipped but attempted, which aborts the batch: what follows it relies on the id being new.
 */
export function insertEventWhere(guard: string): string {
  return `${INSERT_EVENT} WHERE (${BEHIND_HEAD} AND ${guard}) OR ${IS_THERE}`
}

export const INSERT_EVENT_ALWAYS = insertEventWhere('1')

/** For what may be repeated: the second time it does nothing. */
export const INSERT_EVENT_ONCE = `${INSERT_EVENT} WHERE ${BEHIND_HEAD} AND NOT ${IS_THERE}`

/** For the diagnosis: one row, the head of chain ?1 after the batch. It is the new event, if it was taken. */
export const HEAD = `(SELECT 1) AS one LEFT JOIN (SELECT chain_seq, hash FROM audit_event
  WHERE chain = ?1 ORDER BY chain_seq DESC LIMIT 1) AS head`
export const HEAD_COLUMNS = 'head.chain_seq AS head_seq, head.hash AS head_hash'

const READ_HEAD = `SELECT ${HEAD_COLUMNS} FROM ${HEAD}`

export function insertEvent(
  sql: string,
  event: ChainedEvent,
  guardArgs: readonly Value[] = [],
): Statement {
  const { chain, chain_seq, prev_hash, hash, ...draft } = event
  return {
    sql,
    args: [
      event.id,
      chain,
      chain_seq,
      event.type,
      event.decision_id,
      prev_hash,
      hash,
      JSON.stringify(draft),
      ...guardArgs,
    ],
  }
}

export type Append<T> = {
  readonly chain: string
  readonly draft: EventDraft
  /** Chained on `draft` in the same batch: both are taken, or neither. */
  readonly next?: EventDraft
  /**
   * The batch: INSERT_EVENT, then what it records, conditional on the event's id being there. The first
   * changes something exactly when the event is taken.
   */
  readonly statements: (event: ChainedEvent, next: ChainedEvent | null) => readonly Statement[]
  /** One row with HEAD_COLUMNS and what `refused` needs; by default the head alone. */
  readonly diagnosis?: Statement
  readonly taken: (rows: RowSets) => T
  /** Why the event is not there; null, as by default, when only the head can have moved. */
  readonly refused?: (diagnosis: Row) => T | null
}

export interface AuditLog {
  append<T>(append: Append<T>): Promise<T>
  /** Notes a head that was read along with something else. */
  noteHead(chain: string, head: ChainHead): void
}

export function createAuditLog(driver: Driver, hashing: Hashing): AuditLog {
  const heads = new ChainHeads()
  const lanes = new Lanes()
  const appendNow = <T>(append: Append<T>) => appendBehindHead(driver, hashing, heads, append)
  return {
    append: (append) =>
      driver.isOrdered ? appendNow(append) : lanes.enter(append.chain, () => appendNow(append)),
    noteHead: (chain, head) => heads.note(chain, head),
  }
}

async function appendBehindHead<T>(
  driver: Driver,
  hashing: Hashing,
  heads: ChainHeads,
  append: Append<T>,
): Promise<T> {
  const { chain, diagnosis = { sql: READ_HEAD, args: [chain] } } = append
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const place = heads.place(chain)
    let found: ChainHead | null = null
    let taken = false
    try {
      const event = chainEvent(append.draft, chain, place.behind, hashing)
      const next =
        append.next === undefined ? null : chainEvent(append.next, chain, headAt(event), hashing)
      const tip = headAt(next ?? event)
      heads.advance(chain, tip)
      const statements = append.statements(event, next)
      const rows = await driver.write(statements, diagnosis)
      const answered = rows[statements.length]
      if (answered === undefined)
        throw new StoreUnavailable('a write came back without its diagnosis')
      const [why] = answered
      found = why === undefined ? tip : headOf(why)
      taken = found.hash === tip.hash
      if (taken) return append.taken(rows)
      const refusal = why === undefined || append.refused === undefined ? null : append.refused(why)
      if (refusal !== null) return refusal
    } finally {
      heads.settle(chain, place, found, taken)
    }
    if (found.hash === place.behind.hash) throw new StoreUnavailable('an event was not taken')
    if (attempt > PATIENT_AFTER) await pause(Math.random() * MAX_PAUSE_MS)
  }
  throw new StoreUnavailable('the audit chain is too busy')
}

function headAt({ chain_seq: seq, hash }: ChainedEvent): ChainHead {
  return { seq, hash }
}

export function headOf(row: Row): ChainHead {
  const seq = integerOrNull(row, 'head_seq')
  return seq === null ? EMPTY_CHAIN : { seq, hash: textOrNull(row, 'head_hash') }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
