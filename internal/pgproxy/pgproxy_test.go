//go:build unix

package pgproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/pgproxy"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// The statement is done by the server while its client still waits.
func TestAfterComesBetweenTheStatementAndItsAnswer(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	direct := connect(t, database)
	_, err := direct.Exec(t.Context(), `CREATE TABLE public.done (n integer)`)
	require.NoError(t, err)
	p := pgproxy.Start(t, database)
	client := connect(t, p.URL())
	insert := `INSERT INTO public.done VALUES ($1)`
	for n := range 3 { // the third finds the statement prepared
		held, let := make(chan struct{}), make(chan struct{})
		p.After(pgproxy.Containing("public.done"), func() { close(held); <-let })
		answered := make(chan error, 1)
		go func() {
			_, err := client.Exec(context.Background(), insert, n)
			answered <- err
		}()
		<-held
		require.Eventually(t, func() bool {
			var rows int
			return direct.QueryRow(t.Context(), `SELECT count(*) FROM public.done`).Scan(&rows) == nil && rows == n+1
		}, 30*time.Second, 5*time.Millisecond)
		require.Empty(t, answered, "the client has an answer")
		close(let)
		require.NoError(t, <-answered)
	}
	_, err = client.Exec(t.Context(), insert, 3) // each rule counts once
	require.NoError(t, err)
}

// What is swallowed before the server has it is not done; what is swallowed when
// it has answered is done, and the client does not know.
func TestRequestsAndAnswersThatGetLost(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	direct := connect(t, database)
	_, err := direct.Exec(t.Context(), `CREATE TABLE public.done (n integer)`)
	require.NoError(t, err)
	for expected, rule := range []func(*pgproxy.Proxy, func(pgproxy.Statement) bool, func()){(*pgproxy.Proxy).Before, (*pgproxy.Proxy).Answered} {
		p := pgproxy.Start(t, database)
		client := connect(t, p.URL())
		ctx, cancel := context.WithCancel(t.Context())
		rule(p, pgproxy.Containing("public.done"), func() {
			p.Swallow()
			cancel()
		})
		_, err := client.Exec(ctx, `INSERT INTO public.done VALUES ($1)`, expected)
		require.Error(t, err)
		var rows int
		require.NoError(t, direct.QueryRow(t.Context(), `SELECT count(*) FROM public.done`).Scan(&rows))
		require.Equal(t, expected, rows)
	}
}

func TestRulesSeeSimpleQueriesAndParameters(t *testing.T) {
	t.Parallel()
	p := pgproxy.Start(t, testservers.Postgres(t))
	client := connect(t, p.URL())
	var seen []string
	p.After(func(s pgproxy.Statement) bool { return len(s.Parameters) == 1 && string(s.Parameters[0]) == "wanted" },
		func() { seen = append(seen, "parameter") })
	p.After(pgproxy.Containing("SELECT 1;"), func() { seen = append(seen, "simple") })
	for _, text := range []string{"unwanted", "wanted"} {
		_, err := client.Exec(t.Context(), `SELECT length($1::text)`, text)
		require.NoError(t, err)
	}
	_, err := client.Exec(t.Context(), `SELECT 1; SELECT 2`, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	require.Equal(t, []string{"parameter", "simple"}, seen)
}

func TestSwallowIsSilence(t *testing.T) {
	t.Parallel()
	p := pgproxy.Start(t, testservers.Postgres(t))
	client := connect(t, p.URL())
	_, err := client.Exec(t.Context(), `SELECT 1`)
	require.NoError(t, err)
	p.Swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = client.Exec(ctx, `SELECT 1`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	again, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = pgx.Connect(again, p.URL())
	require.Error(t, err)
	require.ErrorIs(t, again.Err(), context.DeadlineExceeded, "it was refused: %v", err)
}

// The answer is lost when all of the request is done, however much of it came
// before; what another connection asks is answered.
func TestReplyIsLostOnceTheRequestIsDone(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	direct := connect(t, database)
	_, err := direct.Exec(t.Context(), `CREATE TABLE public.done (n integer)`)
	require.NoError(t, err)
	p := pgproxy.Start(t, database)
	client, other := connect(t, p.URL()), connect(t, p.URL())
	require.NoError(t, client.Ping(t.Context()))
	lost := p.LoseReply(pgproxy.Containing("commit"))
	batch := &pgx.Batch{}
	batch.Queue(`begin`)
	batch.Queue(`INSERT INTO public.done VALUES (1)`)
	batch.Queue(`SELECT repeat('x', 100000)`) // more than the server keeps to itself
	batch.Queue(`SELECT pg_sleep(0.1)`)
	batch.Queue(`commit`)
	require.Error(t, client.SendBatch(t.Context(), batch).Close())
	<-lost
	var rows int
	require.NoError(t, other.QueryRow(t.Context(), `SELECT count(*) FROM public.done`).Scan(&rows))
	require.Equal(t, 1, rows)
}

// A server that goes before it has answered does not leave the test waiting.
func TestReplyThatNeverComesIsLost(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	direct := connect(t, database)
	p := pgproxy.Start(t, database)
	client := connect(t, p.URL())
	lost := p.LoseReply(pgproxy.Containing("pg_terminate_backend"))
	_, err := client.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
	require.Error(t, err)
	<-lost
	require.NoError(t, direct.Ping(t.Context()))
}
