//go:build unix

package testlinks_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/pgproxy"
	"github.com/tandem-outbox/tandem/internal/testlinks"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	patience = time.Minute
	often    = 10 * time.Millisecond
)

// shop is a database with a table, seen through a network and directly.
type shop struct {
	t      *testing.T
	link   *testlinks.Postgres
	direct *pgx.Conn
}

func newShop(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	database := testservers.Postgres(t)
	s := &shop{t, testlinks.NewPostgres(t, database), connect(t, database)}
	_, err := s.direct.Exec(t.Context(), `CREATE TABLE public.done (n integer)`)
	require.NoError(t, err)
	return s
}

func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close(context.Background())
		<-conn.PgConn().CleanupDone()
	})
	return conn
}

func (s *shop) client() *pgx.Conn {
	s.t.Helper()
	return connect(s.t, s.link.URL())
}

func (s *shop) insert(conn *pgx.Conn) error {
	_, err := conn.Exec(s.t.Context(), `INSERT INTO public.done VALUES (1)`)
	return err
}

func (s *shop) rows() int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.direct.QueryRow(s.t.Context(), `SELECT count(*) FROM public.done`).Scan(&n))
	return n
}

// sessions are those of others than the direct one's.
func (s *shop) sessions(condition string) int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.direct.QueryRow(s.t.Context(), `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND `+condition).Scan(&n))
	return n
}

func (s *shop) eventually(true func() bool) {
	s.t.Helper()
	require.Eventually(s.t, true, patience, often)
}

func TestCutResetsWhatIsOpen(t *testing.T) {
	s := newShop(t)
	first, second := s.client(), s.client()
	s.link.Cut()
	require.ErrorIs(t, s.insert(first), syscall.ECONNRESET)
	require.Error(t, s.insert(second))
	require.NoError(t, s.insert(s.client()))
	require.Equal(t, 1, s.rows())
	s.eventually(func() bool { return s.sessions("true") == 1 })
}

func TestDownRefusesUntilHeal(t *testing.T) {
	s := newShop(t)
	client := s.client()
	s.link.Down()
	require.Error(t, s.insert(client))
	for range 3 {
		_, err := pgx.Connect(t.Context(), s.link.URL())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
	s.link.Down() // is so already
	s.link.Heal()
	require.NoError(t, s.insert(s.client()))
}

func TestDelayAndThrottleOfConnectionsOldAndNew(t *testing.T) {
	s := newShop(t)
	client := s.client()
	slow := 100 * time.Millisecond
	s.link.Delay(slow, 0)
	for range 2 { // the second time it is a new one
		started := time.Now()
		require.NoError(t, s.insert(client))
		require.GreaterOrEqual(t, time.Since(started), 2*slow)
		client = s.client()
	}
	s.link.Delay(0, 0)
	s.link.Throttle(100_000)
	started := time.Now()
	require.Equal(t, text, s.read(client))
	require.GreaterOrEqual(t, time.Since(started), time.Second)
	s.link.Delay(time.Millisecond, time.Millisecond) // both
	require.NoError(t, s.insert(client))
	s.link.Heal()
	require.NoError(t, s.insert(client), "no connection is lost by that")
	require.Equal(t, 4, s.rows())
}

var text = strings.Repeat("0123456789abcdef", 20_000) // 320 kB

func (s *shop) read(conn *pgx.Conn) (read string) {
	s.t.Helper()
	require.NoError(s.t, conn.QueryRow(s.t.Context(), `SELECT repeat('0123456789abcdef', 20000)`).Scan(&read))
	return read
}

// Faults change while answers are on the way: not a byte is lost.
func TestChangesLoseNothing(t *testing.T) {
	s := newShop(t)
	client := s.client()
	for range 5 {
		answered := make(chan string, 1)
		go func() {
			var got string
			_ = client.QueryRow(context.Background(), `SELECT repeat('0123456789abcdef', 20000)`).Scan(&got)
			answered <- got
		}()
		s.link.Throttle(1_000_000)
		s.link.Delay(2*time.Millisecond, 2*time.Millisecond)
		s.link.Throttle(0)
		s.link.Heal()
		require.Equal(t, text, <-answered)
	}
}

func TestHalfOpenUpstream(t *testing.T) {
	s := newShop(t)
	client := s.client()
	s.link.HalfOpen(true, false)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Exec(ctx, `INSERT INTO public.done VALUES (1)`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 1, s.sessions("true"), "the server has seen that its client is gone")
	s.link.Heal()
	s.eventually(func() bool { return s.sessions("true") == 0 })
	require.Zero(t, s.rows())
	require.NoError(t, s.insert(s.client()))
}

func TestHalfOpenDownstream(t *testing.T) {
	s := newShop(t)
	client := s.client()
	s.link.HalfOpen(false, true)
	answered := make(chan error, 1)
	go func() { answered <- s.insert(client) }()
	s.eventually(func() bool { return s.rows() == 1 })
	s.eventually(func() bool { return s.sessions("state = 'idle'") == 1 })
	require.Empty(t, answered, "the client has an answer")
	s.link.Heal()
	require.Error(t, <-answered)
	require.NoError(t, s.insert(s.client()))
}

func isCommit(s pgproxy.Statement) bool { return strings.EqualFold(s.SQL, "commit") }

func TestReplyLostAtCommit(t *testing.T) {
	s := newShop(t)
	client, other := s.client(), s.client()
	lost := s.link.LoseReply(isCommit)
	err := pgx.BeginFunc(t.Context(), client, func(tx pgx.Tx) error { return s.insert(tx.Conn()) })
	require.Error(t, err)
	var refused *pgconn.PgError
	require.NotErrorAs(t, err, &refused)
	<-lost
	require.Equal(t, 1, s.rows(), "it is not committed")
	require.NoError(t, pgx.BeginFunc(t.Context(), other, func(tx pgx.Tx) error { return s.insert(tx.Conn()) }))
	withdrawn := s.link.LoseReply(isCommit)
	s.link.Withdraw()
	require.NoError(t, pgx.BeginFunc(t.Context(), other, func(tx pgx.Tx) error { return s.insert(tx.Conn()) }))
	select {
	case <-withdrawn:
		t.Fatal("a rule that was withdrawn was met")
	default:
	}
}

func TestRequestLostAtCommit(t *testing.T) {
	s := newShop(t)
	client, other := s.client(), s.client()
	lost := s.link.LoseRequest(isCommit)
	err := pgx.BeginFunc(t.Context(), client, func(tx pgx.Tx) error { return s.insert(tx.Conn()) })
	require.Error(t, err)
	var refused *pgconn.PgError
	require.NotErrorAs(t, err, &refused)
	<-lost
	require.Error(t, s.insert(other), "its connection is still there")
	s.eventually(func() bool { return s.sessions("state LIKE 'idle%'") == 0 })
	require.Equal(t, 0, s.rows(), "it is committed")
	require.NoError(t, pgx.BeginFunc(t.Context(), s.client(), func(tx pgx.Tx) error { return s.insert(tx.Conn()) }))
}

func TestCancelRequestsPass(t *testing.T) {
	s := newShop(t)
	client := s.client()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Exec(context.Background(), `SELECT pg_sleep(600)`)
		answered <- err
	}()
	s.eventually(func() bool { return s.sessions("wait_event = 'PgSleep'") == 1 })
	require.NoError(t, client.PgConn().CancelRequest(t.Context()))
	var cancelled *pgconn.PgError
	require.ErrorAs(t, <-answered, &cancelled)
	require.Equal(t, "57014", cancelled.Code)
}

// A client that was stopped reads nothing, and the server waits for it: faults come
// and go all the same.
func TestFaultsWhileNobodyReads(t *testing.T) {
	s := newShop(t)
	client := s.client()
	rows, err := client.Query(t.Context(), `SELECT repeat('x', 1000) FROM generate_series(1, 100000)`)
	require.NoError(t, err)
	stuck := func() bool { return s.sessions("wait_event = 'ClientWrite'") == 1 }
	s.eventually(stuck)
	s.link.Delay(time.Millisecond, 0)
	s.link.Throttle(100_000)
	s.link.Heal()
	s.eventually(stuck)
	n := 0
	for ; rows.Next(); n++ {
		require.Len(t, rows.RawValues()[0], 1000)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 100_000, n)

	rows, err = client.Query(t.Context(), `SELECT repeat('x', 1000) FROM generate_series(1, 100000)`)
	require.NoError(t, err)
	s.eventually(stuck)
	s.link.Throttle(1000)
	s.link.HalfOpen(true, true)
	s.link.Heal()
	s.eventually(func() bool { return s.sessions("true") == 0 })
	rows.Close()
	require.Error(t, rows.Err())
}

func TestPostgresComesAndGoes(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	link := testlinks.NewPostgres(t, server.URL("postgres"))
	client := connect(t, link.URL())
	require.NoError(t, server.StopImmediate())
	require.Error(t, client.Ping(t.Context()))
	closedAtOnce(t, hostOf(t, link.URL()))
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, connect(t, link.URL()).Ping(t.Context()))
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

// closedAtOnce expects of a front whose server is away that it does not keep its
// client waiting.
func closedAtOnce(t *testing.T, front string) {
	t.Helper()
	conn, err := net.Dial("tcp", front)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	if !strings.Contains(err.Error(), "reset") {
		require.ErrorIs(t, err, io.EOF)
	}
}
