package integration_test

import (
	"context"
	"log/slog"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

const (
	drainEvents     = 1_000_000
	drainRounds     = 5
	drainPartitions = 6
	drainPayload    = 200
	drainKeys       = 10_000
)

// BenchmarkDrain empties a backlog of a million events of 200 bytes into real
// Kafka, acks=all, fsync on, and measures beside it in the same run, in turn:
// what the Kafka client reaches from memory with the same headers, and the loop
// that everybody writes (SKIP LOCKED, DELETE, batches of 1,000), with that client
// and, lent to it, with Tandem's own publisher. The figures are medians; the relay
// is a process of its own, whose peak memory the operating system tells.
func BenchmarkDrain(b *testing.B) {
	d := newDrain(b)
	d.exec(`CREATE TABLE polling (id bigserial PRIMARY KEY, event_id uuid NOT NULL, topic text NOT NULL, key text, type text,
		payload bytea, created_at timestamptz NOT NULL DEFAULT clock_timestamp())`)

	var raw, polling, lent, tandem []float64
	var peak int64
	for range drainRounds {
		raw = append(raw, d.raw())
		polling = append(polling, d.polling(d.produce()))
		publisher := d.publisher()
		lent = append(lent, d.polling(publisher.Publish))
		require.NoError(b, publisher.Close())
		rate, memory := d.relay()
		tandem = append(tandem, rate)
		peak = max(peak, memory)
		r, p, l := raw[len(raw)-1], polling[len(polling)-1], lent[len(lent)-1]
		b.Logf("events/s: raw %.0f, SKIP LOCKED %.0f, with our publisher %.0f, Tandem %.0f (%.2f of raw, %.1f× and %.1f× SKIP LOCKED), peak %.0f MB",
			r, p, l, rate, rate/r, rate/p, rate/l, float64(memory)/1e6)
	}
	b.ReportMetric(median(raw), "raw-events/s")
	b.ReportMetric(median(polling), "skiplocked-events/s")
	b.ReportMetric(median(lent), "skiplocked-lent-events/s")
	b.ReportMetric(median(tandem), "tandem-events/s")
	b.ReportMetric(median(tandem)/median(raw), "of-raw")
	b.ReportMetric(median(tandem)/median(polling), "x-skiplocked")
	b.ReportMetric(median(tandem)/median(lent), "x-skiplocked-lent")
	b.ReportMetric(float64(peak)/1e6, "peak-MB")
}

func newDrain(b *testing.B) *drainBench {
	b.Helper()
	d := &drainBench{B: b, brokers: testservers.Kafka(b), url: testservers.Migrated(b)}
	d.tandem = program(b, "tandem")
	var err error
	d.pool, err = pgxpool.New(b.Context(), d.url)
	require.NoError(b, err)
	b.Cleanup(d.pool.Close)
	return d
}

type drainBench struct {
	*testing.B
	brokers []string
	url     string
	tandem  string
	pool    *pgxpool.Pool
}

func (d *drainBench) exec(statement string, args ...any) {
	d.Helper()
	_, err := d.pool.Exec(d.Context(), statement, args...)
	require.NoError(d, err)
}

// raw sends as many records from memory with kafka-go's Client.Produce: one
// goroutine a partition, 1,000 records a request, headers made beforehand.
func (d *drainBench) raw() float64 {
	topic := testservers.Topic(d, drainPartitions)
	client := &kafka.Client{Addr: kafka.TCP(d.brokers...), Timeout: 20 * time.Second,
		Transport: &kafka.Transport{MetadataTTL: time.Minute}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	payload := make([]byte, drainPayload)
	headers := []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("01a200ee-719d-7284-b6d5-bcc759e2786a")},
		{Key: "ce_source", Value: []byte("/tandem/bench")}, {Key: "ce_type", Value: []byte("order.placed")},
		{Key: "ce_time", Value: []byte("2026-01-01T00:00:00.000000Z")},
	}
	started := time.Now()
	var senders sync.WaitGroup
	for partition := range drainPartitions {
		senders.Go(func() {
			for sent := 0; sent < drainEvents/drainPartitions; sent += 1000 {
				records := make([]kafka.Record, 1000)
				for i := range records {
					records[i] = kafka.Record{Key: kafka.NewBytes([]byte("customer-1234")), Value: kafka.NewBytes(payload), Headers: headers, Time: started}
				}
				res, err := client.Produce(d.Context(), &kafka.ProduceRequest{
					Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
				if err != nil || res.Error != nil {
					d.Errorf("raw produce: %v %v", err, res)
					return
				}
			}
		})
	}
	senders.Wait()
	return drainEvents / time.Since(started).Seconds()
}

type publish func(ctx context.Context, topic string, partition int, events []*relay.Event) error

// produce sends a partition's events with kafka-go's Client.Produce and the
// headers that the relay sends.
func (d *drainBench) produce() publish {
	transport := &kafka.Transport{MetadataTTL: time.Minute}
	d.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(d.brokers...), Timeout: 20 * time.Second, Transport: transport}
	return func(ctx context.Context, topic string, partition int, events []*relay.Event) error {
		records := make([]kafka.Record, len(events))
		for i, e := range events {
			records[i] = kafka.Record{Key: kafka.NewBytes(e.Key), Value: kafka.NewBytes(e.Payload), Time: e.CreatedAt, Headers: []kafka.Header{
				{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte(uuid.UUID(e.ID).String())},
				{Key: "ce_source", Value: []byte("/tandem/bench")}, {Key: "ce_type", Value: []byte(e.Type)},
				{Key: "ce_time", Value: []byte(e.CreatedAt.UTC().Format(time.RFC3339Nano))},
			}}
		}
		res, err := client.Produce(ctx, &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
		if err != nil {
			return err
		}
		return res.Error
	}
}

// polling is the usual loop, in order: one worker, a request a partition at a
// time, deleted in the transaction that locked them.
func (d *drainBench) polling(publish publish) float64 {
	topic := testservers.Topic(d, drainPartitions)
	d.exec(`INSERT INTO polling (event_id, topic, key, type, payload)
		SELECT tandem.uuidv7(), $1, 'customer-' || n % $3, 'order.placed', decode(repeat('ab', $4), 'hex') FROM generate_series(1, $2::int) AS n`,
		topic, drainEvents, drainKeys, drainPayload)
	d.exec(`VACUUM ANALYZE polling`)
	conn, err := pgx.Connect(d.Context(), d.url)
	require.NoError(d, err)
	defer conn.Close(context.Background())
	started := time.Now()
	for total := 0; total < drainEvents; {
		tx, err := conn.Begin(d.Context())
		require.NoError(d, err)
		rows, err := tx.Query(d.Context(), `WITH next AS (SELECT id FROM polling ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
			DELETE FROM polling p USING next WHERE p.id = next.id RETURNING p.id, p.event_id, p.key, p.type, p.payload, p.created_at`)
		require.NoError(d, err)
		var events []*relay.Event
		for rows.Next() {
			e := &relay.Event{Topic: topic, Partition: -1}
			require.NoError(d, rows.Scan(&e.Position, &e.ID, &e.Key, &e.Type, &e.Payload, &e.CreatedAt))
			events = append(events, e)
		}
		require.NoError(d, rows.Err())
		slices.SortFunc(events, func(a, b *relay.Event) int { return int(a.Position - b.Position) })
		lanes := make([][]*relay.Event, drainPartitions)
		for _, e := range events {
			n := int(e.Key[len(e.Key)-1]) % drainPartitions // the cheapest hash there is
			lanes[n] = append(lanes[n], e)
		}
		var senders sync.WaitGroup
		for n, lane := range lanes {
			senders.Go(func() {
				if err := publish(d.Context(), topic, n, lane); err != nil {
					d.Errorf("publish: %v", err)
				}
			})
		}
		senders.Wait()
		require.NoError(d, tx.Commit(d.Context()))
		total += len(events)
	}
	elapsed := time.Since(started)
	d.exec(`TRUNCATE polling`) // its dead rows are not to cost the next one a vacuum
	return drainEvents / elapsed.Seconds()
}

func (d *drainBench) publisher() *relaykafka.Publisher {
	p, err := relaykafka.New(relaykafka.Config{Brokers: d.brokers, Source: "/tandem/bench", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(d, err)
	return p
}

// relay runs "tandem relay --until-empty" on a backlog, from start to exit.
func (d *drainBench) relay() (rate float64, peak int64) { return d.relayAfter(func() {}) }

// relayAfter calls look between the writing and the relay.
func (d *drainBench) relayAfter(look func()) (rate float64, peak int64) {
	topic := testservers.Topic(d, drainPartitions)
	d.exec(`INSERT INTO tandem.log (topic, key, type, payload)
		SELECT $1, 'customer-' || n % $3, 'order.placed', decode(repeat('ab', $4), 'hex') FROM generate_series(1, $2::int) AS n`,
		topic, drainEvents, drainKeys, drainPayload)
	d.exec(`CHECKPOINT`)
	look()
	command := exec.CommandContext(d.Context(), d.tandem, "relay", "--until-empty", "--database-url", d.url, "--kafka-brokers", d.brokers[0])
	started := time.Now()
	out, err := command.CombinedOutput()
	elapsed := time.Since(started)
	require.NoErrorf(d, err, "%s", out)
	require.Equal(d, drainEvents, countRecords(d, d.brokers, topic))
	return drainEvents / elapsed.Seconds(), command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
