package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// Of two transactions of one key that overlap, the one that began first writes
// second: the topic has them in the order in which they had the key.
func TestOverlappingTransactionsArriveInTheOrderOfTheirWriters(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	s.relay(t)
	first, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = first.Exec(t.Context(), `SELECT pg_current_xact_id()`)
	require.NoError(t, err)
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	_, err = first.Exec(t.Context(), `UPDATE public.accounts SET version = version + 1 WHERE key = $1`, s.topic+"k")
	require.NoError(t, err)
	_, err = first.Exec(t.Context(), `SELECT tandem.add($1, 'k 2 true', 'k')`, s.topic)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))
	s.committed["k"] = 2
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	require.Zero(t, s.read(t).repeats)
}

// Writers whose transactions overlap at random, a quarter of them rolled back,
// read while they write. Each seed has a topic of its own on one log.
func TestRandomOverlappingWriters(t *testing.T) {
	t.Parallel()
	const seeds, abreast = 50, 5
	address, brokers := testservers.Migrated(t), testservers.Kafka(t)
	openShop(t, address, brokers, testservers.Topic(t, 1)).relay(t)
	for from := 0; from < seeds; from += abreast {
		t.Run(fmt.Sprintf("seeds %d to %d", from, from+abreast-1), func(t *testing.T) {
			for seed := from; seed < from+abreast; seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					s := openShop(t, address, brokers, testservers.Topic(t, 3))
					s.writeAtRandom(t, uint64(seed))
					require.Zero(t, s.read(t).repeats, "a run without faults repeated events")
				})
			}
		})
	}
}

// writeAtRandom has six writers place orders for up to four of eight keys.
func (s *shop) writeAtRandom(t testing.TB, seed uint64) {
	t.Helper()
	var writers sync.WaitGroup
	for n := range 6 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 12 {
				keys := random.Perm(8)[:1+random.IntN(4)]
				slices.Sort(keys) // two that lock in another order would deadlock
				names := make([]string, len(keys))
				for i, key := range keys {
					names[i] = fmt.Sprint("k", key)
				}
				pause := time.Duration(random.IntN(3)) * time.Millisecond
				if err := s.place(t.Context(), names, pause, random.IntN(4) > 0); err != nil {
					t.Errorf("place: %v", err)
				}
			}
		})
	}
	writers.Wait()
}

// A transaction that stays open for the length of the run holds nobody up; its
// own event comes when it commits.
func TestAHeldTransactionHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	held, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = held.Rollback(context.Background()) }()
	_, err = held.Exec(t.Context(), `SELECT tandem.add($1, 'held 1 true', 'held')`, s.topic)
	require.NoError(t, err)
	s.relay(t)
	s.writeAtRandom(t, 1)
	others := s.read(t)
	require.Zero(t, others.repeats)
	require.NoError(t, held.Commit(t.Context()))
	s.committed["held"] = 1
	require.Equal(t, others.records+1, s.read(t).records)
}
