package stories_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// mailServer takes mails, one a line: to whom, and a key. A mail whose key it has
// had is not delivered again; a mail with the key "-" always is.
type mailServer struct {
	listener net.Listener
	working  sync.WaitGroup

	mu    sync.Mutex
	keys  map[string]bool
	boxes map[string]int // how many mails each recipient has got
}

func startMailServer(t *testing.T) *mailServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mailServer{listener: listener, keys: map[string]bool{}, boxes: map[string]int{}}
	m.working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			m.working.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		m.working.Wait()
	})
	return m
}

func (m *mailServer) address() string { return m.listener.Addr().String() }

func (m *mailServer) serve(conn net.Conn) {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	to, key, _ := strings.Cut(strings.TrimSpace(line), " ")
	m.mu.Lock()
	if !m.keys[key] {
		m.keys[key] = key != "-"
		m.boxes[to]++
	}
	m.mu.Unlock()
	fmt.Fprintln(conn, "250 OK")
}

func (m *mailServer) got(to string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boxes[to]
}

// sendMail is a client of the server.
func sendMail(ctx context.Context, server, to, key string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, to, key)
	_, err = bufio.NewReader(conn).ReadString('\n')
	return err
}
