package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bulkPair is a connection read in bulk, and its other end.
func bulkPair(t *testing.T) (*bulkConn, net.Conn) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	dial := dialBulk((&net.Dialer{}).DialContext)
	conn, err := dial(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	other, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	return conn.(*bulkConn), other
}

// A few bytes come although there is not a lot, and all of a lot comes, in order;
// with bulk on, off and on again.
func TestReadingInBulkLosesNothing(t *testing.T) {
	conn, other := bulkPair(t)
	large := make([]byte, 5*bulkBytes+17)
	for i := range large {
		large[i] = byte(i * 31)
	}
	for _, on := range []bool{true, false, true} {
		conn.setBulk(on)
		for _, message := range [][]byte{[]byte("few"), large, []byte("a few more")} {
			wrote := make(chan error, 1)
			go func() {
				_, err := other.Write(message)
				wrote <- err
			}()
			got := make([]byte, len(message))
			_, err := io.ReadFull(conn, got)
			require.NoError(t, err)
			require.NoError(t, <-wrote)
			require.True(t, bytes.Equal(message, got))
		}
	}
	require.NoError(t, other.Close())
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// Who began to wait before bulk was turned on, or off, gets what comes after it, be it
// a few bytes: the driver reads ahead in a goroutine of its own after a slow write.
func TestAReaderThatWaitsAlreadyGetsTheRest(t *testing.T) {
	for round := range 20 {
		conn, other := bulkPair(t)
		conn.setBulk(round%2 == 1)
		begun := make(chan struct{})
		reads := sync.OnceFunc(func() { close(begun) })
		conn.Conn = &announced{Conn: conn.Conn, reads: reads}
		got := make(chan error, 1)
		go func() {
			if round%2 == 1 {
				reads() // in bulk it reads another way
			}
			_, err := io.ReadFull(conn, make([]byte, 3))
			got <- err
		}()
		<-begun
		conn.setBulk(round%2 == 0)
		_, err := other.Write([]byte("few"))
		require.NoError(t, err)
		select {
		case err := <-got:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "it waits for a lot")
		}
	}
}

// announced tells of its first Read.
type announced struct {
	net.Conn
	reads func()
}

func (c *announced) Read(b []byte) (int, error) {
	c.reads()
	return c.Conn.Read(b)
}

// A deadline ends a read in bulk: one that is set before, one that is over, and
// one that somebody sets while it waits, as the driver does to cancel a query.
func TestADeadlineEndsAReadInBulk(t *testing.T) {
	conn, other := bulkPair(t)
	conn.setBulk(true)
	read := func() error {
		_, err := conn.Read(make([]byte, 10))
		return err
	}
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Millisecond)))
	require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
	require.ErrorIs(t, read(), os.ErrDeadlineExceeded)

	require.NoError(t, conn.SetDeadline(time.Time{}))
	ended := make(chan error, 1)
	go func() { ended <- read() }()
	stop := context.AfterFunc(func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}(), func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)

	require.NoError(t, conn.SetDeadline(time.Time{}))
	_, err := other.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, read())
	require.NoError(t, conn.Close())
	require.ErrorIs(t, read(), net.ErrClosed)
}
