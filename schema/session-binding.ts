// Which targets a session reaches, and through which bindings: what a revocation by target or binding
// searches. Written once, with the session.
import { index, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const sessionBinding = sqliteTable(
  'session_binding',
  {
    target: text('target').notNull(),
    binding: text('binding').notNull(),
    sessionId: text('session_id').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.target, table.binding, table.sessionId] }),
    index('session_binding_by_binding').on(table.binding, table.sessionId),
  ],
)
