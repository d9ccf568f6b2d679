ALTER TABLE `session` ADD `removed_effects` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `session` ADD `denials` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `session` ADD `ancestors` text;--> statement-breakpoint
ALTER TABLE `session` ADD `root` text;--> statement-breakpoint
CREATE INDEX `session_by_root` ON `session` (`root`) WHERE "session"."root" IS NOT NULL;