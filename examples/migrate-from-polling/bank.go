package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

//go:embed sql/bank.sql
var bankSQL string

const (
	writers    = 3
	accounts   = 12
	partitions = 3
	eventType  = "account.booked"
)

// bank transfers money between accounts, and tells of each booking in an event.
type bank struct {
	servers *servers.Servers
	topic   string

	stop      []func()             // ends each writer after its transaction
	deployed  [writers]atomic.Bool // those that call outbox.Add
	committed atomic.Int64         // transfers
}

// booking is a row, and an event's payload.
type booking struct {
	ID      string `json:"-"`
	Account string `json:"account"`
	Number  int    `json:"number"` // counted under the lock of the account's row: the order of its events
	Cents   int    `json:"cents"`
}

func openBank(ctx context.Context, s *servers.Servers) (*bank, error) {
	b := &bank{servers: s}
	if _, err := s.Pool.Exec(ctx, bankSQL); err != nil {
		return nil, err
	}
	var err error
	b.topic, err = s.Topic(ctx, "bookings", partitions)
	return b, err
}

func (b *bank) open(ctx context.Context) {
	b.servers.Go(ctx, "ledger", b.keepLedger)
	for n := range writers {
		b.stop = append(b.stop, b.servers.Go(ctx, "writer", func(ctx context.Context) error { return b.write(ctx, n) }))
	}
}

var errDeclined = errors.New("declined, after everything was written")

// write makes transfers until ctx ends. One in ten is rolled back at the end.
func (b *bank) write(ctx context.Context, n int) error {
	for ctx.Err() == nil {
		// A transfer that has begun is ended.
		err := pgx.BeginFunc(context.WithoutCancel(ctx), b.servers.Pool, func(tx pgx.Tx) error {
			from, to := rand.IntN(accounts), rand.IntN(accounts-1)
			if to >= from {
				to++
			}
			add := addToOutbox
			if b.deployed[n].Load() {
				add = addToTandem
			}
			if err := b.transfer(context.WithoutCancel(ctx), tx, from, to, 1+rand.IntN(1000), add); err != nil {
				return err
			}
			if rand.IntN(10) == 0 {
				return errDeclined
			}
			return nil
		})
		switch {
		case err == nil:
			b.committed.Add(1)
		case !errors.Is(err, errDeclined):
			return err
		}
	}
	return nil
}

type add func(ctx context.Context, tx pgx.Tx, topic string, k booking) error

// transfer updates both accounts, always in the same order so that no two transfers
// wait for each other. The row's lock is what makes writers of an account take turns
// before they add.
func (b *bank) transfer(ctx context.Context, tx pgx.Tx, from, to, cents int, add add) error {
	both := []booking{{Account: name(from), Cents: -cents}, {Account: name(to), Cents: cents}}
	slices.SortFunc(both, func(a, b booking) int { return slices.Compare([]byte(a.Account), []byte(b.Account)) })
	for _, k := range both {
		err := tx.QueryRow(ctx, `UPDATE accounts SET cents = cents + $2, bookings = bookings + 1 WHERE id = $1 RETURNING bookings`,
			k.Account, k.Cents).Scan(&k.Number)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `INSERT INTO bookings (account, number, cents) VALUES ($1, $2, $3) RETURNING id::text`,
			k.Account, k.Number, k.Cents).Scan(&k.ID)
		if err != nil {
			return err
		}
		if err := add(ctx, tx, b.topic, k); err != nil {
			return err
		}
	}
	return nil
}

func name(account int) string { return fmt.Sprintf("account-%d", account+1) }

// addToOutbox is how a service writes that was not deployed anew yet, before the
// switch and after it.
func addToOutbox(ctx context.Context, tx pgx.Tx, topic string, k booking) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox (id, topic, key, type, payload) VALUES ($1, $2, $3, $4, $5)`,
		k.ID, topic, k.Account, eventType, k)
	return err
}

// addToTandem is how it writes then.
func addToTandem(ctx context.Context, tx pgx.Tx, topic string, k booking) error {
	payload, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return outbox.Add(ctx, tx, outbox.Event{ID: k.ID, Topic: topic, Key: k.Account, Type: eventType, Payload: payload})
}

// keepLedger is another service. It applies each event once, whoever has published it.
func (b *bank) keepLedger(ctx context.Context) error {
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers: b.servers.Brokers, Consumer: b.topic, Topics: []string{b.topic},
	}, b.servers.Pool, inbox.Typed(inbox.JSON[booking](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, k booking) error {
		_, err := tx.Exec(ctx, `INSERT INTO ledger (id, account, number, cents) VALUES ($1, $2, $3, $4)`, m.ID, k.Account, k.Number, k.Cents)
		return err
	}))
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

// goesOn waits until the writers have done some more, and the ledger has what was
// written before: so every step meets a bank at work, and events on their way.
func (b *bank) goesOn(ctx context.Context) error {
	until, booked := b.committed.Load()+50, 0
	err := servers.Await(ctx, "the bank has gone on", func() (_ bool, err error) {
		if booked == 0 {
			if booked, err = b.servers.Count(ctx, `SELECT count(*) FROM bookings`); err != nil {
				return false, err
			}
		}
		return b.committed.Load() >= until, nil
	})
	if err != nil {
		return err
	}
	return b.applied(ctx, booked)
}

func (b *bank) applied(ctx context.Context, bookings int) error {
	return servers.Await(ctx, fmt.Sprintf("the ledger has %d bookings", bookings), func() (bool, error) {
		n, err := b.servers.Count(ctx, `SELECT count(*) FROM ledger`)
		return n >= bookings, err
	})
}

// shut ends the writers and waits for the ledger.
func (b *bank) shut(ctx context.Context) error {
	for _, stop := range b.stop {
		stop()
	}
	n, err := b.servers.Count(ctx, `SELECT count(*) FROM bookings`)
	if err != nil {
		return err
	}
	return b.applied(ctx, n)
}
