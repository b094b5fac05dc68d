package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/internal/kafkalinks"
)

const (
	// requestTimeout bounds one request to a broker.
	requestTimeout = 30 * time.Second
	// dialTimeout bounds connecting, with TLS; linksTimeout the wait for connections
	// that were cut.
	dialTimeout  = 10 * time.Second
	linksTimeout = 10 * time.Second
	// topicTimeout bounds how long a new topic takes to be writable.
	topicTimeout = 60 * time.Second
	topicPoll    = 50 * time.Millisecond
)

func (s *Site) connectKafka() {
	s.links = kafkalinks.New(kafkalinks.Options{Timeout: dialTimeout, TLS: s.newTLS})
	s.client = &kafka.Client{
		Addr: kafka.TCP(s.servers.Kafka.Brokers...), Timeout: requestTimeout,
		Transport: &kafka.Transport{Dial: s.links.Dial, SASL: s.servers.Kafka.SASL, ClientID: "tandem-bench", MetadataTTL: time.Second},
	}
}

func (s *Site) checkKafka(ctx context.Context) error {
	if !s.hasKafka() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := s.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{Addr: s.client.Addr}); err != nil {
		return fmt.Errorf("cannot talk to Kafka at %s: %w; check --kafka-brokers, TLS and SASL, and that the brokers run", strings.Join(s.servers.Kafka.Brokers, ","), err)
	}
	return nil
}

// topic makes a topic and returns when it can be written to and read.
func (s *Site) topic(ctx context.Context, what string, partitions int) (string, error) {
	s.serial++ // a name that was deleted may not be free yet
	name := fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(s.name, "_", "-"), what, s.serial)
	ctx, cancel := context.WithTimeoutCause(ctx, topicTimeout, fmt.Errorf("not all of its partitions had a leader after %v", topicTimeout))
	defer cancel()
	s.topics = append(s.topics, name)
	err := repeat(ctx, func() error {
		res, err := s.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: -1}},
		})
		if err == nil && !errors.Is(res.Errors[name], kafka.TopicAlreadyExists) {
			err = res.Errors[name]
		}
		return err
	})
	if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed) {
		return "", fmt.Errorf("a topic for the benchmark cannot be made: %w; allow it: kafka-acls --add --operation All --resource-pattern-type prefixed --topic tandem-bench-", err)
	}
	if err == nil {
		err = repeat(ctx, func() error { _, err := s.ends(ctx, name, partitions); return err })
	}
	if err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return name, nil
}

// repeat tries again what the brokers may do a moment later.
func repeat(ctx context.Context, try func() error) error {
	tick := time.NewTicker(topicPoll)
	defer tick.Stop()
	for {
		err := try()
		var told kafka.Error
		if err == nil || errors.As(err, &told) && !told.Temporary() && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// ends returns the offsets after the partitions' last records.
func (s *Site) ends(ctx context.Context, topic string, partitions int) ([]int64, error) {
	asked := make([]kafka.OffsetRequest, partitions)
	for i := range asked {
		asked[i] = kafka.LastOffsetOf(i)
	}
	res, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return nil, err
	}
	if len(res.Topics[topic]) != partitions {
		return nil, kafka.LeaderNotAvailable
	}
	ends := make([]int64, partitions)
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends, nil
}

// removeTopics also removes groups, where it can: one that stays is removed by
// the brokers in time.
func (s *Site) removeTopics(ctx context.Context) error {
	if len(s.topics) == 0 {
		return nil
	}
	if len(s.groups) > 0 {
		_, _ = s.client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: s.groups})
	}
	err := repeat(ctx, func() error {
		res, err := s.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: s.topics})
		if err != nil {
			return err
		}
		for _, err := range res.Errors {
			if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("topics stay, delete them yourself (%s): %w", strings.Join(s.topics, ", "), err)
	}
	s.topics, s.groups = nil, nil
	return nil
}
