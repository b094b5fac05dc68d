package relay

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The vectors are those of Kafka's own UtilsTest.
func TestMurmur2AgreesWithKafka(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		require.Equal(t, want, int32(murmur2([]byte(key))), key)
	}
}

func TestPartitionOfANegativeHash(t *testing.T) {
	t.Parallel()
	// toPositive clears the sign and does not negate: -973932308 & 0x7fffffff.
	require.Equal(t, 1173551340%7, partitionOf(murmur2([]byte("21")), 7))
	require.Zero(t, partitionOf(murmur2(nil), 1))
}
