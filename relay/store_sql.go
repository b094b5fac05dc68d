package relay

// The statements of the exception path, which few events ever see. Nobody but a
// relay that is fenced adds to tandem.deferred, changes or deletes its rows, save
// for operators, who touch only what no relay may be sending: see relay/admin.

// storedColumns is what page.decode expects, and whether the event keeps order.
const storedColumns = `position, id, created_at, partition, topic, key, type, headers::text AS headers, payload,
	NULL::timestamptz AS not_before, expires, CASE WHEN at_most_once THEN 1 END AS once, ordered`

// sqlEligible: $1 topic, $2 partitions to leave out, $3 of how many, $4 a limit in
// rows, $5 one in bytes, $6 keys to leave out. It walks deferred_topic from its
// beginning; for an event with a key it probes deferred_parked for a parked
// one before it that nobody redrives.
const sqlEligible = `SELECT ` + eventColumns + `, ordered
FROM (SELECT *, sum(` + rowSize + `) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before
	FROM (SELECT ` + storedColumns + ` FROM tandem.deferred AS d
		WHERE topic = $1 AND state <> 'scheduled' AND (lane IS NULL OR lanes <> $3 OR lane <> ALL (coalesce($2::integer[], '{}')))
			AND (state <> 'parked' OR redrive IS NOT NULL)
			AND (NOT ordered OR key IS NULL OR key <> ALL ($6::text[]) AND NOT EXISTS (SELECT FROM tandem.deferred AS p
				WHERE p.state = 'parked' AND p.topic = d.topic AND p.key = d.key AND p.ordered AND p.redrive IS NULL AND p.position < d.position))
		ORDER BY position LIMIT $4) AS page) AS page
WHERE before < $5`

// sqlDue: $1 positions under way, $2 a limit in rows, $3 one in bytes. It walks
// deferred_due. The database's clock decides. An event to be sent at most once
// comes when the saved checkpoint has passed it: until then a crash would have it
// read, stored and sent again. That probes the leaves' position indexes.
const sqlDue = `SELECT ` + eventColumns + `, ordered
FROM (SELECT *, sum(` + rowSize + `) OVER (ORDER BY due_at, position ROWS UNBOUNDED PRECEDING) - ` + rowSize + ` AS before
	FROM (SELECT ` + storedColumns + `, due_at FROM tandem.deferred AS d
		WHERE state = 'scheduled' AND due_at <= clock_timestamp() AND position <> ALL ($1::bigint[])
			AND (at_most_once IS NOT TRUE OR NOT EXISTS (
				SELECT FROM tandem.log AS l, (SELECT prev, cur, done FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) AS c
				WHERE l.position = d.position AND NOT pg_visible_in_snapshot(l.tx, c.prev)
					AND NOT coalesce(l.position <= c.done AND pg_visible_in_snapshot(l.tx, c.cur), false)))
		ORDER BY due_at, position LIMIT $2) AS page) AS page
WHERE before < $3 ORDER BY due_at, position`

// sqlNextDue is in how many seconds the next scheduled event is due, NULL if none.
const sqlNextDue = `SELECT extract(epoch FROM (SELECT due_at FROM tandem.deferred
	WHERE state = 'scheduled' AND position <> ALL ($1::bigint[]) ORDER BY due_at, position LIMIT 1) - clock_timestamp())::float8`

const sqlHeldKeys = `SELECT DISTINCT key FROM tandem.deferred WHERE topic = $1 AND state <> 'scheduled' AND ordered AND key IS NOT NULL`

// sqlSetAsideTopics: every topic with stored events that are not scheduled, and
// whether there are more than $1. It skips from topic to topic in deferred_topic.
const sqlSetAsideTopics = `WITH RECURSIVE topics AS (
	(SELECT topic FROM tandem.deferred WHERE state <> 'scheduled' ORDER BY topic, position LIMIT 1)
	UNION ALL
	SELECT (SELECT topic FROM tandem.deferred WHERE state <> 'scheduled' AND topic > t.topic ORDER BY topic, position LIMIT 1)
	FROM topics AS t WHERE t.topic IS NOT NULL)
SELECT topic, (SELECT count(*) FROM (SELECT FROM tandem.deferred AS d WHERE d.state <> 'scheduled' AND d.topic = t.topic LIMIT $1 + 1) AS few) > $1
FROM topics AS t WHERE topic IS NOT NULL`

// sqlTidy forgets what was dropped, and what operators asked for, 30 days after
// it was over; of what the log still holds nothing, since a replay goes by it.
const sqlTidy = `WITH dropped AS (
	DELETE FROM tandem.dropped WHERE position IN (
		SELECT position FROM tandem.dropped AS d WHERE dropped_at < clock_timestamp() - interval '30 days'
			AND NOT EXISTS (SELECT FROM tandem.log AS l WHERE l.position = d.position)
		ORDER BY dropped_at LIMIT 100000))
DELETE FROM tandem.request WHERE finished_at < clock_timestamp() - interval '30 days'`

// sqlSetAsideAhead tells whether anything may be set aside that the checkpoint has
// not passed: beyond low, or of a transaction that was in progress. Two probes of
// indexes; a yes that is wrong costs but a wait.
const sqlSetAsideAhead = `SELECT EXISTS (SELECT FROM tandem.deferred WHERE position > c.low AND state <> 'scheduled')
	OR EXISTS (SELECT FROM tandem.log WHERE tx = ANY (ARRAY(SELECT pg_snapshot_xip(c.prev))))
FROM (SELECT prev, low FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) AS c`

// sqlRequests are what operators ask for. It walks request_open.
const sqlRequests = `SELECT request, kind, arguments FROM tandem.request WHERE finished_at IS NULL ORDER BY request`

// sqlRedriveTopics: $1 a request. The topics of what it asks for that is still there.
const sqlRedriveTopics = `SELECT DISTINCT topic FROM tandem.deferred WHERE redrive = $1`

// sqlRequestProgress: $1 owner, $2 epoch, $3 a request, $4 whether it is over.
// What has gone from the table has been sent; what was refused again has not.
const sqlRequestProgress = `UPDATE tandem.request AS r SET started_at = coalesce(started_at, clock_timestamp()),
	finished_at = CASE WHEN $4 THEN clock_timestamp() END,
	failed = f.failed, done = greatest(0, r.total - f.failed - f.left)
FROM (SELECT (SELECT count(*) FROM tandem.deferred WHERE redrive = $3) AS left,
	(SELECT count(*) FROM tandem.deferred WHERE redriven = $3 AND redrive IS NULL) AS failed) AS f
WHERE r.request = $3 AND EXISTS (SELECT FROM tandem.lease WHERE owner = $1 AND epoch = $2)`
