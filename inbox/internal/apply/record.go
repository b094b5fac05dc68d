package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
)

// place is an id of the batch and the first message that bears it: that one
// alone is licensed when the id proves new.
type place struct {
	id    ids.ID
	index int
}

// record inserts the batch's ids and returns which messages are to be handled.
func (a *Applier) record(ctx context.Context, tx pgx.Tx, batch []inbox.Message) (first []bool, err error) {
	places, timed, foreign, err := a.sort(batch)
	if err != nil {
		return nil, err
	}
	first = make([]bool, len(batch))
	var refused []place
	var floor int64

	pipeline := &pgx.Batch{}
	if len(timed) > 0 {
		pipeline.Queue(a.statements.timed, a.Consumer, timed).Query(func(rows pgx.Rows) error {
			return each(rows, func(id string, inBounds bool) {
				if inBounds {
					first[places[id].index] = true
				} else {
					refused = append(refused, places[id])
				}
			})
		})
		pipeline.Queue(a.statements.floor).QueryRow(func(row pgx.Row) error { return row.Scan(&floor) })
	}
	if len(foreign) > 0 {
		pipeline.Queue(a.statements.foreign, a.Consumer, foreign).Query(func(rows pgx.Rows) error {
			return each(rows, func(id string, _ bool) { first[places[id].index] = true })
		})
	}
	if err := tx.SendBatch(ctx, pipeline).Close(); err != nil {
		return nil, fmt.Errorf("record the ids of a batch: %w", err)
	}
	return first, a.judge(batch, places, first, refused, time.UnixMilli(floor).UTC())
}

// sort gives every id its first message, and the ids in the one order in which
// every consumer inserts them: overlapping batches then wait for each other
// more often than they deadlock.
func (a *Applier) sort(batch []inbox.Message) (places map[string]place, timed, foreign []string, err error) {
	places = make(map[string]place, len(batch))
	for i := range batch {
		if problem := ids.Problem(ids.MessageMax, batch[i].ID); problem != "" {
			return nil, nil, nil, a.refuse(&batch[i], inbox.ErrInvalid, problem)
		}
		id := ids.Parse(batch[i].ID)
		if _, again := places[id.Text]; again {
			continue
		}
		places[id.Text] = place{id: id, index: i}
		if id.Timed {
			timed = append(timed, id.Text)
		} else {
			foreign = append(foreign, id.Text)
		}
	}
	slices.Sort(timed)
	slices.Sort(foreign)
	return places, timed, foreign, nil
}

// judge refuses the first message whose id the inbox does not cover. The floor
// was read after the insert: a leaf that was emptied in between made its ids
// look new.
func (a *Applier) judge(batch []inbox.Message, places map[string]place, first []bool, refused []place, floor time.Time) error {
	for _, p := range places {
		if p.id.Timed && first[p.index] && p.id.Made().Before(floor) {
			refused = append(refused, p)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	p := slices.MinFunc(refused, func(a, b place) int { return a.index - b.index })
	made := p.id.Made()
	if made.Before(floor) {
		return a.refuse(&batch[p.index], inbox.ErrTooOld,
			fmt.Sprintf("it was made at %s, before the inbox's floor %s: it cannot be proved new", made, floor))
	}
	return a.refuse(&batch[p.index], inbox.ErrTooNew,
		fmt.Sprintf("it claims to be made at %s, for which the inbox has no leaf; if that time is right, call tandem.maintain_inbox()", made))
}

func (a *Applier) refuse(m *inbox.Message, reason error, detail string) error {
	return &Failure{Message: m, Err: &inbox.IDError{
		Consumer: a.Consumer, ID: m.ID, Field: "message_id", Reason: reason, Detail: detail,
	}}
}

// each reads rows of an id and whether it was in bounds.
func each(rows pgx.Rows, do func(id string, inBounds bool)) error {
	var id string
	var inBounds bool
	_, err := pgx.ForEachRow(rows, []any{&id, &inBounds}, func() error {
		do(id, inBounds)
		return nil
	})
	return err
}
