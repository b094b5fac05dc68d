package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
)

// statusText is a Status for people.
func statusText(to io.Writer, s admin.Status) error {
	w := bufio.NewWriter(to)
	statusRelays(w, s)
	statusLag(w, s.Lag)
	a := s.Aside
	fmt.Fprintf(w, "aside    %s%d parked, %d held, %d deferred, %d scheduled; %d expired, %d discarded\n",
		sign(a.More, "≥ "), a.Parked, a.Held, a.Deferred, a.Scheduled, a.Expired, a.Discarded)
	fmt.Fprintf(w, "log      %d of %d leaves in use, %s on disk", s.Log.LeavesUse, s.Log.Leaves, bytesText(s.Log.Bytes))
	if s.DiskFullSeconds > 0 {
		fmt.Fprintf(w, "; the disk is full in %s at this rate", ageText(s.DiskFullSeconds))
	}
	fmt.Fprintln(w)
	for _, warning := range s.Warnings {
		fmt.Fprintf(w, "warning  %s\n", warning)
	}
	statusHolding(w, s)
	if err := w.Flush(); err != nil {
		return err
	}
	return statusTopics(to, s.Topics)
}

func statusRelays(w io.Writer, s admin.Status) {
	led := false
	for _, r := range s.Relays {
		led = led || r.Leads
	}
	switch {
	case !s.Lease.Held && s.Lease.Epoch == 0:
		fmt.Fprintln(w, "leads    nobody, nor has anybody yet")
	case !s.Lease.Held:
		fmt.Fprintf(w, "leads    nobody; the last was %s (epoch %d)\n", s.Lease.Holder, s.Lease.Epoch)
	case !led: // it has not written its row yet, or that of a relay that went away without a word
		fmt.Fprintf(w, "leads    %s (epoch %d), of which nothing more is known\n", s.Lease.Holder, s.Lease.Epoch)
	}
	for _, r := range s.Relays {
		about := fmt.Sprintf("started %s ago", ageText(s.At.Sub(r.StartedAt).Seconds()))
		if r.Version != "" {
			about += ", " + r.Version
		}
		if r.Silent {
			about += fmt.Sprintf("; not heard of for %s", ageText(s.At.Sub(r.SeenAt).Seconds()))
		}
		if !r.Leads {
			fmt.Fprintf(w, "%-8s %s, %s\n", notLeading(r), r.Holder, about)
			continue
		}
		fmt.Fprintf(w, "leads    %s for %s (epoch %d, lease ends in %s), %s\n", r.Holder, ageText(s.At.Sub(*s.Lease.AcquiredAt).Seconds()),
			s.Lease.Epoch, ageText(s.Lease.ExpiresAt.Sub(s.At).Seconds()), about)
	}
}

// notLeading is what a relay without the lease is. Its last words may be older than
// that: one that was killed has said that it relays.
func notLeading(r admin.Relay) string {
	switch {
	case r.Silent:
		return "gone"
	case r.State == relay.Relaying.String():
		return "no lease"
	}
	return r.State
}

func statusLag(w io.Writer, l admin.Lag) {
	fmt.Fprintf(w, "lag      %s", amountText(l.Amount))
	if l.Unread == nil {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, ": %s not read; %s read, not acknowledged; %s acknowledged, not saved\n",
		amountText(*l.Unread), amountText(*l.InFlight), amountText(*l.Acknowledged))
}

func amountText(a admin.Amount) string {
	if a.Events == 0 {
		return "0 events"
	}
	about := sign(a.Estimated, "~")
	text := fmt.Sprintf("%s%d events, %s%s", about, a.Events, about, bytesText(a.Bytes))
	if a.Seconds > 0 {
		text += ", " + ageText(a.Seconds)
	}
	return text
}

func statusHolding(w io.Writer, s admin.Status) {
	for _, t := range s.Transactions {
		fmt.Fprintf(w, "holding  %s: pid %d of %s", map[string]string{
			"events": "its own events, and the leaves they are in", "leaves": "the leaves that it has read", "rows": "dead rows from being vacuumed",
		}[t.Holds], t.PID, t.User)
		if t.Hidden {
			fmt.Fprintln(w, ", of which this login sees no more (GRANT pg_read_all_stats)")
			continue
		}
		fmt.Fprintf(w, " (%q, %s, for %s): %s\n", t.Application, t.State, ageText(t.Seconds), t.Query)
	}
	for _, p := range s.Prepared {
		fmt.Fprintf(w, "holding  what it wrote: prepared transaction %q of %s, for %s\n", p.ID, p.Owner, ageText(p.Seconds))
	}
	for _, slot := range s.Slots {
		fmt.Fprintf(w, "slot     %s (%s) keeps %s of WAL\n", slot.Name, map[bool]string{true: "active", false: "not active"}[slot.Active], bytesText(slot.Bytes))
	}
}

func statusTopics(to io.Writer, topics []admin.Topic) error {
	if len(topics) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nTOPIC\tBACKLOG\tOLDEST\tPARKED\tHELD\tDEFERRED\tSCHEDULED\tTROUBLE")
	for _, t := range topics {
		oldest, trouble := "", t.Trouble
		if t.Backlog > 0 {
			oldest = ageText(t.Seconds)
		}
		if t.SetAside {
			trouble += " (its events are set aside)"
		}
		fmt.Fprintf(table, "%s\t%s%d\t%s\t%d\t%d\t%d\t%d\t%s\n", t.Topic, sign(t.More, "≥"), t.Backlog, oldest, t.Parked, t.Held, t.Deferred, t.Scheduled, strings.TrimSpace(trouble))
	}
	return table.Flush()
}

func sign(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}

// ageText is a duration of which nobody wants more than two figures.
func ageText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return shortest(d.Round(time.Second))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func bytesText(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/1000, 0
	for value >= 1000 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[i])
}

// shortest is 1h for what short calls 1h0m.
func shortest(d time.Duration) string {
	text := short(d)
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
