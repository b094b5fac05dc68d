package relaykafka

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBrokers: an address that is taken can be dialled, one that is not is named.
func FuzzBrokers(f *testing.F) {
	for _, broker := range []string{"localhost:9092", "localhost", " kafka ", "", ":", ":1", "a:", "a:0", "a:65536", "a:b", "[::1]:9092", "[::1]", "::1", "kafka://a:1", "a,b", "a:1:2", "\x00", "a:+1"} {
		f.Add(broker)
	}
	f.Fuzz(func(t *testing.T, broker string) {
		config := Config{Brokers: []string{"good:9092", broker}, Source: "/s"}.withDefaults()
		err := config.check()
		if err != nil {
			require.ErrorContains(t, err, "Config.Brokers[1] is "+strconv.Quote(strings.TrimSpace(broker)))
			return
		}
		address := config.Brokers[1]
		if !strings.Contains(address, ":") {
			require.NotEmpty(t, address)
			return // the port is 9092
		}
		host, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		require.NotEmpty(t, host)
		n, err := strconv.Atoi(port) // as net does
		require.True(t, err == nil && n > 0 && n < 1<<16, "%q", address)
	})
}
