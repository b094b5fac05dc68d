package relaykafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// tooLarge tells, with both figures, that the brokers would refuse every full
// batch. A topic may have another limit; where batches meet that, they are split.
func (p *Publisher) tooLarge(ctx context.Context, brokers []metadata.ResponseBroker) error {
	if p.config.BatchBytes == 0 || len(brokers) == 0 {
		return nil
	}
	limit, ok := p.maxBatch(ctx, brokers[0].NodeID)
	if !ok || p.config.BatchBytes <= limit {
		return nil
	}
	return fmt.Errorf("batches of %d bytes are larger than the brokers take, message.max.bytes is %d", p.config.BatchBytes, limit)
}

// maxBatch is a broker's message.max.bytes; not ok where the client may not ask
// for it, or it is not told.
func (p *Publisher) maxBatch(ctx context.Context, broker int32) (limit int, ok bool) {
	const name = "message.max.bytes"
	client := kafka.Client{Addr: p.addr, Timeout: metadataTimeout, Transport: p.transport}
	answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeBroker, ResourceName: strconv.Itoa(int(broker)), ConfigNames: []string{name}},
	}})
	if err != nil {
		return 0, false
	}
	for _, resource := range answer.Resources {
		for _, entry := range resource.ConfigEntries {
			if limit, err = strconv.Atoi(entry.ConfigValue); err == nil && entry.ConfigName == name {
				return limit, true
			}
		}
	}
	return 0, false
}
