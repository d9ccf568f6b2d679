// Sealed credentials. Nothing here can read one, and no list carries one.
import type { EventDraft } from '../core/audit.ts'
import { ADMIN_CHAIN, HEAD, HEAD_COLUMNS, insertEvent, insertEventWhere } from './audit-log.ts'
import type { AuditLog } from './audit-log.ts'
import type { SealedSecretRow, SecretStore } from './contract.ts'
import { decodeTextCursor, toPage } from './cursor.ts'
import type { Driver, Row } from './driver.ts'
import { first, flag, integer, json, only, text } from './row.ts'

const COLUMNS = 'name, allowed_origins, version, created_at, updated_at'
const READ = `SELECT sealed, ${COLUMNS} FROM secret WHERE name = ?1`
const LIST = `SELECT ${COLUMNS} FROM secret
  WHERE (?1 IS NULL OR name > ?1) ORDER BY name LIMIT ?2`
const PUT = `INSERT INTO secret (name, sealed, allowed_origins, version, created_at, updated_at)
  SELECT ?1, ?2, ?3, 1, ?4, ?4 WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = ?5)
  ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, version = version + 1,
    allowed_origins = excluded.allowed_origins, updated_at = excluded.updated_at
  RETURNING version`
const INSERT_PUT = insertEventWhere(
  '(?9 IS NULL OR coalesce((SELECT version FROM secret WHERE name = ?10), 0) = ?9)',
)
const DIAGNOSE_PUT = `SELECT ${HEAD_COLUMNS},
  coalesce((SELECT version FROM secret WHERE name = ?2), 0) AS version FROM ${HEAD}`
const INSERT_DELETED = insertEventWhere('EXISTS (SELECT 1 FROM secret WHERE name = ?9)')
const DELETE = `DELETE FROM secret
  WHERE name = ?1 AND EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)`
const DIAGNOSE = `SELECT ${HEAD_COLUMNS}, EXISTS (SELECT 1 FROM secret WHERE name = ?2) AS known
  FROM ${HEAD}`
const RESEAL = 'UPDATE secret SET sealed = ?3 WHERE name = ?1 AND sealed = ?2 RETURNING name'

export const SECRET_STATEMENTS = {
  READ,
  LIST,
  PUT,
  INSERT_PUT,
  DIAGNOSE_PUT,
  INSERT_DELETED,
  DELETE,
  DIAGNOSE,
  RESEAL,
}

export function createSecretStore(driver: Driver, log: AuditLog): SecretStore {
  return {
    async get(name) {
      const row = first(await driver.read([{ sql: READ, args: [name] }]), 0)
      return row === null ? null : { ...toListed(row), sealed: text(row, 'sealed') }
    },
    async list({ cursor, limit }) {
      const args = [decodeTextCursor(cursor), limit + 1]
      const [rows = []] = await driver.read([{ sql: LIST, args }])
      return toPage(rows, limit, toListed, (row) => text(row, 'name'))
    },
    put: (row, now, event, version = null) => put(log, row, now, event, version),
    delete: (name, event) => remove(log, name, event),
    async reseal(name, from, to) {
      const [rows = []] = await driver.write([{ sql: RESEAL, args: [name, from, to] }])
      return rows.length === 1
    },
  }
}

function put(
  log: AuditLog,
  { name, sealed, allowedOrigins }: Parameters<SecretStore['put']>[0],
  now: number,
  draft: EventDraft,
  version: number | null,
): ReturnType<SecretStore['put']> {
  return log.append<'created' | 'replaced' | 'changed'>({
    chain: ADMIN_CHAIN,
    draft,
    statements: (event) => [
      insertEvent(INSERT_PUT, event, [version, name]),
      { sql: PUT, args: [name, sealed, JSON.stringify(allowedOrigins), now, draft.id] },
    ],
    diagnosis: { sql: DIAGNOSE_PUT, args: [ADMIN_CHAIN, name] },
    taken: (rows) => (integer(only(rows, 1), 'version') === 1 ? 'created' : 'replaced'),
    refused: (diagnosis) =>
      version === null || integer(diagnosis, 'version') === version ? null : 'changed',
  })
}

function remove(log: AuditLog, name: string, draft: EventDraft): Promise<boolean> {
  return log.append<boolean>({
    chain: ADMIN_CHAIN,
    draft,
    statements: (event) => [
      insertEvent(INSERT_DELETED, event, [name]),
      { sql: DELETE, args: [name, draft.id] },
    ],
    diagnosis: { sql: DIAGNOSE, args: [ADMIN_CHAIN, name] },
    taken: () => true,
    refused: (diagnosis) => (flag(diagnosis, 'known') ? null : false),
  })
}

function toListed(row: Row): Omit<SealedSecretRow, 'sealed'> {
  return {
    name: text(row, 'name'),
    allowedOrigins: json<readonly string[]>(row, 'allowed_origins'),
    version: integer(row, 'version'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  }
}
