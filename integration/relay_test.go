package integration_test

import (
	"context"
	"fmt"
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

// A relay that never gets to save is killed when everything is acknowledged:
// its successor repeats it all, under the same ids, and the consumer's effects
// do not double.
func TestKilledBetweenAcknowledgementAndCheckpoint(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	s.writeAtRandom(t, 7)
	first := s.startRelay(t, binary, "--save-every", "1h", "--lease", "2h")
	s.awaitTopic(t, s.events())
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	_, err := s.pool.Exec(t.Context(), `UPDATE tandem.lease SET expires_at = now()`) // two hours later
	require.NoError(t, err)

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
	require.Eventually(t, func() bool { return s.int(t, `SELECT epoch FROM tandem.lease`) >= 5 }, time.Minute, 20*time.Millisecond)
}

// leader returns the process that holds the lease.
func (s *shop) leader(t testing.TB) int {
	t.Helper()
	return s.int(t, `SELECT split_part(holder, '/', 2)::integer FROM tandem.lease`)
}

// A relay that is stopped beyond its lease, in the middle of its work and with
// its lanes full, wakes up when its successor has published it all. It saves
// nothing, and publishes at most the one request of each lane that was on its
// way; nothing is out of order.
func TestAZombieNeitherSavesNorPublishes(t *testing.T) {
	t.Parallel()
	const lanes, request = 3, 2000
	s := newShop(t, lanes)
	binary := program(t, "tandem")
	s.fill(t, 2000)
	zombie := s.startRelay(t, binary)
	s.awaitTopic(t, 10_000)
	require.NoError(t, zombie.Process.Signal(syscall.SIGSTOP))
	s.startRelay(t, binary)
	s.awaitSaved(t)
	s.writeAtRandom(t, 2)
	s.awaitSaved(t)
	epoch, before := s.int(t, `SELECT epoch FROM tandem.lease`), s.inTopic(t)

	require.NoError(t, zombie.Process.Signal(syscall.SIGCONT))
	zombie.awaitLog(t, "standing by")
	require.LessOrEqual(t, s.inTopic(t), before+lanes*request)
	s.writeAtRandom(t, 3)
	s.read(t)
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.lease`))
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`))
}

// fill adds n events to each of a hundred keys at once.
func (s *shop) fill(t testing.TB, n int) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `INSERT INTO tandem.log (topic, key, payload)
		SELECT $1, 'f' || n % 100, ('f' || n % 100 || ' ' || n / 100 + 1 || ' true')::bytea FROM generate_series(0, 100 * $2::integer - 1) AS n`, s.topic, n)
	require.NoError(t, err)
	for key := range 100 {
		s.committed[fmt.Sprint("f", key)] = n
	}
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
