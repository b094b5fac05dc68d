package docs_test

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/outbox"
)

var _ = tell("docs/consuming.md", func(p *page) {
	p.run("tandem migrate up --database-url " + p.url("owner"))
	p.topics("orders")
	p.sql() // the grant
	ctx, billing := p.Context(), p.pool("billing")
	for range 2 {
		require.NoError(p, bookPayment(ctx, billing, "payment-1", 100))
	}
	require.Equal(p, 1, p.count(`SELECT count(*) FROM bookings`))
	require.Equal(p, []string{"t"}, p.sql())

	payments, err := paymentRoutes(billing)
	require.NoError(p, err)
	for attempt := range 2 {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, "/payments/payment-9", nil)
		request.Header.Set("Idempotency-Key", `"8e03978e"`)
		request.Header.Set("X-Account", "4711")
		payments.ServeHTTP(answer, request)
		require.Equal(p, http.StatusCreated, answer.Code, "%s", answer.Body)
		require.Equal(p, attempt == 1, answer.Header().Get("Idempotent-Replayed") == "true")
	}

	p.exec("owner", `GRANT tandem_writer TO shop; GRANT tandem_relay TO relay`)
	require.NoError(p, placeOrder(ctx, p.pool("shop"), Order{"o-1", 100}))
	p.run("tandem relay --until-empty --database-url " + p.url("relay") + " --kafka-brokers " + p.brokers[0])
	p.during(func(ctx context.Context) error { return runBilling(ctx, billing, p.brokers) }, func() {
		p.eventually(`SELECT count(*) FROM charges`, 1)
	})
	looked := p.sh()
	require.Contains(p, looked, "billing")
	require.Contains(p, looked, "dry run")

	db := stdlib.OpenDBFromPool(billing)
	defer db.Close()
	onSQL := inboxtest.NewSQLConsumer(db, "billing", chargeSQL)
	for id, want := range map[string]inboxtest.State{`{"id": "o-8"}`: inboxtest.Handled, "o-8": inboxtest.Parked} {
		outcome := onSQL.Deliver(p, inboxtest.FromEvent(outbox.Event{Topic: "orders", Type: "order.placed", Payload: []byte(id)}))
		require.Equal(p, want, outcome.State, "%s", outcome)
	}
	require.Equal(p, 1, p.count(`SELECT count(*) FROM charges WHERE order_id = 'o-8'`))

	p.exec("owner", `GRANT tandem_writer TO billing`)
	handler := billingHandler()
	require.NoError(p, pgx.BeginFunc(ctx, billing, func(tx pgx.Tx) error {
		if err := handler(ctx, tx, inbox.Message{ID: "m-1", Type: "order.placed", Value: []byte(`{"id": "o-9", "cents": 900}`)}); err != nil {
			return err
		}
		return handler(ctx, tx, inbox.Message{ID: "m-2", Type: "order.cancelled"})
	}))
	var undecodable *inbox.DecodeError
	require.ErrorAs(p, handler(ctx, nil, inbox.Message{ID: "m-3", Type: "order.placed", Value: []byte("o-9")}), &undecodable)
	require.Equal(p, 1, p.count(`SELECT count(*) FROM charges WHERE order_id = 'o-9'`))
})
