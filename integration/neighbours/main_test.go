package neighbours_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rcrowley/go-metrics"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // sarama's: they have a goroutine that never ends
	testservers.Main(m)
}

// world is a service's database and a topic.
type world struct {
	*testing.T
	url     string
	pool    *pgxpool.Pool
	brokers []string
	topic   string
}

const (
	source     = "/tandem/neighbours"
	partitions = 3
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, url: testservers.Migrated(t), brokers: testservers.Kafka(t), topic: testservers.Topic(t, partitions)}
	var err error
	w.pool, err = pgxpool.New(t.Context(), w.url)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	return w
}

// add adds events of the world's topic in one transaction.
func (w *world) add(events ...outbox.Event) {
	w.Helper()
	for i := range events {
		events[i].Topic = w.topic
	}
	require.NoError(w, pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error {
		return outbox.Add(w.Context(), tx, events...)
	}))
}

// relay runs the daemon until it has published everything.
func (w *world) relay() {
	w.Helper()
	dir := w.TempDir()
	build := exec.CommandContext(w.Context(), "go", "build", "-C", filepath.Join("..", ".."), "-o", dir, "./cmd/tandem")
	out, err := build.CombinedOutput()
	require.NoErrorf(w, err, "%s", out)
	cmd := exec.CommandContext(w.Context(), filepath.Join(dir, "tandem"), "relay", "--until-empty", "--http-addr", "")
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+w.url, "TANDEM_KAFKA_BROKERS="+strings.Join(w.brokers, ","), "TANDEM_SOURCE="+source)
	out, err = cmd.CombinedOutput()
	require.NoErrorf(w, err, "%s", out)
}

// run runs a neighbour's program and returns what it prints.
func run(t *testing.T, input, program string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &log
	require.NoErrorf(t, cmd.Run(), "%s %q said\n%s\nand\n%s", program, arguments, &out, &log)
	return out.String()
}
