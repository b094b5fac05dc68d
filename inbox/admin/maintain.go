package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/tandem-outbox/tandem/internal/upkeep"
)

// Maintained is what Maintain has done.
type Maintained struct {
	Made    int   `json:"leaves_made"`
	Emptied int   `json:"leaves_emptied"`
	Dropped int   `json:"leaves_dropped"`
	Expired int64 `json:"rows_expired"` // foreign ids, late ids, notes of what was given up
}

func (m Maintained) String() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		text string
	}{
		{int64(m.Made), "made %d leaves"},
		{int64(m.Emptied), "emptied %d leaves"},
		{int64(m.Dropped), "dropped %d empty leaves"},
		{m.Expired, "deleted %d rows of ids and notes"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf(p.text, p.n))
		}
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// Maintain makes the inbox's storage of the coming year and gives back what is
// older than the retention, as the relay and every consumer do all the time, until
// nothing is left to do. What somebody else is at, it leaves to them.
func (o *Operator) Maintain(ctx context.Context) (Maintained, error) {
	var sum upkeep.Done
	for {
		step, err := upkeep.Step(ctx, o.db, o.schema)
		sum.Add(step)
		// One call drops one leaf.
		if err != nil || !step.More && step.Dropped == 0 {
			return Maintained{Made: sum.Made, Emptied: sum.Emptied, Dropped: sum.Dropped, Expired: sum.Expired}, explain(err, "maintain the inbox")
		}
	}
}
