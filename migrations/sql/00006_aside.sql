-- The exception path: events that cannot be sent now, and what operators ask for.

-- +goose Up

-- Copies of events that the checkpoint has passed though they were not sent: the
-- leaf they came from is given back without them. They leave by being sent, by
-- expiring, or by an operator's decision.
CREATE TABLE tandem.deferred (
    position     bigint      PRIMARY KEY, -- as in the log, and the order of a key
    created_at   timestamptz NOT NULL,
    id           uuid        NOT NULL,
    expires      timestamptz,
    at_most_once boolean,
    partition    integer,
    topic        text        NOT NULL,
    key          text,
    type         text,
    headers      jsonb,
    payload      bytea,

    -- parked: the broker will not take it, an operator decides. waiting: behind
    -- a parked event of its key, or for its topic. scheduled: for due_at.
    state        text        NOT NULL CHECK (state IN ('parked', 'waiting', 'scheduled')),
    -- False for an event that was scheduled: it has left its key's order, so that
    -- it neither holds nor waits for a key.
    ordered      boolean     NOT NULL,
    due_at       timestamptz,
    -- The partition that could not be written to, where it was that one alone.
    lane         integer,
    lanes        integer, -- of how many
    reason       text        NOT NULL DEFAULT '',
    hint         text        NOT NULL DEFAULT '',
    attempts     integer     NOT NULL DEFAULT 0,
    set_aside_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    parked_at    timestamptz,
    tried_at     timestamptz,
    -- The request that asks for a parked event to be sent again, and the last
    -- one that did so in vain.
    redrive      bigint,
    redriven     bigint,
    CHECK ((state = 'parked') = (parked_at IS NOT NULL)),
    CHECK ((state = 'scheduled') <= (due_at IS NOT NULL))
);
CREATE INDEX deferred_topic ON tandem.deferred (topic, position) WHERE state <> 'scheduled';
CREATE INDEX deferred_parked ON tandem.deferred (topic, key, position) WHERE state = 'parked';
CREATE INDEX deferred_due ON tandem.deferred (due_at, position) WHERE state = 'scheduled';
CREATE INDEX deferred_id ON tandem.deferred (id);
CREATE INDEX deferred_redrive ON tandem.deferred (redrive) WHERE redrive IS NOT NULL;
CREATE INDEX deferred_redriven ON tandem.deferred (redriven) WHERE redriven IS NOT NULL;

-- What was not sent, and will not be: expired, or discarded by an operator.
CREATE TABLE tandem.dropped (
    position   bigint      PRIMARY KEY,
    created_at timestamptz NOT NULL,
    id         uuid        NOT NULL,
    topic      text        NOT NULL,
    key        text,
    type       text,
    kind       text        NOT NULL CHECK (kind IN ('expired', 'discarded')),
    why        text        NOT NULL DEFAULT '',
    by         text        NOT NULL DEFAULT '',
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dropped_at ON tandem.dropped (dropped_at);

-- What operators ask of the working relay. It looks twice a second.
CREATE TABLE tandem.request (
    request      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- redrive: events carry this number in deferred.redrive. release: keys of
    -- the topics lost what held them (discarded). replay: see arguments.
    kind         text        NOT NULL CHECK (kind IN ('redrive', 'release', 'replay')),
    arguments    jsonb       NOT NULL DEFAULT '{}',
    by           text        NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at   timestamptz,
    finished_at  timestamptz,
    total        bigint      NOT NULL DEFAULT 0, -- events asked for
    done         bigint      NOT NULL DEFAULT 0, -- of them sent
    failed       bigint      NOT NULL DEFAULT 0, -- of them refused again, or skipped
    position     bigint      NOT NULL DEFAULT 0, -- a replay is over with everything up to it
    error        text        NOT NULL DEFAULT ''
);
CREATE INDEX request_open ON tandem.request (request) WHERE finished_at IS NULL;

-- Every relay that runs, by its own word.
CREATE TABLE tandem.relay (
    owner      uuid        PRIMARY KEY, -- as in the lease
    holder     text        NOT NULL,
    version    text        NOT NULL DEFAULT '',
    state      text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    facts      jsonb       NOT NULL DEFAULT '{}'
);

-- Writes the row of a relay anew, and takes it away when that has stopped. It
-- gives up after 100 ms (55P03) where somebody holds the table, because the same
-- session renews the lease. The working relay clears up after those that were
-- killed.
-- +goose StatementBegin
CREATE FUNCTION tandem.beat(owner uuid, holder text, version text, state text, facts jsonb) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
#variable_conflict use_variable
BEGIN
    IF state = 'stopped' THEN
        DELETE FROM tandem.relay AS r WHERE r.owner = beat.owner;
        RETURN;
    END IF;
    INSERT INTO tandem.relay AS r (owner, holder, version, state, facts) VALUES (owner, holder, version, state, facts)
        ON CONFLICT ON CONSTRAINT relay_pkey DO UPDATE SET state = excluded.state, facts = excluded.facts, seen_at = clock_timestamp();
    IF state = 'relaying' THEN
        DELETE FROM tandem.relay AS r WHERE r.seen_at < clock_timestamp() - interval '1 day';
    END IF;
END
$$;
-- +goose StatementEnd

-- What is set aside, as operators see it: held is behind a parked event of its
-- key, deferred waits for its topic. The lookup walks deferred_parked.
CREATE VIEW tandem.parked AS
    SELECT d.position, d.id, d.topic, d.key, d.type, d.partition,
        CASE WHEN d.state = 'waiting' THEN CASE WHEN b.position IS NULL THEN 'deferred' ELSE 'held' END ELSE d.state END AS state,
        CASE WHEN d.state = 'waiting' AND b.position IS NOT NULL THEN 'behind ' || b.id || ', which is parked' ELSE d.reason END AS reason,
        d.hint, d.attempts, d.created_at, coalesce(d.parked_at, d.set_aside_at) AS parked_at, d.tried_at, d.due_at, d.expires,
        d.redrive, b.id AS behind, d.headers, d.payload
    FROM tandem.deferred AS d
    LEFT JOIN LATERAL (
        SELECT p.position, p.id FROM tandem.deferred AS p
        WHERE p.state = 'parked' AND p.ordered AND p.topic = d.topic AND p.key = d.key AND p.position < d.position AND d.ordered
        ORDER BY p.position LIMIT 1) AS b ON d.state = 'waiting';

-- What is in the log still though it has been published, and may be published
-- again on purpose: done by the saved checkpoint; neither set aside nor dropped;
-- not expired since, and not to be sent at most once. The checkpoint is read in
-- subqueries of one row, so that a page by position walks the leaves' indexes.
CREATE VIEW tandem.published AS
    SELECT l.position, l.created_at, l.id, l.partition, l.topic, l.key, l.type, l.headers, l.payload, l.expires
    FROM tandem.log AS l
    WHERE l.at_most_once IS NOT TRUE
        AND (l.expires IS NULL OR l.expires > clock_timestamp())
        AND (pg_visible_in_snapshot(l.tx, (SELECT prev FROM tandem.checkpoint ORDER BY save DESC LIMIT 1))
            OR (l.position <= (SELECT done FROM tandem.checkpoint ORDER BY save DESC LIMIT 1)
                AND pg_visible_in_snapshot(l.tx, (SELECT cur FROM tandem.checkpoint ORDER BY save DESC LIMIT 1))))
        AND NOT EXISTS (SELECT FROM tandem.deferred AS d WHERE d.position = l.position)
        AND NOT EXISTS (SELECT FROM tandem.dropped AS d WHERE d.position = l.position);

-- Sets events aside; called by save_checkpoint alone, which holds the fence.
-- Each has position, state (or expired, or kept: for its partition, else as it
-- was), lane, reason, hint, attempts, and stored where it is in deferred already. An event of the log that is there
-- already was set aside before a crash, and stays as it is.
-- +goose StatementBegin
CREATE FUNCTION tandem.set_aside(aside jsonb) RETURNS void
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO tandem.deferred (position, created_at, id, expires, at_most_once, partition, topic, key, type, headers, payload,
            state, ordered, due_at, lane, lanes, reason, hint, attempts, parked_at, tried_at)
        SELECT l.position, l.created_at, l.id, l.expires, l.at_most_once, l.partition, l.topic, l.key, l.type, l.headers, l.payload,
            a.state, l.not_before IS NULL, CASE WHEN a.state = 'scheduled' THEN l.not_before END, a.lane, a.lanes, a.reason, a.hint, a.attempts,
            CASE WHEN a.state = 'parked' THEN clock_timestamp() END, CASE WHEN a.attempts > 0 THEN clock_timestamp() END
        FROM jsonb_to_recordset(aside) AS a (position bigint, state text, stored boolean, lane integer, lanes integer, reason text, hint text, attempts integer)
        JOIN tandem.log AS l ON l.position = a.position
        WHERE NOT a.stored AND a.state <> 'expired'
        ON CONFLICT (position) DO NOTHING;
    UPDATE tandem.deferred AS d SET state = a.state, lane = a.lane, lanes = a.lanes, reason = a.reason, hint = a.hint, attempts = d.attempts + a.attempts,
            parked_at = CASE WHEN a.state = 'parked' THEN coalesce(d.parked_at, clock_timestamp()) END,
            tried_at = CASE WHEN a.attempts > 0 THEN clock_timestamp() ELSE d.tried_at END, redrive = NULL, redriven = coalesce(d.redrive, d.redriven)
        FROM jsonb_to_recordset(aside) AS a (position bigint, state text, stored boolean, lane integer, lanes integer, reason text, hint text, attempts integer)
        WHERE a.stored AND a.state NOT IN ('expired', 'kept') AND d.position = a.position;
    UPDATE tandem.deferred AS d SET lane = a.lane, lanes = a.lanes
        FROM jsonb_to_recordset(aside) AS a (position bigint, state text, stored boolean, lane integer, lanes integer)
        WHERE a.stored AND a.state = 'kept' AND d.position = a.position AND (d.lane, d.lanes) IS DISTINCT FROM (a.lane, a.lanes);
    INSERT INTO tandem.dropped (position, created_at, id, topic, key, type, kind, why)
        SELECT e.position, e.created_at, e.id, e.topic, e.key, e.type, 'expired', a.reason
        FROM jsonb_to_recordset(aside) AS a (position bigint, state text, stored boolean, reason text)
        CROSS JOIN LATERAL (
            SELECT position, created_at, id, topic, key, type FROM tandem.log WHERE NOT a.stored AND position = a.position
            UNION ALL
            SELECT position, created_at, id, topic, key, type FROM tandem.deferred WHERE a.stored AND position = a.position) AS e
        WHERE a.state = 'expired'
        ON CONFLICT (position) DO NOTHING;
    DELETE FROM tandem.deferred AS d
        USING jsonb_to_recordset(aside) AS a (position bigint, state text, stored boolean)
        WHERE a.stored AND a.state = 'expired' AND d.position = a.position;
END
$$;
-- +goose StatementEnd

UPDATE tandem.settings SET schema_version = 6, works_with = 6;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    LOCK TABLE tandem.deferred IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM tandem.deferred) THEN
        RAISE EXCEPTION 'events are still parked, held, deferred or scheduled'
            USING ERRCODE = 'TD002', HINT = 'see tandem parked list; redrive or discard them first, or TRUNCATE tandem.deferred to drop them';
    END IF;
END
$$;
-- +goose StatementEnd
DROP FUNCTION tandem.set_aside(jsonb);
DROP VIEW tandem.published;
DROP VIEW tandem.parked;
DROP FUNCTION tandem.beat(uuid, text, text, text, jsonb);
DROP TABLE tandem.relay;
DROP TABLE tandem.request;
DROP TABLE tandem.dropped;
DROP TABLE tandem.deferred;
UPDATE tandem.settings SET schema_version = 5, works_with = 5;
