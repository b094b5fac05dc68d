package inboxhttp

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Config says for whom requests are made once, and how. Consumer and Scope are
// required.
type Config struct {
	// Consumer is the name under which answers are kept, 1 to 255 bytes. Under
	// another name every key is new again.
	Consumer string

	// Scope says who the client is, in 1 to 255 bytes: a key means something for
	// its client alone, and nobody is given the answer of another. It sees the
	// request before its body is read. What it returns is stored; an account's
	// number is right, a token is not. An error, or an empty scope, is logged and
	// answered with 500: a request without a client should not have come this
	// far. Where there is one client only, say [OneClient].
	Scope func(*http.Request) (string, error)

	// Schema is Tandem's schema in the database. Defaults to "tandem".
	Schema string

	// OptionalKey says what becomes of a request without an Idempotency-Key.
	// False, the default, answers 400. True runs it in a transaction as any other
	// and keeps nothing: each repetition has its effects again.
	OptionalKey bool

	// Methods are those whose requests are made once. All others are handed on
	// as they are, without a transaction. GET, HEAD, OPTIONS and TRACE, which
	// should have no effects, cannot be among them. Defaults to POST and PATCH.
	Methods []string

	// Commit says whether the effects of a handler that answers with this status,
	// from 200 to 499, are committed. Where they are not the answer is kept all
	// the same. Defaults to status < 400.
	Commit func(status int) bool

	// MaxBody is the greatest size of a request's body in bytes; a larger one is
	// answered with 413. It is read into memory. Defaults to 1 MiB.
	MaxBody int

	// MaxAnswer is the greatest size of an answer, its body and headers, in
	// bytes. A larger one is undone, logged and answered with 500. Defaults to
	// 1 MiB.
	MaxAnswer int

	// Retention is how long an answer is kept. A key that comes again later is
	// new, so it must be longer than any client repeats a request. Defaults to
	// 24h.
	Retention time.Duration

	// BeginTimeout is how long a request waits for a connection of the pool and
	// the answer to its first statements, before it is answered with 503.
	// Defaults to 10s.
	BeginTimeout time.Duration

	// LockTimeout is how long a statement of the handler waits for a lock.
	// Defaults to 5s.
	LockTimeout time.Duration

	// IdleTimeout is how long the transaction may wait for its client: the
	// longest that a handler may take between two statements, and that a frozen
	// process can hold a key. Defaults to 30s.
	IdleTimeout time.Duration

	// Logger gets what went wrong on this side. Neither bodies nor scopes are
	// logged. Defaults to slog.Default().
	Logger *slog.Logger
}

// OneClient is the Scope of a service that has a single client, or whose clients
// may all see each other's answers.
func OneClient(*http.Request) (string, error) { return "one", nil }

// withDefaults returns a copy with every field set that has a default.
func (c Config) withDefaults() Config {
	c.Schema = cmp.Or(c.Schema, schema.Default)
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.MaxAnswer = cmp.Or(c.MaxAnswer, 1<<20)
	c.Retention = cmp.Or(c.Retention, 24*time.Hour)
	c.BeginTimeout = cmp.Or(c.BeginTimeout, 10*time.Second)
	c.LockTimeout = cmp.Or(c.LockTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	if c.Methods == nil {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	if c.Commit == nil {
		c.Commit = func(status int) bool { return status < 400 }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("consumer", c.Consumer)
	return c
}

// ConfigError is one thing that is wrong with a Config.
type ConfigError struct {
	Field   string // as in Config
	Problem string // what it is, and what it should be
}

func (e *ConfigError) Error() string { return "inboxhttp: Config." + e.Field + " " + e.Problem }

// safe methods have no effects, and the answer to HEAD has no body to keep.
var safe = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}

// check reports everything that is wrong, not only the first thing.
func (c Config) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if problem := ids.Problem(ids.ConsumerMax, c.Consumer); problem != "" {
		bad("Consumer", "is no name: %s", problem)
	}
	if c.Scope == nil {
		bad("Scope", "is not set: return who the client is, or set OneClient where there is only one")
	}
	if err := schema.Check(c.Schema); err != nil {
		bad("Schema", "is refused: %v", err)
	}
	if len(c.Methods) == 0 {
		bad("Methods", "is empty: name what is to be made once, or leave it nil for POST and PATCH")
	}
	for _, method := range c.Methods {
		if slices.Contains(safe, method) {
			bad("Methods", "has %s, which should have no effects: take it out", method)
		} else if !isMethod(method) {
			bad("Methods", "has %q: a method is written in upper case, such as POST", method)
		}
	}
	c.checkLimits(bad)
	return errors.Join(errs...)
}

func (c Config) checkLimits(bad func(field, format string, args ...any)) {
	for _, f := range []struct {
		name  string
		value int
	}{{"MaxBody", c.MaxBody}, {"MaxAnswer", c.MaxAnswer}} {
		if f.value < 1 || f.value > 256<<20 {
			bad(f.name, "is %d, it must be from 1 to %d bytes", f.value, 256<<20)
		}
	}
	for _, f := range []struct {
		name     string
		value    time.Duration
		min, max time.Duration
	}{
		{"Retention", c.Retention, time.Minute, 10 * 365 * 24 * time.Hour},
		{"BeginTimeout", c.BeginTimeout, time.Millisecond, 24 * time.Hour},
		{"LockTimeout", c.LockTimeout, time.Millisecond, 24 * time.Hour},
		{"IdleTimeout", c.IdleTimeout, time.Millisecond, 24 * time.Hour},
	} {
		if f.value < f.min || f.value > f.max {
			bad(f.name, "is %v, it must be from %v to %v", f.value, f.min, f.max)
		}
	}
}

// isMethod is narrower than RFC 9110 so that "post" is found out.
func isMethod(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool { return (c < 'A' || c > 'Z') && c != '-' })
}
