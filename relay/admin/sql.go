package admin

import "github.com/tandem-outbox/tandem/internal/schema"

// The statements, written for the default schema and rewritten for another. Each
// is a transaction of its own in READ COMMITTED. None is on a hot path: they read
// tandem.deferred as the planner likes.

// sqlMatches is a Selector as a condition on d: $1 ids, $2 topics, $3 keys, each
// NULL for any, $4 a part of the reason. deferred_id and deferred_topic serve it.
const sqlMatches = `($1::uuid[] IS NULL OR d.id = ANY ($1)) AND ($2::text[] IS NULL OR d.topic = ANY ($2))
	AND ($3::text[] IS NULL OR d.key = ANY ($3)) AND ($4::text = '' OR strpos(lower(d.reason), lower($4)) > 0)`

// eventColumns is what Event.fields takes.
const eventColumns = `d.id, d.position, d.topic, d.key, d.type, d.partition, d.state, d.reason, d.hint, d.attempts,
	d.created_at, d.parked_at, d.tried_at, d.due_at, d.expires, d.redrive, d.behind`

// sqlList: $5 states, $6 a limit or NULL. The planner may sort, on disk if it is
// much, or walk the primary key. What each is behind comes by deferred_parked.
const sqlList = `SELECT ` + eventColumns + ` FROM tandem.parked AS d
WHERE ` + sqlMatches + ` AND d.state = ANY ($5::text[]) ORDER BY d.position LIMIT $6`

// sqlShow: ids are the writers' own, so that there may be two of one.
const sqlShow = `SELECT ` + eventColumns + `,
	(SELECT count(*) FROM tandem.parked AS h WHERE h.behind = d.id AND h.topic = d.topic AND h.key = d.key), d.headers, d.payload
FROM tandem.parked AS d WHERE d.id = $1 ORDER BY d.position LIMIT 1`

const sqlDropped = `SELECT kind, by, why, dropped_at FROM tandem.dropped WHERE id = $1 ORDER BY position LIMIT 1`

const sqlCount = `SELECT count(*) FILTER (WHERE d.state = 'parked' AND d.redrive IS NULL),
	count(*) FILTER (WHERE d.state = 'parked' AND d.redrive IS NOT NULL), count(*) FILTER (WHERE d.state = 'held'),
	count(*) FILTER (WHERE d.state = 'deferred'), count(*) FILTER (WHERE d.state = 'scheduled')
FROM tandem.parked AS d WHERE ` + sqlMatches

const sqlBehind = `SELECT d.behind FROM tandem.parked AS d WHERE d.state = 'held' AND ` + sqlMatches + `
GROUP BY d.behind ORDER BY min(d.position) LIMIT 10`

const requestColumns = `request, kind, by, requested_at, started_at, finished_at, total, done, failed, error`

// sqlRedrive: $5 by whom. Row locks on the rows it marks, in order of position,
// without waiting: what is locked is being changed by the relay or by another
// operator. A mark that an ended request left behind does not count.
const sqlRedrive = `WITH chosen AS MATERIALIZED (
	SELECT d.position FROM tandem.deferred AS d
	WHERE d.state = 'parked' AND ` + sqlMatches + ` AND (d.redrive IS NULL
		OR NOT EXISTS (SELECT FROM tandem.request AS r WHERE r.request = d.redrive AND r.finished_at IS NULL))
	ORDER BY d.position FOR UPDATE OF d SKIP LOCKED),
asked AS (
	INSERT INTO tandem.request (kind, by, total) SELECT 'redrive', $5, total
	FROM (SELECT count(*) AS total FROM chosen) AS c WHERE total > 0 RETURNING ` + requestColumns + `),
marked AS (
	UPDATE tandem.deferred AS d SET redrive = asked.request FROM chosen, asked WHERE d.position = chosen.position)
SELECT ` + requestColumns + ` FROM asked`

// sqlPassed is true of d once the saved checkpoint has passed it. Until then a
// crash of the relay would have it read again from the log, as if nobody had
// discarded it; that is a matter of moments. Walks a leaf's position index.
const sqlPassed = `NOT EXISTS (SELECT FROM tandem.log AS l, (SELECT prev, cur, done FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) AS c
	WHERE l.position = d.position AND NOT pg_visible_in_snapshot(l.tx, c.prev)
		AND NOT coalesce(l.position <= c.done AND pg_visible_in_snapshot(l.tx, c.cur), false))`

// sqlDiscard: $5 whether held events may go, $6 by whom, $7 why.
//
// Row locks, without waiting: first on parked rows without a redrive (front),
// those that match and those that hold a match; then on the held rows behind
// them. While the front is locked nobody can ask for it to be sent again, and
// the relay sends nothing of a key before that is asked.
const sqlDiscard = `WITH wanted AS MATERIALIZED (
	SELECT DISTINCT d.topic, d.key FROM tandem.deferred AS d
	WHERE $5::boolean AND d.state = 'waiting' AND d.ordered AND d.key IS NOT NULL AND ` + sqlMatches + `),
front AS MATERIALIZED (
	SELECT d.position, d.topic, d.key, d.ordered, ` + sqlMatches + ` AS chosen FROM tandem.deferred AS d
	WHERE d.state = 'parked' AND d.redrive IS NULL AND ` + sqlPassed + `
		AND (` + sqlMatches + ` OR d.ordered AND (d.topic, d.key) IN (SELECT topic, key FROM wanted))
	ORDER BY d.position FOR UPDATE OF d SKIP LOCKED),
held AS MATERIALIZED (
	SELECT d.position FROM tandem.deferred AS d
	JOIN (SELECT topic, key, min(position) AS position FROM front WHERE ordered GROUP BY topic, key) AS f
		ON f.topic = d.topic AND f.key = d.key AND f.position < d.position
	WHERE $5::boolean AND d.state = 'waiting' AND d.ordered AND ` + sqlPassed + ` AND ` + sqlMatches + `
	ORDER BY d.position FOR UPDATE OF d SKIP LOCKED),
gone AS (
	DELETE FROM tandem.deferred AS d
	USING (SELECT position FROM front WHERE chosen UNION ALL SELECT position FROM held) AS c
	WHERE d.position = c.position RETURNING d.*),
kept AS (
	INSERT INTO tandem.dropped (position, created_at, id, topic, key, type, kind, why, by)
	SELECT position, created_at, id, topic, key, type, 'discarded', $7, $6 FROM gone ON CONFLICT (position) DO NOTHING),
asked AS (
	INSERT INTO tandem.request (kind, by, total, arguments)
	SELECT 'release', $6, total, jsonb_build_object('topics', topics)
	FROM (SELECT count(*) AS total, jsonb_agg(DISTINCT topic) AS topics FROM gone) AS g WHERE total > 0 RETURNING request)
SELECT (SELECT count(*) FROM gone WHERE state = 'parked'), (SELECT count(*) FROM gone WHERE state = 'waiting'), (SELECT request FROM asked)`

// sqlReplayed is a ReplaySelector: $1 from and $2 to a time, $3 from and $4 to a
// position, $5 topic, $6 key, $7 type, each NULL for any. tandem.published has
// what may be replayed. Only the positions bound what is read.
const sqlReplayed = `($1::timestamptz IS NULL OR p.created_at >= $1) AND ($2::timestamptz IS NULL OR p.created_at < $2)
	AND ($3::bigint IS NULL OR p.position >= $3) AND ($4::bigint IS NULL OR p.position <= $4)
	AND ($5::text IS NULL OR p.topic = $5) AND ($6::text IS NULL OR p.key = $6) AND ($7::text IS NULL OR coalesce(p.type, p.topic) = $7)`

const sqlCountReplay = `SELECT (SELECT count(*) FROM tandem.published AS p WHERE ` + sqlReplayed + `), k.position, k.created_at
FROM (SELECT) AS one LEFT JOIN (SELECT position, created_at FROM tandem.published ORDER BY position LIMIT 1) AS k ON true`

// sqlReplay: $8 the rate, $9 by whom. What is written while the replay goes on
// lies above to_position or, where its transaction is older, is a straggler that
// is published twice.
const sqlReplay = `WITH chosen AS (
	SELECT count(*) AS total, min(p.position) AS first, max(p.position) AS last FROM tandem.published AS p WHERE ` + sqlReplayed + `)
INSERT INTO tandem.request (kind, by, total, arguments)
SELECT 'replay', $9, total, jsonb_strip_nulls(jsonb_build_object('from', $1::timestamptz, 'to', $2::timestamptz,
	'from_position', first, 'to_position', last, 'topic', $5::text, 'key', $6::text, 'type', $7::text, 'rate', $8::integer))
FROM chosen WHERE total > 0 RETURNING ` + requestColumns

const sqlRequest = `SELECT ` + requestColumns + ` FROM tandem.request WHERE request = $1`

const sqlWorking = `SELECT holder FROM tandem.lease WHERE expires_at > clock_timestamp()`

// statements are those for one schema.
type statements struct {
	list, show, dropped, count, behind    string
	redrive, discard                      string
	countReplay, replay, request, working string
}

func statementsFor(name string) statements {
	in := func(statement string) string { return schema.Rewrite(statement, name) }
	return statements{
		list: in(sqlList), show: in(sqlShow), dropped: in(sqlDropped), count: in(sqlCount), behind: in(sqlBehind),
		redrive: in(sqlRedrive), discard: in(sqlDiscard),
		countReplay: in(sqlCountReplay), replay: in(sqlReplay), request: in(sqlRequest), working: in(sqlWorking),
	}
}
