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

// readAside finds out what is set aside, before the first event is read.
func (r *Relay) readAside(ctx context.Context, conn *pgx.Conn) (map[string]found, error) {
	rows, err := conn.Query(ctx, r.sql.setAsideTopics, knowKeysUpTo) //nolint:rowserrcheck // ForEachRow does
	if err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	topics := map[string]found{}
	var name string
	var many bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &many}, func() error {
		topics[name] = found{aside: many}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	for name, f := range topics {
		if f.aside {
			continue
		}
		if f.held, err = readKeys(ctx, conn, r.sql.heldKeys, name); err != nil {
			return nil, fmt.Errorf("read which keys are held: %w", err)
		}
		topics[name] = f
	}
	return topics, nil
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
