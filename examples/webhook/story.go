package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
)

var secret = []byte("shared by provider and receiver")

// provider sends its messages until they are answered for good.
type provider struct {
	*servers.Servers

	url  string
	wire servers.Wire
}

func story(ctx context.Context, s *servers.Servers) error {
	p := &provider{Servers: s}
	if _, err := s.Pool.Exec(ctx, tables); err != nil {
		return err
	}
	if _, err := s.Pool.Exec(ctx, `INSERT INTO invoices SELECT 'i-' || n, 100 FROM generate_series(1, 6) n`); err != nil {
		return err
	}
	topic, err := s.Topic(ctx, "invoices", 3)
	if err != nil {
		return err
	}
	service, err := newWebhooks(s.Pool, secret, topic)
	if err != nil {
		return err
	}
	if p.url, err = s.Serve(ctx, p.wire.To(service)); err != nil {
		return err
	}
	fmt.Printf("%-40s %8s  %s\n", "what happens", "payments", "answers")
	for _, tell := range []func(context.Context) error{p.nothing, p.answerLost, p.databaseGone, p.underWay, p.tooEarly, p.wrongAmount, p.otherBody, p.forged} {
		if err := tell(ctx); err != nil {
			return err
		}
	}
	s.Relay(ctx)
	err = servers.Await(ctx, "the events are published", func() (bool, error) {
		n, err := s.Records(ctx, topic)
		return n >= 5, err
	})
	if err != nil {
		return err
	}
	events, err := s.Records(ctx, topic)
	if err != nil {
		return err
	}
	payments, err := s.Count(ctx, `SELECT count(*) FROM payments`)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d payments, %d events\n", payments, events)
	if payments != 5 || events != 5 {
		return errors.New("that should be 5 and 5")
	}
	return nil
}

func (p *provider) nothing(ctx context.Context) error {
	return p.told(ctx, "nothing", "i-1", 1, "201",
		p.send(ctx, "m-1", "i-1", 100))
}

func (p *provider) answerLost(ctx context.Context) error {
	p.wire.Next(servers.AnswerLost, servers.AnswerLost)
	return p.told(ctx, "the answer is lost, twice", "i-2", 1, "lost, lost, 201 replayed",
		p.send(ctx, "m-2", "i-2", 100), p.send(ctx, "m-2", "i-2", 100), p.send(ctx, "m-2", "i-2", 100))
}

// databaseGone ends the handler's session in the database while it works.
func (p *provider) databaseGone(ctx context.Context) error {
	var first string
	err := p.while(ctx, "m-3", "i-3", &first, func(session int) error {
		return servers.Await(ctx, "its session is gone", func() (bool, error) {
			n, err := p.Count(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = $1`, session)
			return n == 0, err
		})
	})
	if err != nil {
		return err
	}
	return p.told(ctx, "the database is gone in the middle", "i-3", 1, "500, 201", first, p.send(ctx, "m-3", "i-3", 100))
}

func (p *provider) underWay(ctx context.Context) error {
	var first, second string
	err := p.while(ctx, "m-4", "i-4", &first, func(int) error {
		second = p.send(ctx, "m-4", "i-4", 100)
		return nil
	})
	if err != nil {
		return err
	}
	return p.told(ctx, "it comes again while it is under way", "i-4", 1, "409, 201, 201 replayed", second, first, p.send(ctx, "m-4", "i-4", 100))
}

func (p *provider) tooEarly(ctx context.Context) error {
	first := p.send(ctx, "m-5", "i-7", 100)
	if _, err := p.Pool.Exec(ctx, `INSERT INTO invoices VALUES ('i-7', 100)`); err != nil {
		return err
	}
	return p.told(ctx, "it comes before its invoice is there", "i-7", 1, "503, 201", first, p.send(ctx, "m-5", "i-7", 100))
}

func (p *provider) wrongAmount(ctx context.Context) error {
	return p.told(ctx, "its amount is wrong", "i-6", 0, "422, 422 replayed",
		p.send(ctx, "m-6", "i-6", 99), p.send(ctx, "m-6", "i-6", 99))
}

func (p *provider) otherBody(ctx context.Context) error {
	return p.told(ctx, "the id of the first, with another invoice", "i-6", 0, "422",
		p.send(ctx, "m-1", "i-6", 100))
}

func (p *provider) forged(ctx context.Context) error {
	return p.told(ctx, "a signature that is not the provider's", "i-6", 0, "401",
		p.sendSigned(ctx, []byte("guessed"), "m-7", "i-6", 100))
}

// while sends a message, keeps its handler waiting for the invoice's row, and tells
// what to do meanwhile which session that is.
func (p *provider) while(ctx context.Context, id, invoice string, answer *string, do func(session int) error) error {
	done := make(chan string, 1)
	err := pgx.BeginFunc(ctx, p.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM invoices WHERE id = $1 FOR UPDATE`, invoice); err != nil {
			return err
		}
		go func() { done <- p.send(ctx, id, invoice, 100) }()
		session := 0
		err := servers.Await(ctx, "the handler is in the middle of its work", func() (bool, error) {
			err := p.Pool.QueryRow(ctx, `SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&session)
			return session != 0, err
		})
		if err != nil {
			return err
		}
		return do(session)
	})
	if err != nil {
		return err
	}
	*answer = <-done
	return nil
}

func (p *provider) send(ctx context.Context, id, invoice string, cents int64) string {
	return p.sendSigned(ctx, secret, id, invoice, cents)
}

// sendSigned is one attempt, and what came of it.
func (p *provider) sendSigned(ctx context.Context, secret []byte, id, invoice string, cents int64) string {
	body, err := json.Marshal(Paid{Invoice: invoice, Cents: cents})
	if err != nil {
		return err.Error()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Close = true // a connection of its own
	now := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", now)
	r.Header.Set("Webhook-Signature", sign(secret, id, now, body))
	answer, err := http.DefaultClient.Do(r)
	if errors.Is(err, io.EOF) {
		return "lost"
	} else if err != nil {
		return err.Error()
	}
	answer.Body.Close()
	if answer.Header.Get("Idempotent-Replayed") == "true" {
		return fmt.Sprint(answer.StatusCode, " replayed")
	}
	return fmt.Sprint(answer.StatusCode)
}

func (p *provider) told(ctx context.Context, what, invoice string, payments int, promised string, answers ...string) error {
	n, err := p.Count(ctx, `SELECT count(*) FROM payments WHERE invoice = $1`, invoice)
	if err != nil {
		return err
	}
	got := strings.Join(answers, ", ")
	fmt.Printf("%-41s %7d  %s\n", what, n, got)
	if n != payments || got != promised {
		return fmt.Errorf("%s: that should be %d payments, and %s", what, payments, promised)
	}
	return nil
}
