package inboxkafka_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/faultyconn"
)

// A run has some four hundred messages with Postgres, and a hundred with Kafka.
var stride = flag.Int("stride", 61, "let a consumer's connections fail at every so manieth message; 1 is at each")

// One message between a consumer and Postgres is the last one of its connection:
// every effect is made once, in order, and none of the messages is blamed for it.
func TestTheConnectionToPostgresFailsAtSomeMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config, line := w.pool.Config(), faultyconn.New(faultyconn.Postgres)
	config.ConnConfig.DialFunc = line.Dial
	n := line.Each(*stride, func(at int, how faultyconn.How) {
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer pool.Close() // before it sees the next message
		w.pool = pool
		w.consumeDisturbed(w.config(), fmt.Sprintf("message %d %s", at, how))
	})
	t.Logf("%d runs were disturbed", n)
	require.Positive(t, n)
}

// The same between a consumer and Kafka.
func TestTheConnectionToKafkaFailsAtSomeMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config, line := w.config(), faultyconn.New(faultyconn.Kafka)
	config.Dial = line.Dial
	n := line.Each((*stride+3)/4, func(at int, how faultyconn.How) {
		w.consumeDisturbed(config, fmt.Sprintf("message %d %s", at, how))
	})
	t.Logf("%d runs were disturbed", n)
	require.Positive(t, n)
}

// consumeDisturbed consumes five messages of a partition, of which one comes twice.
func (w *world) consumeDisturbed(config inboxkafka.Config, what string) {
	w.Helper()
	before := w.effects()
	var records []*kgo.Record
	var want []string
	for i := range 5 {
		r := keyed(0, "k", fmt.Sprint(what, " ", i))
		records, want = append(records, r), append(want, string(r.Value))
	}
	again := *records[2]
	w.send(append(records, &again)...)
	config.BatchSize = 2
	stop := w.start(config, effect)
	w.awaitCommitted(0, w.cluster.PartitionInfo(topic, 0).HighWatermark)
	stop()
	require.Equal(w, want, w.effects()[len(before):], what)
	require.Zero(w, testinbox.Count(w, w.admin, `SELECT count(*) FROM tandem.inbox_aside`), what)
}
