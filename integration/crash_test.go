package integration_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
)

// Postgres is stopped at once while writers roll back, and commit without
// waiting for the disk, and the relay lives on. What the database still has
// afterwards is what the topic has: nothing committed is missed, nothing is
// published that was lost. A lost version is drawn again under another id, so a
// publication that came too early would show as a repetition under two ids.
func TestPostgresCrashesUnderALivingRelay(t *testing.T) {
	t.Parallel()
	// The WAL writer would flush what has no hurry before the crash comes.
	server := testservers.OwnPostgres(t, map[string]string{"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"})
	config, err := pgx.ParseConfig(server.URL("postgres"))
	require.NoError(t, err)
	m, err := migrations.Open(config, "")
	require.NoError(t, err)
	defer m.Close()
	_, err = m.Up(t.Context())
	require.NoError(t, err)

	s := openShop(t, server.URL("postgres"), testservers.Kafka(t), testservers.Topic(t, 3))
	s.relay(t)
	lost := 0
	for round := range 3 {
		s.writeAtRandom(t, uint64(round))
		for i := range 200 {
			require.NoError(t, s.place(t.Context(), []string{fmt.Sprint("k", i%8)}, 0, false))
		}
		written := s.hurry(t, 100)
		require.NoError(t, server.StopImmediate())
		require.NoError(t, server.Restart(t.Context()))
		lost += written - s.recount(t)
		s.writeAtRandom(t, uint64(100+round))
		s.read(t)
	}
	t.Logf("%d committed events were lost by the crashes, none of them published", lost)
}

// hurry commits n events without waiting for the disk, from several sessions,
// and returns how many were committed in all.
func (s *shop) hurry(t testing.TB, n int) int {
	t.Helper()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			conn, err := pgx.Connect(t.Context(), s.url)
			if err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			defer conn.Close(context.Background())
			var b strings.Builder
			for i := range n / 4 {
				key := fmt.Sprint("hurry", w, "-", i%4)
				fmt.Fprintf(&b, `BEGIN; SET LOCAL synchronous_commit = off;
					INSERT INTO public.accounts VALUES ('%[1]s%[2]s', 1) ON CONFLICT (key) DO UPDATE SET version = accounts.version + 1;
					SELECT tandem.add('%[1]s', '%[2]s ' || version || ' true', '%[2]s') FROM public.accounts WHERE key = '%[1]s%[2]s';
					COMMIT;`, s.topic, key)
			}
			if _, err := conn.Exec(t.Context(), b.String(), pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Errorf("hurry: %v", err)
			}
		})
	}
	writers.Wait()
	return s.events() + n
}

// recount takes over what the database says was committed, and returns how many
// events that is.
func (s *shop) recount(t testing.TB) int {
	t.Helper()
	type account struct {
		Key     string
		Version int
	}
	require.Eventually(t, func() bool {
		rows, err := s.pool.Query(t.Context(), `SELECT substr(key, $1), version FROM public.accounts`, len(s.topic)+1)
		if err != nil {
			return false
		}
		accounts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[account])
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.committed)
		for _, a := range accounts {
			s.committed[a.Key] = a.Version
		}
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	return s.events()
}

// Kafka is killed and comes back; the relay goes on in order.
func TestKafkaIsKilledUnderALivingRelay(t *testing.T) {
	t.Parallel()
	kafka := testservers.OwnKafka(t)
	topic := createTopic(t, kafka.Brokers(), 3)
	s := openShop(t, testservers.Migrated(t), kafka.Brokers(), topic)
	s.relay(t)
	for round := range 2 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.writeAtRandom(t, uint64(round))
		}()
		s.awaitTopic(t, 20*(round+1))
		kafka.Kill()
		require.NoError(t, kafka.Restart(t.Context()))
		<-done
	}
	s.read(t)
}
