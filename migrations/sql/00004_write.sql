-- Writing from SQL: the same promise, checks and ids as the Go package outbox.

-- +goose Up

-- Adds one event in the caller's transaction and returns its id. The public
-- forms below differ in the payload's type alone. at_most_once: claimed durably
-- before it is sent, never retried, skipped after a restart; neither holds its key
-- nor waits for it. not_before: leaves its key's order and goes when it is due by
-- this server's clock, never earlier. expires: not sent after it, but counted and
-- listed.
-- +goose StatementBegin
CREATE FUNCTION tandem.add_event(
    topic text, payload bytea, key text, headers jsonb, type text, id uuid, partition integer, content_type text,
    at_most_once boolean, not_before timestamptz, expires timestamptz)
RETURNS uuid
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    event  text := format('event %s for topic %s', coalesce(id::text, '(new)'), coalesce(quote_literal(topic), 'NULL'));
    allowed integer := (SELECT max_event_bytes FROM tandem.settings);
    size   bigint;
    name   text;
    value  jsonb;
    -- What every format of a time can write; the first one means "none" in Go.
    early  CONSTANT timestamptz := '0001-01-01 00:00:00+00';
    late   CONSTANT timestamptz := '10000-01-01 00:00:00+00';
BEGIN
    IF coalesce(topic, '') = '' THEN
        PERFORM tandem.refuse_event('topic', event || ': topic is empty');
    ELSIF length(topic) > 249 THEN
        PERFORM tandem.refuse_event('topic', format('%s: topic has %s characters, Kafka allows 249', event, length(topic)), '249');
    ELSIF topic !~ '^[a-zA-Z0-9._-]+$' OR topic IN ('.', '..') THEN
        PERFORM tandem.refuse_event('topic', event || ': topic may consist of a-z, A-Z, 0-9, ''.'', ''_'' and ''-'', and not be ''.'' or ''..''');
    END IF;
    IF octet_length(type) > 1000 THEN
        PERFORM tandem.refuse_event('type', format('%s: type has %s bytes, allowed are 1000', event, octet_length(type)), '1000');
    END IF;
    IF partition < 0 THEN
        PERFORM tandem.refuse_event('partition', format('%s: partition is %s, it counts from 0', event, partition));
    END IF;
    IF NOT (not_before > early AND not_before < late) THEN
        PERFORM tandem.refuse_event('not_before', format('%s: not_before is %s, allowed are times in the years 1 to 9999', event, not_before));
    ELSIF NOT (expires > early AND expires < late) THEN
        PERFORM tandem.refuse_event('expires', format('%s: expires is %s, allowed are times in the years 1 to 9999', event, expires));
    ELSIF expires <= not_before THEN
        PERFORM tandem.refuse_event('expires', format('%s: expires is %s, which is not after not_before, %s', event, expires, not_before));
    END IF;
    key := nullif(key, '');
    size := coalesce(octet_length(key), 0) + coalesce(octet_length(payload), 0);

    headers := coalesce(headers, '{}');
    IF jsonb_typeof(headers) <> 'object' THEN
        PERFORM tandem.refuse_event('headers', format('%s: headers must be one JSON object of strings, not %s', event, jsonb_typeof(headers)));
    END IF;
    FOR name, value IN SELECT * FROM jsonb_each(headers) LOOP
        IF name = '' THEN
            PERFORM tandem.refuse_event('headers', event || ': a header has an empty name');
        ELSIF lower(left(name, 3)) = 'ce_' AND name NOT IN ('ce_causationid', 'ce_correlationid') THEN
            PERFORM tandem.refuse_event('headers', format(
                '%s: header %s: names that begin with ce_ are reserved for CloudEvents attributes, except for ce_causationid and ce_correlationid', event, quote_literal(name)));
        ELSIF jsonb_typeof(value) <> 'string' THEN
            PERFORM tandem.refuse_event('headers', format('%s: header %s must be a string, not %s', event, quote_literal(name), jsonb_typeof(value)));
        END IF;
        size := size + octet_length(name) + octet_length(value #>> '{}');
    END LOOP;
    IF size > allowed THEN
        PERFORM tandem.refuse_event('payload', format(
            '%s: key, headers and payload together are %s bytes, allowed are %s (tandem.settings.max_event_bytes)', event, size, allowed), allowed::text);
    END IF;

    IF content_type IS NOT NULL AND NOT headers ? 'content-type' THEN
        headers := headers || jsonb_build_object('content-type', content_type);
    END IF;
    id := coalesce(id, tandem.uuidv7());
    INSERT INTO tandem.log (id, not_before, expires, at_most_once, topic, partition, key, type, headers, payload)
        VALUES (id, not_before, expires, nullif(at_most_once, false), topic, partition, key, nullif(type, ''), nullif(headers, '{}'), payload);
    RETURN id;
END
$$;

CREATE FUNCTION tandem.add(
    topic text, payload text, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    type text DEFAULT NULL, id uuid DEFAULT NULL, partition integer DEFAULT NULL,
    at_most_once boolean DEFAULT false, not_before timestamptz DEFAULT NULL, expires timestamptz DEFAULT NULL)
RETURNS uuid LANGUAGE sql AS $$
    SELECT tandem.add_event(topic, convert_to(payload, 'UTF8'), key, headers, type, id, partition, NULL,
        at_most_once, not_before, expires)
$$;

CREATE FUNCTION tandem.add(
    topic text, payload json, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    type text DEFAULT NULL, id uuid DEFAULT NULL, partition integer DEFAULT NULL,
    at_most_once boolean DEFAULT false, not_before timestamptz DEFAULT NULL, expires timestamptz DEFAULT NULL)
RETURNS uuid LANGUAGE sql AS $$
    SELECT tandem.add_event(topic, convert_to(payload::text, 'UTF8'), key, headers, type, id, partition, 'application/json',
        at_most_once, not_before, expires)
$$;

CREATE FUNCTION tandem.add(
    topic text, payload jsonb, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    type text DEFAULT NULL, id uuid DEFAULT NULL, partition integer DEFAULT NULL,
    at_most_once boolean DEFAULT false, not_before timestamptz DEFAULT NULL, expires timestamptz DEFAULT NULL)
RETURNS uuid LANGUAGE sql AS $$
    SELECT tandem.add_event(topic, convert_to(payload::text, 'UTF8'), key, headers, type, id, partition, 'application/json',
        at_most_once, not_before, expires)
$$;

CREATE FUNCTION tandem.add(
    topic text, payload bytea, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
    type text DEFAULT NULL, id uuid DEFAULT NULL, partition integer DEFAULT NULL,
    at_most_once boolean DEFAULT false, not_before timestamptz DEFAULT NULL, expires timestamptz DEFAULT NULL)
RETURNS uuid LANGUAGE sql AS $$
    SELECT tandem.add_event(topic, payload, key, headers, type, id, partition, NULL,
        at_most_once, not_before, expires)
$$;
-- +goose StatementEnd

-- Serialises the writers of these keys until the transaction ends. Always in
-- the order of the locks themselves, so that two callers with the same keys in
-- another order cannot deadlock. An empty key is no key. Advisory locks are per database; the hash is
-- seeded so that it does not meet an application's own.
-- +goose StatementBegin
CREATE FUNCTION tandem.lock_key(VARIADIC keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    lock bigint;
BEGIN
    FOR lock IN
        SELECT DISTINCT hashtextextended(key, 8459164732146) AS hash FROM unnest(keys) AS key
        WHERE key <> '' ORDER BY hash
    LOOP
        PERFORM pg_advisory_xact_lock(lock);
    END LOOP;
END
$$;
-- +goose StatementEnd

UPDATE tandem.settings SET schema_version = 4, works_with = 4;

-- +goose Down
DROP FUNCTION tandem.lock_key(text[]);
DROP FUNCTION tandem.add(text, text, text, jsonb, text, uuid, integer, boolean, timestamptz, timestamptz);
DROP FUNCTION tandem.add(text, json, text, jsonb, text, uuid, integer, boolean, timestamptz, timestamptz);
DROP FUNCTION tandem.add(text, jsonb, text, jsonb, text, uuid, integer, boolean, timestamptz, timestamptz);
DROP FUNCTION tandem.add(text, bytea, text, jsonb, text, uuid, integer, boolean, timestamptz, timestamptz);
DROP FUNCTION tandem.add_event(text, bytea, text, jsonb, text, uuid, integer, text, boolean, timestamptz, timestamptz);
UPDATE tandem.settings SET schema_version = 3, works_with = 3;
