package relay

// partitionOf returns the partition that Kafka's Java client gives a key with that
// murmur2, so that other producers of a topic agree with us about where a key lives.
// Source: org.apache.kafka.clients.producer.internals.BuiltInPartitioner.
func partitionOf(hash uint32, partitions int) int {
	return int(hash&0x7fffffff) % partitions
}

// murmur2 is the variant in org.apache.kafka.common.utils.Utils: 32 bits, the
// seed below, little-endian words.
func murmur2(data []byte) uint32 {
	const (
		m = 0x5bd1e995
		r = 24
	)
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
