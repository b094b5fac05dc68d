-- What consumers of Kafka keep in the database beside ids: who has a partition,
-- and messages that could not be handled.

-- +goose Up

-- Who works on a partition. Each transaction of a consumer looks at its row under
-- a share lock (FOR KEY SHARE), and taking the partition over locks it FOR UPDATE:
-- so a new owner begins when the last transaction of the old one has ended, and
-- an old owner that wakes later finds another epoch and rolls back.
CREATE TABLE tandem.inbox_partition (
    consumer   text        NOT NULL,
    topic      text        NOT NULL,
    partition  integer     NOT NULL,
    epoch      bigint      NOT NULL, -- one more for each owner
    holder     text        NOT NULL, -- who that is, for people
    -- One more for each change that somebody else makes to the partition's rows
    -- of inbox_aside; its owner then reads them anew.
    changed    bigint      NOT NULL DEFAULT 0,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    facts      jsonb       NOT NULL DEFAULT '{}', -- for people: offsets, lag, …
    PRIMARY KEY (consumer, topic, partition)
);

-- Messages whose offset the consumer has passed though they were not handled:
-- whole copies. They leave by being handled, or by an operator's decision.
CREATE TABLE tandem.inbox_aside (
    aside      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of a lane
    consumer   text        NOT NULL,
    topic      text        NOT NULL,
    partition  integer     NOT NULL,
    position   bigint      NOT NULL, -- Kafka's offset
    -- Of the record's content: a topic that is made anew has its offsets again.
    digest     bytea       NOT NULL,
    -- Messages of one lane are handled in order, the first of them before any
    -- other: a hash of the key, or of the message itself where it holds nothing,
    -- or nothing (an empty one) where it holds the partition.
    lane       bytea       NOT NULL,
    scope      text        NOT NULL CHECK (scope IN ('key', 'partition', 'none')),

    -- retrying: will be tried again at due_at. parked: an operator decides.
    -- held: behind the first of its lane.
    state      text        NOT NULL CHECK (state IN ('retrying', 'parked', 'held')),
    -- handler, panic, unprovable, invalid id, missing id, malformed, tombstone,
    -- undecodable, unknown type, …: what an operator selects by.
    reason     text        NOT NULL DEFAULT '',
    error      text        NOT NULL DEFAULT '',
    hint       text        NOT NULL DEFAULT '',
    stack      text        NOT NULL DEFAULT '', -- of a panic
    attempts   integer     NOT NULL DEFAULT 0,
    stored_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at   timestamptz,
    parked_at  timestamptz,
    due_at     timestamptz,
    -- An operator asks for one more attempt. Taken away when that has failed.
    redrive    boolean     NOT NULL DEFAULT false,
    redrive_by text        NOT NULL DEFAULT '',

    -- The message. message_id and type are for people and for selecting; text
    -- that Postgres cannot keep is repaired there, the headers have the bytes.
    message_id    text        NOT NULL DEFAULT '',
    type          text        NOT NULL DEFAULT '',
    sent_at       timestamptz NOT NULL, -- the record's own time
    key           bytea,
    header_names  bytea[]     NOT NULL DEFAULT '{}',
    header_values bytea[]     NOT NULL DEFAULT '{}',
    value         bytea,

    UNIQUE (consumer, topic, partition, position, digest),
    CHECK ((state = 'parked') = (parked_at IS NOT NULL)),
    CHECK ((state = 'retrying') = (due_at IS NOT NULL)),
    CHECK (state <> 'held' OR NOT redrive)
);
CREATE INDEX inbox_aside_lane ON tandem.inbox_aside (consumer, topic, partition, lane, aside);
CREATE INDEX inbox_aside_redrive ON tandem.inbox_aside (aside) WHERE redrive;

-- Messages that were given up, without their content: by the handler, by a
-- policy of the consumer, or by an operator.
CREATE TABLE tandem.inbox_dropped (
    dropped    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer   text        NOT NULL,
    topic      text        NOT NULL,
    partition  integer     NOT NULL,
    position   bigint      NOT NULL,
    message_id text        NOT NULL DEFAULT '',
    type       text        NOT NULL DEFAULT '',
    key        bytea,
    kind       text        NOT NULL CHECK (kind IN ('skipped', 'discarded')),
    why        text        NOT NULL DEFAULT '',
    by         text        NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX inbox_dropped_received_at ON tandem.inbox_dropped (received_at);

-- Records the id of a message that is given up, so that a repetition of it is a
-- duplicate. What has no id that could be kept has no repetition to be known.
-- +goose StatementBegin
CREATE FUNCTION tandem.record_discarded(consumer text, message_id text) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    id uuid;
BEGIN
    IF octet_length(message_id) NOT BETWEEN 1 AND 1000 THEN
        RETURN false;
    ELSIF message_id ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN
        id := message_id;
        IF tandem.uuid_time(id) IS NOT NULL AND NOT tandem.inbox_covers(id) THEN
            RETURN tandem.record_late(consumer, id);
        END IF;
    END IF;
    RETURN tandem.once(consumer, message_id);
END
$$;
-- +goose StatementEnd

-- Takes a partition over, once the transaction of its owner has ended.
-- +goose StatementBegin
CREATE FUNCTION tandem.claim_inbox_partition(consumer text, topic text, partition integer, holder text, OUT epoch bigint, OUT changed bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    -- The first epoch is one that was not there before, also where somebody has
    -- deleted the row.
    INSERT INTO tandem.inbox_partition (consumer, topic, partition, epoch, holder)
        VALUES (consumer, topic, partition, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, holder)
        ON CONFLICT DO NOTHING;
    -- FOR UPDATE, because an UPDATE alone would not wait for a share lock.
    PERFORM FROM tandem.inbox_partition AS p
        WHERE p.consumer = claim_inbox_partition.consumer AND p.topic = claim_inbox_partition.topic AND p.partition = claim_inbox_partition.partition
        FOR UPDATE;
    UPDATE tandem.inbox_partition AS p SET epoch = p.epoch + 1, holder = claim_inbox_partition.holder, claimed_at = clock_timestamp(), seen_at = clock_timestamp()
        WHERE p.consumer = claim_inbox_partition.consumer AND p.topic = claim_inbox_partition.topic AND p.partition = claim_inbox_partition.partition
        RETURNING p.epoch, p.changed INTO epoch, changed;
END
$$;
-- +goose StatementEnd

-- Deletes what is kept for a time and has no leaves: at most batch rows of each
-- table, oldest first, by its index. Returns how many; who gets fewer than batch
-- is done, others call again. In a transaction of its own.
--
-- A foreign id that comes again at the moment when its row is deleted: its INSERT
-- … ON CONFLICT DO NOTHING meets the old row before the deletion, and is a
-- duplicate; or waits for this transaction, one batch, and finds what that has
-- left. Where the row is gone the id is new, as it would have been a moment later:
-- it was received longer ago than foreign_retention. A row that was inserted
-- since is not of this statement's snapshot, and not old. Two of these calls pass
-- each other by (SKIP LOCKED).
-- +goose StatementBegin
CREATE FUNCTION tandem.expire_inbox(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms' SET enable_seqscan = off AS $$
DECLARE
    kept  record;
    gone  bigint;
    total bigint := 0;
BEGIN
    IF batch IS NULL OR batch < 1 THEN
        RAISE EXCEPTION 'tandem.expire_inbox: the batch is %, it must be 1 or more', batch USING ERRCODE = 'TD012', COLUMN = 'batch';
    END IF;
    FOR kept IN
        SELECT v.name, v.moment, now() - v.age AS before FROM tandem.inbox_bounds AS b, LATERAL (VALUES
            ('inbox_foreign', 'received_at', b.foreign_retention),
            ('inbox_late', 'received_at', b.foreign_retention),
            ('inbox_dropped', 'received_at', b.foreign_retention),
            ('inbox_answer', 'expires_at', interval '0')
        ) AS v (name, moment, age)
    LOOP
        EXECUTE format('DELETE FROM tandem.%1$I WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM tandem.%1$I WHERE %2$I < $1 ORDER BY %2$I LIMIT $2 FOR UPDATE SKIP LOCKED))', kept.name, kept.moment)
            USING kept.before, batch;
        GET DIAGNOSTICS gone = ROW_COUNT;
        total := total + gone;
    END LOOP;
    RETURN total;
END
$$;
-- +goose StatementEnd

UPDATE tandem.settings SET schema_version = 7, works_with = 7;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    LOCK TABLE tandem.inbox_aside IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM tandem.inbox_aside) THEN
        RAISE EXCEPTION 'messages are still parked, held or retrying'
            USING ERRCODE = 'TD002', HINT = 'see tandem inbox parked list; redrive or discard them first, or TRUNCATE tandem.inbox_aside to drop them';
    END IF;
END
$$;
-- +goose StatementEnd
DROP FUNCTION tandem.expire_inbox(integer);
DROP FUNCTION tandem.claim_inbox_partition(text, text, integer, text);
DROP FUNCTION tandem.record_discarded(text, text);
DROP TABLE tandem.inbox_dropped;
DROP TABLE tandem.inbox_aside;
DROP TABLE tandem.inbox_partition;
UPDATE tandem.settings SET schema_version = 6, works_with = 6;
