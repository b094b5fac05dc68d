-- What the relay keeps: how far it is, and who may relay.

-- +goose Up

-- Append-only, the newest row counts. What is done: every event visible in
-- prev; and, while a window is being worked through (cur is set), those of its
-- events, visible in cur, whose position is at most done.
CREATE TABLE tandem.checkpoint (
    save      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prev      pg_snapshot NOT NULL,
    -- No event of a transaction at or after xmax(prev) has a position of low
    -- or less: where a search by position begins.
    low       bigint      NOT NULL DEFAULT 0,
    cur       pg_snapshot,
    done      bigint      NOT NULL DEFAULT 0,
    -- No event visible in cur has a position above high.
    high      bigint      NOT NULL DEFAULT 0,
    epoch     bigint      NOT NULL DEFAULT 0,
    -- What may have been sent of the at-most-once events beyond this checkpoint,
    -- each as prev/cur/done: see tandem.claimed. NULL where there is none.
    claims    text[],
    -- The cluster these snapshots belong to: transaction ids mean nothing
    -- elsewhere. NULL until the first relay has saved.
    system    bigint,
    timeline  integer,
    database  oid,
    saved_at  timestamptz NOT NULL DEFAULT clock_timestamp()
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
-- no row comes back if not. How durable that is, is the session's to say
-- (synchronous_commit = on): a setting of the function's ends before the commit.
-- The share lock makes a takeover wait for this statement, and this statement
-- see a takeover. One call, so that no lock waits for a client.
--
-- It returns an anchor: the log's last position, read before this transaction
-- had its id, and that id. Every transaction with a greater id draws its
-- positions above that one.
--
-- What leaves or enters the exception path (00006) does so in the same call:
-- aside are events of the log that this checkpoint passes though they are not
-- sent, and stored events that were refused again; released are the positions
-- of stored events that have been sent. So nobody can set aside what a
-- successor has published.
-- +goose StatementBegin
CREATE FUNCTION tandem.save_checkpoint(
    owner uuid, epoch bigint, prev pg_snapshot, low bigint, cur pg_snapshot, done bigint, high bigint,
    system bigint, timeline integer, database oid, claims text[], aside jsonb, released bigint[])
RETURNS TABLE (anchor_tx xid8, anchor_position bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    anchor_position := (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tandem.log_position);
    PERFORM FROM tandem.lease l
        WHERE l.owner = save_checkpoint.owner AND l.epoch = save_checkpoint.epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    anchor_tx := pg_current_xact_id();
    INSERT INTO tandem.checkpoint (prev, low, cur, done, high, epoch, claims, system, timeline, database)
        VALUES (prev, low, cur, done, high, epoch, claims, system, timeline, database);
    IF aside IS NOT NULL THEN
        PERFORM tandem.set_aside(aside);
    END IF;
    IF released IS NOT NULL THEN
        DELETE FROM tandem.deferred AS d WHERE d.position = ANY (released);
    END IF;
    RETURN NEXT;
END
$$;
-- +goose StatementEnd

-- Leaves only the newest row. A dump may hold ACCESS SHARE for an hour, so this
-- gives up after 10 ms (55P03, lock_not_available) and is tried again later.
-- +goose StatementBegin
CREATE FUNCTION tandem.compact_checkpoint(owner uuid, epoch bigint) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $$
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

-- Tells whether a leaf holds events, and all of them are done by the *saved*
-- checkpoint. Index probes only: a scan would take 50 ms and more. Nobody's
-- uncommitted rows are seen, so this is but a hint without the leaf's lock.
-- +goose StatementBegin
CREATE FUNCTION tandem.leaf_is_done(leaf integer) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    name    text := 'log_' || lpad(leaf::text, 2, '0');
    saved   tandem.checkpoint;
    seen    pg_snapshot;
    highest bigint;
    unread  boolean;
BEGIN
    IF ((SELECT last_value FROM tandem.log_position) >> 17) & 15 = leaf THEN
        RETURN false; -- it is the one being written
    END IF;
    SELECT * INTO STRICT saved FROM tandem.checkpoint ORDER BY save DESC LIMIT 1;
    EXECUTE format('SELECT position FROM tandem.%I ORDER BY position DESC LIMIT 1', name) INTO highest;
    IF highest IS NULL THEN
        RETURN false;
    END IF;
    seen := CASE WHEN highest <= saved.done THEN coalesce(saved.cur, saved.prev) ELSE saved.prev END;
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM tandem.%1$I WHERE tx >= $1)
             OR EXISTS (SELECT FROM tandem.%1$I WHERE tx = ANY ($2))', name)
        INTO unread
        USING pg_snapshot_xmax(seen), ARRAY(SELECT pg_snapshot_xip(seen));
    RETURN NOT unread;
END
$$;

-- Gives a leaf's space back if it is done. The lock comes first: under it no
-- transaction with rows here is in progress, so what leaf_is_done finds is all
-- there is. True if it truncated. After 10 ms it gives up on the lock (55P03):
-- a writer or a dump holds the leaf.
CREATE FUNCTION tandem.reclaim_leaf(leaf integer) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '10ms' AS $$
DECLARE
    name text := 'log_' || lpad(leaf::text, 2, '0');
BEGIN
    EXECUTE format('LOCK TABLE ONLY tandem.%I IN ACCESS EXCLUSIVE MODE', name);
    IF NOT tandem.leaf_is_done(leaf) THEN
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
    -- 00006 has been taken back by the time 00003 asks.
    IF to_regclass('tandem.deferred') IS NOT NULL THEN
        IF EXISTS (SELECT FROM tandem.deferred) THEN
            RAISE EXCEPTION 'events are still parked, held, deferred or scheduled'
                USING ERRCODE = 'TD002', HINT = 'see tandem parked list; redrive or discard them first, or TRUNCATE tandem.deferred to drop them';
        END IF;
    END IF;
END
$$;

-- Tells whether an at-most-once event may have been sent: whether it lies in one
-- of the claims. A claim prev/cur/done has the shape of a checkpoint, because
-- positions are not the order of commits: all that is visible in prev, and, up
-- to position done, what is visible in cur (which may be empty).
CREATE FUNCTION tandem.claimed(tx xid8, "position" bigint, claims text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM unnest(claims) AS c WHERE pg_visible_in_snapshot(tx, split_part(c, '/', 1)::pg_snapshot)
        OR (split_part(c, '/', 2) <> '' AND position <= split_part(c, '/', 3)::bigint
            AND pg_visible_in_snapshot(tx, nullif(split_part(c, '/', 2), '')::pg_snapshot)))
$$;
-- +goose StatementEnd

UPDATE tandem.settings SET schema_version = 3, works_with = 3;

-- +goose Down
-- From here on everything in the log is unpublished: 00002 looks for that.
LOCK TABLE tandem.log IN ACCESS EXCLUSIVE MODE;
SELECT tandem.refuse_unpublished();
TRUNCATE tandem.log;
DROP FUNCTION tandem.claimed(xid8, bigint, text[]);
DROP FUNCTION tandem.refuse_unpublished();
DROP FUNCTION tandem.reclaim_leaf(integer);
DROP FUNCTION tandem.leaf_is_done(integer);
DROP FUNCTION tandem.compact_checkpoint(uuid, bigint);
DROP FUNCTION tandem.save_checkpoint(uuid, bigint, pg_snapshot, bigint, pg_snapshot, bigint, bigint, bigint, integer, oid, text[], jsonb, bigint[]);
DROP TABLE tandem.lease;
DROP TABLE tandem.checkpoint;
UPDATE tandem.settings SET schema_version = 2, works_with = 2;
