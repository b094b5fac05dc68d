package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/internal/processes"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
)

// DrainOptions say how Drain measures.
type DrainOptions struct {
	Events     int // of the backlog; 1,000,000 unless set
	Payload    int // of an event, in bytes; 200 unless set
	Partitions int // of the topic; 6 unless set
	Rounds     int // 3 unless set
	// HeldSnapshot adds a case to each round: a transaction that began before the
	// backlog was written is open all the while.
	HeldSnapshot bool
}

func (o DrainOptions) withDefaults() DrainOptions {
	o.Events, o.Payload = cmp.Or(o.Events, 1_000_000), cmp.Or(o.Payload, 200)
	o.Partitions, o.Rounds = cmp.Or(o.Partitions, 6), cmp.Or(o.Rounds, 3)
	return o
}

const (
	drainPlain = "backlog"
	drainHeld  = "backlog, a snapshot held"
)

// Drain measures how fast a relay with the defaults of "tandem relay" empties a
// backlog: from the start of its Run to the last acknowledgement. CPU and memory
// are those of this process, which does nothing else meanwhile.
func Drain(ctx context.Context, s *Site, o DrainOptions) ([]Result, error) {
	o = o.withDefaults()
	pool, err := s.pool(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var results []Result
	for round := range o.Rounds {
		d := draining{Site: s, DrainOptions: o, pool: pool, round: round + 1}
		measured, err := d.turn(ctx)
		results = append(results, measured...)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

type draining struct {
	*Site
	DrainOptions
	pool  *pgxpool.Pool
	round int
}

// turn measures each case, in another order in every second round.
func (d *draining) turn(ctx context.Context) ([]Result, error) {
	if !d.HeldSnapshot {
		plain, err := d.run(ctx, drainPlain)
		if err != nil {
			return nil, err
		}
		return []Result{plain}, nil
	}
	var results [2]Result
	for turn := range 2 {
		i := (turn + d.round + 1) % 2
		var err error
		if i == 0 {
			results[i], err = d.run(ctx, drainPlain)
		} else {
			results[i], err = d.held(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	results[1].Against, results[1].Ratio = drainPlain, results[1].Rate/results[0].Rate
	return results[:], nil
}

// held runs it beside a transaction that has a snapshot.
func (d *draining) held(ctx context.Context) (Result, error) {
	var r Result
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	err := pgx.BeginTxFunc(ctx, d.pool, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_current_snapshot()`); err != nil {
			return err
		}
		var err error
		r, err = d.run(ctx, drainHeld)
		return err
	})
	return r, err
}

func (d *draining) run(ctx context.Context, name string) (Result, error) {
	topic, err := d.topic(ctx, "drain", d.Partitions)
	if err != nil {
		return Result{}, err
	}
	if err := d.backlog(ctx, topic); err != nil {
		return Result{}, fmt.Errorf("write the backlog: %w", err)
	}
	if err := settle(ctx, d.pool); err != nil {
		return Result{}, err
	}
	r := Result{
		Measure: "drain", System: "tandem", Case: name, Round: d.round, Events: d.Events, Payload: d.Payload,
	}
	if err := d.relay(ctx, &r); err != nil {
		return r, err
	}
	auditor := NewAuditor(d.Events)
	if err := d.auditTopic(ctx, topic, d.Partitions, auditor); err != nil {
		return r, err
	}
	audit := auditor.Result()
	r.Audit = &audit
	return r, d.removeTopics(ctx)
}

// backlogBatch is how many events a transaction of the backlog has.
const backlogBatch = 5000

// backlog writes the events, in the order of their numbers.
func (d *draining) backlog(ctx context.Context, topic string) error {
	var written atomic.Int64
	defer d.progress.follow(fmt.Sprintf("drain %d/%d: events written", d.round, d.Rounds), int64(d.Events), written.Load)()
	for first := 0; first < d.Events; first += backlogBatch {
		events := make([]outbox.Event, min(backlogBatch, d.Events-first))
		for i := range events {
			events[i] = eventOf(topic, first+i, d.Payload)
		}
		if err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return outbox.Add(ctx, tx, events...) }); err != nil {
			return err
		}
		written.Add(int64(len(events)))
	}
	return nil
}

// relayMemory is the limit that "tandem relay" gives the garbage collector.
const relayMemory = 72 << 20

// relay empties the log.
func (d *draining) relay(ctx context.Context, r *Result) error {
	debug.FreeOSMemory()                           // what the backlog took
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // else the user has said how it is to work
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(relayMemory))
	}
	forgetPeak()
	clock := tenths{total: int64(d.Events)}
	stop := d.progress.follow(fmt.Sprintf("drain %d/%d: events acknowledged", d.round, d.Rounds), int64(d.Events), clock.done.Load)
	defer stop()
	began, used := time.Now(), d.meter()
	running, err := d.startRelay(ctx, relay.Hooks{Acknowledged: func(_ string, _ int, events []*relay.Event, _ time.Duration) {
		clock.add(int64(len(events)), time.Since(began))
	}}, true)
	if err != nil {
		return err
	}
	if err := running.empty(); err != nil {
		return fmt.Errorf("the relay has ended: %w", err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.CPU = used.spent("relay")
	r.PeakMemory = processes.PeakMemory(os.Getpid())
	r.Seconds = time.Duration(clock.at[10].Load()).Seconds()
	r.Rate = float64(d.Events) / r.Seconds
	r.Rates = clock.rates()
	return nil
}

// tenths notes when each tenth of total was done.
type tenths struct {
	total int64
	done  atomic.Int64
	at    [11]atomic.Int64 // nanoseconds since the start; of the first, when anything was
}

func (t *tenths) add(n int64, since time.Duration) {
	after := t.done.Add(n)
	if after == n { // what it takes to begin is not the first tenth's
		t.at[0].Store(int64(since))
	}
	for i := (after-n)*10/t.total + 1; i <= min(10, after*10/t.total); i++ {
		t.at[i].Store(int64(since))
	}
}

// rates are the tenths', per second.
func (t *tenths) rates() []float64 {
	var all []float64
	for i := 1; i < len(t.at); i++ {
		took := time.Duration(t.at[i].Load() - t.at[i-1].Load())
		all = append(all, float64(t.total)/10/max(took.Seconds(), 1e-6))
	}
	return all
}
