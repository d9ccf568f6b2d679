// Every statement of store/ fits the migrated schema, and those of the two paths find rows by index.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ACTION_STATEMENTS } from '../../functions/store/action-records.ts'
import { APPROVAL_STATEMENTS } from '../../functions/store/approval-store.ts'
import { INSERT_APPROVAL } from '../../functions/store/approval-row.ts'
import { INSERT_EVENT_ALWAYS, INSERT_EVENT_ONCE } from '../../functions/store/audit-log.ts'
import { AUDIT_LIST_BY } from '../../functions/store/audit-store.ts'
import { CREDENTIAL_STATEMENTS } from '../../functions/store/credential-row.ts'
import { EXCHANGE_STATEMENTS } from '../../functions/store/exchange-records.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { migrate } from '../../functions/store/migrate.ts'
import { POLICY_STATEMENTS } from '../../functions/store/policy-store.ts'
import { PURGE_STATEMENTS } from '../../functions/store/purge.ts'
import { SECRET_STATEMENTS } from '../../functions/store/secret-store.ts'
import { INSERT_SESSION, INSERT_SESSION_BINDING } from '../../functions/store/session-row.ts'
import { SESSION_STATEMENTS, SESSION_STATEMENTS_BY } from '../../functions/store/session-store.ts'
import { SINGLE_USE_STATEMENTS } from '../../functions/store/single-use-row.ts'
import { SECURITY_EVENT_STATEMENTS } from '../../functions/store/security-event-records.ts'
import { STATE_STATEMENTS } from '../../functions/store/session-states.ts'
import { SIGNING_KEY_STATEMENTS } from '../../functions/store/signing-key-store.ts'
import { bindingOf, eventOf, storesOn } from './values.ts'

/** What an exchange, an action, a refusal, a review or a revocation of one session runs. */
const HOT = {
  ...EXCHANGE_STATEMENTS,
  ...ACTION_STATEMENTS,
  ...SESSION_STATEMENTS,
  INSERT_EVENT_ALWAYS,
  INSERT_EVENT_ONCE,
  INSERT_SESSION,
  INSERT_SESSION_BINDING,
  INSERT_APPROVAL,
  ...SINGLE_USE_STATEMENTS,
  ...STATE_STATEMENTS,
  ...SECURITY_EVENT_STATEMENTS,
  'audit by origin': AUDIT_LIST_BY.origin,
}

/** Administration that must not read a whole table either. */
const INDEXED = {
  ...HOT,
  ...CREDENTIAL_STATEMENTS,
  ...Object.fromEntries(
    (['identity', 'agent', 'binding', 'target', 'authMethod'] as const).flatMap((finder) =>
      Object.entries(SESSION_STATEMENTS_BY[finder])
        .filter(([name]) => name !== 'LIST')
        .map(([name, sql]) => [`${name} by ${finder}`, sql]),
    ),
  ),
  'audit by decision': AUDIT_LIST_BY.decision,
  'audit by session': AUDIT_LIST_BY.session,
  'audit by type': AUDIT_LIST_BY.type,
  PURGE_SINGLE_USE: PURGE_STATEMENTS.PURGE_SINGLE_USE,
  PURGE_SESSIONS: PURGE_STATEMENTS.PURGE_SESSIONS,
  PURGE_SESSION_BINDINGS: PURGE_STATEMENTS.PURGE_SESSION_BINDINGS,
  PURGE_SESSION_CREDENTIALS: PURGE_STATEMENTS.PURGE_SESSION_CREDENTIALS,
}

const ALL = {
  ...INDEXED,
  ...APPROVAL_STATEMENTS,
  ...Object.fromEntries(
    Object.entries(SESSION_STATEMENTS_BY).flatMap(([finder, statements]) =>
      Object.entries(statements).map(([name, sql]) => [`${name} by ${finder}`, sql]),
    ),
  ),
  'audit, all': AUDIT_LIST_BY.all,
  ...prefixed('policy', POLICY_STATEMENTS),
  ...prefixed('secret', SECRET_STATEMENTS),
  ...prefixed('key', SIGNING_KEY_STATEMENTS),
  ...PURGE_STATEMENTS,
}

function prefixed(prefix: string, statements: Record<string, string>) {
  return Object.fromEntries(Object.entries(statements).map(([k, sql]) => [`${prefix} ${k}`, sql]))
}

const TABLES =
  'approval|a|audit_event|binding|b|policy_object|secret|session|s|session_binding|session_credential|c|signing_key|single_use'
/** A scan of a table, not of a JSON parameter, a constant row or a subquery. */
const FULL_SCAN = new RegExp(`^SCAN (${TABLES})( |$)(?!VIRTUAL TABLE)`)

describe('statements', () => {
  const folder = mkdtempSync(join(tmpdir(), 'statements-'))
  const path = join(folder, 'store.db')
  const driver = createFileDriver({ path })
  let connection: DatabaseSync
  beforeAll(async () => {
    await migrate(driver)
    connection = new DatabaseSync(path)
  })
  afterAll(async () => {
    connection.close()
    await driver.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const planOf = (sql: string): readonly string[] => {
    // The columns of EXPLAIN QUERY PLAN.
    const rows = connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
    return rows.map(({ detail }) => detail)
  }

  test.each(Object.entries(ALL))('%s fits the schema', (_, sql) => {
    expect(() => connection.prepare(sql)).not.toThrow()
  })

  test.each(Object.entries(ALL))('%s binds at most 100 parameters, all of them used', (_, sql) => {
    const numbers = [...sql.matchAll(/\?(\d*)/g)].map(([, number]) => Number(number))
    const highest = Math.max(0, ...numbers)
    expect(highest).toBeLessThanOrEqual(100)
    expect([...new Set(numbers)].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: highest }, (__, index) => index + 1),
    )
  })

  test('a full scan is recognised as one', () => {
    const scans = [POLICY_STATEMENTS.READ_BINDINGS, 'SELECT 1 FROM session s WHERE s.state = ?1']
    for (const sql of scans) expect(planOf(sql).some((one) => FULL_SCAN.test(one))).toBe(true)
  })

  test.each([
    ['identity', 'session_by_identity'],
    ['agent', 'session_by_agent'],
    ['authMethod', 'session_by_auth_method'],
    ['binding', 'session_binding_by_binding'],
    ['target', 'PRIMARY KEY (target=?)'],
  ] as const)('a revocation by %s searches %s', (finder, index) => {
    const { END_ALL, COUNT } = SESSION_STATEMENTS_BY[finder]
    for (const sql of [END_ALL, COUNT]) expect(planOf(sql).join('\n')).toContain(index)
  })

  test('a security event searches its subjects by both of their indexes', () => {
    for (const sql of Object.values(SECURITY_EVENT_STATEMENTS).filter((one) =>
      one.includes('?1)'),
    )) {
      if (!sql.startsWith('UPDATE')) continue
      const plan = planOf(sql).join('\n')
      expect(plan).toContain('session_by_identity')
      expect(plan).toContain('session_by_user')
    }
  })

  test.each(Object.entries(INDEXED))('%s finds its rows by index', (_, sql) => {
    expect(planOf(sql).filter((detail) => FULL_SCAN.test(detail))).toEqual([])
  })

  test('bindings are found by (auth method, target) with 100,000 of them as with none', async () => {
    const { READ_BINDINGS, READ_POLICY_STATE } = EXCHANGE_STATEMENTS
    const hot = [READ_BINDINGS, READ_POLICY_STATE, ACTION_STATEMENTS.READ_CHANGED_BINDINGS]
    const before = hot.map(planOf)
    const changes = Array.from({ length: 100_000 }, (_, n) => {
      const object = bindingOf({ name: `b-${n}`, auth_method: `m-${n % 100}`, target: `t-${n}` })
      return { op: 'put', kind: 'bindings', object } as const
    })
    const stores = storesOn(driver)
    const write = { changes, expectedRevision: 1, event: eventOf('admin') }
    expect(await stores.policy.write(write)).toBe(2)
    await driver.write([{ sql: 'ANALYZE', args: [] }])
    const query = { method: 'm-99', targets: ['t-99999'], approvalHash: null }
    expect((await stores.records.readExchange(query)).bindings).toHaveLength(1)
    expect(hot.map(planOf)).toEqual(before)
    expect(before[0]?.join('\n')).toContain('USING INDEX binding_by_method_and_target')
    expect(before[2]?.join('\n')).toContain('USING INDEX binding_by_method_and_target')
  })
})
