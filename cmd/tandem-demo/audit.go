package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
)

// findings is what came out, counted in the database and in the topic.
type findings struct {
	orders     int // in the database
	rolledBack int

	records     int // in the topic
	duplicates  int // of a ce_id that was there before
	ghosts      int // of orders that are not in the database
	missing     int // orders without a record
	outOfOrder  int // within a customer, by first appearances
	mismatching int // one order under two ids, or one id with two orders

	with, without chargeCounts
}

// chargeCounts is what one consumer has charged.
type chargeCounts struct {
	charges int
	double  int // charges beyond the first for an order
	missing int // orders without a charge
	ghosts  int // charges for what is no order
}

func audit(ctx context.Context, s *shop) (findings, error) {
	f := findings{rolledBack: s.rolledBack()}
	orders, err := committed(ctx, s)
	if err != nil {
		return f, err
	}
	f.orders = len(orders)
	if err := readTopic(ctx, s, orders, &f); err != nil {
		return f, fmt.Errorf("read the topic: %w", err)
	}
	if f.with, err = countCharges(ctx, s, withInbox); err != nil {
		return f, err
	}
	f.without, err = countCharges(ctx, s, withoutInbox)
	return f, err
}

// committed returns the ids of the orders in the database.
func committed(ctx context.Context, s *shop) (map[string]bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT id::text FROM `+s.world.table("orders"))
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	all := make(map[string]bool, len(ids))
	for _, id := range ids {
		all[id] = true
	}
	return all, nil
}

func countCharges(ctx context.Context, s *shop, who string) (c chargeCounts, err error) {
	err = s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), count(*) - count(DISTINCT order_id),
		(SELECT count(*) FROM %[2]s AS o WHERE NOT EXISTS (SELECT FROM %[1]s AS c WHERE c.order_id = o.id)),
		count(*) FILTER (WHERE NOT EXISTS (SELECT FROM %[2]s AS o WHERE o.id = order_id)) FROM %[1]s`,
		s.world.table(charges(who)), s.world.table("orders"))).Scan(&c.charges, &c.double, &c.missing, &c.ghosts)
	if err != nil {
		return c, fmt.Errorf("count the charges: %w", err)
	}
	return c, nil
}

// reading judges the topic's records in the order in which they stand there.
type reading struct {
	*findings
	orders  map[string]bool
	idOf    map[string]string // ce_id by order
	orderOf map[string]string // order by ce_id
	highest map[int]int       // number by customer
}

func readTopic(ctx context.Context, s *shop, orders map[string]bool, f *findings) error {
	r := &reading{findings: f, orders: orders, idOf: map[string]string{}, orderOf: map[string]string{}, highest: map[int]int{}}
	for partition := range partitions {
		if err := r.partition(ctx, s.world, partition); err != nil {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
	}
	for id := range orders {
		if _, found := r.idOf[id]; !found {
			f.missing++
		}
	}
	return nil
}

func (r *reading) partition(ctx context.Context, w *world, partition int) error {
	conn, err := dialLeader(ctx, w, partition)
	if err != nil {
		return err
	}
	defer conn.Close()
	first, last, err := conn.ReadOffsets()
	if err != nil {
		return err
	}
	for at := first; at < last; {
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		batch := conn.ReadBatch(1, 4<<20)
		for at < last {
			m, err := batch.ReadMessage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(err, batch.Close())
			}
			at = m.Offset + 1
			if err := r.record(&m); err != nil {
				return errors.Join(err, batch.Close())
			}
		}
		if err := batch.Close(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func dialLeader(ctx context.Context, w *world, partition int) (conn *kafka.Conn, err error) {
	for _, broker := range w.Brokers {
		if conn, err = kafka.DialLeader(ctx, "tcp", broker, w.Topic, partition); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (r *reading) record(m *kafka.Message) error {
	var o order
	if err := json.Unmarshal(m.Value, &o); err != nil {
		return fmt.Errorf("offset %d: %w", m.Offset, err)
	}
	r.records++
	if !r.orders[o.ID] {
		r.ghosts++
		return nil
	}
	id := header(m, "ce_id")
	known, seen := r.orderOf[id]
	earlier, published := r.idOf[o.ID]
	if (seen && known != o.ID) || (published && earlier != id) {
		r.mismatching++
	}
	r.orderOf[id], r.idOf[o.ID] = o.ID, id
	if seen {
		r.duplicates++
		return nil
	}
	if o.Number <= r.highest[o.Customer] {
		r.outOfOrder++
	}
	r.highest[o.Customer] = max(r.highest[o.Customer], o.Number)
	return nil
}

func header(m *kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
