package rivals

import (
	"context"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// columns are those of an outbox as everybody has it.
const columns = `id bigserial PRIMARY KEY, event_id uuid NOT NULL, key text NOT NULL, type text NOT NULL, payload bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp()`

// writeTable adds events to such a table.
func writeTable(ctx context.Context, tx pgx.Tx, _ Site, events []Event) error {
	ids, keys, payloads := make([]string, len(events)), make([]string, len(events)), make([][]byte, len(events))
	for i, e := range events {
		ids[i], keys[i], payloads[i] = e.ID, e.Key, e.Payload
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox (event_id, key, type, payload)
		SELECT e.id, e.key, $4, e.payload FROM unnest($1::uuid[], $2::text[], $3::bytea[]) WITH ORDINALITY AS e (id, key, payload, n) ORDER BY n`,
		ids, keys, payloads, eventType)
	return err
}

// row is an event as such a table has it.
type row struct {
	stored
	number int64
}

func scanRow(rows pgx.CollectableRow) (row, error) {
	var r row
	err := rows.Scan(&r.number, &r.id, &r.key, &r.payload, &r.at)
	return r, err
}

// publishRows sends a batch in order: one request a partition, all at once.
func publishRows(ctx context.Context, producer *producer, batch []row) error {
	var lanes [Partitions][]stored
	for _, r := range batch {
		p := partitionOf(string(r.key))
		lanes[p] = append(lanes[p], r.stored)
	}
	senders, ctx := errgroup.WithContext(ctx)
	for partition, lane := range lanes {
		if len(lane) > 0 {
			senders.Go(func() error { return producer.produce(ctx, partition, lane) })
		}
	}
	return senders.Wait()
}
