package relay

// The statements of Rebase. Each reads the whole log; none is on a hot path.

const sqlHasCheckpoint = `SELECT EXISTS (SELECT FROM tandem.checkpoint)`

const sqlHolder = `SELECT holder FROM tandem.lease`

// sqlJudges is what a row of the log is judged by. A row's or checkpoint's own
// xmin has 32 bits; its 64 are the last ones with those low bits.
const sqlJudges = `WITH here AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now),
saved AS MATERIALIZED (
	SELECT prev, cur, done, claims, here.now - ((here.now - c.xmin::text::bigint) & 4294967295) AS arrived
	FROM here, tandem.checkpoint AS c ORDER BY save DESC LIMIT 1),
judges AS MATERIALIZED (SELECT * FROM here LEFT JOIN saved ON true)
`

// sqlWrittenHere is true of every row l that was written on this server after
// the checkpoint had arrived on it: its transaction began after the one that
// stored the checkpoint (a save, or a restore's COPY), and not after the one
// that stored the row, which is the same or its subtransaction. Of a row that
// was restored it is true by chance only, when its foreign id falls between
// those two, a few apart; then the event is published again, and nothing is lost.
const sqlWrittenHere = `(l.tx::text::bigint > j.arrived
	AND l.tx::text::bigint <= j.now - ((j.now - l.xmin::text::bigint) & 4294967295))`

// sqlCovered: $1 is a RebaseChoice. An at-most-once event that was claimed counts
// as sent.
const sqlCovered = `CASE $1::integer WHEN 1 THEN false WHEN 2 THEN true
	ELSE NOT ` + sqlWrittenHere + ` AND (pg_visible_in_snapshot(l.tx, j.prev)
		OR coalesce(pg_visible_in_snapshot(l.tx, j.cur) AND l.position <= j.done, false)
		OR coalesce(l.at_most_once AND tandem.claimed(l.tx, l.position, j.claims), false)) END`

const sqlRebaseCount = sqlJudges + `SELECT count(*) FILTER (WHERE NOT ` + sqlCovered + `), count(*) FILTER (WHERE ` + sqlCovered + `)
FROM tandem.log AS l, judges AS j`

// sqlSettle: $2 is the new checkpoint's snapshot.
const sqlSettle = sqlJudges + `UPDATE tandem.log AS l SET tx = '2' FROM judges AS j
WHERE ` + sqlCovered + ` AND NOT pg_visible_in_snapshot(l.tx, $2::text::pg_snapshot)`

// sqlUnsettle comes after sqlSettle: 2 is covered by every checkpoint.
const sqlUnsettle = sqlJudges + `UPDATE tandem.log AS l SET tx = pg_current_xact_id() FROM judges AS j
WHERE NOT ` + sqlCovered

// sqlRaiseSequence mends a restore that brought the rows and not the sequence:
// positions would be drawn twice.
const sqlRaiseSequence = `SELECT setval('tandem.log_position', greatest)
FROM (SELECT max(position) AS greatest FROM tandem.log) AS log, tandem.log_position AS s
WHERE greatest > s.last_value OR greatest = s.last_value AND NOT s.is_called`
