package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// records returns the values in topic "orders", partition by partition.
func records(t *testing.T, brokers string) []string {
	t.Helper()
	var values []string
	for partition := range 3 {
		conn, err := kafka.DialLeader(t.Context(), "tcp", brokers, "orders", partition)
		require.NoError(t, err)
		first, last, err := conn.ReadOffsets()
		require.NoError(t, err)
		for at := first; at < last; at++ {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			m, err := conn.ReadMessage(1 << 20)
			require.NoError(t, err)
			values = append(values, string(m.Value))
		}
		require.NoError(t, conn.Close())
	}
	return values
}

// restore copies a database with pg_dump and psql, without grants: the other
// server may not have the roles. A downloaded server brings neither program;
// then its contents are copied as they would.
func restore(t *testing.T, program func(string) string, from, to string) {
	t.Helper()
	if _, err := os.Stat(program("pg_dump")); errors.Is(err, fs.ErrNotExist) {
		copyContents(t, from, to)
		return
	}
	dump, err := exec.CommandContext(t.Context(), program("pg_dump"), "--no-owner", "--no-privileges", from).Output()
	require.NoError(t, err)
	load := exec.CommandContext(t.Context(), program("psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", to)
	load.Stdin = strings.NewReader(string(dump))
	out, err := load.CombinedOutput()
	require.NoError(t, err, string(out))
}

// copyContents brings the relay's tables and the log's sequence over by COPY,
// which is what a dump consists of.
func copyContents(t *testing.T, from, to string) {
	t.Helper()
	require.Equal(t, exitDone, tandem(t, nil, "migrate", "up", "--database-url", to).code)
	source, target := connect(t, from), connect(t, to)
	for _, table := range []string{"log", "checkpoint", "lease"} {
		var data bytes.Buffer
		// A partitioned table is not copied by its name alone.
		_, err := source.PgConn().CopyTo(t.Context(), &data, fmt.Sprintf(`COPY (SELECT * FROM tandem.%s) TO STDOUT`, table))
		require.NoError(t, err)
		_, err = target.Exec(t.Context(), `TRUNCATE tandem.`+table)
		require.NoError(t, err)
		_, err = target.PgConn().CopyFrom(t.Context(), &data, fmt.Sprintf(`COPY tandem.%s FROM STDIN`, table))
		require.NoError(t, err)
	}
	for _, sequence := range []string{"log_position", "checkpoint_save_seq"} {
		var last int64
		require.NoError(t, source.QueryRow(t.Context(), `SELECT last_value FROM tandem.`+sequence).Scan(&last))
		_, err := target.Exec(t.Context(), `SELECT setval($1::text::regclass, $2)`, "tandem."+sequence, last)
		require.NoError(t, err)
	}
}

func relayUntilEmpty(t *testing.T, database, kafka string) {
	t.Helper()
	r := tandem(t, environment(database, kafka), "relay", "--until-empty")
	require.Equal(t, exitDone, r.code, r.stderr)
}

// burn uses transaction ids up, so that two servers do not stand at the same.
func burn(t *testing.T, database string, ids int) {
	t.Helper()
	conn := connect(t, database)
	for range ids {
		_, err := conn.Exec(t.Context(), `SELECT pg_current_xact_id()`)
		require.NoError(t, err)
	}
}

// After a dump and restore into another cluster the relay refuses, and rebase
// makes it publish exactly what the old checkpoint did not cover, what was
// written here before the rebase, and what comes later; in order.
func TestRebaseAfterADumpAndRestore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		burnHere  int // ids of the new server are ahead of the old one's
		burnThere int // or behind
	}{{"new ids are ahead", 3000, 0}, {"new ids are behind", 0, 3000}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, server := testservers.OwnPostgres(t), testservers.OwnPostgres(t)
			there, here, kafka := old.URL("postgres"), server.URL("postgres"), broker(t)
			require.Equal(t, exitDone, tandem(t, nil, "migrate", "up", "--database-url", there).code)
			burn(t, there, c.burnThere)
			burn(t, here, c.burnHere)
			add(t, there, "orders", "1", "2")
			relayUntilEmpty(t, there, kafka)
			add(t, there, "orders", "3", "4")
			restore(t, server.Program, there, here)
			add(t, here, "orders", "5", "6")

			r := tandem(t, environment(here, kafka), "relay")
			r.oneLineOf(t, "another cluster", "tandem rebase --schema tandem")

			env := []string{"TANDEM_DATABASE_URL=" + here}
			r = tandem(t, env, "rebase", "--dry-run")
			require.Equal(t, exitDone, r.code, r.stderr)
			require.Equal(t, "dry run: 4 events of the log are to be published, 2 count as published\n", r.stdout)
			r = tandem(t, env, "rebase", "--yes")
			require.Equal(t, exitDone, r.code, r.stderr)
			require.Contains(t, r.stdout, "rebased: 4 events")

			add(t, here, "orders", "7")
			relayUntilEmpty(t, here, kafka)
			require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7"}, records(t, kafka))
			burn(t, here, 4000) // past every foreign id
			relayUntilEmpty(t, here, kafka)
			require.Len(t, records(t, kafka), 7)
		})
	}
}

// A copy in another database of the same cluster, for testing say.
func TestRebaseOfACopyInTheSameCluster(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	execute(t, server.URL("postgres"), `CREATE DATABASE shop`, `CREATE DATABASE copy`)
	shop, copied, kafka := server.URL("shop"), server.URL("copy"), broker(t)
	require.Equal(t, exitDone, tandem(t, nil, "migrate", "up", "--database-url", shop).code)
	add(t, shop, "orders", "1")
	relayUntilEmpty(t, shop, kafka)
	add(t, shop, "orders", "2")
	restore(t, server.Program, shop, copied)

	r := tandem(t, environment(copied, kafka), "relay")
	r.oneLineOf(t, "another database", "tandem rebase")
	r = tandem(t, nil, "rebase", "--publish-none", "--yes", "--database-url", copied)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "0 events of the log are to be published, 2 count")
	relayUntilEmpty(t, copied, kafka)
	require.Equal(t, []string{"1"}, records(t, kafka))
	add(t, copied, "orders", "3")
	relayUntilEmpty(t, copied, kafka)
	require.Equal(t, []string{"1", "3"}, records(t, kafka))
}

// The writer that is in progress while rebase runs loses nothing.
func TestRebaseWhileAWriterIsInProgress(t *testing.T) {
	t.Parallel()
	database, kafka := testservers.Migrated(t), broker(t)
	add(t, database, "orders", "1")
	execute(t, database, `TRUNCATE tandem.checkpoint`)
	conn := connect(t, database)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `SELECT tandem.add('orders', '2'::text, 'k')`)
	require.NoError(t, err)
	add(t, database, "orders", "3")

	env := []string{"TANDEM_DATABASE_URL=" + database}
	tandem(t, env, "rebase", "--yes").oneLineOf(t, "empty", "--publish-all or --publish-none")
	r := tandem(t, env, "rebase", "--publish-all", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "2 events of the log are to be published, 0 count")
	_, err = tx.Exec(t.Context(), `SELECT tandem.add('orders', '4'::text, 'k')`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	relayUntilEmpty(t, database, kafka)
	require.ElementsMatch(t, []string{"1", "2", "3", "4"}, records(t, kafka))
	relayUntilEmpty(t, database, kafka)
	require.Len(t, records(t, kafka), 4)
}

// Events of subtransactions, half a frozen window and a rebase without need.
func TestRebaseWithoutNeedChangesNothing(t *testing.T) {
	t.Parallel()
	database, kafka := testservers.Migrated(t), broker(t)
	add(t, database, "orders", "1")
	relayUntilEmpty(t, database, kafka)
	conn := connect(t, database)
	require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		return pgx.BeginFunc(t.Context(), tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT tandem.add('orders', '2'::text, 'k')`)
			return err
		})
	}))
	for range 2 {
		r := tandem(t, nil, "rebase", "--yes", "--database-url", database)
		require.Equal(t, exitDone, r.code, r.stderr)
		require.Contains(t, r.stdout, "1 events of the log are to be published, 1 count")
	}
	relayUntilEmpty(t, database, kafka)
	require.Equal(t, []string{"1", "2"}, records(t, kafka))
}

func TestRebaseRefusesWhileARelayWorks(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	start(t, environment(database, broker(t), "TANDEM_LEASE=1h"), "relay").stderr.await(t, "msg=relaying")
	r := tandem(t, nil, "rebase", "--yes", "--database-url", database)
	r.oneLineOf(t, "holds the lease", "stop every relay")
}
