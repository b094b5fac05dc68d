package testorm

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/outbox"
)

// RequireConsumer tests that messages that come twice are charged once, and that the
// event of each charge tells which message it comes from.
func RequireConsumer(t *testing.T, db *sql.DB, handler inboxsql.Handler) {
	t.Helper()
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, Orders))
	t.Cleanup(cluster.Close)
	ids := produceTwice(t, cluster.ListenAddrs(), 20)

	consume(t, cluster.ListenAddrs(), db, handler, func() bool { return count(t, db, "tandem.log") >= len(ids)+1 })
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
}

// produceTwice sends n orders, all of them twice, and one more behind them in the
// same partition. It returns the messages' ids by order.
func produceTwice(t *testing.T, brokers []string, n int) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	record := func(order, id string) *kgo.Record {
		return &kgo.Record{Topic: Orders, Key: []byte(order), Value: fmt.Appendf(nil, `{"id": %q, "cents": 100}`, order),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}, {Key: "ce_type", Value: []byte("order.placed")}}}
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
func consume(t *testing.T, brokers []string, db *sql.DB, handler inboxsql.Handler, done func() bool) {
	t.Helper()
	consumer, err := inboxkafka.NewSQLConsumer(inboxkafka.Config{
		Brokers: brokers, Consumer: "billing", Topics: []string{Orders},
	}, db, handler)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !done() && time.Now().Before(deadline); {
		<-tick.C
	}
	cancel()
	require.NoError(t, <-ended)
	require.True(t, done(), "the consumer has not come to the end of the topic")
}
