package stories_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// world is what all seeds of a story share: a database, a relay and the brokers.
type world struct {
	database string
	pool     *pgxpool.Pool
	brokers  []string
	kafka    *kgo.Client
	met      histogram
}

func newWorld(t *testing.T, tables string) *world {
	t.Helper()
	w := &world{database: testservers.Migrated(t), brokers: testservers.Kafka(t)}
	var err error
	w.pool, err = pgxpool.New(context.Background(), w.database)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	_, err = w.pool.Exec(t.Context(), tables)
	require.NoError(t, err)
	w.kafka, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	t.Cleanup(w.kafka.Close)
	w.relay(t)
	return w
}

func (w *world) relay(t *testing.T) {
	t.Helper()
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: w.brokers, Source: "/tandem/test"})
	require.NoError(t, err)
	config, err := pgx.ParseConfig(w.database)
	require.NoError(t, err)
	config.RuntimeParams["role"] = "tandem_relay"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- relay.Run(ctx, relay.Config{Database: config, Publisher: publisher, Lease: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
		if err := publisher.Close(); err != nil {
			t.Errorf("close the publisher: %v", err)
		}
	})
}

// caughtUp tells whether a topic has that many records, and the group has committed
// all of them.
func (w *world) caughtUp(group, topic string, records int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	admin := kadm.NewClient(w.kafka)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		return false
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return false
	}
	there, lag := int64(0), int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		there, lag = there+end.Offset, lag+end.Offset
		if o, ok := committed.Lookup(topic, end.Partition); ok && o.At > 0 {
			lag -= o.At
		}
	})
	return there >= int64(records) && lag == 0
}

// bury tells the broker that the members of a group are gone, as it would find out
// when their sessions have timed out.
func (w *world) bury(t *testing.T, group string) {
	t.Helper()
	var described kadm.DescribedGroup
	await(t, "the group's coordinator answers", func() bool {
		groups, err := kadm.NewClient(w.kafka).DescribeGroups(t.Context(), group)
		described = groups[group]
		return err == nil && (described.Err == nil || errors.Is(described.Err, kerr.GroupIDNotFound)) // nobody has joined yet
	})
	for _, member := range described.Members {
		request := kmsg.NewPtrLeaveGroupRequest()
		request.Group, request.MemberID = group, member.MemberID
		leaver := kmsg.NewLeaveGroupRequestMember()
		leaver.MemberID = member.MemberID
		request.Members = append(request.Members, leaver)
		_, err := request.RequestWith(t.Context(), w.kafka)
		require.NoError(t, err)
	}
}

// count is the number that a query yields; below zero where it fails.
func (w *world) count(query string, arguments ...any) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	n := -1
	if err := w.pool.QueryRow(ctx, query, arguments...).Scan(&n); err != nil {
		return -1
	}
	return n
}

// records reads a topic until enough says so.
func (w *world) records(t *testing.T, topic string, enough func(*kgo.Record) bool) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "not everything has come to topic %s", topic)
		for _, r := range fetches.Records() {
			if enough(r) {
				return
			}
		}
	}
}
