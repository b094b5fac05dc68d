package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/integration/faults"
	"github.com/tandem-outbox/tandem/outbox"
)

// The kinds of events.
const (
	ordinary  = "ordinary"
	large     = "large"     // so that pages fill
	oversized = "oversized" // more than its topic takes
	scheduled = "scheduled"
	expiring  = "expiring"
	once      = "once" // at most
	receipt   = "receipt"
)

// draft is an event that is to be written.
type draft struct {
	id, topic, key, kind string
	seq                  int64
	size, fails          int
	poison               bool
	after, until         time.Duration // of scheduled and expiring ones
	undone               bool          // by a savepoint
}

// ordered tells whether it takes part in its key's order.
func (d draft) ordered() bool { return d.key != "" && d.kind != scheduled && d.kind != once }

// transaction is what a writer is to do, drawn of the seed and its number.
type transaction struct {
	*op
	rollback bool
	early    time.Duration // it has its transaction id that long before it locks its keys
	long     time.Duration // it stays open that long before it ends
	style    int           // how the events are added
	nested   int           // events from this one on are in a savepoint
	undo     bool          // which is rolled back
	writer   *writers
}

// opTimeout is how long a writer waits for a transaction, beside its own pauses.
const opTimeout = 4 * time.Second

var errChangedHisMind = errors.New("the customer has changed his mind")

// writers are those of a run.
type writers struct {
	run    *run
	pool   *pgxpool.Pool
	last   atomic.Int64
	active sync.WaitGroup
}

// write runs the writers until ctx ends.
func (w *writers) write(ctx context.Context) {
	for range w.run.plan.writers {
		w.active.Go(func() {
			for ctx.Err() == nil {
				t := w.draw(w.last.Add(1))
				w.carryOut(context.WithoutCancel(ctx), t)
				pause(ctx, time.Duration(rand.Int64N(2*int64(w.run.plan.pace)))) // #nosec the seed decides what, not when
			}
		})
	}
}

func (w *writers) draw(number int64) *transaction {
	p := w.run.plan
	r := rand.New(rand.NewPCG(p.seed, uint64(number)))
	t := &transaction{op: &op{id: number, async: r.IntN(5) == 0}, rollback: r.IntN(9) == 0, style: r.IntN(3), nested: -1, writer: w}
	if r.IntN(6) == 0 {
		t.early = time.Duration(r.IntN(150)) * time.Millisecond
	}
	if r.IntN(25) == 0 {
		t.long = time.Duration(r.IntN(1500)) * time.Millisecond
	}
	count := 1
	switch r.IntN(20) {
	case 0:
		count = 20
	case 1, 2, 3, 4, 5, 6:
		count = 2 + r.IntN(4)
	}
	for range count {
		t.drafts = append(t.drafts, w.drawDraft(r))
	}
	// Keys are locked in order, so that writers do not meet in a deadlock.
	slices.SortStableFunc(t.drafts, func(a, b draft) int { return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.key, b.key)) })
	if r.IntN(6) == 0 {
		t.nested, t.undo = r.IntN(count), r.IntN(2) == 0
	}
	return t
}

func (w *writers) drawDraft(r *rand.Rand) draft {
	d := draft{id: outbox.NewID(), kind: ordinary, size: r.IntN(300)}
	switch n := r.IntN(20); {
	case n < 10:
		d.topic, d.key = orders, fmt.Sprint("o", min(r.IntN(200), r.IntN(200)))
	case n < 13:
		d.topic, d.key = growing, fmt.Sprint("g", r.IntN(80)/4)
	case n < 15:
		d.topic, d.key = narrow, fmt.Sprint("n", r.IntN(120))
	case n < 17:
		d.topic, d.kind = metrics, once
		if r.IntN(2) == 0 {
			d.key = fmt.Sprint("m", r.IntN(20))
		}
	case n < 18:
		d.topic, d.key = doomed, fmt.Sprint("d", r.IntN(20))
	default:
		d.topic = orders // without a key
	}
	if d.kind != ordinary {
		return d
	}
	switch n := r.IntN(100); {
	case n < 10 && d.topic == orders:
		d.kind, d.after = scheduled, time.Duration(r.IntN(2000))*time.Millisecond
	case n < 12 && d.topic == orders:
		d.kind, d.until = expiring, time.Duration(50+r.IntN(1000))*time.Millisecond
	case n < 16 && d.topic == orders && w.run.plan.bulky:
		d.kind, d.size = large, 20_000+r.IntN(80_000)
	case n < 7 && d.topic == narrow:
		d.kind, d.size = oversized, narrowBytes+1000
	}
	switch n := r.IntN(200); {
	case d.topic == doomed || d.kind == oversized:
	case n < 1:
		d.poison = true
	case n < 4:
		d.fails = 1 + r.IntN(2)
	}
	return d
}

// carryOut does it, and keeps what the writer knows of the outcome.
func (w *writers) carryOut(ctx context.Context, t *transaction) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout+t.early+t.long)
	defer cancel()
	t.begun = time.Now()
	tx, err := w.pool.Begin(ctx)
	if err == nil {
		err = t.write(ctx, tx)
		if err == nil && t.rollback {
			err = errChangedHisMind
		}
		if err == nil {
			if err = tx.Commit(ctx); err == nil {
				t.outcome = committed
			}
		} else {
			t.outcome = rolledBack // whatever ROLLBACK says: there was no COMMIT
			_ = tx.Rollback(ctx)
		}
	} else {
		t.outcome = rolledBack
	}
	t.err, t.end = err, time.Now()
	w.run.journal.add(t.op)
}

func (t *transaction) write(ctx context.Context, tx pgx.Tx) error {
	if t.early > 0 {
		if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id()`); err != nil {
			return err
		}
		pause(ctx, t.early)
	}
	if err := t.writeAll(ctx, tx); err != nil {
		return err
	}
	pause(ctx, t.long)
	if t.writer.run.hasty.Load() {
		t.async = true
	}
	if !t.async {
		return nil
	}
	_, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`)
	return err
}

func (t *transaction) writeAll(ctx context.Context, tx pgx.Tx) error {
	if t.nested < 0 {
		return t.add(ctx, tx, t.drafts)
	}
	if err := t.add(ctx, tx, t.drafts[:t.nested]); err != nil {
		return err
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	nested := t.drafts[t.nested:]
	if err := t.add(ctx, inner, nested); err != nil {
		return err
	}
	if !t.undo {
		return inner.Commit(ctx)
	}
	for i := range nested {
		nested[i].undone = true
	}
	return inner.Rollback(ctx)
}

const (
	takeNumberSQL = `INSERT INTO public.keys VALUES ($1, $2, 1) ON CONFLICT (topic, key) DO UPDATE SET last = keys.last + 1 RETURNING last`
	factSQL       = `INSERT INTO public.facts (id, op, topic, key, seq, kind, not_before, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	addSQL        = `SELECT tandem.add(topic => $1, payload => $2::bytea, key => $3, id => $4::uuid)`
)

// add writes events and their facts, as many of them as there are.
func (t *transaction) add(ctx context.Context, tx pgx.Tx, drafts []draft) error {
	batch := &pgx.Batch{}
	var events []outbox.Event
	// What is added later has a later position, so they are added in one way.
	function := t.style == 2 && !slices.ContainsFunc(drafts, func(d draft) bool { return d.kind == once || d.kind == scheduled || d.kind == expiring })
	for i := range drafts {
		d := &drafts[i]
		if d.key != "" {
			if err := tx.QueryRow(ctx, takeNumberSQL, d.topic, d.key).Scan(&d.seq); err != nil {
				return err
			}
		}
		e, err := t.event(d)
		if err != nil {
			return err
		}
		batch.Queue(factSQL, d.id, t.id, d.topic, d.key, d.seq, d.kind, orNull(e.NotBefore), orNull(e.Expires))
		switch {
		case t.style == 1:
			if err := outbox.Queue(ctx, batch, e); err != nil {
				return err
			}
		case function:
			batch.Queue(addSQL, e.Topic, e.Payload, e.Key, e.ID)
		default:
			events = append(events, e)
		}
	}
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
	}
	return outbox.Add(ctx, tx, events...)
}

func (t *transaction) event(d *draft) (outbox.Event, error) {
	e := outbox.Event{ID: d.id, Topic: t.writer.run.topics[d.topic], Key: d.key, AtMostOnce: d.kind == once}
	now := time.Now().Truncate(time.Microsecond)
	if d.kind == scheduled {
		e.NotBefore = now.Add(d.after)
	}
	if d.kind == expiring {
		e.Expires = now.Add(d.until)
	}
	var err error
	e.Payload, err = json.Marshal(faults.Payload{
		Topic: d.topic, Key: d.key, Seq: d.seq, Op: t.id, Fails: d.fails, Poison: d.poison, Pad: strings.Repeat("x", d.size),
	})
	return e, err
}

func orNull(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
