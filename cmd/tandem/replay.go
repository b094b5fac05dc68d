package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func newReplay(sys system) *cobra.Command {
	var o operator
	var s admin.ReplaySelector
	var rate int64
	return configure(&cobra.Command{
		Use:   "replay",
		Short: "Have published events published again, on purpose",
		Long: `Asks the working relay to publish events again that it has published: those that
match every selector, or all that the log still has, in order of position. The
log has what was published since its oldest leaf; "tandem relay --keep-leaves"
keeps more of them.

The records have the same ids, so that an inbox takes them for duplicates, and a
header tandem-replay with the request's number. Live events go on meanwhile. What
was to be sent at most once, or has expired, is left out.`,
		Example: `  tandem replay --topic orders --from 2h --dry-run
  tandem replay --from 2026-01-31T08:00:00Z --to 2026-01-31T09:00:00Z --rate 200 --yes --wait`,
	}, sys, append([]*setting{
		moment(&s.From, "from", "events written then or later"),
		moment(&s.To, "to", "events written before"),
		number(&s.FromPosition, "from-position", "events from this position on", 1, "the first"),
		number(&s.ToPosition, "to-position", "events up to this position", 1, "the last"),
		flagText(&s.Topic, "topic", "name", "events for this topic", "orders"),
		flagText(&s.Key, "key", "key", "events with this key", "customer-7"),
		flagText(&s.Type, "type", "name", "events of this type", "order.placed"),
		number(&rate, "rate", "how many events a second", 1, fmt.Sprint(admin.DefaultRate)),
	}, o.changing()...), func(ctx context.Context) error {
		s.Rate = int(min(rate, 1_000_000))
		if problems := contradictions(s); problems != nil {
			return &usageError{problems}
		}
		if err := o.mayAsk(sys); err != nil {
			return err
		}
		return o.do(ctx, func(ctx context.Context, desk *admin.Operator) error { return o.replay(ctx, sys, desk, s) })
	})
}

func contradictions(s admin.ReplaySelector) (problems []string) {
	if !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To) {
		problems = append(problems, fmt.Sprintf("--from %s is not before --to %s", s.From.Format(time.RFC3339), s.To.Format(time.RFC3339)))
	}
	if s.ToPosition > 0 && s.FromPosition > s.ToPosition {
		problems = append(problems, fmt.Sprintf("--from-position %d is after --to-position %d", s.FromPosition, s.ToPosition))
	}
	return problems
}

// moment is a time, or a duration before now.
func moment(to *time.Time, name, usage string) *setting {
	return &setting{
		name: name, kind: "time", usage: usage, flagOnly: true,
		allowed: "a time with its zone (RFC 3339), or a duration ago", example: "2026-01-31T08:00:00Z, or 2h",
		parse: func(text string) error {
			if t, err := time.Parse(time.RFC3339, text); err == nil {
				*to = t
				return nil
			}
			ago, err := time.ParseDuration(text)
			if err != nil || ago < 0 {
				return errors.New("it is neither")
			}
			*to = time.Now().Add(-ago)
			return nil
		},
	}
}

func (o *operator) replay(ctx context.Context, sys system, desk *admin.Operator, s admin.ReplaySelector) error {
	if o.dryRun || !o.yes {
		found, err := desk.CountReplay(ctx, s)
		if err != nil {
			return err
		}
		if o.dryRun && o.asJSON {
			return printJSON(sys, found)
		}
		if o.dryRun {
			fmt.Fprintf(sys.stdout, "dry run: %s\n", matching(found))
			return nil
		}
		if found.Events > 0 {
			if err := o.confirm(sys, matching(found)); err != nil {
				return err
			}
		}
	}
	r, err := desk.Replay(ctx, s, o.who())
	if err != nil {
		return err
	}
	return o.asked(ctx, sys, desk, r, fmt.Sprintf("%d events are to be published again", r.Total))
}

func matching(found admin.Replayable) string {
	if found.KeptFrom == nil {
		return (&admin.NotKeptError{}).Error()
	}
	return fmt.Sprintf("%d events would be published again; the log has published ones from position %d (%s) on",
		found.Events, *found.KeptFrom, found.KeptSince.Format(time.RFC3339))
}
