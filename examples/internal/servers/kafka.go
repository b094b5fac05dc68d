package servers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

const (
	// askTimeout bounds one request to a broker.
	askTimeout = 10 * time.Second
	// answerTimeout is how long brokers may take until they do what they are asked.
	answerTimeout = 45 * time.Second
	// unhurried is for a relay that repeats nothing because the machine is slow: the
	// stories count what is repeated. Yours does not need it.
	unhurried = time.Minute
)

// Topic makes a topic and returns its name.
func (s *Servers) Topic(ctx context.Context, name string, partitions int) (string, error) {
	full := fmt.Sprintf("example-%s-%s-%s", s.name, name, s.run)
	err := s.ask(ctx, "topic "+full+" can be written", func(c *kafka.Client) error { return createTopic(ctx, c, full, partitions) })
	if err != nil {
		return "", err
	}
	s.topics[full] = partitions
	return full, nil
}

func createTopic(ctx context.Context, c *kafka.Client, name string, partitions int) error {
	response, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: -1}},
	})
	if err != nil {
		return err
	}
	if err := response.Errors[name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	_, err = ends(ctx, c, name, partitions) // which the partitions' leaders answer
	return err
}

// ends is how many records a topic has.
func ends(ctx context.Context, c *kafka.Client, topic string, partitions int) (int, error) {
	asked := make([]kafka.OffsetRequest, partitions)
	for i := range asked {
		asked[i] = kafka.LastOffsetOf(i)
	}
	response, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return 0, err
	}
	answers, n := response.Topics[topic], 0
	if len(answers) != partitions {
		return 0, fmt.Errorf("%d of %d partitions answer", len(answers), partitions)
	}
	for _, partition := range answers {
		if partition.Error != nil {
			return 0, partition.Error
		}
		n += int(partition.LastOffset)
	}
	return n, nil
}

// Records is how many records one of the topics has.
func (s *Servers) Records(ctx context.Context, topic string) (n int, err error) {
	err = s.ask(ctx, "Kafka says where topic "+topic+" ends", func(c *kafka.Client) (err error) {
		n, err = ends(ctx, c, topic, s.topics[topic])
		return err
	})
	return n, err
}

func (s *Servers) deleteTopics(ctx context.Context) error {
	if len(s.topics) == 0 {
		return nil
	}
	names := make([]string, 0, len(s.topics))
	for name := range s.topics {
		names = append(names, name)
	}
	return s.ask(ctx, "the topics are deleted", func(c *kafka.Client) error {
		_, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: names})
		return err
	})
}

// ask asks Kafka until it answers: kafka-go gives up at once where a busy broker has
// not said yet who the others are.
func (s *Servers) ask(ctx context.Context, what string, try func(*kafka.Client) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("that took longer than %s", answerTimeout))
	defer cancel()
	transport := &kafka.Transport{MetadataTTL: 100 * time.Millisecond}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(s.Brokers...), Timeout: askTimeout, Transport: transport}
	var last error
	err := Await(ctx, what, func() (bool, error) {
		last = try(client)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("at KAFKA_BROKERS (is Kafka up? see examples/README.md): %w: %w", err, last)
	}
	return nil
}

// Relay publishes the example's events until stop is called or the story ends, as
// the daemon does. What faults wrap around the publisher is wrong with the network.
func (s *Servers) Relay(ctx context.Context, faults ...func(relay.Publisher) relay.Publisher) (stop func()) {
	return s.Go(ctx, "relay", func(ctx context.Context) error {
		kafka, err := relaykafka.New(relaykafka.Config{Brokers: s.Brokers, Source: "/tandem/" + s.name, ProduceTimeout: unhurried})
		if err != nil {
			return err
		}
		defer kafka.Close()
		publisher := relay.Publisher(kafka)
		for _, fault := range faults {
			publisher = fault(publisher)
		}
		return relay.Run(ctx, relay.Config{Database: s.database.ConnConfig, Publisher: publisher, Lease: unhurried})
	})
}

// LoseAnswers is a network that loses the broker's answer the first time that an
// event is sent. The relay cannot know that it arrived, and sends it again.
func LoseAnswers(p relay.Publisher) relay.Publisher {
	return &loser{Publisher: p, sent: map[[16]byte]bool{}}
}

type loser struct {
	relay.Publisher

	mu   sync.Mutex
	sent map[[16]byte]bool // by the events' ids
}

func (l *loser) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	if err := l.Publisher.Publish(ctx, topic, partition, events); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := false
	for _, event := range events {
		fresh = fresh || !l.sent[event.ID]
		l.sent[event.ID] = true
	}
	if fresh {
		return errors.New("connection reset before the answer came")
	}
	return nil
}

// CaughtUp waits until a consumer has done with that many records of its topic.
func CaughtUp(ctx context.Context, what string, consumer *inboxkafka.Consumer, records int) error {
	return Await(ctx, fmt.Sprintf("%s has read %d records", what, records), func() (bool, error) {
		read := 0
		for _, partition := range consumer.Stats().Partitions {
			read += int(max(0, partition.Next))
		}
		return read >= records, nil
	})
}
