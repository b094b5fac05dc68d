package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

func newInboxParked(sys system) *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "parked",
		Short: "Look at messages that consumers could not handle, and decide about them",
		Long: `A message that keeps failing, or cannot be handled at all, gets parked: it is kept
whole in the database with the error, and by the consumer's policy later messages of
its key are held behind it, in order. Everything else goes on. Mend the cause, then
redrive; or discard. docs/operating.md has a runbook for each reason.`,
	}, newInboxParkedList(sys), newInboxParkedShow(sys), newInboxParkedRedrive(sys), newInboxParkedDiscard(sys))
}

func newInboxParkedRedrive(sys system) *cobra.Command {
	var o operator
	var s inboxadmin.Selector
	return idsAsArguments(configure(&cobra.Command{
		Use:   "redrive",
		Short: "Have messages handled again that are set aside",
		Long: `Asks the running consumers for one more attempt at messages that are parked, or
retrying and not due yet: those that match every selector, or all of them. What they
hold follows, in order. A message that fails again is parked.

Such a message is handled even if its id cannot tell it from a duplicate (it has
none, or one older than the inbox remembers): that is your decision. Look first.`,
		Example: `  tandem inbox parked redrive --dry-run
  tandem inbox parked redrive --consumer billing --reason "no such account" --yes --wait`,
	}, sys, append(messageSelectors(&s), o.changingBy("the consumers have", "messages")...), func(ctx context.Context) error {
		if err := o.mayAsk(sys); err != nil {
			return err
		}
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			return o.redriveMessages(ctx, sys, desk, s)
		})
	}))
}

func (o *operator) redriveMessages(ctx context.Context, sys system, desk *inboxadmin.Operator, s inboxadmin.Selector) error {
	counts, err := desk.Count(ctx, s)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.wouldTakeMessages(sys, counts, counts.Held, "would be handled again")
	}
	if n := counts.Parked + counts.Retrying; n > 0 {
		if err := o.confirm(sys, fmt.Sprintf("%d messages are to be handled again", n)); err != nil {
			return err
		}
	}
	r, err := desk.Redrive(ctx, s, o.who())
	var nothing *inboxadmin.NothingError
	if errors.As(err, &nothing) {
		return o.noMessages(sys, s, nothing, "redrive those")
	}
	if err != nil {
		return err
	}
	return o.askedConsumers(ctx, sys, desk, r)
}

func newInboxParkedDiscard(sys system) *cobra.Command {
	var o operator
	var s inboxadmin.Selector
	var all, held bool
	var why string
	settings := append(messageSelectors(&s), messageStates(&s),
		once(&all, "all", "every parked or retrying message; without it a selector is asked for"),
		once(&held, "held", "also messages that match and are held behind one"),
		flagText(&why, "why", "text", "the reason, for the record", "test data, ticket 7"))
	return idsAsArguments(configure(&cobra.Command{
		Use:   "discard",
		Short: "Give messages up that are set aside, for good",
		Long: `Gives up the parked and retrying messages that match every selector: they will
never be handled. What they hold goes on. Who decided that, when and why is kept in
tandem.inbox_dropped; the messages' content is not. Messages that are being handled
again are left alone.

The ids of the messages are recorded as if they had been handled, so that a
repetition of one of them is a duplicate.`,
		Example: `  tandem inbox parked discard 01890a5d-ac96-774b-bcce-b302099a8057 --why "test data, ticket 7"
  tandem inbox parked discard --consumer billing --key customer-7 --held --dry-run`,
	}, sys, append(settings, o.deciding()...), func(ctx context.Context) error {
		if s.Empty() && !all {
			return &usageError{[]string{"say which messages: by --consumer, --id, --topic, --key, --reason or another selector, or give --all"}}
		}
		if err := o.mayAsk(sys); err != nil {
			return err
		}
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			return o.discardMessages(ctx, sys, desk, s, held, why)
		})
	}))
}

func (o *operator) discardMessages(ctx context.Context, sys system, desk *inboxadmin.Operator, s inboxadmin.Selector, held bool, why string) error {
	counts, err := desk.Count(ctx, s)
	if err != nil {
		return err
	}
	taken := inboxadmin.Discarded{First: counts.Parked + counts.Retrying}
	if held {
		taken.Held = counts.Held
	}
	if o.dryRun {
		return o.wouldTakeMessages(sys, counts, taken.Held, "would be discarded")
	}
	if taken.First+taken.Held > 0 {
		if err := o.confirm(sys, fmt.Sprintf("%s are to be discarded for good", taken)); err != nil {
			return err
		}
	}
	gone, err := desk.Discard(ctx, s, held, o.who(), why)
	var nothing *inboxadmin.NothingError
	if errors.As(err, &nothing) {
		return o.noMessages(sys, s, nothing, "discard those, or give --held")
	}
	if err != nil {
		return err
	}
	o.note(sys, "%s are discarded; what they held goes on", gone)
	if o.asJSON {
		return printJSON(sys, gone)
	}
	return nil
}

// wouldTakeMessages is the result of a dry run.
func (o *operator) wouldTakeMessages(sys system, c inboxadmin.Counts, held int64, what string) error {
	if o.asJSON {
		c.Held = held
		return printJSON(sys, c)
	}
	fmt.Fprintf(sys.stdout, "dry run: %d parked and %d retrying messages %s", c.Parked, c.Retrying, what)
	if held > 0 {
		fmt.Fprintf(sys.stdout, "; %d that match are held", held)
	}
	if c.UnderWay > 0 {
		fmt.Fprintf(sys.stdout, "; %d are being handled again already", c.UnderWay)
	}
	fmt.Fprintln(sys.stdout)
	return nil
}

// noMessages: to find nothing to do is a failure only where messages were named.
func (o *operator) noMessages(sys system, s inboxadmin.Selector, nothing *inboxadmin.NothingError, next string) error {
	if len(nothing.Behind) > 0 && nothing.Parked+nothing.Retrying+nothing.UnderWay == 0 {
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
