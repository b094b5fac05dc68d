package integration_test

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// relay runs a relay in this process, with a relay's rights, until the test ends.
func (s *shop) relay(t testing.TB) {
	t.Helper()
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: s.brokers, Source: "/tandem/test"})
	require.NoError(t, err)
	config, err := pgx.ParseConfig(s.url)
	require.NoError(t, err)
	config.RuntimeParams["role"] = "tandem_relay"
	config.RuntimeParams["search_path"] = ""
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- relay.Run(ctx, relay.Config{Database: config, Publisher: publisher, Lease: time.Second, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
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

// A relay that never gets to save is killed when everything is acknowledged:
// its successor repeats it all, under the same ids, and the consumer's effects
// do not double.
func TestKilledBetweenAcknowledgementAndCheckpoint(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	s.writeAtRandom(t, 7)
	first := s.startRelay(t, binary, "--save-every", "1h")
	s.awaitTopic(t, s.events())
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())

	s.startRelay(t, binary)
	s.awaitTopic(t, s.events()+1)
	s.awaitSaved(t)
	require.Positive(t, s.read(t).repeats)

	s.consume(t)
	require.Eventually(t, func() bool {
		return s.int(t, `SELECT count(DISTINCT id) FROM public.effects`) == s.events() && s.lag(t) == 0
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, s.events(), s.int(t, `SELECT count(*) FROM public.effects`), "an effect was doubled")
}

// awaitSaved waits until the checkpoint covers everything in the log.
func (s *shop) awaitSaved(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		return s.int(t, `SELECT count(*) FROM tandem.log, (SELECT prev FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) AS saved
			WHERE NOT pg_visible_in_snapshot(tx, prev)`) == 0
	}, time.Minute, 20*time.Millisecond)
}

// consume runs a consumer that writes one effect a message.
func (s *shop) consume(t testing.TB) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `CREATE TABLE public.effects (id text NOT NULL)`)
	require.NoError(t, err)
	pool, err := pgxpool.New(context.Background(), s.url)
	require.NoError(t, err)
	config := inboxkafka.Config{Brokers: s.brokers, Consumer: "billing", GroupID: s.topic, Topics: []string{s.topic}}
	consumer, err := inboxkafka.NewConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		_, err := tx.Exec(ctx, `INSERT INTO public.effects VALUES ($1)`, m.ID)
		return err
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("consumer: %v", err)
		}
		pool.Close()
	})
}

// Two relays at once: one works. It is killed in the middle of its work, and the
// other goes on; no key is out of order.
func TestTheOtherRelayTakesOver(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	relays := []*relayProcess{s.startRelay(t, binary), s.startRelay(t, binary)}
	for round := range 4 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.writeAtRandom(t, uint64(round))
		}()
		s.awaitTopic(t, s.inTopic(t)+20)
		leader := s.leader(t)
		for i, r := range relays {
			if r.Process.Pid == leader {
				require.NoError(t, r.Process.Kill())
				_ = r.Wait()
				relays[i] = s.startRelay(t, binary)
			}
		}
		<-done
	}
	s.read(t)
	require.Eventually(t, func() bool { return s.int(t, `SELECT epoch FROM tandem.lease`) >= 5 }, 10*time.Second, 20*time.Millisecond)
}

// leader returns the process that holds the lease.
func (s *shop) leader(t testing.TB) int {
	t.Helper()
	return s.int(t, `SELECT split_part(holder, '/', 2)::integer FROM tandem.lease`)
}

// A relay that is stopped beyond its lease and wakes up neither saves nor
// publishes what its successor has long published.
func TestAZombieNeitherSavesNorPublishes(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	zombie := s.startRelay(t, binary)
	s.writeAtRandom(t, 1)
	s.awaitTopic(t, s.events())
	require.NoError(t, zombie.Process.Signal(syscall.SIGSTOP))
	s.startRelay(t, binary)
	s.writeAtRandom(t, 2)
	s.awaitTopic(t, s.events())
	epoch := s.int(t, `SELECT epoch FROM tandem.lease`)
	before := s.read(t)
	require.NoError(t, zombie.Process.Signal(syscall.SIGCONT))
	s.writeAtRandom(t, 3)
	after := s.read(t)
	require.Equal(t, before.repeats, after.repeats, "the zombie published")
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.lease`))
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`))
}

// A first signal drains and saves: the next relay repeats nothing.
func TestACleanHandOverRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	for round := range 3 {
		r := s.startRelay(t, binary)
		s.writeAtRandom(t, uint64(round))
		s.awaitTopic(t, s.events()/2)
		require.NoError(t, r.Process.Signal(syscall.SIGTERM))
		require.NoError(t, r.Wait())
	}
	s.startRelay(t, binary)
	require.Zero(t, s.read(t).repeats)
}
