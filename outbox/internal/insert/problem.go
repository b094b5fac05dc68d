package insert

import (
	"fmt"
	"strconv"

	"github.com/tandem-outbox/tandem/internal/pgerror"
)

// Problem has the fields of outbox.InvalidEventError, which documents them.
type Problem struct {
	Index  int
	ID     string
	Topic  string
	Field  string
	Reason string
	Limit  int
}

// Error clips what may be long: the topic may be what is wrong.
func (p *Problem) Error() string {
	return fmt.Sprintf("outbox: event %d of the call (id %.40q, topic %.80q): %s: %s", p.Index, p.ID, p.Topic, p.Field, p.Reason)
}

func refuse(field, reason string, args ...any) *Problem {
	return &Problem{Field: field, Reason: fmt.Sprintf(reason, args...)}
}

func (p *Problem) limit(n int) *Problem {
	p.Limit = n
	return p
}

// refused turns Statement's refusal into the Problem it tells of; nil where err
// is something else. The only check inside Statement is the size.
func (c *Columns) refused(err error) *Problem {
	if pgerror.State(err) != "TD001" {
		return nil
	}
	allowed, _ := strconv.ParseInt(pgerror.Detail(err), 10, 64)
	i := c.firstAbove(allowed)
	return &Problem{
		Index: i, ID: c.given[i], Topic: c.Topics[i], Field: "payload", Limit: int(allowed),
		Reason: fmt.Sprintf("key, headers and payload together are %d bytes, allowed are %d (tandem.settings.max_event_bytes)", c.Sizes[i], allowed),
	}
}

// firstAbove is the first event of more than limit bytes.
func (c *Columns) firstAbove(limit int64) int {
	for i, n := range c.Sizes {
		if n > limit {
			return i
		}
	}
	return 0
}
