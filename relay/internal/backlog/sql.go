package backlog

// sqlBeyond: $1 prev, $2 cur or an empty text, $3 done, $4 high, $5 the bound, $6
// a time or NULL. In this order: what is left of the window under way, by the
// leaves' position indexes; what began later, and what was in progress, by
// log_tx. ORDER BY tx is for the planner, as in the relay's poll. The first row,
// without a topic, sums up.
const sqlBeyond = `WITH beyond AS MATERIALIZED (
	(SELECT 1 AS way, topic, created_at, ` + size + ` AS bytes FROM tandem.log
		WHERE $2::text <> '' AND position > $3::bigint AND position <= $4::bigint AND created_at <= coalesce($6::timestamptz, 'infinity')
			AND NOT pg_visible_in_snapshot(tx, $1::text::pg_snapshot) AND pg_visible_in_snapshot(tx, coalesce(nullif($2::text, ''), $1::text)::pg_snapshot)
		ORDER BY position LIMIT $5::bigint)
	UNION ALL
	(SELECT 2, topic, created_at, ` + size + ` FROM tandem.log
		WHERE tx >= pg_snapshot_xmax(coalesce(nullif($2::text, ''), $1::text)::pg_snapshot) AND created_at <= coalesce($6::timestamptz, 'infinity')
		ORDER BY tx LIMIT $5::bigint)
	UNION ALL
	(SELECT 3, topic, created_at, ` + size + ` FROM tandem.log
		WHERE tx = ANY (ARRAY(SELECT pg_snapshot_xip(coalesce(nullif($2::text, ''), $1::text)::pg_snapshot))) AND created_at <= coalesce($6::timestamptz, 'infinity')
		ORDER BY tx LIMIT $5::bigint))
SELECT topic, count(*), coalesce(sum(bytes), 0)::bigint, min(created_at),
	count(*) FILTER (WHERE way = 1), count(*) FILTER (WHERE way = 2), (SELECT last_value FROM tandem.log_position), clock_timestamp()
FROM beyond GROUP BY GROUPING SETS ((), (topic)) ORDER BY grouping(topic) DESC, count(*) DESC, topic`

// size leaves payloads where they are, out of line or not.
const size = `(coalesce(octet_length(payload), 0) + coalesce(octet_length(headers::text), 0) + coalesce(octet_length(key), 0))`

// sqlSize waits for a leaf that is being truncated, some milliseconds.
const sqlSize = `SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint, (count(*) FILTER (WHERE pg_relation_size(inhrelid) > 0))::integer
FROM pg_inherits WHERE inhparent = 'tandem.log'::regclass`

// sqlAside: $1 the bound. By the partial indexes on deferred.
const sqlAside = `SELECT (SELECT count(*) FROM (SELECT FROM tandem.deferred WHERE state = 'parked' LIMIT $1::bigint) AS p),
	(SELECT count(*) FROM (SELECT FROM tandem.deferred WHERE state <> 'scheduled' AND state = 'waiting' LIMIT $1::bigint) AS w),
	(SELECT count(*) FROM (SELECT FROM tandem.deferred WHERE state = 'scheduled' LIMIT $1::bigint) AS s)`
