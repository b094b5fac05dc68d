-- The inbox: which message ids a consumer has processed, and which answers an
-- HTTP service has given.

-- +goose Up

-- Tandem's own ids are UUIDv7, so a range of ids is a range of time: inserts
-- stay at one end of one small index, and retention empties whole leaves while
-- the key stays unique across all of them. The id comes first in the key: it
-- decides every comparison on the way down the index, and a text would have to
-- be compared before it.
CREATE TABLE tandem.inbox (
    consumer   text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (message_id, consumer)
) PARTITION BY RANGE (message_id);

-- Every other id: texts, and UUIDs that carry no time.
CREATE TABLE tandem.inbox_foreign (
    consumer    text        NOT NULL,
    message_id  text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_foreign_received_at ON tandem.inbox_foreign (received_at);

-- What a consumer has said about itself. Written when a consumer starts, or by
-- tandem.set_inbox_policy, and followed by tandem.once too.
CREATE TABLE tandem.inbox_consumer (
    consumer      text        PRIMARY KEY,
    -- What becomes of a UUIDv7 that cannot be proved new, because no leaf covers
    -- it: refuse raises TD010 or TD011 (the Kafka consumer then parks the
    -- message); process handles it, and remembers it in inbox_late.
    unprovable    text        NOT NULL DEFAULT 'refuse' CHECK (unprovable IN ('refuse', 'process')),
    facts         jsonb       NOT NULL DEFAULT '{}', -- of a Kafka consumer: group, topics, …
    configured_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- UUIDv7 that no leaf covered and that were processed all the same: how many
-- there were, and what tells a repetition of one of them. Who records an id here
-- does so before he looks whether it has a leaf: see maintain_inbox.
CREATE TABLE tandem.inbox_late (
    consumer    text        NOT NULL,
    message_id  uuid        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_late_received_at ON tandem.inbox_late (received_at);

-- One row: until when there are leaves. An id at the ceiling or above has none.
CREATE TABLE tandem.inbox_bounds (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    retention interval    NOT NULL DEFAULT '14 days' CHECK (retention >= '1 day'),
    -- Of inbox_foreign, inbox_late and inbox_dropped, by when they were received.
    foreign_retention interval NOT NULL DEFAULT '90 days' CHECK (foreign_retention >= '1 day'),
    ceiling   timestamptz NOT NULL
);

-- The floor, in Unix milliseconds: an id made before it cannot be proved new,
-- because its leaf may have been emptied. A sequence, because what matters is
-- that everybody sees it raised before the first leaf is emptied: setval is
-- seen at once, also by a REPEATABLE READ transaction whose snapshot is older,
-- and no rollback lowers it again. A column would show such a transaction the
-- old floor while TRUNCATE, which no snapshot covers, shows it an empty leaf.
CREATE SEQUENCE tandem.inbox_floor MINVALUE 0;

-- The leaves begin on Mondays, UTC, and are a week long.
INSERT INTO tandem.inbox_bounds (ceiling)
    VALUES (date_trunc('week', now() AT TIME ZONE 'UTC' - interval '14 days') AT TIME ZONE 'UTC');
SELECT setval('tandem.inbox_floor', extract(epoch FROM ceiling)::bigint * 1000) FROM tandem.inbox_bounds;

-- The smallest UUIDv7 of a moment.
CREATE FUNCTION tandem.uuid_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid;

-- The moment a UUIDv7 was made, NULL for every other UUID.
CREATE FUNCTION tandem.uuid_time(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN substr(id::text, 15, 1) = '7' AND substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')
    THEN to_timestamp(('x' || replace(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0) END;

-- Makes the leaves of the coming year, and empties those that are wholly older
-- than the retention. To be called now and then, outside any transaction that
-- does other work. It runs as its owner, so that every consumer may call it.
-- CREATE … (LIKE) with ATTACH, and TRUNCATE, because CREATE … PARTITION OF,
-- DETACH and DROP would lock the whole inbox; drop_inbox_leaves drops what is
-- empty. Returns the number of leaves made and of leaves emptied.
--
-- An id that had no leaf yet is in inbox_late; a new leaf takes a copy of it, so
-- that the leaf alone tells a repetition. The lock waits for whoever is recording
-- one: had he found no leaf, and were there one before he commits, the same id
-- would be new to somebody else.
--
-- The race with tandem.once, which reads the floor, inserts, and for an id of
-- an old leaf reads the floor again: either its insert locks the leaf first,
-- then TRUNCATE gives up and tries again another day, or TRUNCATE is first,
-- then the floor was raised before, and the second reading sees it.
-- +goose StatementBegin
CREATE FUNCTION tandem.maintain_inbox(OUT made integer, OUT emptied integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bounds tandem.inbox_bounds;
    leaf   text;
    until  timestamptz;
    floor  timestamptz;
BEGIN
    made := 0;
    emptied := 0;
    -- One at a time. Who finds it locked need not wait: it is being done.
    SELECT * INTO bounds FROM tandem.inbox_bounds FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF bounds.ceiling < now() + interval '1 year' THEN
        BEGIN
            LOCK TABLE tandem.inbox_late IN SHARE ROW EXCLUSIVE MODE;
            WHILE bounds.ceiling < now() + interval '1 year' LOOP
                leaf := tandem.inbox_leaf_name(bounds.ceiling);
                until := bounds.ceiling + interval '168 hours';
                EXECUTE format('CREATE TABLE tandem.%I (LIKE tandem.inbox INCLUDING ALL)', leaf);
                EXECUTE format('INSERT INTO tandem.%I SELECT consumer, message_id FROM tandem.inbox_late WHERE message_id >= %L AND message_id < %L',
                    leaf, tandem.uuid_at(bounds.ceiling), tandem.uuid_at(until));
                EXECUTE format('ALTER TABLE tandem.inbox ATTACH PARTITION tandem.%I FOR VALUES FROM (%L) TO (%L)',
                    leaf, tandem.uuid_at(bounds.ceiling), tandem.uuid_at(until));
                bounds.ceiling := until;
                made := made + 1;
            END LOOP;
            UPDATE tandem.inbox_bounds SET ceiling = bounds.ceiling;
        EXCEPTION WHEN lock_not_available THEN
            made := 0; -- they are for next year
        END;
    END IF;

    floor := date_trunc('week', (now() - bounds.retention) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    IF floor > tandem.inbox_floor_time() THEN
        PERFORM setval('tandem.inbox_floor', extract(epoch FROM floor)::bigint * 1000);
    END IF;
    FOR leaf IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tandem.inbox'::regclass AND pg_relation_size(c.oid) > 0
        -- As text: names sort as their dates, and whatever else the planner
        -- looks at before the join is no date.
        AND c.relname < tandem.inbox_leaf_name(floor)
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format('TRUNCATE tandem.%I', leaf);
            emptied := emptied + 1;
        EXCEPTION WHEN lock_not_available THEN
            NULL; -- somebody is at it; the next call is early enough
        END;
    END LOOP;
END
$$;

-- Drops one leaf that has been empty and below the floor for a month, if nobody
-- uses the inbox at this very moment. To be called in a transaction of its own:
-- the whole inbox is locked until that ends, which takes one commit. Returns how
-- many it dropped, 0 or 1. The month is for those who looked at the floor before
-- it was raised: they are to find an empty leaf rather than none.
CREATE FUNCTION tandem.drop_inbox_leaf() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms' AS $$
DECLARE
    leaf regclass;
BEGIN
    PERFORM FROM tandem.inbox_bounds FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT c.oid INTO leaf FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tandem.inbox'::regclass AND c.relname < tandem.inbox_leaf_name(tandem.inbox_floor_time() - interval '28 days')
        ORDER BY c.relname LIMIT 1;
    IF leaf IS NULL THEN
        RETURN 0;
    END IF;
    -- The leaf first: a vacuum of it is to find nobody waiting behind it.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', leaf);
    IF pg_relation_size(leaf) > 0 THEN
        RETURN 0; -- maintain_inbox has not come round to it
    END IF;
    LOCK TABLE ONLY tandem.inbox IN ACCESS EXCLUSIVE MODE NOWAIT;
    EXECUTE format('DROP TABLE %s', leaf);
    RETURN 1;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;

-- The name of the leaf that has a moment in it. The leaves begin on Mondays, UTC.
CREATE FUNCTION tandem.inbox_leaf_name(moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'inbox_' || to_char(date_trunc('week', moment AT TIME ZONE 'UTC'), 'YYYYMMDD');

-- The moment that the floor stands for.
CREATE FUNCTION tandem.inbox_floor_time() RETURNS timestamptz
LANGUAGE plpgsql AS $$
BEGIN
    RETURN to_timestamp((SELECT last_value FROM tandem.inbox_floor) / 1000.0);
END
$$;
-- +goose StatementEnd
SELECT tandem.maintain_inbox();
-- From now on it gives way to others. The first leaves are not worth failing a
-- migration for: a vacuum of the catalog may be in the way for a moment.
ALTER FUNCTION tandem.maintain_inbox() SET lock_timeout = '10ms';

-- Records the id; true the first time. In the caller's transaction: the id and
-- the effects commit together or not at all.
-- +goose StatementBegin
CREATE FUNCTION tandem.once(consumer text, message_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    made  timestamptz := tandem.uuid_time(message_id);
    first boolean;
BEGIN
    IF coalesce(consumer, '') = '' OR octet_length(consumer) > 255 THEN
        RAISE EXCEPTION 'tandem.once: the consumer''s name has % bytes, allowed are 1 to 255', coalesce(octet_length(consumer), 0)
            USING ERRCODE = 'TD012', COLUMN = 'consumer';
    END IF;
    IF message_id IS NULL THEN
        RAISE EXCEPTION 'tandem.once: consumer %: the message id is NULL', quote_literal(consumer)
            USING ERRCODE = 'TD012', COLUMN = 'message_id';
    END IF;
    IF made IS NULL THEN
        INSERT INTO tandem.inbox_foreign (consumer, message_id) VALUES (consumer, message_id::text) ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END IF;
    IF NOT tandem.inbox_covers(message_id) THEN
        RETURN tandem.once_late(consumer, message_id);
    END IF;
    INSERT INTO tandem.inbox (consumer, message_id) VALUES (consumer, message_id) ON CONFLICT DO NOTHING;
    first := FOUND;
    -- Again, now that the leaf is locked: it may have been emptied in between.
    -- No retention is shorter than a day, so younger ids need no second look;
    -- now() would be the start of a transaction that may itself be older.
    IF first AND made < clock_timestamp() - interval '1 day' AND NOT tandem.inbox_covers(message_id) THEN
        RETURN tandem.once_late(consumer, message_id, in_leaf => true);
    END IF;
    RETURN first;
END
$$;

-- A text in the form of a UUID is that UUID, else the same id would count once
-- as a text and once as a UUID.
CREATE FUNCTION tandem.once(consumer text, message_id text) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF message_id IS NULL OR message_id ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN
        RETURN tandem.once(consumer, message_id::uuid);
    END IF;
    IF coalesce(consumer, '') = '' OR octet_length(consumer) > 255 THEN
        RAISE EXCEPTION 'tandem.once: the consumer''s name has % bytes, allowed are 1 to 255', coalesce(octet_length(consumer), 0)
            USING ERRCODE = 'TD012', COLUMN = 'consumer';
    END IF;
    IF octet_length(message_id) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'tandem.once: consumer %: the message id has % bytes, allowed are 1 to 1000', quote_literal(consumer), octet_length(message_id)
            USING ERRCODE = 'TD012', COLUMN = 'message_id';
    END IF;
    INSERT INTO tandem.inbox_foreign (consumer, message_id) VALUES (consumer, message_id) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Whether a leaf covers a UUIDv7.
CREATE FUNCTION tandem.inbox_covers(id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN id >= tandem.uuid_at(tandem.inbox_floor_time()) AND id < tandem.uuid_at((SELECT b.ceiling FROM tandem.inbox_bounds AS b));
END
$$;

-- The answer for a UUIDv7 that no leaf covers, by the consumer's policy: TD010
-- below the floor and TD011 above the ceiling, or true the first time since.
-- in_leaf says that this very transaction has put it into its leaf.
CREATE FUNCTION tandem.once_late(consumer text, message_id uuid, in_leaf boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    floor   timestamptz := tandem.inbox_floor_time();
    ceiling timestamptz := (SELECT b.ceiling FROM tandem.inbox_bounds AS b);
BEGIN
    IF EXISTS (SELECT FROM tandem.inbox_consumer AS c WHERE c.consumer = once_late.consumer AND c.unprovable = 'process') THEN
        RETURN tandem.record_late(consumer, message_id, in_leaf);
    ELSIF message_id < tandem.uuid_at(floor) THEN
        RAISE EXCEPTION 'message id % was made at %, before the inbox''s floor %: it cannot be proved new', message_id, tandem.uuid_time(message_id), floor
            USING ERRCODE = 'TD010', COLUMN = 'message_id', HINT = 'to process such messages all the same, see tandem.set_inbox_policy';
    ELSE
        RAISE EXCEPTION 'message id % claims to be made at %, for which the inbox has no leaf (they end at %)', message_id, tandem.uuid_time(message_id), ceiling
            USING ERRCODE = 'TD011', COLUMN = 'message_id', HINT = 'if the time is right, call tandem.maintain_inbox()';
    END IF;
END
$$;

-- Records a UUIDv7 that is to be processed whether or not a leaf covers it; true
-- the first time. In inbox_late first, which keeps leaves from being made until
-- this transaction ends; then in its leaf too, where there is one: it may have
-- been made since the id was found to have none, and somebody else may have gone
-- by it; or it is below the floor and still knows the id. to_regclass knows the
-- leaves of now, whatever the snapshot.
CREATE FUNCTION tandem.record_late(consumer text, message_id uuid, in_leaf boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO tandem.inbox_late (consumer, message_id) VALUES (consumer, message_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF in_leaf OR to_regclass('tandem.' || tandem.inbox_leaf_name(tandem.uuid_time(message_id))) IS NULL THEN
        RETURN true;
    END IF;
    INSERT INTO tandem.inbox (consumer, message_id) VALUES (consumer, message_id) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Records what a consumer does about ids that cannot be proved new: 'refuse' or
-- 'process', see inbox_consumer.
CREATE FUNCTION tandem.set_inbox_policy(consumer text, unprovable text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF coalesce(consumer, '') = '' OR octet_length(consumer) > 255 THEN
        RAISE EXCEPTION 'tandem.set_inbox_policy: the consumer''s name has % bytes, allowed are 1 to 255', coalesce(octet_length(consumer), 0)
            USING ERRCODE = 'TD012', COLUMN = 'consumer';
    END IF;
    IF unprovable IS NULL OR unprovable NOT IN ('refuse', 'process') THEN
        RAISE EXCEPTION 'tandem.set_inbox_policy: consumer %: the policy is %, it must be ''refuse'' or ''process''', quote_literal(consumer), quote_nullable(unprovable)
            USING ERRCODE = 'TD012', COLUMN = 'unprovable';
    END IF;
    INSERT INTO tandem.inbox_consumer AS c (consumer, unprovable) VALUES (consumer, unprovable)
        ON CONFLICT ON CONSTRAINT inbox_consumer_pkey DO UPDATE SET unprovable = excluded.unprovable, configured_at = clock_timestamp();
END
$$;
-- +goose StatementEnd

-- Idempotent HTTP: answers that a client gets again when it repeats a request
-- (package inbox/inboxhttp). Written in the transaction of the request's effects.
CREATE TABLE tandem.inbox_answer (
    consumer    text        NOT NULL, -- the service
    scope       text        NOT NULL, -- who its client is
    key         text        NOT NULL, -- the Idempotency-Key
    fingerprint bytea       NOT NULL, -- of the request; another one is refused
    status      integer     NOT NULL CHECK (status BETWEEN 200 AND 499),
    headers     bytea       NOT NULL, -- as HTTP writes them
    body        bytea       NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on the row counts as absent: it may be deleted or replaced.
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (consumer, scope, key)
);
CREATE INDEX inbox_answer_expires_at ON tandem.inbox_answer (expires_at);

UPDATE tandem.settings SET schema_version = 5, works_with = 5;

-- +goose Down
DROP FUNCTION tandem.set_inbox_policy(text, text);
DROP FUNCTION tandem.once_late(text, uuid, boolean);
DROP FUNCTION tandem.record_late(text, uuid, boolean);
DROP FUNCTION tandem.inbox_covers(uuid);
DROP FUNCTION tandem.once(text, text);
DROP FUNCTION tandem.once(text, uuid);
DROP FUNCTION tandem.drop_inbox_leaf();
DROP FUNCTION tandem.maintain_inbox();
DROP FUNCTION tandem.inbox_leaf_name(timestamptz);
DROP FUNCTION tandem.inbox_floor_time();
DROP FUNCTION tandem.uuid_time(uuid);
DROP FUNCTION tandem.uuid_at(timestamptz);
DROP TABLE tandem.inbox_answer;
DROP SEQUENCE tandem.inbox_floor;
DROP TABLE tandem.inbox_bounds;
DROP TABLE tandem.inbox_late;
DROP TABLE tandem.inbox_consumer;
DROP TABLE tandem.inbox_foreign;
DROP TABLE tandem.inbox;
UPDATE tandem.settings SET schema_version = 4, works_with = 4;
