// The audit log. Append-only by trigger; the unique place in its chain makes a fork impossible. `draft`
// is the event as it was hashed, without its place.
import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

export const auditEvent = sqliteTable(
  'audit_event',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').notNull().unique('audit_event_by_id'),
    chain: text('chain').notNull(),
    chainSeq: integer('chain_seq').notNull(),
    type: text('type').notNull(),
    decisionId: text('decision_id').notNull(),
    prevHash: text('prev_hash'),
    hash: text('hash').notNull(),
    draft: text('draft').notNull(),
  },
  (table) => [
    uniqueIndex('audit_event_place').on(table.chain, table.chainSeq),
    index('audit_event_by_decision').on(table.decisionId),
    index('audit_event_by_type').on(table.type),
  ],
)
