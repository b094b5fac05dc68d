package inboxkafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// told does what the payload says.
func told(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	if err := effect(ctx, tx, m); err != nil {
		return err
	}
	switch string(m.Value)[:4] {
	case "fail":
		return errors.New("told to")
	case "park":
		return inbox.ParkAs("odd", errors.New("told to"))
	case "skip":
		return inbox.Skip("told to")
	case "dies":
		panic("told to")
	}
	return nil
}

// random is a record of any sort, or one that was there before.
func random(r *rand.Rand, before []*kgo.Record) *kgo.Record {
	n := len(before)
	if n > 0 && r.IntN(5) == 0 {
		again := *before[r.IntN(n)]
		return &again
	}
	made := record(0, fmt.Sprintf("%s %d", []string{"good", "good", "good", "fail", "park", "skip", "dies"}[r.IntN(7)], n))
	if key := r.IntN(4); key > 0 {
		made.Key = fmt.Append(nil, key)
	}
	switch r.IntN(12) {
	case 0:
		return withoutValue(made)
	case 1:
		made.Headers = nil
	case 2:
		withHeader(made, "ce_specversion", "0.3")
	case 3:
		withHeader(made, "ce_id", testinbox.V7At(time.Now().AddDate(-1, 0, 0)))
	case 4:
		withHeader(made, "ce_id", "a text")
	}
	return made
}

// What the kit for users' tests says of a batch is what the runner makes of it.
func TestTheKitSaysWhatTheRunnerDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			r := rand.New(rand.NewPCG(seed, 1))
			var records []*kgo.Record
			for range 30 {
				records = append(records, random(r, records))
			}
			w.send(records...)
			config := w.config()
			config.RetryMin, config.RetryMax, config.BreakAfter = time.Hour, time.Hour, 1000
			stop := w.start(config, told)
			w.awaitCommitted(0, int64(len(records)))
			stop()
			effects := w.effects()

			messages := make([]inbox.Message, len(records))
			for i, record := range records {
				messages[i] = inbox.Message{Topic: topic, Offset: int64(i), Key: record.Key, Value: record.Value}
				for _, h := range record.Headers {
					messages[i].Headers = append(messages[i].Headers, inbox.Header{Name: h.Key, Value: h.Value})
				}
				cloudevent.Read(&messages[i])
			}
			var states []string // as the runner's tables have them
			for i, o := range inboxtest.NewConsumer(w.pool, "kit", told).DeliverBatch(t, messages...) {
				switch o.State {
				case inboxtest.Failed:
					states = append(states, fmt.Sprintf("%d retrying %s", i, o.Reason))
				case inboxtest.Parked, inboxtest.Held, inboxtest.Skipped:
					states = append(states, fmt.Sprintf("%d %s %s", i, o.State, o.Reason))
				default:
					require.Contains(t, []inboxtest.State{inboxtest.Handled, inboxtest.Duplicate}, o.State)
				}
			}
			require.Equal(t, testinbox.Strings(t, w.admin, `SELECT array_agg(line ORDER BY position) FROM (
				SELECT position, format('%s %s %s', position, state, reason) AS line FROM tandem.inbox_aside
				UNION ALL SELECT position, format('%s skipped handler', position) FROM tandem.inbox_dropped WHERE consumer = 'billing') AS l`), states)
			require.NotEmpty(t, effects)
			require.Equal(t, effects, w.effects()[len(effects):])
		})
	}
}
