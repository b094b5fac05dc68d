//go:build unix

package testlinks_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testlinks"
)

// talker is a server that talks without end, whoever listens.
func talker(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var working sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		working.Wait()
	})
	working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			working.Go(func() {
				defer conn.Close()
				for chunk := make([]byte, 64<<10); err == nil; {
					_, err = conn.Write(chunk)
				}
			})
		}
	})
	return listener.Addr().String()
}

// Networks that end while a server talks, some clients listen and faults last leave
// nothing behind: no goroutine, no socket.
func TestManyNetworks(t *testing.T) {
	server := talker(t)
	faults := []func(*testlinks.Postgres){
		(*testlinks.Postgres).Heal, (*testlinks.Postgres).Cut, (*testlinks.Postgres).Down,
		func(p *testlinks.Postgres) { p.Delay(time.Hour, time.Minute) },
		func(p *testlinks.Postgres) { p.Throttle(1000) },
		func(p *testlinks.Postgres) { p.HalfOpen(true, false) },
		func(p *testlinks.Postgres) { p.HalfOpen(false, true) },
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	for i := range 3 * len(faults) {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			link := testlinks.NewPostgres(t, "postgres://"+server+"/test")
			for listens := range 2 {
				conn, err := net.Dial("tcp", hostOf(t, link.URL()))
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.ReadFull(conn, make([]byte, 1<<18*listens+1))
				require.NoError(t, err)
			}
			for n := range 3 {
				faults[(i+i/len(faults)*n)%len(faults)](link)
			}
		})
	}
	const itself = 1 // goroutine of Eventually's
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+itself && openFiles() <= files }, patience, often,
		"%d goroutines and %d files before", goroutines, files)
}

// openFiles is 0 where the system does not tell.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}
