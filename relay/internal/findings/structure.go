package findings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

func (l *look) encoding() error {
	var encoding string
	err := l.scan(`SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()`, nil, &encoding)
	if err == nil && encoding != "UTF8" {
		l.add(advice.Encoding, fmt.Sprintf("the database's encoding is %s, not UTF8", encoding),
			"keys, types and headers are UTF-8 in Kafka, and would be refused or changed on the way",
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move the service's tables there by dump and restore")
	}
	return err
}

// The leaves of the log, as migrations/sql/00002_log.sql makes them.
const leaves = 16

func leaf(n int) string { return fmt.Sprintf("log_%02d", n) }

// sqlLeaves: $1 the schema. Tables by the name of a leaf, attached or not.
const sqlLeaves = `SELECT c.relname, coalesce(i.inhparent = p.oid AND NOT i.inhdetachpending, false), coalesce(pg_get_expr(c.relpartbound, c.oid), '')
FROM pg_namespace AS s JOIN pg_class AS p ON p.relnamespace = s.oid AND p.relname = 'log'
	JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relkind = 'r' AND c.relname ~ '^log_[0-9][0-9]$'
	LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE s.nspname = $1`

func (l *look) leaves() error {
	exist, right := map[string]bool{}, map[string]bool{}
	var name, bound string
	var attached bool
	err := l.each(sqlLeaves, []any{l.schema}, []any{&name, &attached, &bound}, func() {
		exist[name] = true
		for n := range leaves {
			if name == leaf(n) && attached && bound == fmt.Sprintf("FOR VALUES IN ('%d')", n) {
				right[name] = true
			}
		}
	})
	if err != nil {
		return err
	}
	for n := range leaves {
		name := leaf(n)
		what, remedy := "is missing", fmt.Sprintf("CREATE TABLE tandem.%[1]s PARTITION OF tandem.log FOR VALUES IN (%[2]d) WITH (autovacuum_enabled = false, "+
			"toast.autovacuum_enabled = false); CREATE UNIQUE INDEX %[1]s_position ON tandem.%[1]s (position); SELECT tandem.grant_roles()", name, n)
		if exist[name] {
			what = fmt.Sprintf("does not hold its part of the log, %d", n)
			remedy = fmt.Sprintf("ALTER TABLE tandem.log ATTACH PARTITION tandem.%s FOR VALUES IN (%d) /* it may hold events; DETACH it first if it is attached for another part */", name, n)
		}
		if !right[name] {
			l.add(advice.LogLeaf, fmt.Sprintf("leaf tandem.%s %s", name, what), "writers fail when the ring comes to it, and what is in a leaf that is cut off is never published", remedy)
		}
	}
	return nil
}

// sqlIndexes: $1 the schema. For each leaf, whether the reader's indexes can be
// used.
const sqlIndexes = `SELECT c.relname,
	coalesce(bool_or(usable AND a.attname = 'tx'), false),
	coalesce(bool_or(usable AND a.attname = 'position' AND x.indisunique AND x.indnkeyatts = 1), false)
FROM pg_namespace AS s JOIN pg_class AS p ON p.relnamespace = s.oid AND p.relname = 'log'
	JOIN pg_inherits AS i ON i.inhparent = p.oid JOIN pg_class AS c ON c.oid = i.inhrelid
	LEFT JOIN pg_index AS x ON x.indrelid = c.oid
	LEFT JOIN pg_class AS xc ON xc.oid = x.indexrelid LEFT JOIN pg_am AS m ON m.oid = xc.relam
	LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
	CROSS JOIN LATERAL (SELECT x.indisvalid AND x.indisready AND x.indpred IS NULL AND m.amname = 'btree' AS usable) AS u
WHERE s.nspname = $1 GROUP BY c.relname ORDER BY c.relname`

func (l *look) indexes() error {
	var name string
	var byTx, byPosition bool
	var noTx, noPosition []string
	err := l.each(sqlIndexes, []any{l.schema}, []any{&name, &byTx, &byPosition}, func() {
		if !byTx {
			noTx = append(noTx, name)
		}
		if !byPosition {
			noPosition = append(noPosition, name)
		}
	})
	if len(noTx) > 0 {
		l.add(advice.LogIndex, "no usable index by tx on "+qualified(noTx), "each poll would read all of the log",
			"DROP INDEX IF EXISTS tandem.log_tx; CREATE INDEX log_tx ON tandem.log (tx) /* writers wait until it is built */")
	}
	if len(noPosition) > 0 {
		var remedy strings.Builder
		for _, n := range noPosition {
			fmt.Fprintf(&remedy, "DROP INDEX IF EXISTS tandem.%[1]s_position; CREATE UNIQUE INDEX %[1]s_position ON tandem.%[1]s (position); ", n)
		}
		l.add(advice.LogIndex, "no usable unique index by position on "+qualified(noPosition), "each page would read all of the leaf, and a position could be there twice",
			remedy.String()+"/* writers wait until it is built */")
	}
	return err
}

func (l *look) sequence() error {
	var cache int64
	err := l.scan(`SELECT q.seqcache FROM pg_sequence AS q JOIN pg_class AS c ON c.oid = q.seqrelid JOIN pg_namespace AS s ON s.oid = c.relnamespace
		WHERE s.nspname = $1 AND c.relname = 'log_position'`, []any{l.schema}, &cache)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // of which rights tells
	}
	if err == nil && cache != 1 {
		l.add(advice.LogSequence, fmt.Sprintf("sequence tandem.log_position has CACHE %d", cache),
			"sessions draw positions in advance, so that a key's later event may stand before its earlier one",
			"ALTER SEQUENCE tandem.log_position CACHE 1 /* and let writers connect again: open sessions still have theirs */")
	}
	return err
}

// rows looks for the single rows that the migrations have put in.
func (l *look) rows() error {
	var settings, lease bool
	err := l.scan(`SELECT EXISTS (SELECT FROM tandem.settings), EXISTS (SELECT FROM tandem.lease)`, nil, &settings, &lease)
	if err != nil {
		return err
	}
	if !settings {
		l.add(advice.SettingsEmpty, "tandem.settings has no row", "the limits that writers keep to are not known", "restore it from a dump")
	}
	if !lease {
		l.add(advice.LeaseEmpty, "tandem.lease has no row", "no relay can ever acquire it", "INSERT INTO tandem.lease DEFAULT VALUES")
	}
	return nil
}
