// Credentials that were handed over, by their hash: what a revocation by the credential itself finds its
// session with, and what is still out when a session ends. Never the credential.
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const sessionCredential = sqliteTable(
  'session_credential',
  {
    sha256: text('sha256').primaryKey(),
    sessionId: text('session_id').notNull(),
    target: text('target').notNull(),
    expiresAt: integer('expires_at').notNull(),
    // What whoever minted it says of it, as JSON.
    record: text('record').notNull(),
  },
  (table) => [index('session_credential_by_session').on(table.sessionId)],
)
