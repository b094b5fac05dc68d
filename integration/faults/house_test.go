package faults_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/integration/faults"
	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/localpg"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// house lends servers to runs: as many of them as run at a time, one run after
// another.
type house struct {
	programs programs
	real     bool
	free     chan *slot
}

// slot is a place for a run.
type slot struct {
	postgres *localpg.Server
	kafka    *localkafka.Server // nil where the brokers are fake ones
	runs     atomic.Int64
}

// patience is how long everything may take to come to rest, by itself: on machines
// that are busy with other things too.
const patience = 3 * time.Minute

// template is the database that those of the runs are copies of.
const template = "tandem_faults"

// newHouse has so many slots. They are made as they are needed.
func newHouse(p programs, real bool, slots int) *house {
	h := &house{programs: p, real: real, free: make(chan *slot, slots)}
	for range slots {
		h.free <- &slot{}
	}
	return h
}

// atOnce is how many runs go on at a time.
func atOnce(t *testing.T) int {
	n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	require.NoError(t, err)
	return n
}

// open lends a slot until the test ends. Servers live until parent ends.
func (h *house) open(t *testing.T, parent *testing.T) *slot {
	t.Helper()
	s := <-h.free
	t.Cleanup(func() { h.free <- s })
	if s.postgres == nil {
		s.postgres = testservers.OwnPostgres(parent, map[string]string{
			// What a crash of the server forgets is what it had in its own memory; that
			// of the machine outlives it, synced or not.
			"fsync": strconv.FormatBool(h.real),
			// That of the server holds what nobody has waited for, for so long.
			"wal_writer_delay": "1s",
			"shared_buffers":   "32MB",
			"max_connections":  "100",
			// Other writers are waited for, but not long.
			"deadlock_timeout": "100ms",
		})
		h.prepare(t, s.postgres.URL("postgres"), s.postgres.URL(template))
	}
	if h.real && s.kafka == nil {
		s.kafka = testservers.OwnKafka(parent, map[string]string{"group.min.session.timeout.ms": "500"})
	}
	return s
}

// prepare makes the template, with the program that is under test.
func (h *house) prepare(t *testing.T, server, database string) {
	t.Helper()
	execute(t, server, `CREATE DATABASE `+template)
	out, err := exec.CommandContext(t.Context(), h.programs.tandem, "migrate", "up", "--database-url", database).CombinedOutput()
	require.NoError(t, err, "%s", out)
	execute(t, database, faults.Tables)
}

// database makes one for a run, which is dropped when the test ends.
func (s *slot) database(t *testing.T) string {
	t.Helper()
	name := fmt.Sprint("run_", s.runs.Add(1))
	server := s.postgres.URL("postgres")
	strategy := ""
	if s.postgres.Version() >= 15 {
		// Its default there copies sequences in a state in which their first 32 values
		// are not logged: after a crash they come again, which the runs have found.
		strategy = " STRATEGY file_copy"
	}
	execute(t, server, `CREATE DATABASE `+name+` TEMPLATE `+template+strategy)
	t.Cleanup(func() { execute(t, server, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return s.postgres.URL(name)
}

func execute(t *testing.T, database, statement string) {
	t.Helper()
	ctx := context.Background() // also when the test is over
	conn, err := pgx.Connect(ctx, database)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, errors.Join(err, conn.Close(ctx)))
}
