package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// newPublisher is configured as "tandem relay" configures it.
func (s *Site) newPublisher() (*relaykafka.Publisher, error) {
	config := s.servers.Kafka
	config.Source, config.Logger = "/tandem/bench", s.log
	return relaykafka.New(config)
}

// running is a relay in this process, with the defaults.
type running struct {
	*relay.Relay
	publisher *relaykafka.Publisher
	cancel    context.CancelFunc
	done      chan struct{}
	err       error // once done is closed
}

// startRelay runs a relay until stop is called, or until the log is empty.
func (s *Site) startRelay(ctx context.Context, hooks relay.Hooks, untilEmpty bool) (*running, error) {
	publisher, err := s.newPublisher()
	if err != nil {
		return nil, err
	}
	r := &running{publisher: publisher, done: make(chan struct{})}
	r.Relay, err = relay.New(relay.Config{
		Database: s.database, BeforeConnect: s.servers.BeforeConnect, Publisher: publisher,
		UntilEmpty: untilEmpty, Hooks: hooks, Logger: s.log,
	})
	if err != nil {
		return nil, errors.Join(err, publisher.Close())
	}
	ctx, r.cancel = context.WithCancel(ctx)
	go func() {
		defer close(r.done)
		r.err = r.Run(ctx)
	}()
	return r, nil
}

// working waits until the relay relays.
func (r *running) working(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.State() != relay.Relaying {
		select {
		case <-tick.C:
		case <-r.done:
			return fmt.Errorf("the relay has ended: %w", r.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// empty waits until a relay that runs until the log is empty has ended.
func (r *running) empty() error {
	<-r.done
	r.cancel()
	return errors.Join(r.err, r.publisher.Close())
}

// stop ends the relay, which drains first.
func (r *running) stop() error {
	r.cancel()
	return r.empty()
}
