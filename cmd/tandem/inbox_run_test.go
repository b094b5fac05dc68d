package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// consume runs a consumer of topic orders, whose effects are rows of app.effects,
// and whose handler refuses poison while it is set.
func consume(t *testing.T, database, brokers string) (poison *atomic.Bool) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), asConsumer(t, database))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	poison = &atomic.Bool{}
	poison.Store(true)
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers: []string{brokers}, Consumer: "billing", Topics: []string{"orders"},
		MaxAttempts: 2, RetryMin: time.Millisecond, RetryMax: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if poison.Load() && strings.HasPrefix(string(m.Value), "poison") {
			return errors.New("no such account")
		}
		_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value))
		return err
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return poison
}

// produce sends messages of one key to partition 0 of orders.
func produce(t *testing.T, brokers string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, v := range values {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{
			Topic: "orders", Key: []byte("k"), Value: []byte(v),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(uuid.Must(uuid.NewV7()).String())}},
		}).FirstErr())
	}
}

// awaitAside waits until messages are set aside in these states, in order.
func awaitAside(t *testing.T, env []string, states ...string) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool {
		last = ""
		var messages []struct{ State string }
		require.NoError(t, json.Unmarshal([]byte(done(t, env, "inbox", "parked", "list", "--json")), &messages))
		for _, m := range messages {
			last += m.State + " "
		}
		return strings.Join(states, " ") == strings.TrimSpace(last)
	}, 30*time.Second, 50*time.Millisecond, "wanted %v", states)
}

// Each command against a consumer that works: a message is parked, redriven in
// vain, redriven, another one is discarded; order is kept throughout.
func TestOperatingARunningConsumer(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	execute(t, database, `CREATE SCHEMA app`, `CREATE TABLE app.effects (n bigint GENERATED ALWAYS AS IDENTITY, name text)`,
		`GRANT USAGE ON SCHEMA app TO tandem_consumer`, `GRANT INSERT ON app.effects TO tandem_consumer`)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	brokers := cluster.ListenAddrs()[0]
	env := []string{"TANDEM_DATABASE_URL=" + asConsumer(t, database)}
	poison := consume(t, database, brokers)
	admin := connect(t, database)
	effects := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			var names []string
			require.NoError(t, admin.QueryRow(t.Context(), `SELECT coalesce(array_agg(name ORDER BY n), '{}') FROM app.effects`).Scan(&names))
			return fmt.Sprint(names) == fmt.Sprint(want)
		}, 30*time.Second, 50*time.Millisecond, "wanted %v", want)
	}

	produce(t, brokers, "1", "poison", "2", "3")
	awaitAside(t, env, "parked", "held", "held")
	effects("1")
	wait := []string{"inbox", "parked", "redrive", "--yes", "--wait", "--wait-timeout", "30s"}
	tandem(t, env, wait...).oneLineOf(t, "0 of 1 messages handled, 1 failed again", "orders/0 offset 1", "no such account")
	awaitAside(t, env, "parked", "held", "held")
	poison.Store(false)
	require.Contains(t, done(t, env, wait...), "done, 1 of 1 messages handled")
	awaitAside(t, env)
	effects("1", "poison", "2", "3")

	poison.Store(true)
	produce(t, brokers, "poison again", "4")
	awaitAside(t, env, "parked", "held")
	require.Contains(t, done(t, env, "inbox", "parked", "discard", "--yes", "--reason", "no such account", "--why", "closed"), "1 parked messages are discarded")
	awaitAside(t, env)
	effects("1", "poison", "2", "3", "4")

	// What the owner says of itself every five seconds.
	require.Eventually(t, func() bool {
		var s inboxadmin.Status
		require.NoError(t, json.Unmarshal([]byte(done(t, env, "inbox", "status", "--json")), &s))
		require.Len(t, s.Consumers, 1)
		c := s.Consumers[0]
		require.Equal(t, int64(1), c.Discarded)
		return len(c.Partitions) == 1 && c.Partitions[0].State == "working" && c.Partitions[0].Lag != nil && *c.Partitions[0].Lag == 0 && *c.Partitions[0].Next == 6
	}, 30*time.Second, 100*time.Millisecond)
}
