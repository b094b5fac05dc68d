package testservers_test

import (
	"context"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestDatabasesAreEmptyAndDropped(t *testing.T) {
	t.Parallel()
	observer := connect(t, testservers.Postgres(t))
	var used string
	t.Run("a test", func(t *testing.T) {
		conn := connect(t, testservers.Postgres(t))
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&used))
		_, err := conn.Exec(t.Context(), "CREATE TABLE mine ()")
		require.NoError(t, err, "another test's table is here")
	})
	var left bool
	require.NoError(t, observer.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", used).Scan(&left))
	require.False(t, left, used)
}

func TestTemplateIsPreparedOnce(t *testing.T) {
	t.Parallel()
	name := "template_of_a_test_" + testservers.Topic(t, 1) // unique, also on a server that stays
	var prepared atomic.Int32
	prepare := func(url string) error {
		prepared.Add(1)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(t.Context(), "CREATE TABLE filled AS SELECT 42 AS answer")
		return err // the connection stays open, as a careless prepare's does
	}
	first := testservers.PostgresFrom(t, name, prepare)
	urls := make([]string, 4)
	var all sync.WaitGroup
	for i := range urls {
		all.Go(func() { urls[i] = testservers.PostgresFrom(t, name, prepare) })
	}
	all.Wait()
	for _, url := range append(urls, first) {
		var answer int
		require.NoError(t, connect(t, url).QueryRow(t.Context(), "SELECT answer FROM filled").Scan(&answer))
		require.Equal(t, 42, answer)
	}
	require.EqualValues(t, 1, prepared.Load())
	admin := connect(t, testservers.Postgres(t))
	_, err := admin.Exec(t.Context(), "DROP DATABASE "+pgx.Identifier{name}.Sanitize())
	require.NoError(t, err)
}

func TestTopicsAreWritableAtOnce(t *testing.T) {
	t.Parallel()
	const partitions = 3
	topic := testservers.Topic(t, partitions)
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(testservers.Kafka(t)...), Timeout: 20 * time.Second, Transport: transport}
	for partition := range partitions {
		res, err := client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))}),
		})
		require.NoError(t, err)
		require.NoError(t, res.Error)
	}
}

// The versions of Maven's Kafka and of the image's must not drift apart.
func TestKafkaVersionsAgree(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "integration", "kafka", "pom.xml"))
	require.NoError(t, err)
	var pom struct {
		Version string `xml:"properties>kafka.version"`
	}
	require.NoError(t, xml.Unmarshal(content, &pom))
	_, tag, _ := strings.Cut(testservers.KafkaImage, ":")
	require.Equal(t, pom.Version, tag)
}
