ALTER TABLE `session` ADD `state_event` text;--> statement-breakpoint
ALTER TABLE `session` ADD `on_behalf_of` text;--> statement-breakpoint
CREATE INDEX `session_by_user` ON `session` (`on_behalf_of`) WHERE "session"."on_behalf_of" IS NOT NULL;