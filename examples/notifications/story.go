package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

type outcome int

const (
	fine   outcome = iota
	failed         // the app finds no network, and tries again later
)

type world struct {
	*servers.Servers

	topic, url, file string
	mailbox          *inboxkafka.Consumer
	wire             servers.Wire
	app              *device
	sent             int
	shown            []string
}

func story(ctx context.Context, s *servers.Servers) (err error) {
	w := &world{Servers: s}
	phone, err := os.MkdirTemp("", "notifications")
	if err != nil {
		return err
	}
	defer os.RemoveAll(phone)
	w.file = filepath.Join(phone, "notifications.jsonl")
	if _, err := s.Pool.Exec(ctx, tables); err != nil {
		return err
	}
	if w.topic, err = s.Topic(ctx, "notifications", 3); err != nil {
		return err
	}
	if w.mailbox, err = newMailbox(s.Pool, s.Brokers, w.topic); err != nil {
		return err
	}
	if w.url, err = s.Serve(ctx, w.wire.To(newGateway(s.Pool))); err != nil {
		return err
	}
	s.Relay(ctx, servers.LoseAnswers) // so everything is in Kafka twice
	s.Go(ctx, "mailbox", w.mailbox.Run)
	fmt.Printf("%-52s %4s  %8s  %7s  %5s\n", "", "sent", "received", "waiting", "shown")
	for _, tell := range []func(context.Context) error{w.online, w.offline, w.answerLost, w.confirmationLost, w.restarted, w.killed} {
		if err := tell(ctx); err != nil {
			return err
		}
	}
	return w.end(ctx)
}

func (w *world) online(ctx context.Context) error {
	if err := w.start(); err != nil {
		return err
	}
	if err := w.send(ctx, 2); err != nil {
		return err
	}
	return w.told(ctx, "the device is online", w.app.sync(ctx), fine, 2, 0, 2)
}

func (w *world) offline(ctx context.Context) error {
	if err := w.app.store.close(); err != nil {
		return err
	}
	if err := w.send(ctx, 3); err != nil {
		return err
	}
	return w.told(ctx, "it is offline", nil, fine, 2, 3, 2)
}

func (w *world) answerLost(ctx context.Context) error {
	if err := w.start(); err != nil {
		return err
	}
	w.wire.Next(servers.AnswerLost)
	return w.told(ctx, "it is back, and the network fails as it asks", w.app.sync(ctx), failed, 2, 3, 2)
}

func (w *world) confirmationLost(ctx context.Context) error {
	w.wire.Next(servers.Arrives, servers.RequestLost)
	return w.told(ctx, "it asks again, and the network fails as it confirms", w.app.sync(ctx), failed, 5, 3, 5)
}

func (w *world) restarted(ctx context.Context) error {
	if err := w.restart(); err != nil {
		return err
	}
	return w.told(ctx, "the app is started again, and gets them again", w.app.sync(ctx), fine, 8, 0, 5)
}

// killed is what the next start finds when the app was killed as it wrote: half a
// line, of something that is not confirmed.
func (w *world) killed(ctx context.Context) error {
	if err := w.send(ctx, 1); err != nil {
		return err
	}
	if _, err := w.app.store.file.WriteString(`{"id":"01`); err != nil {
		return err
	}
	if err := w.restart(); err != nil {
		return err
	}
	return w.told(ctx, "it was killed as it kept one", w.app.sync(ctx), fine, 9, 0, 6)
}

// send writes notifications and waits until they are in the mailbox.
func (w *world) send(ctx context.Context, n int) error {
	for range n {
		w.sent++
		err := pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
			return notify(ctx, tx, w.topic, "ada", fmt.Sprintf("parcel %d has come", w.sent))
		})
		if err != nil {
			return err
		}
	}
	return servers.CaughtUp(ctx, "the mailbox", w.mailbox, 2*w.sent)
}

// start starts the app, with what its file has.
func (w *world) start() error {
	store, err := openStore(w.file)
	if err != nil {
		return err
	}
	received := 0
	if w.app != nil {
		received = w.app.received
	}
	w.app = &device{
		url: w.url + "/mailbox/ada", store: store, received: received,
		client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		show:   func(n Notification) { w.shown = append(w.shown, n.Text) },
	}
	return nil
}

func (w *world) restart() error {
	if err := w.app.store.close(); err != nil {
		return err
	}
	return w.start()
}

func (w *world) told(ctx context.Context, what string, err error, promised outcome, received, waiting, shown int) error {
	if (err == nil) != (promised == fine) {
		return fmt.Errorf("%s: %w", what, err)
	}
	inMailbox, err := w.Count(ctx, `SELECT count(*) FROM mailbox`)
	if err != nil {
		return err
	}
	fmt.Printf("%-52s %4d  %8d  %7d  %5d\n", what, w.sent, w.app.received, inMailbox, len(w.shown))
	if w.app.received != received || inMailbox != waiting || len(w.shown) != shown {
		return fmt.Errorf("%s: it should have received %d and shown %d, and %d should wait", what, received, shown, waiting)
	}
	return nil
}

// end prints what the device's owner has seen.
func (w *world) end(ctx context.Context) error {
	records, err := w.Records(ctx, w.topic)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d records in Kafka; shown:\n", records)
	for i, text := range w.shown {
		fmt.Println(" ", text)
		if text != fmt.Sprintf("parcel %d has come", i+1) {
			return fmt.Errorf("that is not notification %d", i+1)
		}
	}
	if records != 2*w.sent {
		return fmt.Errorf("there should be %d records", 2*w.sent)
	}
	return w.app.store.close()
}
