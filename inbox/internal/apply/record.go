package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
)

// place is an id of the batch and the first message that bears it: that one
// alone is licensed when the id proves new.
type place struct {
	id    ids.ID
	index int
}

// bounds are the first moment that leaves cover, and the first after them. Both
// only rise: what is above an old floor may be below the floor by now, what is
// below an old ceiling has a leaf.
type bounds struct{ floor, ceiling time.Time }

func (b *bounds) cover(made time.Time) bool {
	return b != nil && !made.Before(b.floor) && made.Before(b.ceiling)
}

// batch is the ids of a batch on their way into the inbox.
type batch struct {
	places               map[string]place
	covered              []sent // the others that are timed are in timed
	timed, foreign, late []string
	rows                 []int64 // of tandem.inbox_aside
	first                []bool  // which messages are new
	refused              []place // what no leaf covers
	found                found
}

// found is what else the transaction has found when the ids were recorded.
type found struct {
	epoch, changed int64  // of the partition
	locked         int    // of batch.rows
	bounds         bounds // zero where no id has a time
}

// sent is an id that leaves cover, and the message that it licenses.
type sent struct {
	id    [16]byte
	index int
}

func (s sent) compare(t sent) int { return bytes.Compare(s.id[:], t.id[:]) }

// record begins the transaction, looks at the fence and inserts the batch's ids,
// all in one round trip. What was found is for judge.
func (a *Applier) record(ctx context.Context, fence *Fence, b *batch) (*Session, error) {
	s, err := a.Database.begin(ctx, limits{a.LockTimeout, a.IdleTimeout}, func(pipeline *pgx.Batch) {
		if fence != nil {
			pipeline.Queue(a.statements.fence, a.Consumer, fence.Topic, fence.Partition).QueryRow(b.found.readFence)
		}
		if len(b.rows) > 0 {
			pipeline.Queue(a.statements.lock, b.rows).QueryRow(func(row pgx.Row) error { return row.Scan(&b.found.locked) })
		}
		insert := func(statement string, sent []string) {
			if len(sent) > 0 {
				pipeline.Queue(statement, a.Consumer, sent).Query(b.read)
			}
		}
		if len(b.covered) > 0 {
			pipeline.Queue(a.statements.covered, a.Consumer, b.uuids()).Query(b.readCovered)
		}
		insert(a.statements.timed, b.timed)
		if len(b.covered)+len(b.timed) > 0 {
			pipeline.Queue(a.statements.bounds).QueryRow(b.found.readBounds)
		}
		insert(a.statements.foreign, b.foreign)
		insert(a.statements.late, b.late)
	})
	if err != nil {
		a.known.Store(nil) // this may be another database by now: a restored one, say
		if p, ok := errors.AsType[pgx.ErrPreprocessingBatch](err); ok {
			err = p.Unwrap() // Postgres's own error, whichever way pgx met it
		}
		return nil, fmt.Errorf("record the ids of a batch: %w", err)
	}
	if now := b.found.bounds; now != (bounds{}) {
		a.known.Store(&now)
	}
	return s, nil
}

// readFence leaves the epoch zero where somebody has deleted the row, which ends
// the claim too.
func (f *found) readFence(row pgx.Row) error {
	if err := row.Scan(&f.epoch, &f.changed); !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	return nil
}

func (f *found) readBounds(row pgx.Row) error {
	var floor, ceiling int64
	err := row.Scan(&floor, &ceiling)
	f.bounds = bounds{time.UnixMilli(floor).UTC(), time.UnixMilli(ceiling).UTC()}
	return err
}

// sort gives every id its first message, and the ids in the one order in which
// every consumer inserts them: overlapping batches then wait for each other
// more often than they deadlock.
func (a *Applier) sort(items []Item) (*batch, error) {
	b := &batch{places: make(map[string]place, len(items)), first: make([]bool, len(items))}
	known := a.known.Load()
	for i := range items {
		item := &items[i]
		item.Known = false
		if item.Aside != 0 && (item.Verdict == nil || item.Verdict.State != Held) {
			b.rows = append(b.rows, item.Aside)
		}
		if item.Verdict.aside() || item.Proof == ByRow || a.Unrecorded {
			b.first[i] = true
			continue
		}
		if problem := ids.Problem(ids.MessageMax, item.Message.ID); problem != "" {
			if item.Verdict != nil {
				b.first[i] = true // skipped for its id
				continue
			}
			return nil, &Failure{Index: i, Handled: 0, Refused: map[int]error{i: a.refusal(&item.Message, inbox.ErrInvalid, problem)}}
		}
		id := ids.Parse(item.Message.ID)
		if _, again := b.places[id.Text]; again {
			continue
		}
		b.places[id.Text] = place{id: id, index: i}
		switch {
		case id.Timed && item.Proof == ByLate:
			b.late = append(b.late, id.Text)
		case id.Timed && known.cover(id.Made()):
			b.covered = append(b.covered, sent{id.UUID(), i})
		case id.Timed:
			b.timed = append(b.timed, id.Text)
		default:
			b.foreign = append(b.foreign, id.Text)
		}
	}
	slices.SortFunc(b.covered, sent.compare)
	slices.Sort(b.timed)
	slices.Sort(b.foreign)
	return b, nil
}

// uuids are of a type that pgx can also send where it does not ask the server
// for the parameters' types first (behind a pooler, say).
func (b *batch) uuids() []pgtype.UUID {
	ids := make([]pgtype.UUID, len(b.covered))
	for i, s := range b.covered {
		ids[i] = pgtype.UUID{Bytes: s.id, Valid: true}
	}
	return ids
}

// readCovered takes rows of covered ids that were new.
func (b *batch) readCovered(rows pgx.Rows) error {
	var id pgtype.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		if i, there := slices.BinarySearchFunc(b.covered, sent{id: id.Bytes}, sent.compare); there {
			b.first[b.covered[i].index] = true
		}
		return nil
	})
	return err
}

// read takes rows of an id and whether a leaf covers it.
func (b *batch) read(rows pgx.Rows) error {
	var id string
	var covered bool
	_, err := pgx.ForEachRow(rows, []any{&id, &covered}, func() error {
		if p := b.places[id]; covered {
			b.first[p.index] = true
		} else {
			b.refused = append(b.refused, p)
		}
		return nil
	})
	return err
}

// judge marks the messages that are known, and refuses those whose ids the inbox
// does not cover. The floor was read after the insert: a leaf that was emptied in
// between made its ids look new.
func (a *Applier) judge(fence *Fence, items []Item, b *batch) error {
	switch {
	case fence != nil && b.found.epoch != fence.Epoch:
		return fmt.Errorf("%w (epoch %d, now %d)", ErrFenced, fence.Epoch, b.found.epoch)
	case b.found.locked != len(b.rows):
		return ErrChanged
	}
	for i := range items {
		items[i].Known = !b.first[i]
	}
	floor := b.found.bounds.floor
	for _, p := range b.places {
		if p.id.Timed && b.first[p.index] && items[p.index].Proof == ByID && p.id.Made().Before(floor) {
			b.refused = append(b.refused, p)
		}
	}
	f := &Failure{Index: -1, Refused: map[int]error{}}
	for _, p := range b.refused {
		if v := items[p.index].Verdict; v != nil { // skipped for this
			items[p.index].Known = false
			continue
		}
		m, made := &items[p.index].Message, p.id.Made()
		if made.Before(floor) {
			f.Refused[p.index] = a.refusal(m, inbox.ErrTooOld,
				fmt.Sprintf("it was made at %s, before the inbox's floor %s: it cannot be proved new", made, floor))
			continue
		}
		f.Refused[p.index] = a.refusal(m, inbox.ErrTooNew,
			fmt.Sprintf("it claims to be made at %s, for which the inbox has no leaf; if that time is right, call tandem.maintain_inbox()", made))
	}
	if len(f.Refused) == 0 {
		return nil
	}
	return f
}

func (a *Applier) refusal(m *inbox.Message, reason error, detail string) error {
	return &inbox.IDError{Consumer: a.Consumer, ID: m.ID, Field: "message_id", Reason: reason, Detail: detail}
}
