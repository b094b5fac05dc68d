package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Finding is one thing that is wrong, and what to do about it.
type Finding = advice.Finding

// leavesAhead is for how long the inbox must have leaves: they are made a year
// ahead, so something has not been done for eleven months.
const leavesAhead = 30 * 24 * time.Hour

// Diagnose looks for what is wrong with the inbox and its consumers. A login
// without the rights of tandem_consumer, such as a relay's, sees the storage alone,
// and is told so where consumers of Kafka use the inbox.
func (o *Operator) Diagnose(ctx context.Context) ([]Finding, error) {
	const doing = "look at the inbox"
	var readable, used bool
	if err := o.row(ctx, sqlStatusReadable).Scan(&readable, &used); err != nil {
		return nil, explain(err, doing)
	}
	if readable {
		s, err := o.Status(ctx)
		return s.Findings(), err
	}
	d := &diagnosis{Status: Status{Schema: o.schema}}
	if err := o.row(ctx, sqlStatusCeiling).Scan(&d.Storage.Ceiling, &d.At); err != nil {
		return nil, explain(err, doing)
	}
	d.storage()
	if used {
		d.add(advice.InboxHidden, advice.Doubtful, "this login may not see what consumers of Kafka have set aside, nor whether they work",
			"what is wrong there is not looked for", "GRANT tandem_consumer TO the login, or run tandem inbox status with a consumer's login")
	}
	return d.found, nil
}

// Findings are what is wrong by a Status, and what to do about it.
func (s Status) Findings() []Finding {
	if s.At.IsZero() { // it could not be read
		return nil
	}
	d := &diagnosis{Status: s}
	for _, c := range s.Consumers {
		d.parked(c)
		d.owners(c)
	}
	d.storage()
	return d.found
}

type diagnosis struct {
	Status
	found []Finding
}

func (d *diagnosis) add(code string, severity advice.Severity, problem, why, remedy string) {
	d.found = append(d.found, Finding{Code: code, Severity: severity, Problem: problem, Why: why, Remedy: schema.Rewrite(remedy, d.Schema)})
}

func (d *diagnosis) parked(c Consumer) {
	if c.Aside.Parked > 0 {
		d.add(advice.InboxParked, advice.Wrong, fmt.Sprintf("consumer %s: %d messages are parked, and %d held behind what is set aside", c.Consumer, c.Aside.Parked, c.Aside.Held),
			"they could not be handled, and their effects are missing",
			fmt.Sprintf("tandem inbox parked list --consumer %s, mend the cause, then tandem inbox parked redrive or discard", shellWord(c.Consumer)))
	}
}

func (d *diagnosis) owners(c Consumer) {
	var gone []string
	var waiting int64
	for _, p := range c.Partitions {
		name := fmt.Sprintf("%s/%d", p.Topic, p.Partition)
		switch {
		case p.Unseen:
			gone = append(gone, name)
			waiting += p.Aside.Total()
		case p.State == "blocked":
			why := ""
			if p.Why != "" {
				why = ": " + p.Why
			}
			d.add(advice.InboxBlocked, advice.Wrong, fmt.Sprintf("consumer %s: %s is blocked%s", c.Consumer, name, why),
				"nothing of that partition is handled", "mend what it says; it goes on by itself")
		}
	}
	switch {
	case waiting > 0:
		d.add(advice.InboxUnconsumed, advice.Wrong, fmt.Sprintf("consumer %s: nobody consumes %s, where %d messages are set aside", c.Consumer, some(gone), waiting),
			"those are handled by the partition's owner alone: nothing is tried again, and what is asked for stays", "start the consumer")
	case len(gone) > 0:
		d.add(advice.InboxUnconsumed, advice.Doubtful, fmt.Sprintf("consumer %s: nobody consumes %s", c.Consumer, some(gone)),
			"messages wait in Kafka, which deletes them when they are too old",
			fmt.Sprintf("start the consumer; if it has gone for good, as the schema's owner: DELETE FROM tandem.inbox_partition WHERE consumer = '%s'", strings.ReplaceAll(c.Consumer, "'", "''")))
	}
}

func (d *diagnosis) storage() {
	until := d.Storage.Ceiling
	if until != nil && until.Sub(d.At) >= leavesAhead {
		return
	}
	ends := "has no leaves"
	if until != nil {
		ends = "has leaves until " + until.UTC().Format(time.DateOnly)
	}
	d.add(advice.InboxStorage, advice.Doubtful, "the inbox "+ends, "messages of later are refused (TD011)", "tandem inbox maintain; every consumer does it every hour, the relay every day")
}

// some names five of many.
func some(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-_./:@%+=,0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
