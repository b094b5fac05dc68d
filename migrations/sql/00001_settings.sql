-- Settings, and the functions that the later files stand on.

-- +goose Up

-- One row. The limits live here so that Go and SQL refuse the same events.
CREATE TABLE tandem.settings (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- What a binary compares with its own before it touches anything.
    schema_version  integer NOT NULL,
    -- The oldest version that a program may be written for and still work here:
    -- each migration leaves it as it is, or says from which version on.
    works_with      integer NOT NULL,
    -- Key, headers and payload of one event together. With the envelope around
    -- them a record of this size still passes Kafka's default of 1,048,576.
    max_event_bytes integer NOT NULL DEFAULT 900000 CHECK (max_event_bytes > 0),
    -- Of each of Tandem's functions a fingerprint, recorded by the newest
    -- migration. The relay compares at its start: has one been replaced?
    functions       jsonb
);
INSERT INTO tandem.settings (schema_version, works_with) VALUES (1, 1);

-- A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. The
-- random UUID brings version 4 and the variant; bits 52 and 53 turn 4 into 7.
-- +goose StatementBegin
CREATE FUNCTION tandem.uuidv7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
-- +goose StatementEnd

-- Refuses an event. TD001 is what the Go API turns into an InvalidEventError;
-- COLUMN names the field, so that nobody has to read the text.
-- +goose StatementBegin
CREATE FUNCTION tandem.refuse_event(field text, message text, detail text DEFAULT '')
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', message USING ERRCODE = 'TD001', COLUMN = field, DETAIL = detail;
END
$$;

-- Refuses an event for its size. A function, because an INSERT prepares all that
-- its text has in it before each run, also what it says when it refuses.
CREATE FUNCTION tandem.refuse_size(id uuid, topic text, size bigint)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    allowed integer := (SELECT max_event_bytes FROM tandem.settings);
BEGIN
    RETURN tandem.refuse_event('payload',
        format('event %s for topic %L: key, headers and payload together are %s bytes, allowed are %s (tandem.settings.max_event_bytes)',
            id, topic, size, allowed),
        allowed::text);
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION tandem.refuse_size(uuid, text, bigint);
DROP FUNCTION tandem.refuse_event(text, text, text);
DROP FUNCTION tandem.uuidv7();
DROP TABLE tandem.settings;
