package apply

// beginSQL and limitsSQL go with what the transaction has to do first, in one
// round trip. READ COMMITTED whatever the role's default is: in the other levels a
// concurrent duplicate would be an error and not an answer.
const beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

// limitsSQL sets the limits of the transaction, in milliseconds.
const limitsSQL = `SELECT set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true)`

type statements struct {
	fence, covered, timed, foreign, late     string
	bounds, lock                             string
	store, again, done, drop                 string
	claim, heads, count, changed, rows, beat string
}

// fenceSQL keeps the partition from being claimed until this transaction has
// ended: a share lock on its row, by the primary key.
const fenceSQL = `
SELECT epoch, changed FROM tandem.inbox_partition WHERE consumer = $1 AND topic = $2 AND partition = $3 FOR KEY SHARE`

// coveredSQL inserts UUIDv7 that are known to be covered by leaves, in the order
// in which they are sent, and returns those that were new. It has nothing to look
// up, and so takes half the time of timedSQL.
// Locks: ROW EXCLUSIVE on the inbox and the leaves of the ids.
const coveredSQL = `
INSERT INTO tandem.inbox (consumer, message_id)
SELECT $1::text, id FROM unnest($2::uuid[]) AS id
ON CONFLICT DO NOTHING
RETURNING message_id`

// timedSQL is coveredSQL for UUIDv7 of which it is not known: it inserts those
// that the leaves cover and returns which were new with true, and those that no
// leaf covers with false. The floor keeps an insert off leaves that may be
// emptied, the ceiling off those not yet made.
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

// lateSQL records UUIDv7 that are to be handled whether or not a leaf covers
// them, and returns those that were new.
const lateSQL = `
SELECT id::text, true FROM (SELECT id FROM unnest($2::text[]::uuid[]) AS id ORDER BY id) AS sent
WHERE tandem.record_late($1::text, id)`

// boundsSQL reads the floor as it is now, whatever the snapshot, and the ceiling;
// both in Unix milliseconds, and neither ever falls.
const boundsSQL = `SELECT last_value, (extract(epoch FROM ceiling) * 1000)::bigint FROM tandem.inbox_floor, tandem.inbox_bounds`

// lockSQL locks the rows that messages were read from, so that no operator can
// discard them meanwhile, and counts what is there.
const lockSQL = `
SELECT count(*) FROM (SELECT FROM tandem.inbox_aside WHERE aside = ANY ($1::bigint[]) ORDER BY aside FOR UPDATE) AS locked`

// storeSQL sets a message aside. One that is there came before, and its offset
// was not committed then.
const storeSQL = `
INSERT INTO tandem.inbox_aside (consumer, topic, partition, position, digest, lane, scope, state, reason, error, hint, stack, attempts,
    tried_at, parked_at, due_at, message_id, type, sent_at, key, header_names, header_values, value)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::integer,
    CASE WHEN $13::integer > 0 THEN clock_timestamp() END, CASE WHEN $8 = 'parked' THEN clock_timestamp() END,
    CASE WHEN $8 = 'retrying' THEN clock_timestamp() + $14::interval END, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (consumer, topic, partition, position, digest) DO NOTHING`

// againSQL is for a message that was set aside, was tried again and failed.
const againSQL = `
UPDATE tandem.inbox_aside SET state = $2, reason = $3, error = $4, hint = $5, stack = $6, attempts = $7, tried_at = clock_timestamp(),
    parked_at = CASE WHEN $2 = 'parked' THEN coalesce(parked_at, clock_timestamp()) END,
    due_at = CASE WHEN $2 = 'retrying' THEN clock_timestamp() + $8::interval END, redrive = false
WHERE aside = $1`

// doneSQL takes away what was handled, or was a duplicate.
const doneSQL = `DELETE FROM tandem.inbox_aside WHERE aside = ANY ($1::bigint[])`

// dropSQL keeps that a message was skipped, and why.
const dropSQL = `
INSERT INTO tandem.inbox_dropped (consumer, topic, partition, position, message_id, type, key, kind, why, by)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'skipped', $8, $9)`
