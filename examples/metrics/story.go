package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

const (
	calls    = 50 // before, and during each fault
	customer = "ada"
)

// The same calls are counted in three ways. The first is the service's; the others
// have events of their own, which are repeated until they have arrived.
const (
	atMostOnce  = "at most once"
	atLeastOnce = "at least once" // and no inbox
	exactlyOnce = "exactly once"  // with an inbox
)

// counted is how many calls each of them counts.
type counted map[string]int

type world struct {
	*servers.Servers

	network            network
	once, repeat       string // topics
	meter, remembering *inboxkafka.Consumer
	before             counted
}

func story(ctx context.Context, s *servers.Servers) (err error) {
	w := &world{Servers: s, before: counted{}}
	if _, err := s.Pool.Exec(ctx, tables); err != nil {
		return err
	}
	if w.once, err = s.Topic(ctx, "calls", 3); err != nil {
		return err
	}
	if w.repeat, err = s.Topic(ctx, "calls-repeated", 3); err != nil {
		return err
	}
	if w.meter, err = newMeter(s.Pool, s.Brokers, w.once, atMostOnce, inboxkafka.AtMostOnce); err != nil {
		return err
	}
	if w.remembering, err = newMeter(s.Pool, s.Brokers, w.repeat, exactlyOnce, inboxkafka.ExactlyOnce); err != nil {
		return err
	}
	s.Relay(ctx, w.network.between)
	s.Go(ctx, atMostOnce, w.meter.Run)
	s.Go(ctx, exactlyOnce, w.remembering.Run)
	s.Go(ctx, atLeastOnce, w.forgetful)

	fmt.Printf("%-28s %5s  %12s  %13s  %12s\n", "what goes wrong", "calls", atMostOnce, atLeastOnce, exactlyOnce)
	for _, tell := range []func(context.Context) error{w.nothing, w.answersLost, w.brokerAway, w.tableAway, w.total, w.cost} {
		if err := tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) nothing(ctx context.Context) error {
	return w.phase(ctx, "nothing", counted{atMostOnce: calls, atLeastOnce: calls, exactlyOnce: calls}, nil)
}

func (w *world) answersLost(ctx context.Context) error {
	w.network.set(answersLost)
	return w.phase(ctx, "the broker's answers are lost", counted{atMostOnce: calls, atLeastOnce: 2 * calls, exactlyOnce: calls}, nil)
}

func (w *world) brokerAway(ctx context.Context) error {
	w.network.set(away)
	return w.phase(ctx, "the broker is away", counted{atLeastOnce: calls, exactlyOnce: calls}, func() error {
		err := servers.Await(ctx, "all events were tried", func() (bool, error) { return w.network.refusedOf(w.once) == calls, nil })
		w.network.set(fine)
		return err
	})
}

func (w *world) tableAway(ctx context.Context) error {
	if _, err := w.Pool.Exec(ctx, `ALTER TABLE usage RENAME TO usage_in_maintenance`); err != nil {
		return err
	}
	return w.phase(ctx, "the table is away", counted{atLeastOnce: calls, exactlyOnce: calls}, func() error {
		err := servers.Await(ctx, "all messages were tried", func() (bool, error) { return w.meter.Stats().Lost == calls, nil })
		if err != nil {
			return err
		}
		_, err = w.Pool.Exec(ctx, `ALTER TABLE usage_in_maintenance RENAME TO usage`)
		return err
	})
}

// phase makes calls, mends what is broken, and waits for what has to be counted.
func (w *world) phase(ctx context.Context, what string, promised counted, mend func() error) error {
	for i := range calls {
		name := fmt.Sprintf("%s %d", what, i)
		if err := createDocument(ctx, w.Pool, w.once, customer, name); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
			return outbox.Add(ctx, tx, outbox.Event{Topic: w.repeat, Type: "api.called", Payload: []byte(`{"customer": "` + customer + `"}`)})
		})
		if err != nil {
			return err
		}
	}
	if mend != nil {
		if err := mend(); err != nil {
			return err
		}
	}
	var now counted
	err := servers.Await(ctx, "everything is counted", func() (enough bool, err error) {
		now, err = w.count(ctx)
		enough = true
		for meter, n := range promised {
			enough = enough && now[meter]-w.before[meter] >= n
		}
		return enough, err
	})
	if err != nil {
		return err
	}
	w.network.set(fine)
	fmt.Printf("%-29s %4d", what, calls)
	for _, meter := range []string{atMostOnce, atLeastOnce, exactlyOnce} {
		fmt.Printf("  %*d", len(meter), now[meter]-w.before[meter])
	}
	fmt.Println()
	for meter := range now {
		if n := now[meter] - w.before[meter]; n != promised[meter] {
			return fmt.Errorf("%s: %s counted %d, and not %d", what, meter, n, promised[meter])
		}
	}
	w.before = now
	return nil
}

func (w *world) count(ctx context.Context) (counted, error) {
	now := counted{}
	for _, meter := range []string{atMostOnce, atLeastOnce, exactlyOnce} {
		n, err := w.Count(ctx, `SELECT coalesce(sum(calls), 0) FROM usage WHERE meter = $1`, meter)
		if err != nil {
			return nil, err
		}
		now[meter] = n
	}
	return now, nil
}

// total waits until nothing more can come, and looks whether nothing more did.
func (w *world) total(ctx context.Context) error {
	const sent, repeated = 3 * calls, 5 * calls // what got to the broker: one fault was before it
	if err := servers.CaughtUp(ctx, atMostOnce, w.meter, sent); err != nil {
		return err
	}
	if err := servers.CaughtUp(ctx, exactlyOnce, w.remembering, repeated); err != nil {
		return err
	}
	once, err := w.Records(ctx, w.once)
	if err != nil {
		return err
	}
	more, err := w.Records(ctx, w.repeat)
	if err != nil {
		return err
	}
	now, err := w.count(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%-28s %5d  %12d  %13d  %12d\n", "in all", 4*calls, now[atMostOnce], now[atLeastOnce], now[exactlyOnce])
	if once != sent || more != repeated || now[atMostOnce] > 4*calls {
		return fmt.Errorf("there are %d and %d records, and should be %d and %d", once, more, sent, repeated)
	}
	return nil
}

// cost is what has to be remembered for it.
func (w *world) cost(ctx context.Context) error {
	forgets, err := w.Count(ctx, `SELECT count(*) FROM tandem.inbox WHERE consumer = $1`, atMostOnce)
	if err != nil {
		return err
	}
	remembers, err := w.Count(ctx, `SELECT count(*) FROM tandem.inbox WHERE consumer = $1`, exactlyOnce)
	if err != nil {
		return err
	}
	fmt.Printf("%-28s %5s  %12d  %13s  %12d\n", "rows in the inbox", "", forgets, "", remembers)
	if forgets != 0 || remembers != 4*calls {
		return errors.New("that should be none, and one for each call")
	}
	return nil
}

// forgetful is the consumer that everybody writes first: count, then commit. A
// record that is there twice it counts twice.
func (w *world) forgetful(ctx context.Context) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: w.Brokers, Topic: w.repeat, GroupID: w.repeat + ".forgetful", StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	for {
		m, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		err = servers.Await(ctx, "it is counted", func() (bool, error) {
			err := pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
				return add(ctx, tx, atLeastOnce, map[string]int64{customer: 1})
			})
			return err == nil, nil
		})
		if err != nil {
			return err
		}
		if err := reader.CommitMessages(ctx, m); err != nil {
			return err
		}
	}
}
