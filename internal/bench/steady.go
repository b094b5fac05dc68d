package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
)

// SteadyOptions say how Steady measures.
type SteadyOptions struct {
	Rates       []int         // events a second, in turn; 1,000 unless set
	Duration    time.Duration // of each rate; 20 s unless set
	Warmup      time.Duration // before it, audited but not timed; 2 s unless set
	Payload     int           // of an event, in bytes; 200 unless set
	Partitions  int           // of the topic; 6 unless set
	Connections int           // that transactions are begun on; 32 unless set
	Each        int           // events in a transaction, a divisor of Keys; 1 unless set
}

func (o SteadyOptions) withDefaults() SteadyOptions {
	if len(o.Rates) == 0 {
		o.Rates = []int{1000}
	}
	o.Duration, o.Warmup = cmp.Or(o.Duration, 20*time.Second), cmp.Or(o.Warmup, 2*time.Second)
	o.Payload, o.Partitions = cmp.Or(o.Payload, 200), cmp.Or(o.Partitions, 6)
	o.Connections, o.Each = cmp.Or(o.Connections, 32), cmp.Or(o.Each, 1)
	return o
}

// Steady measures how long an event takes from the return of COMMIT to Kafka's
// acknowledgement and to a consumer that fetches every partition. It is an open
// loop: transactions of one row and its events are to begin on schedule whatever
// became of earlier ones, and what waits for a connection counts, in "whole".
// Writers, relay and consumer are in this process.
func Steady(ctx context.Context, s *Site, o SteadyOptions) ([]Result, error) {
	o = o.withDefaults()
	pool, err := s.pool(ctx, o.Connections)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	if err := execute(ctx, pool, `DROP TABLE IF EXISTS public.orders`, ordersTable); err != nil {
		return nil, err
	}
	var results []Result
	for _, rate := range o.Rates {
		r, err := steadyAt(ctx, s, pool, o, rate)
		if err != nil {
			return results, fmt.Errorf("steady at %d/s: %w", rate, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// pacing is the run at one rate. Times are nanoseconds since began, 0 while the
// thing has not happened.
type pacing struct {
	*Site
	SteadyOptions
	pool  *pgxpool.Pool
	topic string
	rate  int
	warm  int // the first that is timed
	total int

	began     time.Time
	committed []atomic.Int64
	acked     []atomic.Int64
	received  []atomic.Int64
	arrived   atomic.Int64
	turns     []chan struct{} // by the keys of a transaction: who writes them; order is promised to writers of a key that take turns
}

func steadyAt(ctx context.Context, s *Site, pool *pgxpool.Pool, o SteadyOptions, rate int) (Result, error) {
	warm := int(o.Warmup.Seconds() * float64(rate))
	total := warm + int(o.Duration.Seconds()*float64(rate))
	total = (total + o.Each - 1) / o.Each * o.Each
	p := &pacing{
		Site: s, SteadyOptions: o, pool: pool, rate: rate, warm: warm, total: total,
		committed: make([]atomic.Int64, total), acked: make([]atomic.Int64, total), received: make([]atomic.Int64, total),
		turns: make([]chan struct{}, Keys/o.Each),
	}
	for i := range p.turns {
		p.turns[i] = make(chan struct{}, 1)
	}
	var err error
	if p.topic, err = s.topic(ctx, "steady", o.Partitions); err != nil {
		return Result{}, err
	}
	r, err := s.startRelay(ctx, relay.Hooks{Acknowledged: p.acknowledged}, false)
	if err != nil {
		return Result{}, err
	}
	auditor := NewAuditor(total)
	err = r.working(ctx)
	if err == nil {
		err = p.run(ctx, auditor)
	}
	if stopped := r.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return Result{}, err
	}
	return p.result(auditor.Result()), nil
}

// run writes and receives until everything has arrived, or nothing more does.
func (p *pacing) run(ctx context.Context, auditor *Auditor) error {
	stop := p.progress.follow(fmt.Sprintf("steady at %d/s: events received", p.rate), int64(p.total), p.arrived.Load)
	defer stop()
	p.began = time.Now()
	receiving, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error // once done is closed
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = p.receive(receiving, auditor)
	}()
	if err := p.write(ctx); err != nil {
		cancel()
		<-done
		return err
	}
	for before := int64(-1); p.arrived.Load() > before; { // a relay that has stopped sending is not waited for
		before = p.arrived.Load()
		patience := time.NewTimer(steadyPatience)
		select {
		case <-done:
			patience.Stop()
			return failed
		case <-patience.C:
		}
	}
	cancel()
	<-done // what has not arrived is lost, as the audit says
	return context.Cause(ctx)
}

// steadyPatience is how long nothing may arrive before the rest counts as lost.
const steadyPatience = 30 * time.Second

// write begins transactions on schedule.
func (p *pacing) write(ctx context.Context) error {
	var next atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for range p.Connections {
		all.Go(func() error {
			for {
				n := (int(next.Add(1)) - 1) * p.Each
				if n >= p.total {
					return nil
				}
				timer := time.NewTimer(time.Until(p.began.Add(p.due(n))))
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return context.Cause(ctx)
				}
				if err := p.transaction(ctx, n); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

// due is when event n is to be written: when its transaction's first is.
func (p *pacing) due(n int) time.Duration {
	return time.Duration(n/p.Each*p.Each) * time.Second / time.Duration(p.rate)
}

// transaction writes a row and the events from n on in one round trip: what is
// measured begins with its end.
func (p *pacing) transaction(ctx context.Context, n int) error {
	turn := p.turns[n/p.Each%len(p.turns)]
	turn <- struct{}{}
	defer func() { <-turn }()
	batch := &pgx.Batch{}
	batch.Queue(insertOrder, Key(n), n)
	events := make([]outbox.Event, p.Each)
	for i := range events {
		events[i] = eventOf(p.topic, n+i, p.Payload)
	}
	if err := outbox.Queue(ctx, batch, events...); err != nil {
		return err
	}
	if err := p.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	now := int64(time.Since(p.began))
	for i := range events {
		p.committed[n+i].Store(now)
	}
	return nil
}

func (p *pacing) acknowledged(_ string, _ int, events []*relay.Event, _ time.Duration) {
	now := int64(time.Since(p.began))
	for _, e := range events {
		if n, err := Number(e.Payload); err == nil && n < p.total {
			p.acked[n].CompareAndSwap(0, now)
		}
	}
}

// receive returns when every event has arrived.
func (p *pacing) receive(ctx context.Context, auditor *Auditor) error {
	ctx, complete := context.WithCancelCause(ctx)
	defer complete(nil)
	batches := make(chan []record)
	all, ctx := errgroup.WithContext(ctx)
	for partition := range p.Partitions {
		all.Go(func() error { return p.receivePartition(ctx, partition, batches) })
	}
	all.Go(func() error {
		for {
			select {
			case records := <-batches:
				for _, r := range records {
					auditor.Record(r.key, r.value)
				}
				if auditor.Complete() {
					complete(errComplete)
					return nil
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	err := all.Wait()
	if context.Cause(ctx) == errComplete { //nolint:errorlint // it is that one or it is not
		return nil
	}
	return err
}

var errComplete = fmt.Errorf("everything has arrived")

func (p *pacing) receivePartition(ctx context.Context, partition int, batches chan<- []record) error {
	for next := int64(0); ctx.Err() == nil; {
		records, err := p.fetch(ctx, p.topic, partition, next)
		if err != nil {
			return err
		}
		now := int64(time.Since(p.began))
		for _, r := range records {
			next = r.offset + 1
			if n, err := Number(r.value); err == nil && n < p.total && p.received[n].CompareAndSwap(0, now) {
				p.arrived.Add(1)
			}
		}
		select {
		case batches <- records:
		case <-ctx.Done():
		}
	}
	return nil
}

func (p *pacing) result(audit Audit) Result {
	committed, acked, received, whole := NewHistogram(), NewHistogram(), NewHistogram(), NewHistogram()
	last := int64(0)
	for n := p.warm; n < p.total; n++ {
		due, at := int64(p.due(n)), p.committed[n].Load()
		last = max(last, at)
		_ = committed.RecordValue(time.Duration(at - due).Microseconds())
		// Both may come before COMMIT has returned to us.
		if ack := p.acked[n].Load(); ack > 0 {
			_ = acked.RecordValue(time.Duration(max(0, ack-at)).Microseconds())
			_ = whole.RecordValue(time.Duration(max(0, ack-due)).Microseconds())
		}
		if got := p.received[n].Load(); got > 0 {
			_ = received.RecordValue(time.Duration(max(0, got-at)).Microseconds())
		}
	}
	took := time.Duration(last - int64(p.due(p.warm)))
	r := Result{
		Measure: "steady", System: "tandem", Case: strconv.Itoa(p.rate) + "/s", Round: 1, Clients: p.Connections, Batch: p.Each,
		Events: p.total - p.warm, Payload: p.Payload, Seconds: took.Seconds(), Rate: float64(p.total-p.warm) / took.Seconds(),
		Latency: map[string]Latency{
			"committed": LatencyOf(committed), "acknowledged": LatencyOf(acked), "received": LatencyOf(received), "whole": LatencyOf(whole),
		},
		Audit: &audit,
	}
	if behind := r.Rate / float64(p.rate); behind < 0.98 {
		r.Note = fmt.Sprintf("the writers kept %.0f %% of the rate", math.Floor(100*behind))
	}
	return r
}
