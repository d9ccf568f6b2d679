// Bindings, indexed by what a request knows, so that 100,000 of them cost what 10 do.
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const binding = sqliteTable(
  'binding',
  {
    name: text('name').primaryKey(),
    authMethod: text('auth_method').notNull(),
    target: text('target').notNull(),
    enabled: integer('enabled').notNull(),
    document: text('document').notNull(),
    revision: integer('revision').notNull(),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
  },
  (table) => [index('binding_by_method_and_target').on(table.authMethod, table.target)],
)
