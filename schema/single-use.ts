// Keys of attestations that may be used once. A key stays until the attestation itself has expired.
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const singleUse = sqliteTable(
  'single_use',
  {
    key: text('key').primaryKey(),
    expiresAt: integer('expires_at').notNull(),
  },
  (table) => [index('single_use_by_expiry').on(table.expiresAt)],
)
