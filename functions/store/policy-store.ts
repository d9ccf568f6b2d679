// Policy objects. Every write is one batch on exactly the revision it was planned on, and makes the next.
import type { EventDraft } from '../core/audit.ts'
import type {
  AuthMethodPolicy,
  IntentPolicy,
  PolicyDocument,
  PolicyKind,
  TargetPolicy,
} from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import {
  ADMIN_CHAIN,
  HEAD,
  HEAD_COLUMNS,
  insertEvent,
  INSERT_EVENT_ALWAYS,
  insertEventWhere,
} from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type {
  Page,
  PolicyObject,
  PolicyStore,
  PolicyWrite,
  StoredPolicyObject,
} from './contract.ts'
import { decodeTextCursor, toPage } from './cursor.ts'
import type { Driver, Row } from './driver.ts'
import { changeStatements, CHANGE_STATEMENTS } from './policy-change.ts'
import { first, flag, integer, json, only, text } from './row.ts'

const READ_REVISION = 'SELECT revision FROM policy_state WHERE id = 1'
const READ_OBJECTS = 'SELECT kind, document FROM policy_object ORDER BY kind, name'
const READ_BINDINGS = 'SELECT document FROM binding ORDER BY name'
const VERSIONED = 'name, document, revision, created_at, updated_at'
const GET_OBJECT = `SELECT ${VERSIONED} FROM policy_object WHERE kind = ?1 AND name = ?2`
const GET_BINDING = `SELECT ${VERSIONED} FROM binding WHERE name = ?1`
const LIST_OBJECTS = `SELECT ${VERSIONED} FROM policy_object
  WHERE kind = ?1 AND name > coalesce(?2, '') ORDER BY name LIMIT ?3`
const LIST_BINDINGS = `SELECT ${VERSIONED} FROM binding
  WHERE name > coalesce(?1, '') ORDER BY name LIMIT ?2`

const INSERT_CHANGED = insertEventWhere('(SELECT revision FROM policy_state WHERE id = 1) = ?9')
const NEXT_REVISION = `UPDATE policy_state SET revision = revision + 1
  WHERE id = 1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?1) RETURNING revision`
const SET_KILLED = `UPDATE policy_state SET revision = revision + 1, killed = ?2
  WHERE id = 1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?1) RETURNING revision`
const DIAGNOSE = `SELECT ${HEAD_COLUMNS},
  (SELECT revision FROM policy_state WHERE id = 1) = ?2 AS revision_holds
  FROM ${HEAD}`

export const POLICY_STATEMENTS = {
  READ_REVISION,
  READ_OBJECTS,
  READ_BINDINGS,
  GET_OBJECT,
  GET_BINDING,
  LIST_OBJECTS,
  LIST_BINDINGS,
  INSERT_CHANGED,
  NEXT_REVISION,
  SET_KILLED,
  DIAGNOSE,
  ...CHANGE_STATEMENTS,
}

export function createPolicyStore(deps: {
  readonly driver: Driver
  readonly log: AuditLog
  readonly clock: Clock
}): PolicyStore {
  const { driver, log, clock } = deps
  return {
    readSnapshot: () => readSnapshot(driver),
    readDocument: () => readDocument(driver),
    async readRevision() {
      return integer(only(await driver.read([{ sql: READ_REVISION, args: [] }]), 0), 'revision')
    },
    get: (kind, name) => get(driver, kind, name),
    list: (kind, page) => list(driver, kind, page),
    async write(write) {
      return (await applyChanges(log, clock.nowSeconds(), write)).revision
    },
    setKilled: (killed, event) => setKilled(log, killed, event),
  }
}

type Snapshot = Awaited<ReturnType<PolicyStore['readSnapshot']>>

async function readSnapshot(driver: Driver): Promise<Snapshot> {
  const rows = await driver.read([
    { sql: READ_REVISION, args: [] },
    { sql: READ_OBJECTS, args: [] },
  ])
  return { revision: integer(only(rows, 0), 'revision'), document: toDocument(rows[1] ?? []) }
}

async function readDocument(driver: Driver) {
  const rows = await driver.read([
    { sql: READ_REVISION, args: [] },
    { sql: READ_OBJECTS, args: [] },
    { sql: READ_BINDINGS, args: [] },
  ])
  const bindings = (rows[2] ?? []).map((row) =>
    json<PolicyDocument['bindings'][number]>(row, 'document'),
  )
  const revision = integer(only(rows, 0), 'revision')
  return { revision, document: { ...toDocument(rows[1] ?? []), bindings } }
}

function toDocument(rows: readonly Row[]): Omit<PolicyDocument, 'bindings'> {
  const of = <T>(kind: PolicyKind) =>
    rows.filter((row) => text(row, 'kind') === kind).map((row) => json<T>(row, 'document'))
  return {
    auth_methods: of<AuthMethodPolicy>('auth_methods'),
    targets: of<TargetPolicy>('targets'),
    intent_policies: of<IntentPolicy>('intent_policies'),
  }
}

async function get(
  driver: Driver,
  kind: PolicyKind,
  name: string,
): Promise<StoredPolicyObject | null> {
  const statement =
    kind === 'bindings'
      ? { sql: GET_BINDING, args: [name] }
      : { sql: GET_OBJECT, args: [kind, name] }
  const row = first(await driver.read([statement]), 0)
  return row === null ? null : toStored(row)
}

async function list(
  driver: Driver,
  kind: PolicyKind,
  { cursor, limit }: { readonly cursor: string | null; readonly limit: number },
): Promise<Page<StoredPolicyObject>> {
  const after = decodeTextCursor(cursor)
  const statement =
    kind === 'bindings'
      ? { sql: LIST_BINDINGS, args: [after, limit + 1] }
      : { sql: LIST_OBJECTS, args: [kind, after, limit + 1] }
  const [rows = []] = await driver.read([statement])
  return toPage(rows, limit, toStored, (row) => text(row, 'name'))
}

function toStored(row: Row): StoredPolicyObject {
  return {
    object: json<PolicyObject>(row, 'document'),
    etag: String(integer(row, 'revision')),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  }
}

type Written = { readonly revision: number | null }

function applyChanges(log: AuditLog, now: number, write: PolicyWrite): Promise<Written> {
  const { event: draft, expectedRevision, changes } = write
  const written = changeStatements(changes, {
    revision: expectedRevision + 1,
    now,
    eventId: draft.id,
  })
  return log.append<Written>({
    chain: ADMIN_CHAIN,
    draft,
    statements: (event) => [
      insertEvent(INSERT_CHANGED, event, [expectedRevision]),
      { sql: NEXT_REVISION, args: [draft.id] },
      ...written,
    ],
    diagnosis: { sql: DIAGNOSE, args: [ADMIN_CHAIN, expectedRevision] },
    taken: (rows) => ({ revision: integer(only(rows, 1), 'revision') }),
    refused: (diagnosis) => (flag(diagnosis, 'revision_holds') ? null : { revision: null }),
  })
}

function setKilled(log: AuditLog, killed: boolean, draft: EventDraft): Promise<number> {
  return log.append<number>({
    chain: ADMIN_CHAIN,
    draft,
    statements: (event) => [
      insertEvent(INSERT_EVENT_ALWAYS, event),
      { sql: SET_KILLED, args: [draft.id, killed ? 1 : 0] },
    ],
    taken: (rows) => integer(only(rows, 1), 'revision'),
  })
}
