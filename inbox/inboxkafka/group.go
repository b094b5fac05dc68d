package inboxkafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// heartbeats is how many a session has; one of them also brings the news
	// of a rebalance.
	heartbeats = 10
	// joinPause is kafka-go's pause after a failed attempt to join.
	joinPause = time.Second
	// watchPartitions is how often a new partition of the topics is looked for.
	watchPartitions = 10 * time.Second
)

// member is what one Run is in its group.
type member struct {
	*Consumer
	fetch   *fetcher
	shares  *assignment
	fail    context.CancelCauseFunc // ends Run with an error
	workers sync.WaitGroup
}

// consume is a member of the group until ctx ends or the group cannot be had.
func (c *Consumer) consume(ctx context.Context, conns *connections) error {
	transport := &kafka.Transport{
		ClientID:       "tandem",
		Dial:           conns.Dial,
		MetadataTopics: c.config.Topics,
		TLS:            c.config.TLS,
		SASL:           c.config.SASL,
	}
	defer transport.CloseIdleConnections()
	shares := &assignment{}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:             c.config.GroupID,
		Brokers:        c.config.Brokers,
		Topics:         c.config.Topics,
		Dialer:         c.dialer(conns),
		SessionTimeout: c.config.SessionTimeout,
		// A member is told of a rebalance by its next heartbeat, and is back when it
		// has drained. Who is not back by then is gone: those who wait for it, for
		// kafka-go's 30s unless told, handle nothing meanwhile.
		RebalanceTimeout:       c.config.SessionTimeout + c.config.DrainTimeout,
		HeartbeatInterval:      max(c.config.SessionTimeout/heartbeats, time.Millisecond),
		JoinGroupBackoff:       joinPause,
		GroupBalancers:         shares.balancers(),
		WatchPartitionChanges:  true,
		PartitionWatchInterval: watchPartitions,
		StartOffset:            kafka.FirstOffset,
		Timeout:                attemptTimeout,
	})
	if err != nil {
		return &StartError{Subject: "group", Err: err, Hint: "correct the Config"}
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m := &member{Consumer: c, fetch: newFetcher(transport, c.config), shares: shares, fail: fail}
	m.workers.Go(func() { m.watchEnds(running) })
	err = m.generations(running, group)
	c.stats.stand(isStopping, nil)
	fail(nil)
	m.leave(group, conns)
	c.config.Logger.Info("left the group", c.stats.summary(c.config.GroupID)...)
	if ctx.Err() == nil && err == nil {
		err = context.Cause(running)
	}
	return err
}

// generations runs one generation of the group after the other. It returns an
// error when the group refuses this member from the first.
func (m *member) generations(ctx context.Context, group *kafka.ConsumerGroup) error {
	trouble := trouble{log: m.config.Logger}
	pause := backoff{min: 50 * time.Millisecond, max: 5 * time.Second}
	joined := false
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		switch {
		case err != nil && !joined && refused(err):
			return &StartError{Subject: "group", Err: err, Hint: "allow this client to Read the group, and compare Config.GroupID and Config.SessionTimeout with what the brokers and the other members have"}
		case err != nil:
			m.stats.stand(isApart, err)
			trouble.warn("group", "cannot be a member of the group, trying again", "group", m.config.GroupID, "error", err)
			pause.wait(ctx)
			continue
		}
		joined = true
		m.stats.stand(isMember, nil)
		trouble.over()
		pause.reset()
		m.begin(ctx, generation)
	}
}

// begin starts a worker for every partition that the generation brings.
func (m *member) begin(ctx context.Context, generation *kafka.Generation) {
	assigned := 0
	for topic, partitions := range generation.Assignments {
		for _, a := range partitions {
			assigned++
			p := m.newPartition(topic, a.ID, a.Offset, func(offset int64) error {
				return generation.CommitOffsets(map[string]map[int]int64{topic: {a.ID: offset}})
			})
			m.workers.Add(1)
			generation.Start(func(generation context.Context) {
				defer m.workers.Done()
				// To return earlier would end the generation: a rebalance of
				// all for the trouble of one partition.
				defer func() { <-generation.Done() }()
				m.work(ctx, generation, p)
			})
		}
	}
	if shared := m.shares.take(); shared != nil {
		generation.Start(func(generation context.Context) { m.watchGrowth(generation, watchPartitions, shared) })
	}
	m.config.Logger.Info("joined the group", "group", m.config.GroupID, "generation", generation.ID, "partitions", assigned)
}

// work lets the worker go on for DrainTimeout after its generation has ended,
// whatever became of Run's context.
func (m *member) work(ctx, generation context.Context, p *partition) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(generation, func() {
		timer := time.AfterFunc(m.config.DrainTimeout, func() { cancel(errDrained) })
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	// A context of the standard library's own kind is cheaper to derive from.
	until, end := context.WithCancel(generation)
	defer end()
	err, done := errEnded, make(chan struct{})
	go func() { // which the handler may end: kafka-go waits for its own for ever
		defer close(done)
		err = p.run(until, work)
	}()
	<-done
	if err != nil {
		m.fail(err)
	}
}

var errEnded = errors.New("inboxkafka: a handler has ended the goroutine that called it, by runtime.Goexit, which testing's FailNow calls too; its batch is rolled back")

// leave ends the generation, waits for its workers and leaves the group. Where
// the brokers do not answer in time, their connections are cut.
func (m *member) leave(group *kafka.ConsumerGroup, conns *connections) {
	cut := time.AfterFunc(m.config.DrainTimeout+attemptTimeout, conns.close)
	defer cut.Stop()
	_ = group.Close()
	m.workers.Wait()
}

// refused tells what to try again will not change.
func refused(err error) bool {
	for _, e := range []kafka.Error{
		kafka.GroupAuthorizationFailed, kafka.InvalidSessionTimeout, kafka.InconsistentGroupProtocol, kafka.InvalidGroupId,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
