package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/outbox"
)

const (
	writers   = 8
	customers = 100
	declined  = 10 // one in so many orders is rolled back
)

// shop takes orders.
type shop struct {
	world  *world
	pool   *pgxpool.Pool
	outbox *outbox.Writer

	committed atomic.Int64
	mu        sync.Mutex
	rolled    map[string]bool // ids of orders that were rolled back
}

func openShop(ctx context.Context, w *world, pool *pgxpool.Pool) (*shop, error) {
	writer, err := outbox.NewWriter(w.Tandem)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s (id integer PRIMARY KEY, orders integer NOT NULL DEFAULT 0);
		INSERT INTO %[1]s (id) SELECT generate_series(1, %[5]d);
		CREATE TABLE %[2]s (id uuid PRIMARY KEY, customer integer NOT NULL, number integer NOT NULL, cents integer NOT NULL);
		CREATE TABLE %[3]s (order_id uuid NOT NULL, cents integer NOT NULL);
		CREATE TABLE %[4]s (order_id uuid NOT NULL, cents integer NOT NULL)`,
		w.table("customers"), w.table("orders"), w.table(charges(withInbox)), w.table(charges(withoutInbox)), customers))
	if err != nil {
		return nil, fmt.Errorf("make the shop's tables: %w", err)
	}
	return &shop{world: w, pool: pool, outbox: writer, rolled: map[string]bool{}}, nil
}

// open takes orders until closing ends; ctx ends everything.
func (s *shop) open(ctx, closing context.Context, rate int) error {
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error {
			next := time.NewTicker(time.Second * writers / time.Duration(rate))
			defer next.Stop()
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-closing.Done():
					return nil
				case <-next.C:
				}
				if err := s.take(ctx); err != nil {
					return fmt.Errorf("take an order: %w", err)
				}
			}
		})
	}
	return g.Wait()
}

var errDeclined = errors.New("the card was declined")

// take is the business transaction: the order, what it changes, and its event
// become visible together or not at all.
func (s *shop) take(ctx context.Context) error {
	o := order{ID: outbox.NewID(), Customer: 1 + rand.IntN(customers), Cents: 100 + rand.IntN(10_000)}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `UPDATE `+s.world.table("customers")+` SET orders = orders + 1 WHERE id = $1 RETURNING orders`, o.Customer).Scan(&o.Number)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO `+s.world.table("orders")+` VALUES ($1, $2, $3, $4)`, o.ID, o.Customer, o.Number, o.Cents)
		if err != nil {
			return err
		}
		payload, err := json.Marshal(o)
		if err != nil {
			return err
		}
		err = s.outbox.Add(ctx, tx, outbox.Event{Topic: s.world.Topic, Key: strconv.Itoa(o.Customer), Type: "order.placed", Payload: payload})
		if err != nil {
			return err
		}
		if rand.IntN(declined) == 0 {
			return errDeclined
		}
		return nil
	})
	if errors.Is(err, errDeclined) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rolled[o.ID] = true
		return nil
	}
	if err == nil {
		s.committed.Add(1)
	}
	return err
}

func (s *shop) rolledBack() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rolled)
}
