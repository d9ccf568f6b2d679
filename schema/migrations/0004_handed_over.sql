CREATE TABLE `session_credential` (
	`sha256` text PRIMARY KEY NOT NULL,
	`session_id` text NOT NULL,
	`target` text NOT NULL,
	`expires_at` integer NOT NULL,
	`record` text NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `session_credential_by_session` ON `session_credential` (`session_id`);