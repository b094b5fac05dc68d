package relaykafka

import "math/bits"

// Kafka's records write numbers as zigzag varints: small magnitudes of either
// sign take few bytes.

func zigzag(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func appendVarint(dst []byte, n int64) []byte {
	u := zigzag(n)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varintLen returns how many bytes appendVarint appends for n.
func varintLen(n int64) int {
	return (bits.Len64(zigzag(n)|1) + 6) / 7
}

// appendField appends text behind its length.
func appendField(dst []byte, text string) []byte {
	dst = appendVarint(dst, int64(len(text)))
	return append(dst, text...)
}

// appendBytes appends b behind its length, -1 where b is nil.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint(dst, -1)
	}
	dst = appendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// bytesLen returns how many bytes appendBytes appends for b.
func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}
