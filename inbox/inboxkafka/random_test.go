package inboxkafka_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// Whatever fails, is stopped, joins or is redriven, in whatever order: in the end
// every message has had its effects once, and those of a key in order.
func TestRandomTroubleDoublesLosesAndReordersNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newTrial(t, seed).run()
		})
	}
}

// trial is one run of random trouble.
type trial struct {
	*world
	mu     sync.Mutex
	random *rand.Rand
	mended bool
	want   map[string]int // messages by key
}

const partitions = 2

func newTrial(t *testing.T, seed uint64) *trial {
	return &trial{
		world:  newWorld(t, partitions),
		random: rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // to be repeated
		want:   map[string]int{},
	}
}

func (tr *trial) n(n int) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.random.IntN(n)
}

// handle fails for poison until it is mended, and now and then for no reason.
func (tr *trial) handle(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	if err := effect(ctx, tx, m); err != nil {
		return err
	}
	tr.mu.Lock()
	poison := !tr.mended && strings.Contains(string(m.Value), "poison")
	chance := tr.random.IntN(60)
	if tr.mended {
		chance = -1
	}
	tr.mu.Unlock()
	switch {
	case poison:
		return errSick
	case chance == 0:
		panic("by chance")
	case chance == 1:
		return errSick
	case chance == 2:
		return inbox.RetryAfter(time.Millisecond, errSick)
	case chance == 3:
		return inbox.Park(errSick)
	}
	return nil
}

// produce sends messages of many keys, and some of them twice.
func (tr *trial) produceSome() {
	var records []*kgo.Record
	for range 40 + tr.n(60) {
		key := fmt.Sprintf("k%d", tr.n(8))
		tr.want[key]++
		value := fmt.Sprintf("%s %06d", key, tr.want[key])
		if tr.n(40) == 0 {
			value += " poison"
		}
		r := keyed(int32(key[1]-'0')%partitions, key, value)
		records = append(records, r)
		if tr.n(10) == 0 {
			again := *r
			records = append(records, &again)
		}
	}
	tr.send(records...)
}

func (tr *trial) config() inboxkafka.Config {
	config := tr.world.config()
	config.MaxAttempts, config.BreakAfter = 3, 3
	config.BatchSize = 1 + tr.n(30)
	config.DrainTimeout = time.Duration(1+tr.n(50)) * time.Millisecond
	return config
}

func (tr *trial) run() {
	t := tr.TB
	var stops []func()
	for range 6 {
		tr.produceSome()
		if len(stops) < 2 {
			stops = append(stops, tr.start(tr.config(), tr.handle))
		}
		before := len(tr.effects())
		tr.awaitRow(`SELECT count(*) > $1 FROM app.effects`, before)
		if tr.n(2) == 0 {
			stops[0]()
			stops = stops[1:]
		}
		if tr.n(3) == 0 {
			tr.redrive()
		}
	}
	if len(stops) == 0 {
		tr.start(tr.config(), tr.handle)
	}
	tr.mu.Lock()
	tr.mended = true
	tr.mu.Unlock()
	sum := 0
	for _, n := range tr.want {
		sum += n
	}
	deadline := time.Now().Add(2 * patience)
	for testinbox.Count(t, tr.admin, `SELECT count(*) FROM app.effects`) < sum {
		require.True(t, time.Now().Before(deadline), "%d of %d effects; aside: %q", len(tr.effects()), sum, testinbox.Strings(t, tr.admin, asideSQL))
		tr.redrive()
		tr.awaitRow(`SELECT count(*) = 0 FROM tandem.inbox_aside WHERE redrive`)
	}
	tr.awaitRow(`SELECT count(*) = 0 FROM tandem.inbox_aside`)
	seen := map[string]string{}
	for _, e := range tr.effects() {
		key, _, _ := strings.Cut(e, " ")
		require.Less(t, seen[key], e, "a key's effects are out of order, or doubled")
		seen[key] = e
	}
	require.Len(t, tr.effects(), sum)
}
