package relay

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/pgtext"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// Every relay keeps a row in tandem.relay, for people: tandem status and doctor
// read it, no relay does. So a beat that fails is logged, once, and ends nothing,
// and tandem.beat waits no longer than 100 ms for a lock.
const (
	leastBeat  = 2 * time.Second
	mostTopics = 100 // that one row tells of

	sqlBeat = `SELECT tandem.beat($1, $2, $3, $4, $5)`
)

// heart is the state of a relay's beats. Whoever holds the connection that beats
// has it to himself: the loop that stands by, then the keeper.
type heart struct {
	last    time.Time
	trouble *trouble
}

// beat writes the row anew, unless that was done a moment ago.
func (r *Relay) beat(conn *pgx.Conn) {
	now := r.now()
	if now.Sub(r.heart.last) < r.beatEvery() {
		return
	}
	r.heart.last = now
	if r.heart.trouble == nil {
		r.heart.trouble = newTrouble(r.log, r.now)
	}
	ctx, cancel := context.WithTimeout(r.aborted, r.cfg.Lease)
	defer cancel()
	_, err := conn.Exec(ctx, r.sql.beat, r.owner, r.cfg.Holder, r.cfg.Version, r.State().String(), r.facts())
	switch {
	case err == nil:
		r.heart.trouble.over("tandem status sees this relay again")
	case r.aborted.Err() == nil && !conn.IsClosed(): // else the next statement says so
		r.heart.trouble.failed("cannot write this relay's row for tandem status; it relays all the same", err)
	}
}

// leave takes the row away at a clean stop.
func (r *Relay) leave(conn *pgx.Conn) {
	if conn.IsClosed() || r.aborted.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.aborted, time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, r.sql.beat, r.owner, r.cfg.Holder, r.cfg.Version, Stopped.String(), "{}"); err != nil {
		r.log.Debug("this relay's row for tandem status stays; it is taken away in a day", "error", err)
	}
}

// beatEvery is a little less than the renewals are apart, but not often.
func (r *Relay) beatEvery() time.Duration { return max(leastBeat, r.cfg.Lease/3) - leastBeat/4 }

func (r *Relay) facts() json.RawMessage {
	f := facts.Facts{BeatSeconds: max(leastBeat, r.cfg.Lease/3).Seconds(), Stats: r.Stats().named()}
	if w := r.watching.Load(); w != nil {
		f.Term = w.facts()
		f.Term.Topics = topicFacts(r.Topics())
	}
	text, err := json.Marshal(f)
	if err != nil {
		return json.RawMessage("{}") // there is nothing in it that has no JSON
	}
	return text
}

// topicFacts are those in trouble first, and not too many.
func topicFacts(topics []TopicStats) []facts.Topic {
	topics = slices.Clone(topics)
	slices.SortStableFunc(topics, func(a, b TopicStats) int { return strings.Compare(b.Trouble, a.Trouble) })
	var out []facts.Topic
	for _, t := range topics[:min(len(topics), mostTopics)] {
		f := facts.Topic{
			Topic: t.Topic, Partitions: t.Partitions, Published: t.Published, Waiting: t.Waiting,
			Trouble: pgtext.Repaired(t.Trouble, mostWords), SetAside: t.SetAside,
		}
		if !t.Since.IsZero() {
			f.Since = &t.Since
		}
		out = append(out, f)
	}
	return out
}

// named are the counters by the names that tandem status --json has.
func (s Stats) named() map[string]int64 {
	return map[string]int64{
		"read": s.Read, "published": s.Published, "requests": s.Requests, "retries": s.Retries, "saves": s.Saves,
		"reclaimed": s.Reclaimed, "parked": s.Parked, "held": s.Held, "deferred": s.Deferred, "scheduled": s.Scheduled,
		"released": s.Released, "expired": s.Expired, "lost": s.Lost, "skipped": s.Skipped, "replayed": s.Replayed,
	}
}
