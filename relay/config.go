package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/pgtext"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Config says which log to relay and how. Database and Publisher are required;
// the defaults of the rest are the fast ones.
type Config struct {
	// Database is how to connect, from pgx.ParseConfig. The relay opens
	// connections of its own: one while it stands by, with which it later saves
	// and renews the lease; while it works three more, to read the log, to read
	// what is set aside, and to give space back and measure the backlog; and from
	// the first replay on a fifth. At its start there are two, to see that no
	// pooler shares them with others by transaction.
	Database *pgx.ConnConfig

	// BeforeConnect is called before each connection is opened, with a copy of
	// Database that it may change: for passwords and certificates that are
	// renewed while the relay runs. Its error is a failed connection. Optional.
	BeforeConnect func(context.Context, *pgx.ConnConfig) error

	// Publisher sends the events.
	Publisher Publisher

	// Schema is Tandem's schema in the database. Defaults to "tandem".
	Schema string

	// Lease is for how long a relay that has vanished keeps others from taking
	// over. It is renewed every third of it. Shorter means a quicker takeover,
	// and fewer seconds that the database may be slow before the working relay
	// has to stop. At least 300ms. Defaults to 5s.
	Lease time.Duration

	// Holder names this relay to people, in the lease. Defaults to host/pid.
	Holder string

	// MinPoll and MaxPoll bound the pause between two looks at the log, which is
	// a sixteenth of the time since the last event was seen; after 10s without
	// any it is twice MaxPoll. Default to 1ms and 50ms.
	MinPoll, MaxPoll time.Duration

	// SaveEvery is the least time between two saves of the checkpoint: what
	// was acknowledged after the last one is published again if the relay is
	// killed. Defaults to 20ms.
	SaveEvery time.Duration

	// PageEvents and PageBytes bound one read from the log; a page ends at
	// whichever comes first, after at least one event. Default to 6,000 events
	// and 2 MiB.
	PageEvents, PageBytes int

	// BytesInFlight bounds what is read and not yet acknowledged, and with it
	// the relay's memory. At least twice PageBytes. Defaults to 16 MiB.
	BytesInFlight int

	// BatchEvents and BatchBytes bound one request to the broker. A batch must
	// fit the broker's message.max.bytes (1,048,576 by default) with its
	// envelope. A larger single event is sent alone. Default to 2,000 events
	// and 900,000 bytes.
	BatchEvents, BatchBytes int

	// StartTimeout is how long Run waits for a database or broker that cannot
	// be reached. What is wrong rather than unreachable (a password, the
	// schema, a standby) ends Run at once. Defaults to 30s.
	StartTimeout time.Duration

	// TopicTimeout is how long events wait in memory for a topic or partition
	// that cannot be written to, before they are set aside in the database so
	// that the checkpoint and the other topics go on. It is less when memory is
	// short; for a partition it counts from when others are seen to be served.
	// Defaults to 5s.
	TopicTimeout time.Duration

	// DrainTimeout is how long Run goes on, after its context has ended, to
	// publish what it has read and to save. Defaults to 10s.
	DrainTimeout time.Duration

	// KeepLeaves is how many leaves of the log, each of 131,072 positions, are
	// kept after they have been published, so that they can be replayed; the
	// newest. At most 14 of the ring's 16. Defaults to 0: then what the leaf being
	// written still has can be replayed.
	KeepLeaves int

	// SyncStandbys publishes events only when they are on the standbys that
	// synchronous_standby_names names too, so that a failover to one of them
	// loses nothing that was published, whatever the synchronous_commit of the
	// writers. It costs one commit that waits for them for each read that finds
	// something. A server that names none is refused, whenever the relay connects.
	//
	// While too few of the standbys answer, no commit returns, those that renew
	// the lease neither. Nothing is published then: the term ends within a lease
	// time, and each relay tries to acquire the lease, in vain, until they are
	// back. What was acknowledged and not saved before that is published again.
	// Defaults to the relay's own server's disk alone.
	SyncStandbys bool

	// UntilEmpty makes Run end, without error, when everything that was
	// visible when it acquired the lease is published, set aside or dropped by its
	// own rule; Stats counts. Where another relay holds the lease it waits
	// StartTimeout for it.
	UntilEmpty bool

	// WarnBacklogBytes and WarnBacklogAge are limits of the log's size on disk and
	// of how long ago the oldest event that is not published was written: beyond
	// them the relay says so, in its log once and in Backlog. Default to 0, none.
	WarnBacklogBytes int64
	WarnBacklogAge   time.Duration

	// DiskBytes is what the log may take on its disk, for Backlog to tell when it
	// will be full. Defaults to 0, not known.
	DiskBytes int64

	// Version is the program's, for people who look at who relays. Optional.
	Version string

	// Hooks observe the work, for metrics and traces. Optional.
	Hooks Hooks

	// Logger gets every change of state once, not every attempt. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// withDefaults returns a copy with every field set.
func (c Config) withDefaults() Config {
	host, _ := os.Hostname()
	c.Schema = cmp.Or(c.Schema, schema.Default)
	c.Lease = cmp.Or(c.Lease, 5*time.Second)
	c.Holder = cmp.Or(c.Holder, fmt.Sprintf("%s/%d", host, os.Getpid()))
	c.MinPoll = cmp.Or(c.MinPoll, time.Millisecond)
	c.MaxPoll = cmp.Or(c.MaxPoll, 50*time.Millisecond)
	c.SaveEvery = cmp.Or(c.SaveEvery, 20*time.Millisecond)
	c.PageEvents = cmp.Or(c.PageEvents, 6000)
	c.PageBytes = cmp.Or(c.PageBytes, 2<<20)
	c.BytesInFlight = cmp.Or(c.BytesInFlight, 16<<20)
	c.BatchEvents = cmp.Or(c.BatchEvents, 2000)
	c.BatchBytes = cmp.Or(c.BatchBytes, 900_000)
	c.StartTimeout = cmp.Or(c.StartTimeout, 30*time.Second)
	c.TopicTimeout = cmp.Or(c.TopicTimeout, 5*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// check reports everything that is wrong, not only the first thing.
func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("relay: "+format, args...)) }
	if c.Database == nil {
		bad("Config.Database is nil: set it from pgx.ParseConfig")
	}
	if c.Publisher == nil {
		bad("Config.Publisher is nil: set it from relaykafka.New")
	}
	if err := schema.Check(c.Schema); err != nil {
		bad("Config.Schema: %w", err)
	}
	for _, f := range []struct{ name, value string }{{"Holder", c.Holder}, {"Version", c.Version}} {
		if f.value != pgtext.Repaired(f.value, len(f.value)) {
			bad("Config.%s is %q, which Postgres cannot keep: it must be UTF-8 without zero bytes", f.name, f.value)
		}
	}
	if c.Lease < 300*time.Millisecond {
		bad("Config.Lease is %v, it must be at least 300ms", c.Lease)
	}
	if c.MinPoll < 0 || c.MaxPoll < c.MinPoll {
		bad("Config.MinPoll is %v and Config.MaxPoll is %v: the first must be positive and no longer than the second", c.MinPoll, c.MaxPoll)
	}
	if c.KeepLeaves < 0 || c.KeepLeaves > maxKeepLeaves {
		bad("Config.KeepLeaves is %d, it must be 0 to %d: the log is a ring of %d leaves, and comes round", c.KeepLeaves, maxKeepLeaves, leaves)
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"PageEvents", c.PageEvents}, {"PageBytes", c.PageBytes}, {"BatchEvents", c.BatchEvents}, {"BatchBytes", c.BatchBytes},
	} {
		if f.value < 1 {
			bad("Config.%s is %d, it must be at least 1", f.name, f.value)
		}
	}
	if c.BytesInFlight < 2*c.PageBytes {
		bad("Config.BytesInFlight is %d, it must be at least twice PageBytes, which is %d", c.BytesInFlight, c.PageBytes)
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"SaveEvery", c.SaveEvery}, {"StartTimeout", c.StartTimeout}, {"TopicTimeout", c.TopicTimeout}, {"DrainTimeout", c.DrainTimeout},
	} {
		if f.value < 0 {
			bad("Config.%s is %v, it must be positive", f.name, f.value)
		}
	}
	if c.WarnBacklogBytes < 0 || c.DiskBytes < 0 || c.WarnBacklogAge < 0 {
		bad("Config.WarnBacklogBytes is %d, WarnBacklogAge %v, DiskBytes %d: none may be negative", c.WarnBacklogBytes, c.WarnBacklogAge, c.DiskBytes)
	}
	if c.DiskBytes > 0 && c.WarnBacklogBytes > c.DiskBytes {
		bad("Config.WarnBacklogBytes is %d, more than Config.DiskBytes, which is %d: it would warn when the disk is full", c.WarnBacklogBytes, c.DiskBytes)
	}
	return errors.Join(errs...)
}
