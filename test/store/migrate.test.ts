// Migrations: generated files in step with the schema, applied once, by one process, on every store.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  generatedModule,
  generatedPath,
  migrationFiles,
  strictTables,
} from '../../scripts/generate-migrations.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { migrate, SchemaMismatch } from '../../functions/store/migrate.ts'
import { MIGRATIONS } from '../../functions/store/migrations.gen.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'

test('migrations.gen.ts is what schema/migrations holds (else: node scripts/generate-migrations.ts)', () => {
  expect(readFileSync(generatedPath, 'utf8')).toBe(generatedModule(migrationFiles()))
})

test('every table is STRICT', async () => {
  for (const { sql } of migrationFiles()) expect(strictTables(sql)).toBe(sql)
  const driver = createFileDriver({ path: ':memory:' })
  await migrate(driver)
  const [tables = []] = await driver.read([
    { sql: `SELECT name, strict FROM pragma_table_list WHERE type = 'table'`, args: [] },
  ])
  const loose = tables.filter(
    ({ name, strict }) => strict === 0 && !String(name).startsWith('sqlite_'),
  )
  expect(loose).toEqual([])
  expect(tables.length).toBeGreaterThan(10)
})

describe.each(STORE_KINDS)('migrate on %s', (kind) => {
  let opened: Opened
  beforeAll(async () => {
    opened = await openStore(kind)
  })
  afterAll(() => opened.close())

  test('of several that start at once each migration is applied once', async () => {
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(opened.connect())))
    expect(applied.reduce((sum, one) => sum + one)).toBe(MIGRATIONS.length)
    expect(await migrate(opened.connect())).toBe(0)
  })

  test('a database of newer code is refused, and left as it is', async () => {
    const driver = opened.connect()
    await expect(migrate(driver, MIGRATIONS.slice(0, 1))).rejects.toThrow(SchemaMismatch)
    await expect(migrate(driver, MIGRATIONS.slice(0, 1))).rejects.toThrow(/newer than this code/)
  })

  test('a database with other migrations under the same number is refused', async () => {
    const [first, ...rest] = MIGRATIONS
    if (first === undefined) throw new Error('there are no migrations')
    const changed = [{ ...first, sha256: 'other' }, ...rest]
    await expect(migrate(opened.connect(), changed)).rejects.toThrow(/is not the one of this code/)
  })

  test('a migration that fails leaves nothing of itself', async () => {
    const driver = opened.connect()
    const broken = {
      version: MIGRATIONS.length + 1,
      tag: 'broken',
      sha256: 'x',
      statements: [
        'CREATE TABLE half (a integer) STRICT',
        'CREATE TABLE broken (a nonsense) STRICT',
      ],
    }
    await expect(migrate(driver, [...MIGRATIONS, broken])).rejects.toThrow()
    expect(await migrate(driver)).toBe(0)
    const [tables] = await driver.read([
      { sql: `SELECT name FROM sqlite_master WHERE name = 'half'`, args: [] },
    ])
    expect(tables).toEqual([])
  })
})
