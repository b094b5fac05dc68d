package orm_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

// charged is the event that a charge leads to.
func charged(o Order) outbox.Event {
	return outbox.Event{Topic: "charges", Key: o.ID, Type: "order.charged"}
}

// Messages that come twice are charged once, by either ORM, and the event of each
// charge tells which message it comes from.
func TestConsumers(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(t *testing.T, db *sql.DB) inboxkafka.SQLHandler{
		"GORM": func(t *testing.T, db *sql.DB) inboxkafka.SQLHandler { return chargeByGORM(openGORM(t, db, false)) },
		"bun":  func(_ *testing.T, db *sql.DB) inboxkafka.SQLHandler { return chargeByBun(openBun(db)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := database(t)
			cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
			t.Cleanup(cluster.Close)
			ids := produceTwice(t, cluster.ListenAddrs(), 20)

			consume(t, cluster.ListenAddrs(), db, handler(t, db), func() bool { return count(t, db, "tandem.log") >= len(ids)+1 })
			require.Equal(t, len(ids)+1, count(t, db, "charges"))
			require.Equal(t, len(ids)+1, count(t, db, "tandem.log"))
			rows, err := db.QueryContext(t.Context(), `SELECT key, headers ->> 'ce_causationid' FROM tandem.log WHERE key <> 'last'`)
			require.NoError(t, err)
			defer rows.Close()
			causes := map[string]string{}
			for rows.Next() {
				var order, cause string
				require.NoError(t, rows.Scan(&order, &cause))
				causes[order] = cause
			}
			require.NoError(t, rows.Err())
			require.Equal(t, ids, causes)
		})
	}
}

// produceTwice sends n orders, all of them twice, and one more behind them in the
// same partition. It returns the messages' ids by order.
func produceTwice(t *testing.T, brokers []string, n int) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	record := func(order, id string) *kgo.Record {
		body, err := json.Marshal(Order{ID: order, Cents: 100})
		require.NoError(t, err)
		return &kgo.Record{Topic: "orders", Key: []byte(order), Value: body, Headers: []kgo.RecordHeader{
			{Key: "ce_id", Value: []byte(id)}, {Key: "ce_type", Value: []byte("order.placed")}}}
	}
	ids := map[string]string{}
	var records []*kgo.Record
	for i := range n {
		order, id := fmt.Sprintf("o-%d", i), outbox.NewID()
		ids[order] = id
		records = append(records, record(order, id), record(order, id))
	}
	records = append(records, record("last", outbox.NewID()))
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	return ids
}

// consume runs a consumer until done.
func consume(t *testing.T, brokers []string, db *sql.DB, handler inboxkafka.SQLHandler, done func() bool) {
	t.Helper()
	consumer, err := inboxkafka.NewSQLConsumer(inboxkafka.Config{
		Brokers: brokers, Consumer: "billing", Topics: []string{"orders"},
	}, db, handler)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !done() && time.Now().Before(deadline); {
		<-tick.C
	}
	cancel()
	require.NoError(t, <-ended)
	require.True(t, done(), "the consumer has not come to the end of the topic")
}
