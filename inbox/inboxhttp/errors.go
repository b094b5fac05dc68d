package inboxhttp

import (
	"errors"
	"net/http"

	"github.com/tandem-outbox/tandem/internal/pgerror"
)

var (
	errNotYours = errors.New("inboxhttp: the transaction holds the answer too and is ended by the middleware: answer with less than 400 to commit, " +
		"with more to undo, or use tx.Begin for a savepoint")
	errEnded = errors.New("the handler ended the request's transaction itself, by a COMMIT or ROLLBACK statement: " +
		"effects may be committed without an answer, and a repetition makes them again")
	errBusy    = errors.New("the handler returned while it was still reading a result: close its rows")
	errAborted = errors.New("a statement of the handler failed and it answered with less than 400: Postgres cannot commit such a transaction; " +
		"answer with the error, or make the attempt in a savepoint (tx.Begin)")
	errLost = errors.New("the connection to the database was lost")
)

// fault is an error of the handler or the configuration: to ask again does not
// mend it, as it may mend the database's.
type fault struct {
	err   error
	stack []byte // of a panic
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// refuse logs what is not the client's affair, and returns what it is told.
func (m *Middleware) refuse(r *http.Request, err error) answer {
	var p *problem
	if errors.As(err, &p) {
		return p.answer()
	}
	log := m.config.Logger.With("method", r.Method, "path", r.URL.Path, "key", r.Header.Get(keyHeader), "error", err)
	var f *fault
	switch {
	case errors.As(err, &f) && f.stack != nil:
		log.Error("a handler panicked", "stack", string(f.stack))
	case f != nil:
		log.Error("a request was undone")
	case r.Context().Err() != nil:
		log.Info("the client of a request went away")
		return unavailable().answer()
	case passing(err):
		log.Error("a request could not be done, and may be asked for again")
		return unavailable().answer()
	default:
		log.Error("a request was undone by the database", "hint", hint(err))
	}
	return internal().answer()
}

// passing tells whether err may be another time: trouble with the connection, or
// between transactions.
func passing(err error) bool {
	switch c := pgerror.State(err); c {
	case "", // no answer, or none in time
		"40001", "40P01", "55P03", // serialization_failure, deadlock_detected, lock_not_available
		"57P01", "57P02", "57P03", // shut down, crash, starting up
		"25P03", "57P05": // idle time-outs: the connection is gone
		return true
	default:
		return len(c) == 5 && (c[:2] == "08" || c[:2] == "53") // connection exceptions, insufficient resources
	}
}

func hint(err error) string {
	switch pgerror.State(err) {
	case "42P01", "3F000": // undefined_table, invalid_schema_name
		return "run `tandem migrate up`, or correct Config.Schema"
	case "42501": // insufficient_privilege
		return "GRANT tandem_consumer TO the login that the pool connects as"
	case "25006": // read_only_sql_transaction
		return "connect to the primary (target_session_attrs=read-write)"
	}
	return "see the server's log"
}
