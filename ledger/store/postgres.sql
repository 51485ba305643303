-- An empty ledger: its two tables, what keeps them as they are, and the roles an administrator grants to logins.
-- `notification_id` is the position, under the name by which the library's own statements know it.

CREATE SCHEMA sla_ledger;
CREATE TABLE sla_ledger.ledger_events (
    notification_id bigint PRIMARY KEY,
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    command_id text COLLATE "C" UNIQUE,
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    UNIQUE (originator_id, originator_version)
);
COMMENT ON TABLE sla_ledger.ledger_events IS 'sla-ledger format 2';
CREATE TABLE sla_ledger.checkpoints (
    size bigint PRIMARY KEY,
    note text COLLATE "C" NOT NULL
);

CREATE FUNCTION sla_ledger.never_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% are never %', CASE TG_TABLE_NAME WHEN 'ledger_events' THEN 'entries' ELSE TG_TABLE_NAME END,
        CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'deleted' END
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON sla_ledger.ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION sla_ledger.never_changed();
ALTER TABLE sla_ledger.ledger_events ENABLE ALWAYS TRIGGER never_changed;
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON sla_ledger.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION sla_ledger.never_changed();
ALTER TABLE sla_ledger.checkpoints ENABLE ALWAYS TRIGGER never_changed;

CREATE FUNCTION sla_ledger.never_a_gap() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.notification_id <> 1 AND NOT EXISTS (
        SELECT FROM sla_ledger.ledger_events WHERE notification_id = NEW.notification_id - 1
    ) THEN
        RAISE EXCEPTION 'positions have no gap' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER never_a_gap AFTER INSERT ON sla_ledger.ledger_events
    FOR EACH ROW EXECUTE FUNCTION sla_ledger.never_a_gap();
ALTER TABLE sla_ledger.ledger_events ENABLE ALWAYS TRIGGER never_a_gap;

CREATE FUNCTION sla_ledger.in_order() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sla_ledger.ledger_events WHERE notification_id = NEW.size)
        OR EXISTS (SELECT FROM sla_ledger.checkpoints WHERE size > NEW.size)
    THEN
        RAISE EXCEPTION 'a checkpoint is of entries that are there, and later than the last'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER in_order AFTER INSERT ON sla_ledger.checkpoints
    FOR EACH ROW EXECUTE FUNCTION sla_ledger.in_order();
ALTER TABLE sla_ledger.checkpoints ENABLE ALWAYS TRIGGER in_order;

-- Roles belong to the whole server: they may be there, or be made for another database at the same moment.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sla_ledger_writer', 'sla_ledger_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA sla_ledger TO sla_ledger_writer, sla_ledger_auditor;
GRANT SELECT ON sla_ledger.ledger_events, sla_ledger.checkpoints TO sla_ledger_writer, sla_ledger_auditor;
GRANT INSERT ON sla_ledger.ledger_events, sla_ledger.checkpoints TO sla_ledger_writer;
