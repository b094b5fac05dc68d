package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox"
)

type fault int

const (
	nothing fault = iota
	dead
	unanswered
	twice
	faults
)

// way is a way to mail: how somebody asks for it, and when everything is done that
// records so far in its topic ask for.
type way struct {
	name     string
	promised [faults]string
	ask      func(ctx context.Context, requestID, person string) error
	settled  func(ctx context.Context, records int) error
	records  [faults]int // that come of the request, or the two
}

type world struct {
	*servers.Servers

	wire   servers.Wire // to the mail server
	mails  *mailServer
	weaker weaker
}

func story(ctx context.Context, s *servers.Servers) error {
	w := &world{Servers: s, mails: &mailServer{keys: map[string]bool{}, boxes: map[string][]string{}}}
	if _, err := s.Pool.Exec(ctx, tables); err != nil {
		return err
	}
	url, err := s.Serve(ctx, w.wire.To(w.mails))
	if err != nil {
		return err
	}
	w.weaker.pool, w.weaker.server = s.Pool, &mailClient{url: url, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	ways, err := w.ways(ctx)
	if err != nil {
		return err
	}
	got := make([][faults]string, len(ways))
	records := make([]int, len(ways))
	stop := s.Relay(ctx)
	for f := nothing; f < faults; f++ {
		if f == twice {
			stop()
			s.Relay(ctx, servers.LoseAnswers)
		}
		for i, way := range ways {
			records[i] += way.records[f]
			if got[i][f], err = w.suffer(ctx, way, f, records[i]); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
		}
	}
	return report(ways, got)
}

func (w *world) ways(ctx context.Context) ([]way, error) {
	immediately := func(context.Context, int) error { return nil }
	ways := []way{
		{name: "send, then commit", promised: [faults]string{"1", "1 dead link", "1 dead link", "2"}, ask: w.weaker.sendThenCommit, settled: immediately},
		{name: "commit, then send", promised: [faults]string{"1", "none", "1", "2"}, ask: w.weaker.commitThenSend, settled: immediately},
	}
	plain, err := w.plain(ctx)
	if err != nil {
		return nil, err
	}
	remembering, err := w.mailer(ctx, "remembering", mailWithoutKey(w.weaker.server))
	if err != nil {
		return nil, err
	}
	right, err := w.mailer(ctx, "right", mailOnce(w.weaker.server))
	if err != nil {
		return nil, err
	}
	plain.name, plain.promised = "outbox, plain consumer", [faults]string{"1", "2", "2", "4"}
	remembering.name, remembering.promised = "outbox, consumer with an inbox", [faults]string{"1", "2", "2", "1"}
	right.name, right.promised = "the same, and a key for the mail server", [faults]string{"1", "1", "1", "1"}
	return append(ways, plain, remembering, right), nil
}

// plain has a consumer that is started again when it has died.
func (w *world) plain(ctx context.Context) (way, error) {
	topic, err := w.Topic(ctx, "plain", 1)
	if err != nil {
		return way{}, err
	}
	var mailed atomic.Int64
	w.Go(ctx, "plain consumer", func(ctx context.Context) error {
		err := errDead
		for errors.Is(err, errDead) {
			err = w.weaker.plainMailer(ctx, w.Brokers, topic, &mailed)
		}
		return err
	})
	return way{
		ask: w.weaker.addTo(topic),
		settled: func(ctx context.Context, records int) error {
			return servers.Await(ctx, "the plain consumer is done", func() (bool, error) { return mailed.Load() >= int64(records), nil })
		},
		records: [faults]int{1, 1, 1, 4},
	}, nil
}

// mailer has a consumer with an inbox.
func (w *world) mailer(ctx context.Context, name string, handler inbox.Handler) (way, error) {
	topic, err := w.Topic(ctx, name, 1)
	if err != nil {
		return way{}, err
	}
	consumer, err := newMailer(w.Pool, w.Brokers, topic, w.dying(handler))
	if err != nil {
		return way{}, err
	}
	w.Go(ctx, name, consumer.Run)
	return way{
		ask: func(ctx context.Context, requestID, person string) error {
			return requestReset(ctx, w.Pool, topic, requestID, person)
		},
		settled: func(ctx context.Context, records int) error {
			if err := servers.CaughtUp(ctx, name, consumer, records); err != nil {
				return err
			}
			return servers.Await(ctx, "nothing waits to be tried again", func() (bool, error) {
				n, err := w.Count(ctx, `SELECT count(*) FROM tandem.inbox_aside`)
				return n == 0, err
			})
		},
		records: [faults]int{1, 1, 1, 2},
	}, nil
}

// dying ends the session of the handler's transaction when the handler is done, and
// nothing is committed.
func (w *world) dying(handler inbox.Handler) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := handler(ctx, tx, m); err != nil || w.weaker.death.halfway() == nil {
			return err
		}
		var session int
		if err := tx.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&session); err != nil {
			return err
		}
		_, err := w.Pool.Exec(ctx, `SELECT pg_terminate_backend($1)`, session)
		return err
	}
}

// suffer has a person ask for a mail under a fault, and says what that person got.
func (w *world) suffer(ctx context.Context, way way, f fault, records int) (string, error) {
	person := fmt.Sprintf("%s, fault %d", way.name, f)
	switch f {
	case dead:
		w.weaker.death.approach()
	case unanswered:
		w.wire.Next(servers.AnswerLost)
	}
	err := way.ask(ctx, person, person)
	if err != nil && f != dead && f != unanswered {
		return "", err
	}
	if f == twice { // the same request again, as by a page that heard nothing
		if err := way.ask(ctx, person, person); err != nil {
			return "", err
		}
	}
	if err := way.settled(ctx, records); err != nil {
		return "", err
	}
	box := w.mails.box(person)
	if len(box) == 0 {
		return "none", nil
	}
	working, err := w.Count(ctx, `SELECT count(*) FROM unnest($1::text[]) AS t (token) JOIN resets USING (token)`, box)
	if err != nil {
		return "", err
	}
	if working < len(box) {
		return fmt.Sprintf("%d dead link", len(box)-working), nil
	}
	return fmt.Sprint(working), nil
}

func report(ways []way, got [][faults]string) (err error) {
	const format = "%-40s  %-7s  %-16s  %-14s  %s\n"
	fmt.Printf(format, "mails that a person gets", "nothing", "the process", "an answer", "everything")
	fmt.Printf(format, "", "happens", "dies half-way", "is lost", "comes twice")
	for i, way := range ways {
		fmt.Printf(format, way.name, got[i][nothing], got[i][dead], got[i][unanswered], got[i][twice])
		if got[i] != way.promised {
			err = errors.Join(err, fmt.Errorf("%s: that should be %q", way.name, way.promised))
		}
	}
	return err
}
