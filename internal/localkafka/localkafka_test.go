package localkafka_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect makes a client that remembers nothing of the server's earlier lives.
func connect(t *testing.T, s *localkafka.Server) *kafka.Client {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(s.Brokers()...), Timeout: 20 * time.Second, Transport: transport}
}

// produce writes one record and tells its offset. A topic that was just made,
// and a broker that just came back, may refuse for a moment.
func produce(t *testing.T, client *kafka.Client, topic, value string) (offset int64) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		res, err := client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
		})
		require.NoError(c, err)
		require.NoError(c, res.Error)
		offset = res.BaseOffset
	}, time.Minute, 50*time.Millisecond)
	return offset
}

func fetch(t *testing.T, client *kafka.Client, topic string, offset int64) string {
	t.Helper()
	res, err := client.Fetch(t.Context(), &kafka.FetchRequest{Topic: topic, Offset: offset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 5 * time.Second})
	require.NoError(t, err)
	require.NoError(t, res.Error)
	record, err := res.Records.ReadRecord()
	require.NoError(t, err)
	value, err := io.ReadAll(record.Value)
	require.NoError(t, err)
	return string(value)
}

func TestRecordsSurviveACrashAndNothingIsLeft(t *testing.T) {
	parent := t.TempDir()
	began := time.Now()
	s, err := localkafka.Start(t.Context(), localkafka.Options{Dir: parent, Properties: map[string]string{"message.max.bytes": "2000000"}})
	if errors.Is(err, localkafka.ErrUnavailable) {
		testservers.Missing(t, "Kafka", err)
	}
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	t.Logf("Kafka answered after %s", time.Since(began).Round(time.Millisecond))

	const topic = "kept"
	created, err := connect(t, s).CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	require.NoError(t, err)
	require.NoError(t, created.Errors[topic])
	first := produce(t, connect(t, s), topic, "before the crash")

	brokers := s.Brokers()
	s.Kill()
	began = time.Now()
	require.NoError(t, s.Restart(t.Context()))
	t.Logf("after SIGKILL it answered after %s", time.Since(began).Round(time.Millisecond))
	require.Equal(t, brokers, s.Brokers())
	second := produce(t, connect(t, s), topic, "after the crash")
	require.Equal(t, first+1, second)

	began = time.Now()
	require.NoError(t, s.Restart(t.Context()))
	t.Logf("a clean restart took %s", time.Since(began).Round(time.Millisecond))
	require.Equal(t, "before the crash", fetch(t, connect(t, s), topic, first))
	require.Equal(t, "after the crash", fetch(t, connect(t, s), topic, second))

	s.Stop()
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := localkafka.Start(t.Context(), localkafka.Options{Properties: map[string]string{"log.retention.ms": "soon"}})
	if errors.Is(err, localkafka.ErrUnavailable) {
		testservers.Missing(t, "Kafka", err)
	}
	require.ErrorContains(t, err, "log.retention.ms")
}

func TestMissingJavaSaysWhatToInstall(t *testing.T) {
	t.Setenv("JAVA_HOME", t.TempDir())
	_, err := localkafka.Start(t.Context(), localkafka.Options{})
	require.ErrorIs(t, err, localkafka.ErrUnavailable)
	require.ErrorContains(t, err, "install Java 17 or newer and Maven")
}
