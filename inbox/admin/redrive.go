package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Redrive is what consumers were asked to handle again, and how far they are.
type Redrive struct {
	By      string `json:"by"`
	Total   int    `json:"total"`   // messages asked for
	Handled int    `json:"handled"` // of them gone: handled, skipped by the handler, or a duplicate
	Failed  int    `json:"failed"`  // of them parked again
	Waiting int    `json:"waiting"`
	// Failures are of those that failed, twenty at the most.
	Failures []Failure `json:"failures"`

	waiting []int64 // numbers
}

// Failure is a message that failed again.
type Failure struct {
	Aside     int64  `json:"aside"`
	Consumer  string `json:"consumer"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	ID        string `json:"id"`
	State     State  `json:"state"`
	Error     string `json:"error"`
}

// Redrive asks for one more attempt at the messages that match and are parked, or
// retrying and not due yet; what they hold follows in order. Those that are asked
// for already are not taken twice. The consumer that owns the partition handles
// each at once, whether or not its id can be told from a duplicate's: that is the
// operator's decision. One that fails again is parked. by is who asks, for people.
// Where there is nothing to ask for, the error is a NothingError.
func (o *Operator) Redrive(ctx context.Context, s Selector, by string) (Redrive, error) {
	r := Redrive{By: by, Failures: []Failure{}}
	if err := o.change(ctx, "ask for a redrive", sqlRedrive, s.arguments(by), &r.waiting); err != nil {
		return r, err
	}
	if len(r.waiting) == 0 {
		return r, o.nothing(ctx, s)
	}
	r.Total, r.Waiting = len(r.waiting), len(r.waiting)
	return r, nil
}

// NothingError means that no message that matches can be redriven or discarded.
type NothingError struct {
	Counts
	// Behind are the numbers of the messages, ten at the most, which the held ones
	// that match wait for.
	Behind []int64
}

func (e *NothingError) Error() string {
	switch {
	case e.Parked+e.Retrying > 0:
		return fmt.Sprintf("what matches (%d messages) is in its consumer's or somebody else's hands at this moment; try again", e.Parked+e.Retrying)
	case e.UnderWay > 0:
		return fmt.Sprintf("what matches is being handled again already (%d messages)", e.UnderWay)
	case e.Held > 0 && len(e.Behind) == 0:
		return fmt.Sprintf("what matches (%d messages) goes on by itself: what held it is gone", e.Held)
	case e.Held > 0:
		numbers := make([]string, 0, len(e.Behind))
		for _, n := range e.Behind {
			numbers = append(numbers, fmt.Sprint(n))
		}
		return fmt.Sprintf("what matches is not parked but held (%d messages), behind %s", e.Held, strings.Join(numbers, ", "))
	}
	return "no message that is set aside matches; see tandem inbox parked list"
}

func (o *Operator) nothing(ctx context.Context, s Selector) error {
	counts, err := o.Count(ctx, s)
	if err != nil {
		return err
	}
	e := &NothingError{Counts: counts}
	rows, err := o.db.Query(ctx, o.sql(sqlBehind), s.arguments()...)
	if err == nil {
		e.Behind, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return explain(err, "look for what the messages are behind")
	}
	return e
}

// unseenAfter is for how long an owner says nothing before it counts as gone: it
// brings its row forward every five seconds.
const unseenAfter = 30 * time.Second

// Owner is who has, or had, a partition.
type Owner struct {
	Consumer  string
	Topic     string
	Partition int32
	Holder    string
	SeenAt    time.Time
	Now       time.Time
}

func (o Owner) String() string {
	return fmt.Sprintf("nobody consumes %s/%d for %s: %s was last seen %s ago", o.Topic, o.Partition, o.Consumer, o.Holder, o.Now.Sub(o.SeenAt).Round(time.Second))
}

// Unattended returns the partitions of what was asked for that nobody consumes:
// there the request stays until a consumer is started.
func (o *Operator) Unattended(ctx context.Context, r Redrive) ([]Owner, error) {
	return collect[Owner](ctx, o, "look for the partitions' owners", sqlUnattended, orNull(r.waiting), unseenAfter.Seconds())
}
