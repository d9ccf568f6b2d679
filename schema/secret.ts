// Credentials of targets, sealed under the KEK. Nothing here is readable without it.
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const secret = sqliteTable('secret', {
  name: text('name').primaryKey(),
  sealed: text('sealed').notNull(),
  allowedOrigins: text('allowed_origins').notNull(),
  version: integer('version').notNull(),
  createdAt: integer('created_at').notNull(),
  updatedAt: integer('updated_at').notNull(),
})
