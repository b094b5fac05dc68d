package inboxkafka

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

// endsEvery is how often the ends of the partitions are asked for.
const endsEvery = 5 * time.Second

// watchEnds keeps PartitionStats.End true also where nothing is fetched, because
// the partition is blocked or its batch takes long: just then its lag grows.
func (m *member) watchEnds(ctx context.Context) {
	for wait(ctx, endsEvery) {
		m.stats.ends(m.fetch.ends(ctx, m.Stats().Partitions))
	}
}

// ends returns what could be learned; where nothing was, the fetches say why.
func (f *fetcher) ends(ctx context.Context, partitions []PartitionStats) map[string][]kafka.PartitionOffsets {
	if len(partitions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchGrace)
	defer cancel()
	asked := map[string][]kafka.OffsetRequest{}
	for _, p := range partitions {
		asked[p.Topic] = append(asked[p.Topic], kafka.LastOffsetOf(p.Partition))
	}
	client := kafka.Client{Addr: f.brokers, Transport: f.transport}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked, IsolationLevel: kafka.ReadCommitted})
	if err != nil {
		return nil
	}
	return answer.Topics
}

func (s *stats) ends(of map[string][]kafka.PartitionOffsets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.partitions {
		for _, end := range of[p.Topic] {
			if end.Partition == p.Partition && end.Error == nil && end.LastOffset >= 0 {
				p.End = end.LastOffset
				p.lag()
			}
		}
	}
}
