//go:build unix

package testlinks

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/rs/zerolog"

	"github.com/tandem-outbox/tandem/internal/tcpproxy"
)

// front is where the process connects to one server, and Toxiproxy's links behind
// it.
type front struct {
	t      testing.TB
	server tcpproxy.Server
	dial   func(context.Context) (net.Conn, error)
	api    *toxiproxy.ApiServer // what links ask for their metrics; it serves nothing
	toxics *toxiproxy.ToxicCollection
	number atomic.Int64 // of connections that there were

	// steady is held by a connection while it begins, and by who changes faults.
	steady sync.RWMutex
	faults faults
	added  []toxic // in this order
	links  sync.WaitGroup
	// halfOpen tells the directions in which a close vanishes too.
	halfOpen [stream.NumDirections]atomic.Bool

	mu   sync.Mutex
	ends map[*end]struct{} // of links
}

func newFront(t testing.TB, dial func(context.Context) (net.Conn, error)) *front {
	t.Helper()
	f := &front{t: t, dial: dial, ends: map[*end]struct{}{}}
	zerolog.SetGlobalLevel(zerolog.Disabled) // the bandwidth toxic has a logger of its own
	f.api = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	f.toxics = toxiproxy.NewProxy(f.api, t.Name(), "", "").Toxics
	f.server.Start(t, f.serve)
	t.Cleanup(func() { f.change(true, func(now *faults) { *now = faults{down: true} }) })
	return f
}

// serve brings what the two sides of a connection say to each other, until both
// links have ended.
func (f *front) serve(client net.Conn) {
	server, err := f.dial(context.Background())
	if err != nil {
		return
	}
	defer server.Close()
	if !f.server.Keep(server) {
		return
	}
	defer f.server.Remove(server)
	toServer, toClient := newEnd(server, &f.halfOpen[stream.Upstream]), newEnd(client, &f.halfOpen[stream.Downstream])
	f.begin(client, server, toServer, toClient)
	defer f.links.Done()
	var writing sync.WaitGroup
	writing.Go(toServer.write)
	writing.Go(toClient.write)
	writing.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ends, toServer)
	delete(f.ends, toClient)
}

// begin starts both links, with the toxics of now.
func (f *front) begin(client, server net.Conn, toServer, toClient *end) {
	f.steady.RLock()
	defer f.steady.RUnlock()
	f.links.Add(1)
	f.mu.Lock()
	f.ends[toServer], f.ends[toClient] = struct{}{}, struct{}{}
	f.mu.Unlock()
	// Toxiproxy's own names are the client's address, which comes again.
	name := strconv.FormatInt(f.number.Add(1), 10)
	f.toxics.StartLink(f.api, name+" up", &source{client, toServer}, toServer, stream.Upstream)
	f.toxics.StartLink(f.api, name+" down", &source{server, toClient}, toClient, stream.Downstream)
}

// change ends every connection first, where reset says so. Connections that begin
// meanwhile wait for the new faults.
func (f *front) change(reset bool, to func(*faults)) {
	f.steady.Lock()
	defer f.steady.Unlock()
	f.lift(true)
	defer f.lift(false)
	if reset {
		f.server.Reset()
	}
	f.remove(latency, bandwidth)
	if reset {
		// Toxiproxy leaves links half closed from which a timeout was removed.
		f.links.Wait()
		f.remove(timeout)
	}
	to(&f.faults)
	for direction := range f.halfOpen {
		f.halfOpen[direction].Store(f.faults.halfOpen[direction])
	}
	f.add()
	if f.faults.down {
		f.server.Refuse()
	} else if err := f.server.Accept(); err != nil {
		f.t.Error(err)
	}
}

// lift lets links come to a stop though nobody reads from them: that is what
// Toxiproxy waits for.
func (f *front) lift(lifted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.ends {
		e.lift(lifted)
	}
}
