// Makes functions/store/migrations.gen.ts from schema/migrations, so that a bundle without a file
// system can migrate. Run after `drizzle-kit generate`, which knows no STRICT tables: they are made
// strict here, in the SQL files themselves. `--check` writes nothing and fails when something is stale.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}schema/migrations`
export const generatedPath = `${root}functions/store/migrations.gen.ts`

/** Without a rowid a table is its own index: one tree to write instead of two. */
const WITHOUT_ROWID = new Set(['session_binding', 'session_credential', 'single_use'])

type Journal = { readonly entries: readonly { readonly idx: number; readonly tag: string }[] }

/** Adds STRICT to every CREATE TABLE that lacks it. */
export function strictTables(sql: string): string {
  return sql.replace(/(CREATE TABLE `(\w+)` \([^]*?\n\))(;)/g, (_, table: string, name: string) =>
    WITHOUT_ROWID.has(name) ? `${table} STRICT, WITHOUT ROWID;` : `${table} STRICT;`,
  )
}

export type MigrationFile = { readonly path: string; readonly tag: string; readonly sql: string }

export function migrationFiles(): readonly MigrationFile[] {
  // The journal is written by drizzle-kit, whose shape this is.
  const journal = JSON.parse(readFileSync(`${folder}/meta/_journal.json`, 'utf8')) as Journal
  return journal.entries.map(({ tag }) => {
    const path = `${folder}/${tag}.sql`
    return { path, tag, sql: readFileSync(path, 'utf8') }
  })
}

/** The text of migrations.gen.ts. */
export function generatedModule(files: readonly MigrationFile[]): string {
  const migrations = files.map(({ tag, sql }, index) => ({
    version: index + 1,
    tag,
    sha256: createHash('sha256').update(strictTables(sql)).digest('hex'),
    statements: strictTables(sql)
      .split('--> statement-breakpoint')
      .map((statement) => statement.trim())
      .filter((statement) => statement !== ''),
  }))
  return `// Generated from schema/migrations by scripts/generate-migrations.ts. Do not edit.
export type Migration = {
  readonly version: number
  readonly tag: string
  readonly sha256: string
  readonly statements: readonly string[]
}

export const MIGRATIONS: readonly Migration[] = ${JSON.stringify(migrations, null, 2)}
`
}

function main(): void {
  const files = migrationFiles()
  const loose = files.filter(({ sql }) => strictTables(sql) !== sql)
  const stale = readCurrent() !== generatedModule(files)
  if (process.argv.includes('--check')) {
    if (loose.length > 0 || stale) {
      console.error('migrations are stale: run node scripts/generate-migrations.ts')
      process.exitCode = 1
    }
    return
  }
  for (const { path, sql } of loose) writeFileSync(path, strictTables(sql))
  writeFileSync(generatedPath, generatedModule(files))
}

function readCurrent(): string {
  try {
    return readFileSync(generatedPath, 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.main) main()
