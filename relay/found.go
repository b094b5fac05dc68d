package relay

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// found is what a term finds set aside of one topic.
type found struct {
	held  map[string]struct{} // keys with stored events
	aside bool                // too many to know each key: all events go behind, until a flow is through
}

// knowKeysUpTo: of a topic with more stored events the keys are not read at the
// start of a term. Some 100 bytes each.
const knowKeysUpTo = 10_000

// readAside finds out what is set aside, before the first event is read. ahead
// tells whether some of it may lie beyond the checkpoint: an event of the same key
// that was not set aside yet will be read again, and comes before it.
func (r *Relay) readAside(ctx context.Context, conn *pgx.Conn) (_ map[string]found, ahead bool, err error) {
	rows, err := conn.Query(ctx, r.sql.setAsideTopics, knowKeysUpTo) //nolint:rowserrcheck // ForEachRow does
	if err != nil {
		return nil, false, fmt.Errorf("read what was set aside: %w", err)
	}
	topics := map[string]found{}
	var name string
	var many bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &many}, func() error {
		topics[name] = found{aside: many}
		return nil
	}); err != nil {
		return nil, false, fmt.Errorf("read what was set aside: %w", err)
	}
	for name, f := range topics {
		if f.aside {
			continue
		}
		if f.held, err = readKeys(ctx, conn, r.sql.heldKeys, name); err != nil {
			return nil, false, fmt.Errorf("read which keys are held: %w", err)
		}
		topics[name] = f
	}
	if len(topics) > 0 {
		if err := conn.QueryRow(ctx, r.sql.setAsideAhead).Scan(&ahead); err != nil {
			return nil, false, fmt.Errorf("compare what was set aside with the checkpoint: %w", err)
		}
	}
	return topics, ahead, nil
}

// resume makes the topics begin where an earlier term has left them.
func (t *term) resume(topics map[string]found) {
	for name, f := range topics {
		tp := t.topic(name)
		tp.mu.Lock()
		for key := range f.held {
			tp.hold(key)
		}
		if f.aside {
			tp.aside = true
			tp.special.Store(true)
		}
		tp.wantFlow()
		tp.mu.Unlock()
	}
}
