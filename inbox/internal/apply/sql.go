package apply

// beginSQL is one round trip. READ COMMITTED whatever the role's default is: in
// the other levels a concurrent duplicate would be an error and not an answer.
// The two limits, in milliseconds, bound how long a frozen consumer can delay
// the one that took over its partitions.
const beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = %d;
SET LOCAL idle_in_transaction_session_timeout = %d`

type statements struct {
	timed, foreign, floor string
}

// timedSQL inserts the UUIDv7 that the leaves cover and returns those that were
// new with true, and those that no leaf covers with false. The floor keeps an
// insert off leaves that may be emptied, the ceiling off those not yet made.
// Locks: ROW EXCLUSIVE on the inbox and the leaves of the ids.
const timedSQL = `
WITH bounds AS MATERIALIZED (
    SELECT tandem.uuid_at(tandem.inbox_floor_time()) AS low, tandem.uuid_at(ceiling) AS high FROM tandem.inbox_bounds
), sent AS MATERIALIZED (
    SELECT id FROM unnest($2::text[]::uuid[]) AS id
), added AS (
    INSERT INTO tandem.inbox (consumer, message_id)
    SELECT $1::text, id FROM sent, bounds WHERE id >= low AND id < high ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING message_id
)
SELECT message_id::text, true FROM added
UNION ALL
SELECT id::text, false FROM sent, bounds WHERE NOT (id >= low AND id < high)`

// foreignSQL inserts every other id and returns those that were new.
const foreignSQL = `
INSERT INTO tandem.inbox_foreign (consumer, message_id)
SELECT $1::text, id FROM unnest($2::text[]) WITH ORDINALITY AS sent (id, n) ORDER BY n
ON CONFLICT DO NOTHING
RETURNING message_id, true`

// floorSQL reads the floor as it is now, whatever the snapshot.
const floorSQL = `SELECT last_value FROM tandem.inbox_floor`
