package relay_test

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// A pooler that shares sessions between connections is found out at the start,
// however many sessions it has and whichever it takes next; and nothing is left
// behind in a session that others use.
func TestAPoolerByTransactionIsRefused(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*pooler{
		"one session":                      {sessions: 1, next: newest},
		"two, the one used last":           {sessions: 2, next: newest},
		"two, the one used longest ago":    {sessions: 2, next: oldest},
		"three, the one used longest ago":  {sessions: 3, next: oldest},
		"three, now this one and now that": {sessions: 3, next: alternating()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.add(t, "orders", "k", "1")
			m := newMemory(1)
			cfg := l.config(t, m)
			p.start(t, cfg.Database)
			err := relay.Run(t.Context(), cfg)
			var setup *relay.SetupError
			require.ErrorAs(t, err, &setup)
			require.Contains(t, setup.Problem, "pooler")
			require.Contains(t, setup.Remedy, "session mode")
			require.Empty(t, m.all())

			conn, err := pgx.ConnectConfig(t.Context(), cfg.Database)
			require.NoError(t, err)
			defer conn.Close(t.Context())
			for range 4 {
				var set string
				require.NoError(t, conn.QueryRow(t.Context(), `SHOW enable_seqscan`, pgx.QueryExecModeSimpleProtocol).Scan(&set))
				require.Equal(t, "on", set, "a session of the pooler has a setting of the relay's")
			}
		})
	}
}

// In session mode a pooler is as good as the server.
func TestAPoolerBySessionIsNotRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 1000)
	m := newMemory(1)
	cfg := l.config(t, m)
	p := &pooler{sessions: 4, next: newest, bySession: true}
	p.start(t, cfg.Database)
	drain(t, cfg)
	requireOrdered(t, m, 1000)
}

// pooler lets any number of clients share some sessions of the server.
type pooler struct {
	sessions  int
	next      func(free int) int // which of the free sessions, of which the last was used last
	bySession bool               // a client keeps its session until it leaves

	mu    sync.Mutex
	freed *sync.Cond
	free  []*pgconn.HijackedConn
}

func newest(free int) int { return free - 1 }
func oldest(int) int      { return 0 }

func alternating() func(int) int {
	n := 0
	return func(free int) int { n++; return n % free }
}

// start listens, and turns the configuration towards itself.
func (p *pooler) start(t testing.TB, database *pgx.ConnConfig) {
	t.Helper()
	p.freed = sync.NewCond(&p.mu)
	for range p.sessions {
		conn, err := pgconn.ConnectConfig(t.Context(), &database.Copy().Config)
		require.NoError(t, err)
		session, err := conn.Hijack()
		require.NoError(t, err)
		p.free = append(p.free, session)
		t.Cleanup(func() { _ = session.Conn.Close() })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	database.Host, database.Port = "127.0.0.1", uint16(listener.Addr().(*net.TCPAddr).Port)
}

func (p *pooler) take() *pgconn.HijackedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		p.freed.Wait()
	}
	i := p.next(len(p.free))
	session := p.free[i]
	p.free = slices.Delete(p.free, i, i+1)
	return session
}

func (p *pooler) giveBack(session *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, session)
	p.freed.Signal()
}

// serve hands a client's statements on until it leaves.
func (p *pooler) serve(conn net.Conn) {
	defer conn.Close()
	client := pgproto3.NewBackend(conn, conn)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	client.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	client.Send(&pgproto3.BackendKeyData{SecretKey: make([]byte, 4)})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	var session *pgconn.HijackedConn
	defer func() {
		if session != nil && discard(session) == nil {
			p.giveBack(session)
		}
	}()
	for client.Flush() == nil {
		message, err := client.Receive()
		if err != nil {
			return
		}
		if _, leaves := message.(*pgproto3.Terminate); leaves {
			return
		}
		if session == nil {
			session = p.take()
		}
		session.Frontend.Send(message)
		switch message.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
			status, err := answer(session, client)
			if err != nil {
				return
			}
			if status == 'I' && !p.bySession {
				p.giveBack(session)
				session = nil
			}
		}
	}
}

// discard makes a session that a client leaves behind as good as new.
func discard(session *pgconn.HijackedConn) error {
	session.Frontend.Send(&pgproto3.Query{String: "DISCARD ALL"})
	_, err := answer(session, pgproto3.NewBackend(nil, io.Discard))
	return err
}

// answer hands the server's answer on and returns the state of the transaction.
func answer(session *pgconn.HijackedConn, client *pgproto3.Backend) (status byte, err error) {
	if err := session.Frontend.Flush(); err != nil {
		return 0, err
	}
	for {
		message, err := session.Frontend.Receive()
		if err != nil {
			return 0, err
		}
		client.Send(message)
		if ready, ok := message.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, nil
		}
	}
}
