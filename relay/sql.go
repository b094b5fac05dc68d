package relay

import "fmt"

// The statements of the relay, written for the default schema and rewritten
// once for another. All run in READ COMMITTED, each in a transaction of its own.

// sqlSession is what every connection of the relay runs first. A role may have
// other defaults; leaves that were analysed while empty, or a custom plan, turn
// a poll of 2 ms into one of 300 to 800.
const sqlSession = `SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on;
SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
SET max_parallel_workers_per_gather = 0; SET TimeZone = 'UTC'`

// sqlIdle: half the lease and the lease, in milliseconds. No transaction of the
// relay waits for the relay; should one do so all the same, it ends before a
// successor comes. What does wait is an answer that is larger than what the
// network holds, a page: while the relay is frozen its statement holds a share
// lock on every leaf and a snapshot, so the server gives the connection up.
const sqlIdle = `; SET idle_in_transaction_session_timeout = %d; SET tcp_user_timeout = %d`

// sqlServer is what must be known of a server before its log is believed. The
// timeline is that of the WAL being written; pg_control_checkpoint() lags.
const sqlServer = `SELECT pg_is_in_recovery(), system_identifier,
	CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END,
	(SELECT oid FROM pg_database WHERE datname = current_database())::bigint
FROM pg_control_system()`

// sqlCheckpoint reads the newest save, with what the restore gate compares: a
// row of a transaction that this server has not begun yet came from elsewhere.
const sqlCheckpoint = `SELECT prev::text, low, coalesce(cur::text, ''), done, high, claims, system, timeline, database::bigint,
	pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax(coalesce(cur, prev)),
	EXISTS (SELECT FROM tandem.log WHERE tx >= pg_snapshot_xmax(pg_current_snapshot()))
FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`

// eventColumns is what the decoder in page.go expects, in this order.
const eventColumns = `position, id, created_at, partition, topic, key, type, headers, payload, not_before, expires, once`

// rowSize is an event's share of a byte limit; it detoasts nothing.
const rowSize = `(coalesce(octet_length(payload), 0) + coalesce(octet_length(headers), 0) + coalesce(octet_length(key), 0))`

// logColumns: once is 1 for an event to be sent at most once, 2 where it may have
// been already; claims stands for the parameter with the claims.
const logColumns = `position, id, created_at, partition, topic, key, type, headers::text AS headers, payload, not_before, expires,
	CASE WHEN at_most_once THEN CASE WHEN tandem.claimed(tx, position, %s::text[]) THEN 2 ELSE 1 END END AS once`

// sqlPoll: $1 the previous snapshot, $2 a limit in rows, $3 one in bytes, $4 claims.
//
// One statement, so that the first row (without a position; it brings the
// snapshot and the insert and flush positions of the WAL in the columns of an
// event) and the events share a snapshot. Unread
// is what is visible now and was not in $1: transactions that began later, and
// those that were in progress then and have ended since. ORDER BY tx is for the
// planner alone: it makes it walk log_tx (0.2 ms), where ORDER BY position
// would walk every leaf from its beginning (200–600 ms).
var sqlPoll = `SELECT NULL::bigint AS position, NULL::uuid AS id, NULL::timestamptz AS created_at, NULL::integer AS partition,
	pg_current_snapshot()::text AS topic, (pg_current_wal_insert_lsn() - '0/0')::text AS key,
	(pg_current_wal_flush_lsn() - '0/0')::text AS type, NULL::text AS headers, NULL::bytea AS payload,
	NULL::timestamptz AS not_before, NULL::timestamptz AS expires, NULL::integer AS once
UNION ALL
(SELECT ` + eventColumns + ` FROM (
	SELECT *, sum(` + rowSize + `) OVER (ORDER BY tx ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before FROM (
		SELECT tx, ` + fmt.Sprintf(logColumns, "$4") + ` FROM tandem.log
		WHERE tx >= pg_snapshot_xmax($1::pg_snapshot) ORDER BY tx LIMIT $2) AS later) AS later
	WHERE before < $3)
UNION ALL
(SELECT ` + eventColumns + ` FROM (
	SELECT *, sum(` + rowSize + `) OVER (ORDER BY tx ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before FROM (
		SELECT tx, ` + fmt.Sprintf(logColumns, "$4") + ` FROM tandem.log
		WHERE tx = ANY (ARRAY(SELECT x FROM pg_snapshot_xip($1::pg_snapshot) AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot())))
		ORDER BY tx LIMIT $2) AS ended) AS ended
	WHERE before < $3)`

// sqlFreeze: $1 prev, $2 cur, $3 low. The bounds by position of the window
// between two snapshots: every event in it lies above the first result and not
// above the second, which is read after cur was taken. The third tells whether
// an event may be large: whether any leaf has something out of line. What is
// visible in cur was written before, so a no holds for the whole window.
const sqlFreeze = `SELECT least($3::bigint, (
		SELECT min(position) - 1 FROM tandem.log
		WHERE tx = ANY (ARRAY(SELECT x FROM pg_snapshot_xip($1::pg_snapshot) AS x WHERE pg_visible_in_snapshot(x, $2::pg_snapshot))))),
	(SELECT last_value FROM tandem.log_position),
	(SELECT coalesce(sum(pg_relation_size(c.reltoastrelid)), 0) > 0 FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'tandem.log'::regclass)`

// sqlSmallPage: $1 prev, $2 cur, $3 and $4 the bounds by position, $5 a limit in
// rows, $6 claims. The plan is a merge of the leaves' position indexes. The comparisons
// before each OR are its cheap cases, and those of nearly every row.
//
// It is for a window without large events: the limit in rows bounds its bytes
// too, at 2 kB each. A running sum would cost half as much again.
var sqlSmallPage = `SELECT ` + fmt.Sprintf(logColumns, "$6") + ` FROM tandem.log
	WHERE position > $3 AND position <= $4
		AND (tx >= (SELECT pg_snapshot_xmax($1::pg_snapshot)) OR NOT pg_visible_in_snapshot(tx, $1::pg_snapshot))
		AND (tx < (SELECT pg_snapshot_xmin($2::pg_snapshot)) OR pg_visible_in_snapshot(tx, $2::pg_snapshot))
	ORDER BY position LIMIT $5`

// sqlPage is the same for every other window: it also has a limit in bytes, $7, and returns at least one row.
var sqlPage = `SELECT ` + eventColumns + ` FROM (
	SELECT *, sum(` + rowSize + `) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before
	FROM (` + sqlSmallPage + `) AS page) AS page
WHERE before < $7`

const sqlFlushed = `SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint`

// sqlAcquire takes a lease that has run out, was given up, or is still one's
// own from before a lost connection. The epoch is the fence's first half, the
// random owner the second: a crash may take back an epoch, never an owner.
const sqlAcquire = `UPDATE tandem.lease SET epoch = epoch + 1, owner = $1, holder = $2, acquired_at = clock_timestamp(),
	expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE expires_at <= clock_timestamp() OR owner = $1 RETURNING epoch, clock_timestamp()`

const sqlRenew = `UPDATE tandem.lease SET expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE owner = $1 AND epoch = $2 RETURNING clock_timestamp()`

const sqlRelease = `UPDATE tandem.lease SET expires_at = '-infinity' WHERE owner = $1 AND epoch = $2`

const sqlSave = `SELECT anchor_tx::text, anchor_position FROM tandem.save_checkpoint($1, $2, $3::text::pg_snapshot, $4, nullif($5, '')::pg_snapshot, $6, $7, $8, $9, $10::bigint::oid,
	$11, $12::text::jsonb, $13)`

// sqlSaves is how many saves the table has grown by, from both ends of its index.
const sqlSaves = `SELECT max(save) - min(save) FROM tandem.checkpoint`

const sqlCompact = `SELECT tandem.compact_checkpoint($1, $2)`

// sqlDoneLeaves: $1 how many are to be kept, the newest. Of two leaves the one
// that lies nearer behind the one being written is the newer.
const sqlDoneLeaves = `SELECT leaf::integer FROM generate_series(0, 15) AS leaf WHERE tandem.leaf_is_done(leaf)
	ORDER BY ((SELECT last_value >> 17 FROM tandem.log_position) - leaf) & 15 OFFSET $1`

const sqlReclaim = `SELECT tandem.reclaim_leaf($1)`
