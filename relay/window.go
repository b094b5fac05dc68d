package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// window reads a frozen window by position, page after page, in PostgreSQL's
// pipeline mode: the server is asked for the next page before the one before it is
// read, so that it need not wait for us. Each page is a statement with a snapshot
// and a Sync of its own, so that locks and snapshots end with it.
//
// What can be asked for ahead is a range of positions. Where nearly every position
// has an event of the window, one of as many positions as a page may have events;
// else the whole rest, and what the page's limits have left of it is asked for
// after that. Nothing is asked for without room for it: its statement would wait
// for the broker with the log locked and a snapshot held.
type window struct {
	*term
	conn     *pgx.Conn
	pipeline *pgconn.Pipeline
	ctx      context.Context // the pipeline's
	cancel   context.CancelCauseFunc
	page     *pgconn.StatementDescription

	asked   []span
	askedTo int64 // what is beyond it has not been asked for
	high    int64
	large   bool // it may hold events of more than 2 kB
	dense   bool
	limit   int // the next page's, in events
	fixed   [][]byte
}

// span asks for the events above after and not above upTo, so many at most.
type span struct {
	after, upTo int64
	limit       int
}

// pagesAhead is how many pages are asked for while one is read.
const pagesAhead = 2

// pageFormats are those of eventColumns: texts as they are, all else in binary.
var pageFormats = []int16{1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}

// openWindow begins to read the window at. Its end is close.
func (r *reader) openWindow(ctx context.Context, at checkpoint, large bool) (*window, error) {
	w := &window{term: r.term, conn: r.conn, askedTo: at.done, high: at.high, large: large, limit: r.cfg.PageEvents}
	name, statement := "tandem_small_page", r.sql.smallPage
	if large {
		name, statement = "tandem_page", r.sql.page
	}
	preparing, stop := r.statement(ctx)
	defer stop()
	var err error
	if w.page, err = r.conn.Prepare(preparing, name, statement); err != nil {
		return nil, fmt.Errorf("prepare to read the log: %w", because(preparing, err))
	}
	claims, err := r.conn.TypeMap().Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, r.claims.earlier, nil)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	w.fixed = [][]byte{[]byte(at.prev), []byte(at.cur), nil, nil, nil, claims}
	if large {
		w.fixed = append(w.fixed, strconv.AppendInt(nil, int64(r.cfg.PageBytes), 10))
	}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.pipeline = r.conn.PgConn().StartPipeline(w.ctx)
	readInBulk(r.conn, true)
	return w, nil
}

// close ends the window. Answers that nobody has read cost the connection.
func (w *window) close() {
	if len(w.asked) > 0 {
		w.cancel(errNotWanted)
	}
	_ = w.pipeline.Close()
	w.cancel(errNotWanted)
	readInBulk(w.conn, false)
}

var errNotWanted = errors.New("the window is not read any more")

// ask asks for pages up to the number that is wanted, as far as there is room for
// them beside so many bytes.
func (w *window) ask(wanted, bytes int) error {
	before := len(w.asked)
	for len(w.asked) < wanted && w.askedTo < w.high {
		if len(w.asked) > 0 && (!w.dense || !w.tracker.fits(bytes+(len(w.asked)+1)*w.cfg.PageBytes)) {
			break
		}
		s := span{after: w.askedTo, upTo: w.high, limit: w.limit}
		if w.dense && w.high-w.askedTo > int64(w.limit) {
			s.upTo, s.limit = w.askedTo+int64(w.limit), w.limit+1 // all of it is a page
		}
		w.fixed[2] = strconv.AppendInt(nil, s.after, 10)
		w.fixed[3] = strconv.AppendInt(nil, s.upTo, 10)
		w.fixed[4] = strconv.AppendInt(nil, int64(s.limit), 10)
		w.pipeline.SendQueryStatement(w.page, w.fixed, nil, pageFormats)
		w.pipeline.SendPipelineSync()
		w.asked, w.askedTo = append(w.asked, s), s.upTo
	}
	if len(w.asked) == before {
		return nil
	}
	if err := w.pipeline.Flush(); err != nil {
		return fmt.Errorf("ask for a page of the log: %w", because(w.ctx, err))
	}
	return nil
}

// read reads the next page into p, and returns up to where the window is read.
func (w *window) read(p *page, names *interned) (done int64, err error) {
	late := time.AfterFunc(w.readTimeout, func() { w.cancel(noAnswer(w.readTimeout)) })
	defer late.Stop()
	if err := w.ask(1+pagesAhead, 0); err != nil {
		return 0, err
	}
	s := w.asked[0]
	if err := w.decode(p, names); err != nil {
		return 0, fmt.Errorf("read a page of the log: %w", because(w.ctx, err))
	}
	w.asked = append(w.asked[:0], w.asked[1:]...)
	events, volume := len(p.items), p.volume()
	done = s.upTo
	if events == s.limit || w.large && events > 0 && volume >= w.cfg.PageBytes { // one of its limits has ended it
		done = p.last
		w.askedTo = done
	}
	if events > 0 {
		// Twice what would have fitted: large events are not skimmed over in
		// vain, and small ones soon fill pages again.
		w.limit = min(max(2*w.cfg.PageBytes/(volume/events+1), 64), w.cfg.PageEvents)
	}
	w.dense = !w.large && int64(2*events) >= done-s.after
	return done, nil
}

func (w *window) decode(p *page, names *interned) error {
	results, err := w.pipeline.GetResults()
	if err != nil {
		return err
	}
	rows, ok := results.(*pgconn.ResultReader)
	if !ok {
		return fmt.Errorf("the server's answers are out of step: %T", results)
	}
	for rows.NextRow() {
		if err := p.decode(rows.Values(), names); err != nil {
			return err
		}
	}
	if _, err := rows.Close(); err != nil {
		return err
	}
	_, err = w.pipeline.GetResults() // of the Sync
	return err
}
