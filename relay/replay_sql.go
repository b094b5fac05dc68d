package relay

// The statements of a replay. tandem.published has what may be published again.

// sqlOpenReplay is the oldest request: its number, up to where it is over and
// goes, its rate, what it selects, how many events are not counted yet. It walks
// request_open.
const sqlOpenReplay = `SELECT request, greatest(position, (arguments->>'from_position')::bigint - 1),
	coalesce((arguments->>'to_position')::bigint, (SELECT last_value FROM tandem.log_position)), coalesce((arguments->>'rate')::integer, 1000), arguments->>'topic', arguments->>'key', arguments->>'type',
	(arguments->>'from')::timestamptz, (arguments->>'to')::timestamptz, total - done - failed
FROM tandem.request WHERE kind = 'replay' AND finished_at IS NULL ORDER BY request LIMIT 1`

// sqlReplayPage: events after position $1 and not after $2; $3 topic, $4 key, $5
// type, $6 from and $7 to a time, each NULL for any; $8 a limit in rows, $9 one in
// bytes, but at least one row. A merge of the leaves' position indexes.
const sqlReplayPage = `SELECT ` + eventColumns + `, ordered
FROM (SELECT *, sum(` + rowSize + `) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before
	FROM (SELECT position, id, created_at, partition, topic, key, type, headers::text AS headers, payload,
			NULL::timestamptz AS not_before, expires, NULL::integer AS once, false AS ordered
		FROM tandem.published
		WHERE position > $1 AND position <= $2 AND ($3::text IS NULL OR topic = $3) AND ($4::text IS NULL OR key = $4)
			AND ($5::text IS NULL OR coalesce(type, topic) = $5)
			AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
		ORDER BY position LIMIT $8) AS page) AS page
WHERE before < $9`

// sqlReplayProgress: $1 owner, $2 epoch, $3 a request, $4 up to where it is over,
// $5 more events sent, $6 and given up, $7 why, $8 whether it is over. The share
// lock on the lease is the fence, as in save_checkpoint.
const sqlReplayProgress = `WITH mine AS MATERIALIZED (SELECT FROM tandem.lease WHERE owner = $1 AND epoch = $2 FOR SHARE)
UPDATE tandem.request SET started_at = coalesce(started_at, clock_timestamp()), position = $4, done = done + $5, failed = failed + $6,
	error = CASE WHEN $7 = '' THEN error ELSE $7 END, finished_at = CASE WHEN $8 THEN clock_timestamp() END
WHERE request = $3 AND finished_at IS NULL AND EXISTS (SELECT FROM mine)`
