package stories_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

const resetTables = `
CREATE TABLE public.resets (topic text, person text, PRIMARY KEY (topic, person));
CREATE TABLE public.mails (consumer text, person text, idempotency_key text);
CREATE TABLE public.noted (consumer text, person text)`

// mailByOutbox is right: the mail is a row of the transaction, under the message's
// id. A mailer sends it, as often as it takes, and by that key the recipient's
// server knows a repetition.
func mailByOutbox(o childOrder) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		_, err := tx.Exec(ctx, `INSERT INTO public.mails VALUES ($1, $2, $3)`, o.Consumer, string(m.Value), m.ID)
		return err
	}
}

// mailInHandler is naive: the mail is outside of the transaction, and goes as often
// as the message is tried; of a consumer that commits its offset first, never where
// that one dies in between.
func mailInHandler(o childOrder) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := sendMail(ctx, o.Mail, o.Consumer+"/"+string(m.Value), "-"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.noted VALUES ($1, $2)`, o.Consumer, string(m.Value))
		return err
	}
}

// resetSteps are steps that each of the consumers has, whatever it records.
var resetSteps = []step{handling, committing, offsetting, fetching}

// resetConsumers are by their handlers.
var resetConsumers = []string{"mail by outbox", "mail in handler", "mail after offset"}

// fates count what became of a consumer's mails, over all seeds.
type fates struct{ sent, lost, doubled atomic.Int64 }

func TestNoPasswordResetIsLost(t *testing.T) {
	w := newWorld(t, resetTables)
	mail := startMailServer(t)
	all := map[string]*fates{}
	for _, handler := range resetConsumers {
		all[handler] = &fates{}
	}
	forEachSeed(t, func(t *testing.T, seed int) { w.resetStory(t, seed, mail, all) })
	w.met.check(t, resetSteps)
	for _, handler := range resetConsumers {
		f := all[handler]
		say(t, fmt.Sprintf("%-18s %d sent, %d lost, %d doubled", handler, f.sent.Load(), f.lost.Load(), f.doubled.Load()))
	}
	require.Zero(t, all["mail by outbox"].lost.Load())
	require.Zero(t, all["mail by outbox"].doubled.Load())
	require.Zero(t, all["mail in handler"].lost.Load())
	if *seeds < len(resetSteps)*int(moments) {
		return
	}
	require.NotZero(t, all["mail in handler"].doubled.Load(), "a mail outside of the transaction was never doubled: the faults are too few, or the books are wrong")
	require.NotZero(t, all["mail after offset"].lost.Load(), "a mail after the offset was never lost: the faults are too few, or the books are wrong")
}

// resetStory has the same faults for each of the consumers.
func (w *world) resetStory(t *testing.T, seed int, mail *mailServer, all map[string]*fates) {
	topic := testservers.Topic(t, partitions)
	asked := 0
	ask := func() {
		w.askFor(t, topic, 8)
		asked += 8
	}
	for _, handler := range resetConsumers {
		random := rand.New(rand.NewPCG(uint64(seed), 2))
		name := topic + "-" + strings.ReplaceAll(handler, " ", "-")
		s := &story{world: w, order: childOrder{
			Brokers: w.brokers, Consumer: name, Topic: topic, Handler: handler, Mail: mail.address(),
		}}
		settled := func() bool { return w.caughtUp(name, topic, asked) }
		ask()
		s.suffer(t, targeted(seed, resetSteps), settled)
		ask()
		s.suffer(t, anywhere(random, 40, kill), settled)
		ask()
		s.finish(t, settled)
		if handler == "mail by outbox" {
			require.Equal(t, asked, w.count(`SELECT count(*) FROM public.mails WHERE consumer = $1`, name), "mails for so many requests")
			w.deliver(t, name, mail)
		}
		judge(t, all[handler], mail, name, asked)
	}
}

// deliver is the mailer of the right consumer. It is as bad as can be, and sends
// everything twice.
func (w *world) deliver(t *testing.T, consumer string, mail *mailServer) {
	t.Helper()
	type mailed struct{ Person, Key string }
	rows, err := w.pool.Query(t.Context(), `SELECT person, idempotency_key FROM public.mails WHERE consumer = $1`, consumer)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[mailed])
	require.NoError(t, err)
	for _, m := range slices.Concat(all, all) {
		require.NoError(t, sendMail(t.Context(), mail.address(), consumer+"/"+m.Person, consumer+"/"+m.Key))
	}
}

// judge counts what became of a consumer's mails.
func judge(t *testing.T, f *fates, mail *mailServer, consumer string, asked int) {
	t.Helper()
	for i := range asked {
		n := mail.got(fmt.Sprintf("%s/person-%d", consumer, i))
		if n == 0 {
			f.lost.Add(1)
			continue
		}
		f.sent.Add(1)
		f.doubled.Add(int64(n - 1))
	}
}

// askFor writes requests of people who have lost their password, with their events.
func (w *world) askFor(t *testing.T, topic string, n int) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		for range n {
			var person string
			err := tx.QueryRow(t.Context(), `INSERT INTO public.resets SELECT $1, 'person-' || count(*) FROM public.resets WHERE topic = $1 RETURNING person`, topic).Scan(&person)
			if err != nil {
				return err
			}
			if err := outbox.Add(t.Context(), tx, outbox.Event{Topic: topic, Payload: []byte(person)}); err != nil {
				return err
			}
		}
		return nil
	}))
}
