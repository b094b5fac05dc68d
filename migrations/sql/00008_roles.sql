-- Who may do what. Three roles without login, for a service's own login to be a
-- member of: GRANT tandem_writer TO my_service.

-- +goose Up

-- Grants each role, where it exists, the least that works. To be called again
-- by the owner when roles are created later. Returns the roles that are missing.
-- +goose StatementBegin
CREATE FUNCTION tandem.grant_roles() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    role text;
    leaf regclass;
BEGIN
    FOREACH role IN ARRAY ARRAY['tandem_writer', 'tandem_relay', 'tandem_consumer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            RETURN NEXT role;
            CONTINUE;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA tandem TO %I', role);
        EXECUTE format('GRANT SELECT ON tandem.settings TO %I', role);
        CASE role
        WHEN 'tandem_writer' THEN
            -- Not tx, not position: the order of the log is not the writer's to say.
            EXECUTE format('GRANT INSERT (id, not_before, expires, at_most_once, partition, topic, key, type, headers, payload) ON tandem.log TO %I', role);
            EXECUTE format('GRANT USAGE ON SEQUENCE tandem.log_position TO %I', role);
        WHEN 'tandem_relay' THEN
            EXECUTE format('GRANT SELECT ON tandem.log TO %I', role);
            FOR leaf IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tandem.log'::regclass LOOP
                EXECUTE format('GRANT SELECT, TRUNCATE ON %s TO %I', leaf, role);
            END LOOP;
            EXECUTE format('GRANT SELECT ON SEQUENCE tandem.log_position TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, TRUNCATE ON tandem.checkpoint TO %I', role);
            EXECUTE format('GRANT SELECT, UPDATE ON tandem.lease TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tandem.deferred, tandem.dropped, tandem.request, tandem.relay TO %I', role);
            EXECUTE format('GRANT SELECT ON tandem.parked, tandem.published TO %I', role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION tandem.maintain_inbox(), tandem.drop_inbox_leaf(), tandem.expire_inbox(integer) TO %I', role);
        WHEN 'tandem_consumer' THEN
            EXECUTE format('GRANT SELECT, INSERT ON tandem.inbox, tandem.inbox_foreign, tandem.inbox_late, tandem.inbox_dropped TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE ON tandem.inbox_consumer, tandem.inbox_partition, tandem.inbox_answer TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tandem.inbox_aside TO %I', role);
            EXECUTE format('GRANT SELECT ON tandem.inbox_bounds TO %I', role);
            EXECUTE format('GRANT SELECT ON SEQUENCE tandem.inbox_floor TO %I', role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION tandem.maintain_inbox(), tandem.drop_inbox_leaf(), tandem.expire_inbox(integer) TO %I', role);
        END CASE;
    END LOOP;
END
$$;

-- Roles belong to the cluster: another database, or another migration at this
-- very moment, may have made them. Where this login may not, it says so.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['tandem_writer', 'tandem_relay', 'tandem_consumer'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'not allowed to create a role; as one who is: CREATE ROLE % NOLOGIN; then, as the owner of the schema: SELECT tandem.grant_roles()', role;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION tandem.maintain_inbox(), tandem.drop_inbox_leaf(), tandem.expire_inbox(integer) FROM PUBLIC;
SELECT tandem.grant_roles();

-- As relay/internal/findings/functions.go computes it again.
UPDATE tandem.settings SET schema_version = 8, works_with = 8, functions = (
    SELECT jsonb_object_agg(format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)),
        md5(concat_ws(' ', p.prosrc, p.proconfig, p.prosecdef, p.provolatile, l.lanname)))
    FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tandem.settings'::regclass));

-- +goose Down
-- The roles stay: another database of the cluster may use them.
DROP FUNCTION tandem.grant_roles();
UPDATE tandem.settings SET schema_version = 7, works_with = 7, functions = NULL;
