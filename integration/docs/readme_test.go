package docs_test

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
)

var _ = tell("README.md", func(p *page) {
	p.migrate()
	p.topics("orders")
	require.NoError(p, placeOrder(p.Context(), p.pool("shop"), Order{"o-1", 100}))
	require.Len(p, p.sql(), 1, "tandem.add answers with the id")
	require.Contains(p, p.sh(), "published 2 events")

	billing := p.pool("billing")
	p.during(func(ctx context.Context) error { return runBilling(ctx, billing, p.brokers) }, func() {
		p.eventually(`SELECT count(*) FROM charges`, 2)
	})
	for range 2 {
		require.NoError(p, bookPayment(p.Context(), billing, "payment-1", 100))
	}
	require.Equal(p, 1, p.count(`SELECT count(*) FROM bookings`))
})

// migrate does what docs/relaying.md says to do before the first start.
func (p *page) migrate() {
	p.Helper()
	p.run("tandem migrate up --database-url " + p.url("owner"))
	p.exec("owner", `GRANT tandem_writer TO shop; GRANT tandem_relay TO relay; GRANT tandem_consumer TO billing`)
}

// during has something run until the rest is done, and then end well.
func (w *world) during(run func(context.Context) error, rest func()) {
	w.Helper()
	ctx, stop := context.WithCancel(w.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	rest()
	stop()
	require.NoError(w, <-ended)
}

// eventually waits until a query's number is that.
func (w *world) eventually(query string, want int) {
	w.Helper()
	require.Eventuallyf(w, func() bool {
		n, err := w.number(query)
		return err == nil && n == want
	}, 2*time.Minute, 50*time.Millisecond, "%s: %d", query, want)
}
