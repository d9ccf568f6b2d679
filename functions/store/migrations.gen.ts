// Generated from schema/migrations by scripts/generate-migrations.ts. Do not edit.
export type Migration = {
  readonly version: number
  readonly tag: string
  readonly sha256: string
  readonly statements: readonly string[]
}

export const MIGRATIONS: readonly Migration[] = [
  {
    "version": 1,
    "tag": "0000_tables",
    "sha256": "06596661f0dd1e799b5bd82b16628337b0dd362ed967498b59eb0cc91e1db2ea",
    "statements": [
      "CREATE TABLE `approval` (\n\t`seq` integer PRIMARY KEY NOT NULL,\n\t`id` text NOT NULL,\n\t`url` text NOT NULL,\n\t`state` text NOT NULL,\n\t`action_hash` text NOT NULL,\n\t`session_id` text,\n\t`subject` text NOT NULL,\n\t`expires_at` integer NOT NULL\n) STRICT;",
      "CREATE UNIQUE INDEX `approval_by_id` ON `approval` (`id`);",
      "CREATE INDEX `approval_by_action` ON `approval` (`action_hash`,`seq`);",
      "CREATE INDEX `approval_by_session` ON `approval` (`session_id`,`seq`);",
      "CREATE TABLE `audit_event` (\n\t`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`id` text NOT NULL,\n\t`chain` text NOT NULL,\n\t`chain_seq` integer NOT NULL,\n\t`type` text NOT NULL,\n\t`decision_id` text NOT NULL,\n\t`prev_hash` text,\n\t`hash` text NOT NULL,\n\t`draft` text NOT NULL\n) STRICT;",
      "CREATE UNIQUE INDEX `audit_event_by_id` ON `audit_event` (`id`);",
      "CREATE UNIQUE INDEX `audit_event_place` ON `audit_event` (`chain`,`chain_seq`);",
      "CREATE INDEX `audit_event_by_decision` ON `audit_event` (`decision_id`);",
      "CREATE INDEX `audit_event_by_type` ON `audit_event` (`type`);",
      "CREATE TABLE `binding` (\n\t`name` text PRIMARY KEY NOT NULL,\n\t`auth_method` text NOT NULL,\n\t`target` text NOT NULL,\n\t`enabled` integer NOT NULL,\n\t`document` text NOT NULL,\n\t`revision` integer NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`updated_at` integer NOT NULL\n) STRICT;",
      "CREATE INDEX `binding_by_method_and_target` ON `binding` (`auth_method`,`target`);",
      "CREATE TABLE `policy_object` (\n\t`kind` text NOT NULL,\n\t`name` text NOT NULL,\n\t`document` text NOT NULL,\n\t`revision` integer NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`updated_at` integer NOT NULL,\n\tPRIMARY KEY(`kind`, `name`)\n) STRICT;",
      "CREATE TABLE `policy_state` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`revision` integer NOT NULL,\n\t`killed` integer NOT NULL,\n\tCONSTRAINT \"policy_state_one_row\" CHECK(\"policy_state\".\"id\" = 1)\n) STRICT;",
      "CREATE TABLE `secret` (\n\t`name` text PRIMARY KEY NOT NULL,\n\t`sealed` text NOT NULL,\n\t`allowed_origins` text NOT NULL,\n\t`version` integer NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`updated_at` integer NOT NULL\n) STRICT;",
      "CREATE TABLE `session` (\n\t`seq` integer PRIMARY KEY NOT NULL,\n\t`id` text NOT NULL,\n\t`state` text NOT NULL,\n\t`identity` text NOT NULL,\n\t`auth_method` text NOT NULL,\n\t`agent` text,\n\t`facts` text NOT NULL,\n\t`expires_at` integer NOT NULL,\n\t`policy_revision` integer NOT NULL,\n\t`used_actions` integer NOT NULL,\n\t`used_writes` integer NOT NULL,\n\t`used_rows` integer NOT NULL,\n\t`used_bytes` integer NOT NULL,\n\t`minute` integer NOT NULL,\n\t`minute_actions` integer NOT NULL,\n\t`reserved_bytes` integer NOT NULL\n) STRICT;",
      "CREATE UNIQUE INDEX `session_by_id` ON `session` (`id`);",
      "CREATE INDEX `session_by_identity` ON `session` (`identity`);",
      "CREATE INDEX `session_by_auth_method` ON `session` (`auth_method`);",
      "CREATE INDEX `session_by_agent` ON `session` (`agent`);",
      "CREATE INDEX `session_by_expiry` ON `session` (`expires_at`);",
      "CREATE TABLE `session_binding` (\n\t`target` text NOT NULL,\n\t`binding` text NOT NULL,\n\t`session_id` text NOT NULL,\n\tPRIMARY KEY(`target`, `binding`, `session_id`)\n) STRICT, WITHOUT ROWID;",
      "CREATE INDEX `session_binding_by_binding` ON `session_binding` (`binding`,`session_id`);",
      "CREATE TABLE `signing_key` (\n\t`kid` text PRIMARY KEY NOT NULL,\n\t`purpose` text NOT NULL,\n\t`public_jwk` text NOT NULL,\n\t`sealed_private_jwk` text NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`active_from` integer NOT NULL,\n\t`retire_at` integer NOT NULL\n) STRICT;",
      "CREATE UNIQUE INDEX `signing_key_slot` ON `signing_key` (`purpose`,`active_from`);",
      "CREATE TABLE `single_use` (\n\t`key` text PRIMARY KEY NOT NULL,\n\t`expires_at` integer NOT NULL\n) STRICT, WITHOUT ROWID;",
      "CREATE INDEX `single_use_by_expiry` ON `single_use` (`expires_at`);"
    ]
  },
  {
    "version": 2,
    "tag": "0001_append_only",
    "sha256": "7114a7e9573e5a363d50f4f1b0255131847b67bfc2e7362b21a62dd6aca0694f",
    "statements": [
      "INSERT INTO `policy_state` (`id`, `revision`, `killed`) VALUES (1, 1, 0);",
      "CREATE TRIGGER `audit_event_no_update` BEFORE UPDATE ON `audit_event`\nBEGIN\n\tSELECT RAISE(ABORT, 'the audit log is append-only');\nEND;",
      "CREATE TRIGGER `audit_event_no_delete` BEFORE DELETE ON `audit_event`\nBEGIN\n\tSELECT RAISE(ABORT, 'the audit log is append-only');\nEND;",
      "CREATE TRIGGER `audit_event_no_replace` BEFORE INSERT ON `audit_event`\nWHEN NEW.`chain_seq` <> 1 + coalesce((SELECT max(`chain_seq`) FROM `audit_event` WHERE `chain` = NEW.`chain`), 0)\n\tOR EXISTS (SELECT 1 FROM `audit_event` WHERE `id` = NEW.`id` OR `seq` = NEW.`seq`)\nBEGIN\n\tSELECT RAISE(ABORT, 'the audit log is append-only');\nEND;"
    ]
  },
  {
    "version": 3,
    "tag": "0002_session_tree",
    "sha256": "08b750e5fb87d34f5296a190c16679c262b32cb8af20e7b2058fcb03cf8829ec",
    "statements": [
      "ALTER TABLE `session` ADD `removed_effects` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `session` ADD `denials` integer DEFAULT 0 NOT NULL;",
      "ALTER TABLE `session` ADD `ancestors` text;",
      "ALTER TABLE `session` ADD `root` text;",
      "CREATE INDEX `session_by_root` ON `session` (`root`) WHERE \"session\".\"root\" IS NOT NULL;"
    ]
  },
  {
    "version": 4,
    "tag": "0003_session_reason",
    "sha256": "5b75d1486eff8144159c19cc778d69d3a36e0327ac5ecb1d684dd5825e4d9e57",
    "statements": [
      "ALTER TABLE `session` ADD `state_event` text;",
      "ALTER TABLE `session` ADD `on_behalf_of` text;",
      "CREATE INDEX `session_by_user` ON `session` (`on_behalf_of`) WHERE \"session\".\"on_behalf_of\" IS NOT NULL;"
    ]
  },
  {
    "version": 5,
    "tag": "0004_handed_over",
    "sha256": "077eb244ed8a2dca4a5244bcd0f623430c13337213199b61d325200ac6246fce",
    "statements": [
      "CREATE TABLE `session_credential` (\n\t`sha256` text PRIMARY KEY NOT NULL,\n\t`session_id` text NOT NULL,\n\t`target` text NOT NULL,\n\t`expires_at` integer NOT NULL,\n\t`record` text NOT NULL\n) STRICT, WITHOUT ROWID;",
      "CREATE INDEX `session_credential_by_session` ON `session_credential` (`session_id`);"
    ]
  }
]
