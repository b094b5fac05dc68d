package admin

// The statements, written for the default schema and rewritten for another. Each
// is a transaction of its own in READ COMMITTED. None is on a hot path: they read
// tandem.inbox_aside as the planner likes.

// sqlID is a's id in the one spelling of it, as ids.Parse has it.
const sqlID = `CASE WHEN a.message_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN lower(a.message_id) ELSE a.message_id END`

// sqlMatches is a Selector as a condition on a: $1 numbers, $2 consumers, $3 ids,
// $4 topics, $5 a partition, $6 an offset, $7 keys, each NULL for any; $8 a part
// of the reason or error; $9 states, or NULL.
const sqlMatches = `($1::bigint[] IS NULL OR a.aside = ANY ($1)) AND ($2::text[] IS NULL OR a.consumer = ANY ($2))
	AND ($3::text[] IS NULL OR ` + sqlID + ` = ANY ($3)) AND ($4::text[] IS NULL OR a.topic = ANY ($4))
	AND ($5::integer IS NULL OR a.partition = $5) AND ($6::bigint IS NULL OR a.position = $6)
	AND ($7::bytea[] IS NULL OR a.key = ANY ($7))
	AND ($8::text = '' OR strpos(lower(a.reason), lower($8)) > 0 OR strpos(lower(a.error), lower($8)) > 0)
	AND ($9::text[] IS NULL OR a.state = ANY ($9))`

// sqlSameLane joins a with b. inbox_aside_lane serves it.
const sqlSameLane = `b.consumer = a.consumer AND b.topic = a.topic AND b.partition = a.partition AND b.lane = a.lane`

// messageColumns is what Message.fields takes.
const messageColumns = `a.aside, a.consumer, a.topic, a.partition, a.position, a.message_id, a.key, a.type, a.state, a.scope,
	a.reason, a.error, a.hint, a.attempts, a.sent_at, a.stored_at, a.tried_at, a.parked_at, a.due_at, a.redrive, a.redrive_by,
	CASE WHEN a.state = 'held' THEN (SELECT nullif(min(b.aside), a.aside) FROM tandem.inbox_aside AS b WHERE ` + sqlSameLane + `) END`

// sqlList: $10 a limit or NULL.
const sqlList = `SELECT ` + messageColumns + ` FROM tandem.inbox_aside AS a WHERE ` + sqlMatches + ` ORDER BY a.aside LIMIT $10`

// sqlShow is sqlList with the content.
const sqlShow = `SELECT ` + messageColumns + `,
	CASE WHEN a.state = 'held' THEN 0 ELSE (SELECT count(*) FROM tandem.inbox_aside AS b WHERE ` + sqlSameLane + ` AND b.aside > a.aside) END,
	a.stack, a.header_names, a.header_values, a.value
FROM tandem.inbox_aside AS a WHERE ` + sqlMatches + ` ORDER BY a.aside LIMIT $10`

const sqlCount = `SELECT count(*) FILTER (WHERE a.state = 'parked' AND NOT a.redrive), count(*) FILTER (WHERE a.state = 'retrying' AND NOT a.redrive),
	count(*) FILTER (WHERE a.redrive), count(*) FILTER (WHERE a.state = 'held')
FROM tandem.inbox_aside AS a WHERE ` + sqlMatches

// sqlBehind: what the held messages that match wait for.
const sqlBehind = `SELECT f.aside FROM (
	SELECT (SELECT min(b.aside) FROM tandem.inbox_aside AS b WHERE ` + sqlSameLane + `) AS first
	FROM tandem.inbox_aside AS a WHERE a.state = 'held' AND ` + sqlMatches + `) AS h
JOIN tandem.inbox_aside AS f ON f.aside = h.first AND f.state <> 'held' GROUP BY f.aside ORDER BY f.aside LIMIT 10`

// sqlHere locks the partitions of messages that match, in order, before any
// message. Batches hold FOR KEY SHARE on the
// row, which this lock does not mind; to wait for it is to wait for the owner's
// or another operator's single statement. A message is never without that row:
// its consumer wrote it while it had the row locked.
const sqlHere = `WITH here AS MATERIALIZED (
	SELECT p.consumer, p.topic, p.partition FROM tandem.inbox_partition AS p
	WHERE EXISTS (SELECT FROM tandem.inbox_aside AS a
		WHERE a.consumer = p.consumer AND a.topic = p.topic AND a.partition = p.partition AND NOT a.redrive AND ` + sqlMatches + `)
	ORDER BY p.consumer, p.topic, p.partition FOR NO KEY UPDATE OF p),
`

// sqlTold tells the owners of the partitions of what is in touched.
const sqlTold = `told AS (
	UPDATE tandem.inbox_partition AS p SET changed = p.changed + 1
	FROM (SELECT DISTINCT consumer, topic, partition FROM touched) AS t
	WHERE p.consumer = t.consumer AND p.topic = t.topic AND p.partition = t.partition)
`

// sqlRedrive: $10 by whom. The join with here, and the sort, let it lock messages
// only when every partition is locked.
const sqlRedrive = sqlHere + `chosen AS MATERIALIZED (
	SELECT a.aside FROM tandem.inbox_aside AS a JOIN here USING (consumer, topic, partition)
	WHERE a.state IN ('parked', 'retrying') AND NOT a.redrive AND ` + sqlMatches + `
	ORDER BY a.aside FOR UPDATE OF a SKIP LOCKED),
touched AS (
	UPDATE tandem.inbox_aside AS a SET redrive = true, redrive_by = $10 FROM chosen WHERE a.aside = chosen.aside
	RETURNING a.aside, a.consumer, a.topic, a.partition),
` + sqlTold + `SELECT coalesce(array_agg(aside ORDER BY aside), '{}') FROM touched`

// sqlDiscard: $10 whether held messages may go, $11 by whom, $12 why.
//
// Row locks on messages, without waiting: first on those that are the first of
// their lane, where they match or where something behind them may (front); then
// on the held ones behind them. While the front is locked its consumer can
// neither handle it nor, therefore, anything behind it. The ids of what is given
// up are recorded, so that its repetitions are duplicates.
const sqlDiscard = sqlHere + `wanted AS MATERIALIZED (
	SELECT DISTINCT a.consumer, a.topic, a.partition, a.lane FROM tandem.inbox_aside AS a
	WHERE NOT a.redrive AND (a.state <> 'held' OR $10::boolean) AND ` + sqlMatches + `),
front AS MATERIALIZED (
	SELECT a.aside, a.consumer, a.topic, a.partition, a.lane, (a.state <> 'held' OR $10::boolean) AND ` + sqlMatches + ` AS chosen
	FROM tandem.inbox_aside AS a JOIN here USING (consumer, topic, partition) JOIN wanted AS w USING (consumer, topic, partition, lane)
	WHERE NOT a.redrive AND NOT EXISTS (SELECT FROM tandem.inbox_aside AS b WHERE ` + sqlSameLane + ` AND b.aside < a.aside)
	ORDER BY a.aside FOR UPDATE OF a SKIP LOCKED),
held AS MATERIALIZED (
	SELECT a.aside FROM tandem.inbox_aside AS a JOIN front AS f USING (consumer, topic, partition, lane)
	WHERE $10::boolean AND a.state = 'held' AND a.aside > f.aside AND ` + sqlMatches + `
	ORDER BY a.aside FOR UPDATE OF a SKIP LOCKED),
touched AS (
	DELETE FROM tandem.inbox_aside AS a USING (SELECT aside FROM front WHERE chosen UNION ALL SELECT aside FROM held) AS c
	WHERE a.aside = c.aside RETURNING a.*),
kept AS (
	INSERT INTO tandem.inbox_dropped (consumer, topic, partition, position, message_id, type, key, kind, why, by)
	SELECT consumer, topic, partition, position, message_id, type, key, 'discarded', $12, $11 FROM touched
	WHERE tandem.record_discarded(consumer, message_id) IS NOT NULL ORDER BY aside),
` + sqlTold + `SELECT count(*) FILTER (WHERE state <> 'held'), count(*) FILTER (WHERE state = 'held') FROM touched`

// sqlFollow: $1 numbers. What is not there any more has been handled.
const sqlFollow = `SELECT a.aside, a.redrive, a.consumer, a.topic, a.partition, a.position, a.message_id, a.state, a.error
FROM tandem.inbox_aside AS a WHERE a.aside = ANY ($1::bigint[]) ORDER BY a.aside`

// sqlUnattended: $1 numbers, $2 seconds of silence.
const sqlUnattended = `SELECT p.consumer, p.topic, p.partition, p.holder, p.seen_at, clock_timestamp() FROM tandem.inbox_partition AS p
WHERE p.seen_at < clock_timestamp() - make_interval(secs => $2) AND EXISTS (SELECT FROM tandem.inbox_aside AS a
	WHERE a.aside = ANY ($1::bigint[]) AND a.consumer = p.consumer AND a.topic = p.topic AND a.partition = p.partition)
ORDER BY p.consumer, p.topic, p.partition`

// sqlDropped is a Selector on what was given up: whose content is gone, but not
// that it was there. Without the numbers, the reason and the state.
const sqlDropped = `SELECT a.kind, a.by, a.why, a.received_at FROM tandem.inbox_dropped AS a
WHERE ($1::text[] IS NULL OR a.consumer = ANY ($1)) AND ($2::text[] IS NULL OR ` + sqlID + ` = ANY ($2))
	AND ($3::text[] IS NULL OR a.topic = ANY ($3)) AND ($4::integer IS NULL OR a.partition = $4)
	AND ($5::bigint IS NULL OR a.position = $5) AND ($6::bytea[] IS NULL OR a.key = ANY ($6))
ORDER BY a.dropped DESC LIMIT 1`
