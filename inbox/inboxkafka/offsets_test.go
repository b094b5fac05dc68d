package inboxkafka_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Offsets that hold no message: markers, records of aborted transactions, and
// what compaction took.
func TestOffsetsMovePastWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	producer := w.client(kgo.TransactionalID("shop"))
	transaction := func(how kgo.TransactionEndTry, values ...string) {
		require.NoError(t, producer.BeginTransaction())
		for _, v := range values {
			require.NoError(t, producer.ProduceSync(t.Context(), record(0, v)).FirstErr())
		}
		require.NoError(t, producer.Flush(t.Context()))
		require.NoError(t, producer.EndTransaction(t.Context(), how))
	}
	w.produce(0, "a")                                   // 0
	transaction(kgo.TryAbort, "aborted 1")              // 1, marker 2
	transaction(kgo.TryCommit, "b", "c")                // 3, 4, marker 5
	transaction(kgo.TryAbort, "aborted 2", "aborted 3") // 6, 7, marker 8
	w.start(w.config(), effect)
	w.awaitCommitted(0, 9)
	require.Equal(t, []string{"a", "b", "c"}, w.effects())

	transaction(kgo.TryAbort, "aborted 4") // 9, marker 10
	w.awaitCommitted(0, 11)
	transaction(kgo.TryCommit, "d") // 11, marker 12
	w.awaitCommitted(0, 13)
	require.Equal(t, []string{"a", "b", "c", "d"}, w.effects())
}

func TestACompactedTopicIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	compact := "compact"
	require.NoError(t, w.cluster.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": compact}))
	send := func(batch ...string) {
		var records []*kgo.Record
		for _, v := range batch {
			r := record(0, v)
			r.Topic, r.Key = "compacted", []byte(v[:1])
			records = append(records, r)
		}
		w.send(records...)
	}
	send("a1", "b1", "a2") // of the first batch only the second record may remain
	send("b2", "b3")
	send("c1", "a3", "b4")
	w.cluster.Compact()
	config := w.config()
	config.Topics = []string{"compacted"}
	w.start(config, effect)
	require.Eventually(t, func() bool {
		g := w.cluster.GroupInfo("billing")
		return g != nil && g.Commits["compacted"][0].Offset == 8
	}, patience, 10e6)
	require.Subset(t, w.effects(), []string{"c1", "a3", "b4"})
}

func TestDeletedMessagesBlockUntilTheyAreSkippedOnPurpose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a")
	stop := w.start(w.config(), effect)
	w.awaitCommitted(0, 1)
	stop()
	w.produce(0, "b", "c", "d")
	require.NoError(t, w.cluster.DeleteRecords(topic, 0, 3))

	stop = w.start(w.config(), effect)
	blocked := w.logs.await(t, slog.LevelError, 1)
	require.Contains(t, blocked[0], "SkipDeleted")
	require.Contains(t, blocked[0], "offset=1 first=3 last=4")
	stop()
	require.Equal(t, []string{"a"}, w.effects())
	require.Equal(t, int64(1), w.committed(0))

	config := w.config()
	config.SkipDeleted = true
	w.start(config, effect)
	w.awaitCommitted(0, 4)
	require.Equal(t, []string{"a", "d"}, w.effects())
}
