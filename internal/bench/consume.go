package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/relay"
)

// ConsumeOptions say how Consume measures.
type ConsumeOptions struct {
	Events     int   // in the topic; 200,000 unless set
	Payload    int   // of an event, in bytes; 200 unless set
	Partitions int   // of the topic; 4 unless set
	Batches    []int // messages in a transaction, in turn; 10, 100 and 500 unless set
	Each       int   // that of the handlers of one message; 100 unless set
	Rounds     int   // 3 unless set
}

func (o ConsumeOptions) withDefaults() ConsumeOptions {
	o.Events, o.Payload = cmp.Or(o.Events, 200_000), cmp.Or(o.Payload, 200)
	o.Partitions, o.Rounds = cmp.Or(o.Partitions, 4), cmp.Or(o.Rounds, 3)
	if len(o.Batches) == 0 {
		o.Batches = []int{10, 100, 500}
	}
	o.Each = cmp.Or(o.Each, 100)
	return o
}

// Consume measures how fast a consumer with an inbox takes messages out of a
// topic, with one effect row each, and in turn with it a loop that does the same
// without an inbox: fetches, writes the effects in batches of that size, and
// commits the offsets to its group beside the work. The rate counts from the
// first commit to the last, so that joining the group is not in it.
func Consume(ctx context.Context, s *Site, o ConsumeOptions) ([]Result, error) {
	o = o.withDefaults()
	topic, err := s.topic(ctx, "consume", o.Partitions)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, s, topic, o); err != nil {
		return nil, fmt.Errorf("fill the topic: %w", err)
	}
	pool, err := s.pool(ctx, o.Partitions+4)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	if err := execute(ctx, pool, effectsTable); err != nil {
		return nil, err
	}
	var results []Result
	for round := range o.Rounds {
		for _, c := range o.cases() {
			run := consuming{Site: s, ConsumeOptions: o, pool: pool, topic: topic, consumeCase: c, round: round + 1}
			pair, err := run.pair(ctx)
			results = append(results, pair...)
			if err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// pair measures a case without the inbox and with it; the other way round in
// every second round.
func (c *consuming) pair(ctx context.Context) ([]Result, error) {
	handler := c.consumeCase.name
	names := [2]string{handler + ", no inbox", handler}
	works := [2]consumer{c.plainly, c.withInbox}
	var results [2]Result
	for turn := range 2 {
		i := (turn + c.round + 1) % 2
		var err error
		if results[i], err = c.measure(ctx, names[i], works[i]); err != nil {
			return nil, err
		}
	}
	results[1].Against, results[1].Ratio = names[0], results[1].Rate/results[0].Rate
	return results[:], nil
}

// consumer consumes everything, under a group's name that no other has. It calls
// done after each transaction, and returns when ctx ends.
type consumer func(ctx context.Context, group string, done func(int)) error

// consumeCase is how a consumer is written.
type consumeCase struct {
	name  string
	batch int
	each  bool // a handler of one message
}

func (o ConsumeOptions) cases() []consumeCase {
	var all []consumeCase
	for _, batch := range o.Batches {
		all = append(all, consumeCase{"batch handler", batch, false})
	}
	return append(all, consumeCase{"message handler", o.Each, true})
}

type consuming struct {
	*Site
	ConsumeOptions
	consumeCase
	pool  *pgxpool.Pool
	topic string
	round int
}

func (c *consuming) measure(ctx context.Context, name string, work consumer) (Result, error) {
	r := Result{
		Measure: "consume", System: "tandem", Case: name, Batch: c.batch, Round: c.round, Events: c.Events, Payload: c.Payload,
	}
	if err := errors.Join(execute(ctx, c.pool, `TRUNCATE public.effects`), settle(ctx, c.pool)); err != nil {
		return r, err
	}
	group := fmt.Sprintf("%s-%d", c.topic, len(c.groups)+1)
	c.groups = append(c.groups, group)
	clock := lap{total: int64(c.Events)}
	stop := c.progress.follow(fmt.Sprintf("consume %d/%d: %s, batches of %d", c.round, c.Rounds, name, c.batch), clock.total, clock.count.Load)
	defer stop()
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	clock.over = cancel
	used := c.meter()
	if err := work(working, group, clock.done); err != nil {
		return r, fmt.Errorf("consume, %s: %w", name, err)
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	r.CPU = used.spent("consumer")
	r.Seconds, r.Rate = clock.rate()
	audit, err := auditEffects(ctx, c.pool, c.Events)
	r.Audit = &audit
	return r, err
}

// lap counts from the first transaction to the last.
type lap struct {
	total int64
	over  func()

	count       atomic.Int64
	first       atomic.Int64 // how many the first transaction had
	began, took atomic.Int64 // nanoseconds: when it committed, and since then
}

func (l *lap) done(n int) {
	now := time.Now().UnixNano()
	if l.began.CompareAndSwap(0, now) {
		l.first.Store(int64(n))
	}
	before := l.count.Load()
	if l.count.Add(int64(n)) >= l.total && before < l.total {
		l.took.Store(now - l.began.Load())
		l.over()
	}
}

func (l *lap) rate() (seconds, perSecond float64) {
	seconds = max(time.Duration(l.took.Load()).Seconds(), 1e-6)
	return seconds, float64(l.total-l.first.Load()) / seconds
}

// fillRequest is how many events a request to Kafka has.
const fillRequest = 1000

// fill writes events straight into the topic, as a relay would.
func fill(ctx context.Context, s *Site, topic string, o ConsumeOptions) error {
	publisher, err := s.newPublisher()
	if err != nil {
		return err
	}
	defer func() { _ = publisher.Close() }()
	var sent atomic.Int64
	defer s.progress.follow("consume: events put into the topic", int64(o.Events), sent.Load)()
	all, ctx := errgroup.WithContext(ctx)
	for partition := range o.Partitions {
		all.Go(func() error {
			var events []*relay.Event
			flush := func() error {
				err := publisher.Publish(ctx, topic, partition, events)
				sent.Add(int64(len(events)))
				events = events[:0]
				return err
			}
			for n := range o.Events {
				if n%Keys%o.Partitions != partition { // a key is in one partition
					continue
				}
				events = append(events, &relay.Event{
					ID: uuid.Must(uuid.NewV7()), CreatedAt: time.Now(), Topic: topic, Partition: -1, Type: eventType,
					Key: []byte(Key(n)), Payload: Payload(n, o.Payload),
				})
				if len(events) == fillRequest {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			if len(events) == 0 {
				return nil
			}
			return flush()
		})
	}
	return all.Wait()
}
