package integration_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// createTopic makes a topic on a broker of the test's own; configs are pairs of
// names and values.
func createTopic(t testing.TB, brokers []string, partitions int32, configs ...string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	settings := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		settings[configs[i]] = &configs[i+1]
	}
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, settings, "events")
	require.NoError(t, err)
	return "events"
}

// Ten gigabytes in 20,000 events of 500 kB pass through the relay; its memory
// stays below the limit that holds for small events.
func TestLargeEventsPassThroughLittleMemory(t *testing.T) {
	const events, limit = 20_000, 150_000_000
	kafka := testservers.OwnKafka(t, map[string]string{"log.retention.check.interval.ms": "1000", "log.segment.delete.delay.ms": "100"})
	topic := createTopic(t, kafka.Brokers(), 3, "retention.bytes", "200000000", "segment.bytes", "100000000")
	s := openShop(t, testservers.Migrated(t), kafka.Brokers(), topic)
	// One value, compressed once, copied as it is.
	_, err := s.pool.Exec(t.Context(), `CREATE TABLE public.large AS SELECT decode(repeat('ab', 500000), 'hex') AS payload`)
	require.NoError(t, err)
	_, err = s.pool.Exec(t.Context(), `INSERT INTO tandem.log (topic, key, payload)
		SELECT $1, 'k' || n % 100, payload FROM public.large, generate_series(1, $2::integer) AS n`, topic, events)
	require.NoError(t, err)

	r := s.startRelay(t, program(t, "tandem"), "--until-empty", "--lease", "5s")
	require.NoError(t, r.Wait())
	text, err := os.ReadFile(r.log)
	require.NoError(t, err)
	require.Equal(t, events, s.inTopic(t), "%s", text)
	peak := r.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024
	require.Less(t, peak, int64(limit))
	t.Logf("peak memory %d MB, processor time %v", peak/1_000_000, r.ProcessState.UserTime()+r.ProcessState.SystemTime())
}
