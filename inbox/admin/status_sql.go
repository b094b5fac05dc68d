package admin

// The statements of Status, each of a moment of its own.

// sqlStatusCeiling reads the catalog, which everybody may: a relay's login, for
// one, may not read inbox_bounds.
const sqlStatusCeiling = `SELECT max(tandem.uuid_time(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([0-9a-f-]{36})''\)')::uuid)), clock_timestamp()
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'tandem.inbox'::regclass`

// sqlStatusStorage estimates as the planner does: the density when the table was
// last analysed, else a guess at a row's width, times the pages that it has now.
const sqlStatusStorage = `WITH size AS (
	SELECT c.oid <> 'tandem.inbox_foreign'::regclass AS leaf, pg_total_relation_size(c.oid) AS bytes, pg_relation_size(c.oid) AS heap,
		(pg_relation_size(c.oid) / 8192.0 * CASE WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples / c.relpages
			ELSE 8192 / CASE WHEN c.oid = 'tandem.inbox_foreign'::regclass THEN 90.0 ELSE 64.0 END END)::bigint AS ids
	FROM pg_class AS c WHERE c.oid = 'tandem.inbox_foreign'::regclass
		OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tandem.inbox'::regclass))
SELECT tandem.inbox_floor_time(), count(*) FILTER (WHERE leaf), coalesce(sum(bytes), 0)::bigint,
	coalesce(sum(ids) FILTER (WHERE leaf), 0)::bigint, coalesce(sum(ids) FILTER (WHERE NOT leaf), 0)::bigint,
	coalesce(sum(heap) FILTER (WHERE leaf), 0)::bigint, coalesce(sum(heap) FILTER (WHERE NOT leaf), 0)::bigint
FROM size`

// sqlCountIDs and sqlCountForeign: $1 the bound. They may read the whole table,
// and are for one that is small.
const (
	sqlCountIDs     = `SELECT count(*) FROM (SELECT FROM tandem.inbox LIMIT $1::bigint) AS n`
	sqlCountForeign = `SELECT count(*) FROM (SELECT FROM tandem.inbox_foreign LIMIT $1::bigint) AS n`
)

const sqlStatusConsumers = `SELECT consumer, unprovable, configured_at, facts FROM tandem.inbox_consumer`

// sqlStatusPartitions: $1 seconds of silence.
const sqlStatusPartitions = `SELECT consumer, topic, partition, holder, epoch, claimed_at, seen_at,
	seen_at < clock_timestamp() - make_interval(secs => $1), facts
FROM tandem.inbox_partition ORDER BY consumer, topic, partition`

const sqlStatusAside = `SELECT consumer, topic, partition, count(*) FILTER (WHERE state = 'parked'), count(*) FILTER (WHERE state = 'retrying'),
	count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE redrive), min(stored_at)
FROM tandem.inbox_aside GROUP BY consumer, topic, partition ORDER BY consumer, topic, partition`

// sqlStatusGiven: $1 the bound, for both.
const sqlStatusGiven = `SELECT consumer, kind, count(*) FROM (
	(SELECT consumer, kind FROM tandem.inbox_dropped ORDER BY received_at DESC LIMIT $1::bigint)
	UNION ALL
	(SELECT consumer, 'late' FROM tandem.inbox_late ORDER BY received_at DESC LIMIT $1::bigint)) AS g
GROUP BY consumer, kind ORDER BY consumer, kind`

// sqlStatusReadable: whether this login may read the rest, and whether a consumer
// has ever had a partition; by its size, which everybody may see.
const sqlStatusReadable = `SELECT has_table_privilege('tandem.inbox_aside', 'SELECT') AND has_table_privilege('tandem.inbox_partition', 'SELECT')
	AND has_table_privilege('tandem.inbox_consumer', 'SELECT') AND has_table_privilege('tandem.inbox_dropped', 'SELECT')
	AND has_table_privilege('tandem.inbox_late', 'SELECT') AND has_sequence_privilege('tandem.inbox_floor', 'SELECT'),
	pg_relation_size('tandem.inbox_partition') > 0`
