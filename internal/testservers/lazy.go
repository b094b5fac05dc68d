package testservers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// findTimeout bounds the start of one server, downloads included.
const findTimeout = 10 * time.Minute

// lazy is a server that is looked for when it is first asked for, once: a
// second try would fail the same way and cost every test its time.
type lazy struct {
	name string
	find source

	mu    sync.Mutex
	asked bool
	found found
	err   error
}

var (
	postgresServer = &lazy{name: "PostgreSQL", find: findPostgres}
	kafkaServer    = &lazy{name: "Kafka", find: findKafka}
)

// get waits for the server if somebody else is starting it. It takes no context
// of a test, because the server outlives the test that asked first.
func (l *lazy) get(ctx context.Context) (found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.asked {
		l.asked = true
		ctx, cancel := context.WithTimeoutCause(ctx, findTimeout, fmt.Errorf("no %s within %s", l.name, findTimeout))
		defer cancel()
		l.found, l.err = l.find(ctx)
	}
	return l.found, l.err
}

func (l *lazy) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found.stop != nil {
		l.found.stop()
	}
	l.asked, l.found, l.err = false, found{}, nil
}

// StopAll stops the servers that this process started. Who asks for one
// afterwards starts anew.
func StopAll() {
	kafkaServer.stop()
	postgresServer.stop()
}

// Available is what StartAll has come by.
type Available struct {
	// Environment hands the addresses down to test processes. It contains a
	// password and is not for output.
	Environment []string
	// Origins says for people where each server comes from.
	Origins string
}

// StartAll starts both servers, side by side, for a whole run of tests. What
// could not be had is in the error, beside a result that says so in its
// environment. End with StopAll.
func StartAll(ctx context.Context) (Available, error) {
	servers := []*lazy{postgresServer, kafkaServer}
	variables := []string{DatabaseURLVariable, KafkaBrokersVariable}
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() { _, _ = server.get(ctx) })
	}
	all.Wait()

	var a Available
	var origins, missing []string
	for i, server := range servers {
		f, err := server.get(ctx)
		if err != nil {
			f.address = NotToBeHad
			missing = append(missing, unavailable(server.name, err))
		} else {
			origins = append(origins, fmt.Sprintf("%s (%s)", server.name, f.origin))
		}
		a.Environment = append(a.Environment, variables[i]+"="+f.address)
	}
	a.Origins = strings.Join(origins, ", ")
	if missing != nil {
		return a, fmt.Errorf("%s", strings.Join(missing, "\n"))
	}
	return a, nil
}
