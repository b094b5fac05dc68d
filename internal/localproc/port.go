package localproc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// given are the ports that this process was given, to listen on soon.
var given sync.Map

// FreePort returns a port of 127.0.0.1 that nothing listens on, and never the same
// one twice: a server may ask for several before it listens on any. It lies below
// the range from which systems take the ports of outgoing connections, so that
// a server that is restarted finds its port still free.
func FreePort() (int, error) {
	const first, count, attempts = 15000, 15000, 100
	for range attempts {
		port := first + rand.IntN(count)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		if _, again := given.LoadOrStore(port, true); again {
			continue
		}
		return port, nil
	}
	return 0, errors.New("found no free port on 127.0.0.1 between 15000 and 30000")
}
