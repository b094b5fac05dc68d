package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Operators write requests into tandem.request; the working relay carries them
// out through its lanes, so that a command never publishes past the lease.
//
//	redrive  parked events that bear the request's number are sent again, and
//	         what is held behind them follows
//	release  what held some keys of these topics has been discarded
//	replay   published events are published again: see replay.go
type requests struct {
	*term
	looked atomic.Bool // once at least

	mu   sync.Mutex
	seen map[int64][]string // the topics whose flows were asked for
}

type request struct {
	number    int64
	kind      string
	arguments []byte
}

const requestsEvery = 500 * time.Millisecond

func (r *requests) run(ctx context.Context) error {
	trouble := newTrouble(r.log, r.now)
	for ctx.Err() == nil {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			trouble.failed("cannot look for operators' requests", err)
		} else {
			trouble.over("operators' requests are seen again")
		}
		if sleep(ctx, requestsEvery) != nil {
			return nil //nolint:nilerr // the end of the term is no failure of the requests'
		}
	}
	return nil
}

// look begins what is new and ends what is done.
func (r *requests) look(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []request
	err := r.store.use(ctx, "read requests", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, r.sql.requests)
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (q request, err error) {
			return q, row.Scan(&q.number, &q.kind, &q.arguments)
		})
		return err
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(open, func(q request) bool { return q.kind == "replay" }) {
		r.replayer.asked()
	}
	open = slices.DeleteFunc(open, func(q request) bool { return q.kind != "redrive" && q.kind != "release" })
	for _, q := range open {
		if err := r.follow(ctx, q); err != nil {
			return err
		}
	}
	r.looked.Store(true)
	return nil
}

// follow asks for the flows of a request, and ends it once they are through.
func (r *requests) follow(ctx context.Context, q request) error {
	topics, seen := r.seen[q.number]
	if !seen {
		var err error
		if topics, err = r.topicsOf(ctx, q); err != nil {
			return err
		}
		r.seen[q.number] = topics
		r.log.Info("an operator's request is carried out", "request", q.number, "kind", q.kind, "topics", topics)
	}
	busy := !seen
	for _, name := range topics {
		busy = r.topic(name).inFlow(!seen) || busy
	}
	return r.store.use(ctx, "report on a request", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, r.sql.requestProgress, r.lease.owner, r.lease.epoch, q.number, !busy)
		return err
	})
}

func (r *requests) topicsOf(ctx context.Context, q request) (topics []string, err error) {
	if q.kind == "release" {
		var arguments struct {
			Topics []string `json:"topics"`
		}
		if err := json.Unmarshal(q.arguments, &arguments); err != nil {
			return nil, fmt.Errorf("read request %d: %w", q.number, err)
		}
		return arguments.Topics, nil
	}
	err = r.store.use(ctx, "read a request's topics", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, r.sql.redriveTopics, q.number)
		if err != nil {
			return err
		}
		topics, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return topics, err
}

// inFlow tells whether a flow is under way or wanted; it may ask for one.
func (tp *topic) inFlow(ask bool) bool {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if ask {
		tp.wantFlow()
	}
	return tp.flowDue || tp.flow != nil
}
