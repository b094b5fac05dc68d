package relay

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// store reads the exception path, on a connection of its own that is opened when
// it is first needed. All that changes it goes through the keeper's saves.
type store struct {
	*term
	mu   sync.Mutex
	conn *pgx.Conn
}

// use lends the connection out. After a failure it is opened anew.
func (s *store) use(ctx context.Context, what string, do func(context.Context, *pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, s.readTimeout, noAnswer(s.readTimeout))
	defer cancel()
	if s.conn == nil {
		var err error
		if s.conn, _, err = s.connect(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, because(ctx, err))
		}
	}
	if err := do(ctx, s.conn); err != nil {
		closeConn(s.conn)
		s.conn = nil
		return fmt.Errorf("%s: %w", what, because(ctx, err))
	}
	return nil
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		closeConn(s.conn)
		s.conn = nil
	}
}

// eligible reads a page of a topic's stored events that nothing holds any more,
// in order of position. Those that were set aside for a partition that has failed
// again are left out, unless the number of partitions was another one then.
func (s *store) eligible(ctx context.Context, topic string, except func() ([]int32, int, []string)) (items []*item, err error) {
	failed, partitions, again := except()
	err = s.use(ctx, "read events that were set aside", func(ctx context.Context, conn *pgx.Conn) error {
		items, err = readStored(ctx, conn, s.sql.eligible, topic, failed, partitions, storedPerPage, s.cfg.PageBytes, again)
		return err
	})
	return items, err
}

// full tells whether a page has ended at one of its limits.
func (s *store) full(items []*item) bool {
	volume := 0
	for _, it := range items {
		volume += it.size() - eventOverhead
	}
	return len(items) == storedPerPage || volume >= s.cfg.PageBytes
}

// due reads scheduled events whose time has come, other than those in flight.
func (s *store) due(ctx context.Context, inFlight []int64) (items []*item, err error) {
	err = s.use(ctx, "read scheduled events", func(ctx context.Context, conn *pgx.Conn) error {
		items, err = readStored(ctx, conn, s.sql.due, inFlight, storedPerPage, s.cfg.PageBytes)
		return err
	})
	return items, err
}

// storedPerPage bounds one read of the exception path, in events.
const storedPerPage = 2000

// readStored decodes rows as they come out of the log, with two columns more.
func readStored(ctx context.Context, conn *pgx.Conn, statement string, arguments ...any) ([]*item, error) {
	rows, err := conn.Query(ctx, statement, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var p page
	var names interned
	for rows.Next() {
		values := rows.RawValues()
		if err := p.decode(values, &names); err != nil {
			return nil, err
		}
		p.items[len(p.items)-1].unordered = values[12][0] == 0
	}
	items := make([]*item, len(p.items))
	for i := range p.items {
		items[i] = &p.items[i]
	}
	return items, rows.Err()
}

// heldKeys are the keys of a topic whose later events go behind what is stored.
func (s *store) heldKeys(ctx context.Context, topic string) (held map[string]struct{}, err error) {
	err = s.use(ctx, "read which keys are held", func(ctx context.Context, conn *pgx.Conn) error {
		held, err = readKeys(ctx, conn, s.sql.heldKeys, topic)
		return err
	})
	return held, err
}

func readKeys(ctx context.Context, conn *pgx.Conn, statement string, arguments ...any) (map[string]struct{}, error) {
	rows, err := conn.Query(ctx, statement, arguments...) //nolint:rowserrcheck // ForEachRow does
	if err != nil {
		return nil, err
	}
	keys := map[string]struct{}{}
	var key string
	_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
		keys[key] = struct{}{}
		return nil
	})
	return keys, err
}
