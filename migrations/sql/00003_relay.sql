-- What the relay keeps: how far it is, and who may relay.

-- +goose Up

-- Append-only, the newest row counts. What is done: every event visible in
-- prev; and, while a window is being worked through (cur is set), those of its
-- events, visible in cur, whose position is at most done.
CREATE TABLE tandem.checkpoint (
    save       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prev       pg_snapshot NOT NULL,
    cur        pg_snapshot,
    -- No event that is not visible in prev has a position of low or less.
    low        bigint      NOT NULL DEFAULT 0,
    done       bigint      NOT NULL DEFAULT 0,
    high       bigint      NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL DEFAULT 0,
    -- The cluster these snapshots belong to: transaction ids mean nothing
    -- elsewhere. NULL until the first relay has saved.
    system     bigint,
    timeline   integer,
    database   oid,
    saved_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Nothing seen yet. Written here, not by the first relay: a snapshot taken
-- when a relay first starts would leave out what was written before.
INSERT INTO tandem.checkpoint (prev) VALUES ('3:3:');

CREATE TABLE tandem.lease (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch       bigint      NOT NULL DEFAULT 0,
    owner       uuid,
    -- Host and process, for people.
    holder      text        NOT NULL DEFAULT '',
    acquired_at timestamptz,
    expires_at  timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO tandem.lease DEFAULT VALUES;

-- Saves the checkpoint if the caller still is the lease's owner in its epoch;
-- false if not. The share lock makes a takeover wait for this statement and
-- this statement see a takeover. One call, so no lock waits for a client.
-- +goose StatementBegin
CREATE FUNCTION tandem.save_checkpoint(
    owner uuid, epoch bigint, prev pg_snapshot, cur pg_snapshot, low bigint, done bigint, high bigint,
    system bigint, timeline integer, database oid)
RETURNS boolean
LANGUAGE plpgsql SET synchronous_commit = on AS $$
BEGIN
    PERFORM FROM tandem.lease l
        WHERE l.owner = save_checkpoint.owner AND l.epoch = save_checkpoint.epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tandem.checkpoint (prev, cur, low, done, high, epoch, system, timeline, database)
        VALUES (prev, cur, low, done, high, epoch, system, timeline, database);
    RETURN true;
END
$$;
-- +goose StatementEnd

-- Leaves only the newest row. A dump may hold ACCESS SHARE for an hour, so this
-- gives up after 10 ms (55P03, lock_not_available) and is tried again later.
-- +goose StatementBegin
CREATE FUNCTION tandem.compact_checkpoint(owner uuid, epoch bigint) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '10ms' SET synchronous_commit = on AS $$
DECLARE
    newest tandem.checkpoint;
BEGIN
    LOCK TABLE tandem.checkpoint IN ACCESS EXCLUSIVE MODE;
    PERFORM FROM tandem.lease l
        WHERE l.owner = compact_checkpoint.owner AND l.epoch = compact_checkpoint.epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO STRICT newest FROM tandem.checkpoint ORDER BY save DESC LIMIT 1;
    TRUNCATE tandem.checkpoint;
    INSERT INTO tandem.checkpoint OVERRIDING SYSTEM VALUE SELECT newest.*;
    RETURN true;
END
$$;
-- +goose StatementEnd

-- Gives a leaf's space back if every event in it is done by the *saved*
-- checkpoint. The lock comes first: under it no transaction with rows here is
-- in progress, so what the probes find is all there is. Index probes only; a
-- scan would take 50 ms and more, with every writer of the leaf waiting.
-- True if it truncated. 55P03 when a writer or a dump holds the leaf.
-- +goose StatementBegin
CREATE FUNCTION tandem.reclaim_leaf(leaf integer) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '10ms' SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    name     text := 'log_' || lpad(leaf::text, 2, '0');
    saved    tandem.checkpoint;
    seen     pg_snapshot;
    greatest bigint;
    unread   boolean;
BEGIN
    EXECUTE format('LOCK TABLE ONLY tandem.%I IN ACCESS EXCLUSIVE MODE', name);
    IF ((SELECT last_value FROM tandem.log_position) >> 17) & 15 = leaf THEN
        RETURN false; -- it is the one being written
    END IF;
    SELECT * INTO STRICT saved FROM tandem.checkpoint ORDER BY save DESC LIMIT 1;
    EXECUTE format('SELECT max(position) FROM tandem.%I', name) INTO greatest;
    IF greatest IS NULL THEN
        RETURN false; -- nothing visible: empty, or rolled-back rows alone
    END IF;
    seen := CASE WHEN greatest <= saved.done THEN coalesce(saved.cur, saved.prev) ELSE saved.prev END;
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM tandem.%1$I WHERE tx >= $1)
             OR EXISTS (SELECT FROM tandem.%1$I WHERE tx = ANY ($2))', name)
        INTO unread
        USING pg_snapshot_xmax(seen), ARRAY(SELECT pg_snapshot_xip(seen));
    IF unread THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE ONLY tandem.%I', name);
    RETURN true;
END
$$;
-- +goose StatementEnd

-- Stops a Down that would drop events which were not published (TD002). An
-- empty checkpoint, as a dump may contain one, proves nothing published.
-- +goose StatementBegin
CREATE FUNCTION tandem.refuse_unpublished() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM tandem.log l LEFT JOIN (SELECT * FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) c ON true
        WHERE NOT coalesce(pg_visible_in_snapshot(l.tx, c.prev), false)
          AND NOT coalesce(pg_visible_in_snapshot(l.tx, c.cur) AND l.position <= c.done, false)
    ) THEN
        RAISE EXCEPTION 'the log still holds events that were not published'
            USING ERRCODE = 'TD002', HINT = 'run the relay with --until-empty first, or TRUNCATE tandem.log to drop them';
    END IF;
END
$$;
-- +goose StatementEnd

UPDATE tandem.settings SET schema_version = 3;

-- +goose Down
-- From here on everything in the log is unpublished: 00002 looks for that.
LOCK TABLE tandem.log IN ACCESS EXCLUSIVE MODE;
SELECT tandem.refuse_unpublished();
TRUNCATE tandem.log;
DROP FUNCTION tandem.refuse_unpublished();
DROP FUNCTION tandem.reclaim_leaf(integer);
DROP FUNCTION tandem.compact_checkpoint(uuid, bigint);
DROP FUNCTION tandem.save_checkpoint(uuid, bigint, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint, integer, oid);
DROP TABLE tandem.lease;
DROP TABLE tandem.checkpoint;
UPDATE tandem.settings SET schema_version = 2;
