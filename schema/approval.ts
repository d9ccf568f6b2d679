// Approvals: one action, once. `used` is reached only in the write that records the action.
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const approval = sqliteTable(
  'approval',
  {
    seq: integer('seq').primaryKey(),
    id: text('id').notNull().unique('approval_by_id'),
    url: text('url').notNull(),
    state: text('state', { enum: ['pending', 'approved', 'denied', 'used'] }).notNull(),
    actionHash: text('action_hash').notNull(),
    sessionId: text('session_id'),
    subject: text('subject').notNull(),
    expiresAt: integer('expires_at').notNull(),
  },
  (table) => [
    index('approval_by_action').on(table.actionHash, table.seq),
    index('approval_by_session').on(table.sessionId, table.seq),
  ],
)
