package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Severity of a Finding.
type Severity = advice.Severity

// The severities.
const (
	Wrong    = advice.Wrong    // what breaks a promise, or needs an operator
	Doubtful = advice.Doubtful // what may be meant
)

// Finding is one thing that tandem doctor tells.
type Finding = advice.Finding

// Limits are beyond what something counts as a finding.
type Limits struct {
	Lag         time.Duration // the age of the oldest event that is not published
	Transaction time.Duration // the age of a transaction that holds events or leaves
	Leaves      int           // published leaves that are kept on purpose
}

// DefaultLimits are those of tandem doctor.
func DefaultLimits() Limits {
	return Limits{Lag: time.Minute, Transaction: 5 * time.Minute}
}

// Diagnose looks at what runs: relays, lag, what is set aside, who holds things
// back, and how the server is set. What a relay looks at before it starts is
// relay.Examine's.
func Diagnose(ctx context.Context, conn *pgx.Conn, s Status, limits Limits) ([]Finding, error) {
	d := &diagnosis{Status: s, limits: limits}
	d.relays()
	d.backlog()
	d.setAside()
	d.holding()
	return d.found, explain(d.durability(ctx, conn), "look at the server")
}

type diagnosis struct {
	Status
	limits Limits
	found  []Finding
}

func (d *diagnosis) add(code string, severity Severity, problem, why, remedy string) {
	d.found = append(d.found, Finding{Code: code, Severity: severity, Problem: problem, Why: why, Remedy: schema.Rewrite(remedy, d.Schema)})
}

func (d *diagnosis) relays() {
	standbys := 0
	for _, r := range d.Relays {
		switch {
		case r.Silent && r.Leads:
			d.add(advice.RelaySilent, Doubtful, fmt.Sprintf("relay %s holds the lease and has not been heard of for %s", r.Holder, since(d.At, r.SeenAt)),
				"it may hang, or tandem.relay be locked: status and doctor see no stages", "look at its log")
		case r.Silent: // one that was killed
		case !r.Leads:
			standbys++
		}
	}
	switch {
	case !d.Lease.Held && d.Lease.Epoch == 0:
		d.add(advice.NoRelay, Wrong, "no relay has ever worked here", "events stay in the log", "tandem relay")
	case !d.Lease.Held:
		d.add(advice.NoRelay, Wrong, fmt.Sprintf("no relay works; the last was %s", d.Lease.Holder), "events stay in the log, which grows", "tandem relay")
	case standbys == 0:
		d.add(advice.NoStandby, Doubtful, "no relay stands by", "when the one that works is gone, events wait until somebody starts another", "run tandem relay on another machine too")
	}
}

func (d *diagnosis) backlog() {
	if d.Lag.Seconds > d.limits.Lag.Seconds() && d.Lease.Held {
		d.add(advice.Lag, Wrong, fmt.Sprintf("%d events are not published, the oldest is %s old", d.Lag.Events, age(d.Lag.Seconds)),
			"consumers work on what was true then", "tandem status: its stages and topics say where they wait")
	}
	for _, t := range d.Topics {
		if t.Trouble != "" {
			d.add(advice.TopicTrouble, Wrong, fmt.Sprintf("topic %s: %s", t.Topic, t.Trouble), "its events wait", "mend the topic; its events go on by themselves")
		}
	}
	for _, warning := range d.Warnings {
		d.add(advice.Backlog, Doubtful, warning, "the log's disk may fill up, and then writers fail", "tandem status: see where events wait")
	}
	const leaf = 1 << 17
	if needed := int(d.Lag.Events/leaf) + 2 + d.limits.Leaves; d.Log.LeavesUse > needed+1 {
		d.add(advice.LogSpace, Doubtful, fmt.Sprintf("the log has %d leaves in use, where %d would do for %d events", d.Log.LeavesUse, needed, d.Lag.Events),
			"published events take space that is not given back", "tandem status: end the transactions that hold leaves back, if there are any")
	}
}

func (d *diagnosis) setAside() {
	least := ""
	if d.Aside.More {
		least = "at least "
	}
	if d.Aside.Parked > 0 {
		d.add(advice.Parked, Wrong, fmt.Sprintf("%s%d events are parked, and %d held behind them", least, d.Aside.Parked, d.Aside.Held),
			"the broker has refused them; the keys wait", "tandem parked list, then tandem parked redrive or discard")
	}
	if d.Aside.Deferred > 0 {
		var topics []string
		for _, t := range d.Topics {
			if t.Deferred > 0 {
				topics = append(topics, t.Topic)
			}
		}
		d.add(advice.Deferred, Wrong, fmt.Sprintf("%s%d events are deferred, for %s", least, d.Aside.Deferred, strings.Join(topics, ", ")),
			"the topic could not be written to", "mend the topic (does it exist, may the relay write to it?); its events go on by themselves")
	}
}

func (d *diagnosis) holding() {
	for _, t := range d.Transactions {
		if t.Holds == "rows" || !t.Hidden && t.Seconds < d.limits.Transaction.Seconds() || t.Hidden && t.Holds == "leaves" {
			continue
		}
		what, about := "its own events are not seen, and the leaves they are in not given back", age(t.Seconds)+" old"
		if t.Holds == "leaves" {
			what = "the leaves that it has read are not given back"
		}
		if t.Hidden {
			about = "of which this login sees no more"
		}
		d.add(advice.OpenTx, Doubtful, fmt.Sprintf("a transaction of %s (%s, pid %d), %s, is open: %s", t.User, t.Application, t.PID, about, t.Query), what,
			fmt.Sprintf("find out what it waits for, or SELECT pg_terminate_backend(%d)", t.PID))
	}
	for _, p := range d.Prepared {
		if p.Seconds > d.limits.Transaction.Seconds() {
			d.add(advice.PreparedTx, Doubtful, fmt.Sprintf("prepared transaction %s of %s is %s old", p.ID, p.Owner, age(p.Seconds)),
				"if it wrote events they are not seen, and their leaves not given back; nothing is vacuumed behind it",
				fmt.Sprintf("COMMIT PREPARED '%[1]s' or ROLLBACK PREPARED '%[1]s'", strings.ReplaceAll(p.ID, "'", "''")))
		}
	}
}

// sqlDurability is how the server is set, and for which roles and
// databases otherwise.
const sqlDurability = `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
	ARRAY(SELECT concat_ws(' in ', coalesce('role ' || r.rolname, 'every role'), 'database ' || d.datname)
		FROM pg_db_role_setting AS s LEFT JOIN pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
		WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AND 'synchronous_commit=off' = ANY (s.setconfig)
		ORDER BY 1)`

func (d *diagnosis) durability(ctx context.Context, conn *pgx.Conn) error {
	var fsync, pages, commit string
	var roles []string
	if err := conn.QueryRow(ctx, sqlDurability).Scan(&fsync, &pages, &commit, &roles); err != nil {
		return err
	}
	d.settings(fsync, pages, commit, roles)
	return nil
}

func (d *diagnosis) settings(fsync, pages, commit string, roles []string) {
	if fsync == "off" {
		d.add(advice.FsyncOff, Wrong, "the server runs with fsync = off", "a crash of its machine loses commits, also of events that were published", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()")
	}
	if pages == "off" {
		d.add(advice.PageWritesOff, Doubtful, "the server runs with full_page_writes = off", "a crash of its machine may leave torn pages, unless the disk writes them whole", "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()")
	}
	const why = "a crash loses the last commits, business rows and events alike; nothing is published before it is durable"
	if commit == "off" {
		d.add(advice.SyncCommitOff, Doubtful, "synchronous_commit is off for this login", why, "ALTER SYSTEM, ALTER DATABASE or ALTER ROLE … SET synchronous_commit = on")
	}
	if len(roles) > 0 {
		d.add(advice.SyncCommitOff, Doubtful, "synchronous_commit is off for "+strings.Join(roles, ", "), why, "ALTER ROLE … SET synchronous_commit = on, if its events matter")
	}
}

func since(now, then time.Time) string { return age(now.Sub(then).Seconds()) }

func age(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// MaxEventBytes is the limit of an event that writers are held to.
func MaxEventBytes(ctx context.Context, conn *pgx.Conn, schemaName string) (bytes int, err error) {
	err = conn.QueryRow(ctx, schema.Rewrite(`SELECT max_event_bytes FROM tandem.settings`, schemaName)).Scan(&bytes)
	return bytes, explain(err, "read the settings")
}
