package relay_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

func TestEveryWrongFieldIsNamedWithItsValues(t *testing.T) {
	t.Parallel()
	database, err := pgx.ParseConfig("postgres://localhost/x")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		spoil func(c *relay.Config)
		names []string
	}{
		"database":  {func(c *relay.Config) { c.Database = nil }, []string{"Config.Database"}},
		"publisher": {func(c *relay.Config) { c.Publisher = nil }, []string{"Config.Publisher"}},
		"schema":    {func(c *relay.Config) { c.Schema = `a"b` }, []string{"Config.Schema", `a\"b`}},
		"holder":    {func(c *relay.Config) { c.Holder = "a\x00" }, []string{"Config.Holder", `a\x00`}},
		"version":   {func(c *relay.Config) { c.Version = "\xff" }, []string{"Config.Version", `\xff`}},
		"lease":     {func(c *relay.Config) { c.Lease = 299 * time.Millisecond }, []string{"Config.Lease", "299ms"}},
		"min poll":  {func(c *relay.Config) { c.MinPoll = -time.Second }, []string{"Config.MinPoll", "-1s"}},
		"polls":     {func(c *relay.Config) { c.MinPoll = time.Second }, []string{"Config.MinPoll", "1s", "Config.MaxPoll", "50ms"}},
		"page":      {func(c *relay.Config) { c.PageEvents = -1 }, []string{"Config.PageEvents", "-1"}},
		"page size": {func(c *relay.Config) { c.PageBytes = -2 }, []string{"Config.PageBytes", "-2"}},
		"batch":     {func(c *relay.Config) { c.BatchEvents = -3 }, []string{"Config.BatchEvents", "-3"}},
		"bytes":     {func(c *relay.Config) { c.BatchBytes = -4 }, []string{"Config.BatchBytes", "-4"}},
		"in flight": {func(c *relay.Config) { c.BytesInFlight, c.PageBytes = 199, 100 }, []string{"Config.BytesInFlight", "199", "PageBytes", "100"}},
		"save":      {func(c *relay.Config) { c.SaveEvery = -1 }, []string{"Config.SaveEvery", "-1ns"}},
		"start":     {func(c *relay.Config) { c.StartTimeout = -1 }, []string{"Config.StartTimeout", "-1ns"}},
		"topic":     {func(c *relay.Config) { c.TopicTimeout = -1 }, []string{"Config.TopicTimeout", "-1ns"}},
		"drain":     {func(c *relay.Config) { c.DrainTimeout = -1 }, []string{"Config.DrainTimeout", "-1ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := relay.Config{Database: database, Publisher: newMemory(1)}
			_, err := relay.New(good)
			require.NoError(t, err)
			c.spoil(&good)
			_, err = relay.New(good)
			for _, text := range c.names {
				require.ErrorContains(t, err, text)
			}
		})
	}

	_, err = relay.New(relay.Config{Lease: time.Millisecond})
	for _, field := range []string{"Database", "Publisher", "Lease"} {
		require.ErrorContains(t, err, "Config."+field, "not all that is wrong is said")
	}
}
