// Keys that sign handles. One per purpose and `active_from` slot, so that isolates that rotate at the
// same time add one key and not several.
import { integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

export const signingKey = sqliteTable(
  'signing_key',
  {
    kid: text('kid').primaryKey(),
    purpose: text('purpose').notNull(),
    publicJwk: text('public_jwk').notNull(),
    sealedPrivateJwk: text('sealed_private_jwk').notNull(),
    createdAt: integer('created_at').notNull(),
    activeFrom: integer('active_from').notNull(),
    retireAt: integer('retire_at').notNull(),
  },
  (table) => [uniqueIndex('signing_key_slot').on(table.purpose, table.activeFrom)],
)
