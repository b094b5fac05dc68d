package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/internal/advice"
)

func newInboxStatus(sys system) *cobra.Command {
	var o operator
	return configure(&cobra.Command{
		Use:   "status",
		Short: "Show consumers, their partitions and lag, what is set aside, the storage of ids",
		Long: `Shows, from the database alone, and whether or not a consumer runs:

  consumers   what is set aside, skipped, discarded; what becomes of ids that cannot
              be proved new, and how many of them were processed
  partitions  who has each and since when, its lag and state. Offsets and lag are the
              owner's word, some seconds old
  storage     from when to when ids can be told from duplicates; how many there are,
              an estimate (~) above 1,000
  wrong       what needs somebody, and what to do

Services that call inbox.Once alone have no line: they are in no table but the ids'.`,
		Example: `  tandem inbox status
  tandem inbox status --json | jq '[.consumers[].partitions[].lag] | add'`,
	}, sys, o.reading(), func(ctx context.Context) error {
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			s, err := desk.Status(ctx)
			switch {
			case err != nil:
				return err
			case o.asJSON:
				return printJSON(sys, struct {
					inboxadmin.Status
					Findings []inboxadmin.Finding `json:"findings"`
				}{s, append([]inboxadmin.Finding{}, s.Findings()...)})
			}
			return inboxStatusText(sys.stdout, s)
		})
	})
}

// inboxStatusText is a Status for people.
func inboxStatusText(to io.Writer, s inboxadmin.Status) error {
	w := bufio.NewWriter(to)
	if len(s.Consumers) == 0 {
		fmt.Fprintln(w, "consumers  none of Kafka's has worked here")
	}
	for _, c := range s.Consumers {
		inboxConsumer(w, s.At, c)
	}
	inboxStorage(w, s.Storage)
	for _, f := range s.Findings() {
		fmt.Fprintf(w, "%-9s  %s\n           do: %s\n           see: %s\n", f.Severity, f.Problem, f.Remedy, advice.Runbook(f.Code))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return inboxPartitions(to, s)
}

func inboxConsumer(w io.Writer, at time.Time, c inboxadmin.Consumer) {
	a := c.Aside
	fmt.Fprintf(w, "consumer   %s: %d parked, %d retrying, %d held", printable(c.Consumer, 255), a.Parked, a.Retrying, a.Held)
	if a.Oldest != nil {
		fmt.Fprintf(w, ", the oldest for %s", ageText(at.Sub(*a.Oldest).Seconds()))
	}
	if a.UnderWay > 0 {
		fmt.Fprintf(w, " (%d to be handled again)", a.UnderWay)
	}
	fmt.Fprintf(w, "; %s%d skipped, %d discarded", sign(c.More, "≥ "), c.Skipped, c.Discarded)
	if c.Unprovable == "process" || c.Late > 0 {
		fmt.Fprintf(w, "; ids that cannot be proved new: %s, %d processed", c.Unprovable, c.Late)
	}
	fmt.Fprintln(w)
}

func inboxStorage(w io.Writer, s inboxadmin.Storage) {
	fmt.Fprintf(w, "storage    %s%d ids in %d leaves, %s%d foreign ids, %s on disk", sign(!s.IDsCounted, "~"), s.IDs, s.Leaves, sign(!s.ForeignCounted, "~"), s.Foreign, bytesText(s.Bytes))
	if s.Floor != nil && s.Ceiling != nil {
		fmt.Fprintf(w, "; ids made from %s to %s can be proved new", s.Floor.Format(time.DateOnly), s.Ceiling.Format(time.DateOnly))
	}
	fmt.Fprintln(w)
}

func inboxPartitions(to io.Writer, s inboxadmin.Status) error {
	columns := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	n := 0
	for _, c := range s.Consumers {
		for _, p := range c.Partitions {
			if n++; n == 1 {
				fmt.Fprintln(columns, "\nCONSUMER\tPARTITION\tOWNER\tSINCE\tSEEN\tSTATE\tNEXT\tLAG\tPARKED\tRETRYING\tHELD\tWHY")
			}
			ago := func(t time.Time) string { return ageText(s.At.Sub(t).Seconds()) }
			state := p.State
			if p.Unseen {
				state = "unseen"
			}
			fmt.Fprintf(columns, "%s\t%s/%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", printable(c.Consumer, 40), p.Topic, p.Partition,
				printable(p.Owner, 60), ago(p.Since), ago(p.SeenAt), orDash(state), orUnknown(p.Next), orUnknown(p.Lag),
				p.Aside.Parked, p.Aside.Retrying, p.Aside.Held, printable(p.Why, 100))
		}
	}
	return columns.Flush()
}

func orUnknown(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
