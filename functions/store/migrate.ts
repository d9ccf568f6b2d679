// Brings a database to the schema of this code. Each migration is one atomic batch that begins with its
// own version row, so that of several processes that start at once exactly one applies it.
import { StoreUnavailable } from '../core/records.ts'
import type { Driver, Row, Statement } from './driver.ts'
import { MIGRATIONS } from './migrations.gen.ts'
import type { Migration } from './migrations.gen.ts'
import { integer, text } from './row.ts'

/** The database was written by newer code, or by other migrations: this code must not touch it. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch'
}

const CREATE_LEDGER = `CREATE TABLE IF NOT EXISTS schema_migration (
  version integer PRIMARY KEY NOT NULL, tag text NOT NULL, sha256 text NOT NULL) STRICT`
const READ_LEDGER = 'SELECT version, tag, sha256 FROM schema_migration ORDER BY version'
const CLAIM = 'INSERT INTO schema_migration (version, tag, sha256) VALUES (?1, ?2, ?3)'

/** A lost race, or a lock held by the process that won it. */
const MAX_ATTEMPTS = 5

/** Returns how many migrations this call applied. */
export async function migrate(
  driver: Driver,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<number> {
  let applied = 0
  for (const migration of migrations.slice(await appliedVersion(driver, migrations)))
    if (await apply(driver, migration, migrations)) applied += 1
  return applied
}

async function apply(
  driver: Driver,
  migration: Migration,
  migrations: readonly Migration[],
): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await driver.write(batchOf(migration))
      return true
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      if ((await appliedVersion(driver, migrations)) >= migration.version) return false
      if (attempt === MAX_ATTEMPTS) throw error
    }
  }
}

function batchOf({ version, tag, sha256, statements }: Migration): readonly Statement[] {
  return [
    { sql: CLAIM, args: [version, tag, sha256] },
    ...statements.map((sql) => ({ sql, args: [] })),
  ]
}

async function appliedVersion(driver: Driver, migrations: readonly Migration[]): Promise<number> {
  const [, ledger = []] = await driver.write([
    { sql: CREATE_LEDGER, args: [] },
    { sql: READ_LEDGER, args: [] },
  ])
  for (const row of ledger) checkKnown(row, migrations)
  return ledger.length
}

function checkKnown(row: Row, migrations: readonly Migration[]): void {
  const version = integer(row, 'version')
  const known = migrations[version - 1]
  if (known === undefined)
    throw new SchemaMismatch(
      `the database has schema version ${version} (${text(row, 'tag')}), newer than this code, ` +
        `which knows ${migrations.length}: run the newer release`,
    )
  if (known.sha256 !== text(row, 'sha256'))
    throw new SchemaMismatch(
      `schema version ${version} of the database (${text(row, 'tag')}) is not the one of this code`,
    )
}
