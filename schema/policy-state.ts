// One row: the revision of the policy and the kill switch. Every decision is recorded on a revision.
import { sql } from 'drizzle-orm'
import { check, integer, sqliteTable } from 'drizzle-orm/sqlite-core'

export const policyState = sqliteTable(
  'policy_state',
  {
    id: integer('id').primaryKey(),
    revision: integer('revision').notNull(),
    killed: integer('killed').notNull(),
  },
  (table) => [check('policy_state_one_row', sql`${table.id} = 1`)],
)
