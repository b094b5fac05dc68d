package relay

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// counting is a Publisher that tells of each event.
type counting chan string

func (counting) Partitions(context.Context, string) (int, error) { return 1, nil }

func (c counting) Publish(_ context.Context, _ string, _ int, events []*Event) error {
	for _, e := range events {
		c <- string(e.Payload)
	}
	return nil
}

// silence makes connections that can die without a word: what is written into
// a dead one goes nowhere, and nothing comes back.
type silence struct {
	kills atomic.Pointer[func(written []byte) bool] // which connection dies, once
}

func (s *silence) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &silentConn{Conn: conn, of: s}, err
}

type silentConn struct {
	net.Conn
	of   *silence
	dead bool
}

func (c *silentConn) Write(b []byte) (int, error) {
	if kills := c.of.kills.Load(); kills != nil && (*kills)(b) && c.of.kills.CompareAndSwap(kills, nil) {
		c.dead = true
	}
	if c.dead {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// kill lets the next connection die that sends text.
func (s *silence) kill(text string) {
	kills := func(written []byte) bool { return bytes.Contains(written, []byte(text)) }
	s.kills.Store(&kills)
}

func (s *silence) killed(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return s.kills.Load() == nil }, 30*time.Second, 5*time.Millisecond)
}

func newRelay(t *testing.T, p Publisher) (r *Relay, s *silence, add func(payload string)) {
	t.Helper()
	address := testservers.Migrated(t)
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s = &silence{}
	config = config.Copy()
	config.DialFunc = s.dial
	config.ConnectTimeout = time.Second
	r, err = New(Config{Database: config, Publisher: p, Lease: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return r, s, func(payload string) {
		_, err := conn.Exec(t.Context(), `SELECT tandem.add('orders', $1::text, 'k')`, payload)
		require.NoError(t, err)
	}
}

func run(t *testing.T, r *Relay) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-result)
	})
}

func (c counting) await(t *testing.T, payload string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case got := <-c:
			if got == payload {
				return
			}
		case <-late:
			t.Fatalf("%s was not published", payload)
		}
	}
}

// A connection that dies without a word, whatever it was doing, is given up
// after a bounded time.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	c := make(counting, 100)
	r, s, add := newRelay(t, c)
	r.readTimeout = 500 * time.Millisecond

	s.kill("force_generic_plan") // while its session is set up
	run(t, r)
	add("1")
	c.await(t, "1")
	s.killed(t)

	s.kill("\x00\x00\x17\x70") // while it reads: PageEvents, which is 6,000
	s.killed(t)
	add("2")
	c.await(t, "2")

	s.kill("\x00\x1e\x84\x80") // while it renews the lease, of 2,000,000 µs
	s.killed(t)
	add("3")
	c.await(t, "3")
}

// A wall clock that jumps ahead ends the trust in the lease. The relay gets it
// anew and goes on; nothing is lost.
func TestAJumpOfTheWallClockEndsTheTerm(t *testing.T) {
	t.Parallel()
	c := make(counting, 100)
	r, _, add := newRelay(t, c)
	var jump atomic.Int64
	r.now = func() time.Time { return time.Now().Round(0).Add(time.Duration(jump.Load())) }
	run(t, r)
	add("1")
	c.await(t, "1")
	jump.Store(int64(time.Hour))
	add("2")
	c.await(t, "2")
}

// While a relay stands by its connection dies without a word: it notices within
// a lease, and takes over when the other is gone.
func TestASilentConnectionDoesNotStandByForEver(t *testing.T) {
	t.Parallel()
	c := make(counting, 100)
	r, s, add := newRelay(t, c)
	conn, err := pgx.ConnectConfig(t.Context(), r.cfg.Database)
	require.NoError(t, err)
	defer closeConn(conn)
	hold := func(until string) {
		_, err := conn.Exec(t.Context(), `UPDATE tandem.lease SET owner = gen_random_uuid(), expires_at = $1`, until)
		require.NoError(t, err)
	}
	hold("infinity")
	run(t, r)
	require.Eventually(t, func() bool { return r.State() == Standby }, 30*time.Second, 5*time.Millisecond)
	s.kill(r.cfg.Holder)
	s.killed(t)
	hold("-infinity")
	add("1")
	c.await(t, "1")
}
