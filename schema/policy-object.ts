// Auth Methods, targets and intent policies, whole, as JSON. Bindings have a table of their own,
// because they are found by (auth method, target) with each request.
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const policyObject = sqliteTable(
  'policy_object',
  {
    kind: text('kind').notNull(),
    name: text('name').notNull(),
    document: text('document').notNull(),
    revision: integer('revision').notNull(),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.kind, table.name] })],
)
