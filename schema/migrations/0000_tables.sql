CREATE TABLE `approval` (
	`seq` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`url` text NOT NULL,
	`state` text NOT NULL,
	`action_hash` text NOT NULL,
	`session_id` text,
	`subject` text NOT NULL,
	`expires_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `approval_by_id` ON `approval` (`id`);--> statement-breakpoint
CREATE INDEX `approval_by_action` ON `approval` (`action_hash`,`seq`);--> statement-breakpoint
CREATE INDEX `approval_by_session` ON `approval` (`session_id`,`seq`);--> statement-breakpoint
CREATE TABLE `audit_event` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`chain` text NOT NULL,
	`chain_seq` integer NOT NULL,
	`type` text NOT NULL,
	`decision_id` text NOT NULL,
	`prev_hash` text,
	`hash` text NOT NULL,
	`draft` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `audit_event_by_id` ON `audit_event` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `audit_event_place` ON `audit_event` (`chain`,`chain_seq`);--> statement-breakpoint
CREATE INDEX `audit_event_by_decision` ON `audit_event` (`decision_id`);--> statement-breakpoint
CREATE INDEX `audit_event_by_type` ON `audit_event` (`type`);--> statement-breakpoint
CREATE TABLE `binding` (
	`name` text PRIMARY KEY NOT NULL,
	`auth_method` text NOT NULL,
	`target` text NOT NULL,
	`enabled` integer NOT NULL,
	`document` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE INDEX `binding_by_method_and_target` ON `binding` (`auth_method`,`target`);--> statement-breakpoint
CREATE TABLE `policy_object` (
	`kind` text NOT NULL,
	`name` text NOT NULL,
	`document` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`kind`, `name`)
) STRICT;
--> statement-breakpoint
CREATE TABLE `policy_state` (
	`id` integer PRIMARY KEY NOT NULL,
	`revision` integer NOT NULL,
	`killed` integer NOT NULL,
	CONSTRAINT "policy_state_one_row" CHECK("policy_state"."id" = 1)
) STRICT;
--> statement-breakpoint
CREATE TABLE `secret` (
	`name` text PRIMARY KEY NOT NULL,
	`sealed` text NOT NULL,
	`allowed_origins` text NOT NULL,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE TABLE `session` (
	`seq` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`state` text NOT NULL,
	`identity` text NOT NULL,
	`auth_method` text NOT NULL,
	`agent` text,
	`facts` text NOT NULL,
	`expires_at` integer NOT NULL,
	`policy_revision` integer NOT NULL,
	`used_actions` integer NOT NULL,
	`used_writes` integer NOT NULL,
	`used_rows` integer NOT NULL,
	`used_bytes` integer NOT NULL,
	`minute` integer NOT NULL,
	`minute_actions` integer NOT NULL,
	`reserved_bytes` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `session_by_id` ON `session` (`id`);--> statement-breakpoint
CREATE INDEX `session_by_identity` ON `session` (`identity`);--> statement-breakpoint
CREATE INDEX `session_by_auth_method` ON `session` (`auth_method`);--> statement-breakpoint
CREATE INDEX `session_by_agent` ON `session` (`agent`);--> statement-breakpoint
CREATE INDEX `session_by_expiry` ON `session` (`expires_at`);--> statement-breakpoint
CREATE TABLE `session_binding` (
	`target` text NOT NULL,
	`binding` text NOT NULL,
	`session_id` text NOT NULL,
	PRIMARY KEY(`target`, `binding`, `session_id`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `session_binding_by_binding` ON `session_binding` (`binding`,`session_id`);--> statement-breakpoint
CREATE TABLE `signing_key` (
	`kid` text PRIMARY KEY NOT NULL,
	`purpose` text NOT NULL,
	`public_jwk` text NOT NULL,
	`sealed_private_jwk` text NOT NULL,
	`created_at` integer NOT NULL,
	`active_from` integer NOT NULL,
	`retire_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `signing_key_slot` ON `signing_key` (`purpose`,`active_from`);--> statement-breakpoint
CREATE TABLE `single_use` (
	`key` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `single_use_by_expiry` ON `single_use` (`expires_at`);