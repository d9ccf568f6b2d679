// Sessions. What never changes is one JSON text; state and usage are columns, because one
// conditional UPDATE judges and spends them.
import { sql } from 'drizzle-orm'
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const session = sqliteTable(
  'session',
  {
    seq: integer('seq').primaryKey(),
    id: text('id').notNull().unique('session_by_id'),
    state: text('state', { enum: ['active', 'narrowed', 'suspended', 'ended'] }).notNull(),
    // Copies of members of `facts`, to search by.
    identity: text('identity').notNull(),
    authMethod: text('auth_method').notNull(),
    agent: text('agent'),
    facts: text('facts').notNull(),
    expiresAt: integer('expires_at').notNull(),
    policyRevision: integer('policy_revision').notNull(),
    usedActions: integer('used_actions').notNull(),
    usedWrites: integer('used_writes').notNull(),
    usedRows: integer('used_rows').notNull(),
    usedBytes: integer('used_bytes').notNull(),
    // The fixed window of the limit `per_minute`: number of the minute since the epoch, actions in it.
    minute: integer('minute').notNull(),
    minuteActions: integer('minute_actions').notNull(),
    // What the last action reserved; the UPDATE that reserves returns it.
    reservedBytes: integer('reserved_bytes').notNull(),
    // What may happen to a session after it opened: effects taken away, refusals counted.
    removedEffects: text('removed_effects').notNull().default('[]'),
    denials: integer('denials').notNull().default(0),
    // The audit event that last changed `state`: why it is what it is.
    stateEvent: text('state_event'),
    // The user whom it acts for, `{auth_method}:{subject}`; a copy out of `facts`, to search by.
    onBehalfOf: text('on_behalf_of'),
    // Of a sub-agent: JSON array of session ids, root first; and the root again, to search by.
    ancestors: text('ancestors'),
    root: text('root'),
  },
  (table) => [
    index('session_by_identity').on(table.identity),
    index('session_by_auth_method').on(table.authMethod),
    index('session_by_agent').on(table.agent),
    index('session_by_expiry').on(table.expiresAt),
    index('session_by_user')
      .on(table.onBehalfOf)
      .where(sql`${table.onBehalfOf} IS NOT NULL`),
    index('session_by_root')
      .on(table.root)
      .where(sql`${table.root} IS NOT NULL`),
  ],
)
