package main

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// asProgram makes the test's binary the program itself.
const asProgram = "TANDEM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	testservers.Main(m)
}

// output may be written and read at the same time.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // has a token after every write
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns the output once it contains text.
func (o *output) await(t *testing.T, text string) string {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		if s := o.String(); strings.Contains(s, text) {
			return s
		}
		select {
		case <-o.more:
		case <-limit.C:
			t.Fatalf("no %q in:\n%s", text, o)
		}
	}
}

// result is what a run of the program left.
type result struct {
	code           int
	stdout, stderr string
}

// tandem runs the program in this process. The environment is env alone.
func tandem(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return tandemWithin(t, 60*time.Second, env, args...)
}

func tandemWithin(t *testing.T, limit time.Duration, env []string, args ...string) result {
	t.Helper()
	stdout, stderr := newOutput(), newOutput()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	code := run(ctx, args, system{env: env, stdin: strings.NewReader(""), stdout: stdout, stderr: stderr})
	return result{code, stdout.String(), stderr.String()}
}

// oneLineOf wants a failure: exit code 1 and a single line, that of the error,
// after whatever was logged.
func (r result) oneLineOf(t *testing.T, mentions ...string) {
	t.Helper()
	require.Equal(t, exitFailed, r.code, r.stderr)
	require.True(t, strings.HasSuffix(r.stderr, "\n"))
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	last := lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		require.True(t, strings.HasPrefix(line, "time="), "not a line of the log: %s", line)
	}
	require.True(t, strings.HasPrefix(last, "tandem "), last)
	for _, m := range mentions {
		require.Contains(t, last, m)
	}
}

// broker is a Kafka in this process with one topic, "orders".
func broker(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// environment is what "tandem relay" needs, and further settings as NAME=value.
func environment(database, brokers string, more ...string) []string {
	return append([]string{"TANDEM_DATABASE_URL=" + database, "TANDEM_KAFKA_BROKERS=" + brokers}, more...)
}

// withUser is the URL with another login.
func withUser(t testing.TB, database, user, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

func connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, database string, statements ...string) {
	t.Helper()
	conn := connect(t, database)
	for _, s := range statements {
		_, err := conn.Exec(t.Context(), s)
		require.NoError(t, err, s)
	}
}

// add writes one event to topic for each payload, each in its own transaction.
func add(t *testing.T, database, topic string, payloads ...string) {
	t.Helper()
	conn := connect(t, database)
	for _, p := range payloads {
		require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			return outbox.Add(t.Context(), tx, outbox.Event{Topic: topic, Key: "k", Payload: []byte(p)})
		}))
	}
}

// withDatabase is the URL with another database.
func withDatabase(t testing.TB, database, name string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}
