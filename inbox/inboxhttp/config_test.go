package inboxhttp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*inboxhttp.Config){
		"Consumer":     func(c *inboxhttp.Config) { c.Consumer = strings.Repeat("x", 256) },
		"Scope":        func(c *inboxhttp.Config) { c.Scope = nil },
		"Schema":       func(c *inboxhttp.Config) { c.Schema = "My Schema" },
		"Methods":      func(c *inboxhttp.Config) { c.Methods = []string{"POST", "GET"} },
		"MaxBody":      func(c *inboxhttp.Config) { c.MaxBody = -1 },
		"MaxAnswer":    func(c *inboxhttp.Config) { c.MaxAnswer = 1 << 40 },
		"Retention":    func(c *inboxhttp.Config) { c.Retention = time.Second },
		"BeginTimeout": func(c *inboxhttp.Config) { c.BeginTimeout = -1 },
		"LockTimeout":  func(c *inboxhttp.Config) { c.LockTimeout = time.Microsecond },
		"IdleTimeout":  func(c *inboxhttp.Config) { c.IdleTimeout = 25 * time.Hour },
	} {
		c := inboxhttp.Config{Consumer: "payments", Scope: inboxhttp.OneClient}
		change(&c)
		_, err := inboxhttp.New(c, nil)
		var wrong *inboxhttp.ConfigError
		require.ErrorAs(t, err, &wrong, field)
		require.Equal(t, field, wrong.Field)
		require.Contains(t, err.Error(), "Config."+field+" ")
	}
	_, err := inboxhttp.New(inboxhttp.Config{Methods: []string{"post"}, MaxBody: -1}, nil)
	var all interface{ Unwrap() []error }
	require.True(t, errors.As(err, &all))
	require.Len(t, all.Unwrap(), 4, "everything that is wrong: %v", err)
	_, err = inboxhttp.New(inboxhttp.Config{Consumer: "payments", Scope: inboxhttp.OneClient}, nil)
	require.ErrorContains(t, err, "pool is nil")
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	pool := testinbox.Pool(t, testservers.Migrated(t))
	_, err := inboxhttp.New(inboxhttp.Config{Consumer: "payments", Scope: inboxhttp.OneClient}, pool)
	require.NoError(t, err)
}
