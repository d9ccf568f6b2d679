INSERT INTO `policy_state` (`id`, `revision`, `killed`) VALUES (1, 1, 0);
--> statement-breakpoint
CREATE TRIGGER `audit_event_no_update` BEFORE UPDATE ON `audit_event`
BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER `audit_event_no_delete` BEFORE DELETE ON `audit_event`
BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER `audit_event_no_replace` BEFORE INSERT ON `audit_event`
WHEN NEW.`chain_seq` <> 1 + coalesce((SELECT max(`chain_seq`) FROM `audit_event` WHERE `chain` = NEW.`chain`), 0)
	OR EXISTS (SELECT 1 FROM `audit_event` WHERE `id` = NEW.`id` OR `seq` = NEW.`seq`)
BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
