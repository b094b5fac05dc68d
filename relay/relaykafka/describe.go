package relaykafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// Topic is what the brokers tell of one.
type Topic struct {
	Partitions int
	Leaderless []int // partitions that nobody leads at the moment
	// MayWrite is false where the brokers say that this client may not write to
	// the topic; those that do not tell (before Kafka 2.3) are believed to allow it.
	MayWrite bool
	// MaxMessageBytes is the topic's max.message.bytes, 0 where this client may not
	// ask for it.
	MaxMessageBytes int
}

// Of the operations in a topic's authorized_operations, a bit each.
const (
	operationWrite   = 1 << 4
	operationsNoneOf = -1 << 31 // not asked for, or not told
)

// Describe asks the brokers about a topic, for people. A topic that is missing or
// forbidden is a relay.PublishError with RefusedTopic, as from Partitions.
func (p *Publisher) Describe(ctx context.Context, topic string) (Topic, error) {
	var t Topic
	ctx, end, err := p.begin(ctx, metadataTimeout)
	if err != nil {
		return t, err
	}
	defer end()
	answer, err := p.transport.RoundTrip(ctx, p.addr, &metadataRequest{topics: []string{topic}, clientID: p.config.ClientID, rights: true})
	if err != nil {
		return t, p.judge(fmt.Errorf("relaykafka: asking for topic %q: %w", topic, err), topic)
	}
	response := answer.(metadataAnswer).Response
	l, err := layoutOf(topic, response)
	if err != nil {
		return t, p.judge(fmt.Errorf("relaykafka: topic %q: %w", topic, err), topic)
	}
	t.Partitions = len(l.leaders)
	for partition, leader := range l.leaders {
		if leader < 0 {
			t.Leaderless = append(t.Leaderless, partition)
		}
	}
	operations := response.Topics[0].TopicAuthorizedOperations
	t.MayWrite = operations == operationsNoneOf || operations == 0 || operations&operationWrite != 0
	t.MaxMessageBytes = p.maxMessageBytes(ctx, topic)
	return t, nil
}

// maxMessageBytes is 0 where it is not to be had: to ask is a right of its own.
func (p *Publisher) maxMessageBytes(ctx context.Context, topic string) int {
	const name = "max.message.bytes"
	client := &kafka.Client{Addr: p.addr, Transport: p.transport}
	response, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name},
	}}})
	if err != nil {
		return 0
	}
	for _, resource := range response.Resources {
		for _, entry := range resource.ConfigEntries {
			if bytes, err := strconv.Atoi(entry.ConfigValue); err == nil && entry.ConfigName == name {
				return bytes
			}
		}
	}
	return 0
}
