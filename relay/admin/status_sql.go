package admin

// The statements of ReadStatus, all in one snapshot.

// sqlStatusSession: the log's leaves are not analysed, so that the planner is
// told, as the relay's is, to go by their indexes.
const sqlStatusSession = `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off; SET LOCAL TimeZone = 'UTC'`

const sqlStatusLease = `SELECT clock_timestamp(), expires_at > clock_timestamp(), holder, epoch, acquired_at, nullif(expires_at, '-infinity') FROM tandem.lease`

const sqlStatusRelays = `SELECT r.holder, r.version, r.state, coalesce(r.owner = l.owner AND l.expires_at > clock_timestamp(), false) AS leads,
	r.started_at, r.seen_at, r.facts
FROM tandem.relay AS r LEFT JOIN tandem.lease AS l ON true
WHERE r.seen_at > clock_timestamp() - interval '1 day' ORDER BY leads DESC, r.started_at, r.holder`

const sqlStatusCheckpoint = `SELECT prev::text, low, coalesce(cur::text, ''), done, high, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tandem.log_position)
FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`

// sqlStatusAside: $1 the bound, for each of four. Parked and scheduled rows have
// indexes of their own; of those that wait each is looked up behind what.
const sqlStatusAside = `WITH aside AS MATERIALIZED (
	(SELECT 'parked' AS state, topic FROM tandem.deferred WHERE state = 'parked' LIMIT $1::bigint)
	UNION ALL
	(SELECT 'scheduled', topic FROM tandem.deferred WHERE state = 'scheduled' LIMIT $1::bigint)
	UNION ALL
	(SELECT state, topic FROM tandem.parked WHERE state IN ('held', 'deferred') LIMIT $1::bigint)
	UNION ALL
	(SELECT kind, NULL FROM (SELECT kind FROM tandem.dropped ORDER BY dropped_at DESC LIMIT $1::bigint) AS d))
SELECT state, topic, count(*) FROM aside GROUP BY GROUPING SETS ((state), (state, topic)) HAVING grouping(topic) = 1 OR topic IS NOT NULL`

// sqlStatusTransactions: who writes to a leaf has a lock on it and an id; who has
// read one has a lock. A session of somebody else's shows neither when its
// transaction began nor what it does, except to a member of pg_read_all_stats;
// its locks show all the same.
const sqlStatusTransactions = `WITH holding AS (
	SELECT l.pid, bool_or(l.mode = 'RowExclusiveLock') AS writes FROM pg_locks AS l
	WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted AND l.pid IS NOT NULL
		AND l.relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tandem.log'::regclass)
	GROUP BY l.pid)
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''), coalesce(a.state, ''),
	greatest(0, coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0))::float8,
	CASE WHEN a.query = '<insufficient privilege>' THEN '' ELSE left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 200) END,
	a.query = '<insufficient privilege>',
	CASE WHEN h.writes THEN 'events' WHEN h.pid IS NOT NULL THEN 'leaves' ELSE 'rows' END
FROM pg_stat_activity AS a LEFT JOIN holding AS h ON h.pid = a.pid
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'
	AND (a.xact_start < clock_timestamp() - interval '1 second' AND (h.pid IS NOT NULL OR a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
		OR a.xact_start IS NULL AND h.pid IS NOT NULL)
ORDER BY h.writes DESC NULLS LAST, a.xact_start NULLS FIRST, a.pid LIMIT 20`

const sqlStatusPrepared = `SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
WHERE database = current_database() ORDER BY prepared`

// sqlStatusSlots: a standby has no WAL of its own to compare with.
const sqlStatusSlots = `SELECT slot_name::text, active,
	CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(pg_current_wal_lsn() - restart_lsn, 0) END::bigint
FROM pg_replication_slots ORDER BY slot_name`
