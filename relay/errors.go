package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// SetupError means that something about the database is wrong rather than out
// of reach: waiting would not mend it.
type SetupError struct {
	Code    string // its heading in docs/operating.md; empty for several problems at once
	Problem string
	Remedy  string
	Err     error // the cause, where there is one
}

func (e *SetupError) Error() string {
	text := "relay: " + e.Problem
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

func (e *SetupError) Unwrap() error { return e.Err }

// UnreachableError means that the database or the broker did not answer within
// Config.StartTimeout, or that another relay kept the lease for as long.
type UnreachableError struct {
	What string // "database", "broker" or "lease"
	Err  error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("relay: %s: %v", e.What, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

var (
	// errLeaseLost ends a term: another relay has, or may have, the lease.
	errLeaseLost = errors.New("the lease is lost")
	// errLost ends the one attempt of at-most-once events.
	errLost = errors.New("sent at most once, and not acknowledged")
	// errStuck says that a batch is to be set aside.
	errStuck = errors.New("the partition cannot be written to")
	// errTopicAside is why at-most-once events of a topic are not sent.
	errTopicAside = errors.New("the topic cannot be written to")
	// errNoPartition is why a stored event is parked.
	errNoPartition = errors.New("the partition that it asks for does not exist")
	// errAborted ends a drain that was cut short.
	errAborted = errors.New("relay: the drain was cut short: what was acknowledged but not saved will be published again")
)

// final tells whether err must end Run: nothing gets better by trying again.
func final(err error) bool {
	var setup *SetupError
	return errors.As(err, &setup) || errors.Is(err, errAborted)
}

func unreachable(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}

// sqlState returns the SQLSTATE of a Postgres error, "" for any other.
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// explainDatabase turns a database error that waiting will not mend into a
// SetupError. The classes: 28 authorization, 3D unknown database, 42 grants
// and missing objects, 3F missing schema.
func explainDatabase(err error) error {
	state := sqlState(err)
	switch {
	case state == "" || final(err):
		return err
	case strings.HasPrefix(state, "28"):
		return &SetupError{Code: advice.LoginRefused, Problem: "the database refuses the login", Err: err, Remedy: "check user and password in the database URL, and pg_hba.conf"}
	case state == "3D000":
		return &SetupError{Code: advice.DatabaseMissing, Problem: "the database does not exist", Err: err, Remedy: "check the name in the database URL"}
	case state == "42501":
		return &SetupError{Code: advice.Rights, Problem: "the login may not do what a relay does", Err: err, Remedy: "make it a member of the role tandem_relay (GRANT tandem_relay TO the login); if it is a member, SELECT tandem.grant_roles()"}
	case state == "42P01" || state == "3F000" || state == "42883" || state == "42703":
		return &SetupError{Code: advice.SchemaMissing, Problem: "Tandem's schema is missing or incomplete", Err: err, Remedy: "see tandem migrate status: run tandem migrate up, or upgrade this program if the schema is newer"}
	}
	return err
}

// mayPass tells whether an error at connecting may go away by itself: the server
// is starting or stopping, or out of connections. An error without a SQLSTATE
// did not come from a server; one about certificates stays.
func mayPass(err error) bool {
	var untrusted *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var alert tls.AlertError
	if errors.As(err, &untrusted) || errors.As(err, &unknown) || errors.As(err, &alert) {
		return false
	}
	state := sqlState(err)
	return state == "" || strings.HasPrefix(state, "57") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "08")
}

// because adds to the error of a statement why its context ended, if it did.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// passing tells whether err is the end of a context rather than a failure.
func passing(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// noAnswer is why a wait ended. Its text is made when somebody wants to read it:
// every poll of an idle log has one.
type noAnswer time.Duration

func (d noAnswer) Error() string { return "no answer within " + time.Duration(d).String() }
