package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func newParked(sys system) *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "parked",
		Short: "Look at events that the broker has refused, and decide about them",
		Long: `An event that the broker will never take as it is gets parked: it is kept with
the reason, and later events of its key are held behind it, in order. Everything
else goes on. Mend the cause, then redrive; or discard. docs/operating.md has a runbook
for each reason.`,
	}, newParkedList(sys), newParkedShow(sys), newParkedRedrive(sys), newParkedDiscard(sys))
}

func newParkedRedrive(sys system) *cobra.Command {
	var o operator
	var s admin.Selector
	return idsAsArguments(configure(&cobra.Command{
		Use:   "redrive",
		Short: "Have parked events sent again",
		Long: `Asks the working relay to send parked events again: those that match every
selector, or all of them. What they hold follows, in order. An event that is
refused again is parked again.`,
		Example: `  tandem parked redrive --dry-run
  tandem parked redrive --topic orders --reason "too large" --yes --wait`,
	}, sys, append(selectors(&s), o.changing()...), func(ctx context.Context) error {
		if err := o.mayAsk(sys); err != nil {
			return err
		}
		return o.do(ctx, func(ctx context.Context, desk *admin.Operator) error { return o.redrive(ctx, sys, desk, s) })
	}))
}

func (o *operator) redrive(ctx context.Context, sys system, desk *admin.Operator, s admin.Selector) error {
	counts, err := desk.Count(ctx, s)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.wouldTake(sys, counts, "would be sent again")
	}
	if counts.Parked > 0 {
		if err := o.confirm(sys, fmt.Sprintf("%d parked events are to be sent again", counts.Parked)); err != nil {
			return err
		}
	}
	r, err := desk.Redrive(ctx, s, o.who())
	var nothing *admin.NothingError
	if errors.As(err, &nothing) {
		return o.nothing(sys, s, nothing, "redrive those")
	}
	if err != nil {
		return err
	}
	return o.asked(ctx, sys, desk, r, fmt.Sprintf("%d parked events are to be sent again", r.Total))
}

func newParkedDiscard(sys system) *cobra.Command {
	var o operator
	var s admin.Selector
	var all, held bool
	var why string
	return idsAsArguments(configure(&cobra.Command{
		Use:   "discard",
		Short: "Give parked events up, for good",
		Long: `Gives up the parked events that match every selector: they will never be sent.
What they hold goes on. Who decided that, when and why is kept in tandem.dropped;
the events' content is not. Events that are being sent again are left alone.`,
		Example: `  tandem parked discard 01890a5d-ac96-774b-bcce-b302099a8057 --why "test data, ticket 7"
  tandem parked discard --topic orders --key customer-7 --held --dry-run`,
	}, sys, append(append(selectors(&s),
		once(&all, "all", "every parked event; without it a selector is asked for"),
		once(&held, "held", "also events that match and are held behind a parked one"),
		flagText(&why, "why", "text", "the reason, for the record", "test data, ticket 7")),
		o.changing()...), func(ctx context.Context) error {
		if s.Empty() && !all {
			return &usageError{[]string{"say which events: by --id, --topic, --key or --reason, or give --all"}}
		}
		if err := o.mayAsk(sys); err != nil {
			return err
		}
		return o.do(ctx, func(ctx context.Context, desk *admin.Operator) error { return o.discard(ctx, sys, desk, s, held, why) })
	}))
}

func (o *operator) discard(ctx context.Context, sys system, desk *admin.Operator, s admin.Selector, held bool, why string) error {
	counts, err := desk.Count(ctx, s)
	if err != nil {
		return err
	}
	taken := admin.Discarded{Parked: counts.Parked}
	if held {
		taken.Held = counts.Held
	}
	if o.dryRun {
		counts.Held = taken.Held
		return o.wouldTake(sys, counts, "would be discarded")
	}
	if taken.Parked+taken.Held > 0 {
		if err := o.confirm(sys, fmt.Sprintf("%s are to be discarded for good", taken)); err != nil {
			return err
		}
	}
	gone, err := desk.Discard(ctx, s, held, o.who(), why)
	var nothing *admin.NothingError
	if errors.As(err, &nothing) {
		return o.nothing(sys, s, nothing, "discard those, or give --held")
	}
	if err != nil {
		return err
	}
	release := admin.Request{Number: *gone.Release, Kind: "release", By: o.who(), Total: gone.Parked + gone.Held}
	return o.asked(ctx, sys, desk, release, fmt.Sprintf("%s are discarded; what they held goes on", gone))
}

// wouldTake is the result of a dry run.
func (o *operator) wouldTake(sys system, c admin.Counts, what string) error {
	if o.asJSON {
		return printJSON(sys, c)
	}
	fmt.Fprintf(sys.stdout, "dry run: %d parked events %s", c.Parked, what)
	if c.Held > 0 {
		fmt.Fprintf(sys.stdout, "; %d that match are held", c.Held)
	}
	if c.UnderWay > 0 {
		fmt.Fprintf(sys.stdout, "; %d are being sent again already", c.UnderWay)
	}
	fmt.Fprintln(sys.stdout)
	return nil
}

// nothing: to find nothing to do is a failure only where events were named.
func (o *operator) nothing(sys system, s admin.Selector, nothing *admin.NothingError, next string) error {
	if nothing.Held > 0 && nothing.Parked+nothing.UnderWay == 0 {
		return fmt.Errorf("%w; %s", nothing, next)
	}
	if !s.Empty() {
		return nothing
	}
	if o.asJSON {
		return printJSON(sys, nil)
	}
	fmt.Fprintln(sys.stdout, "nothing to do:", nothing)
	return nil
}
