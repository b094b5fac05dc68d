package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func newParkedList(sys system) *cobra.Command {
	var o operator
	var s admin.Selector
	var limit int64
	settings := append(selectors(&s), states(&s.States),
		number(&limit, "limit", "at most so many", 0, "all"))
	return configure(&cobra.Command{
		Use:   "list",
		Short: "List parked events, and those held behind them",
		Long: `Lists events that are set aside, oldest first:

  parked     refused by the broker: redrive or discard them
  held       behind a parked event of their key
  deferred   waiting for their topic; they go on by themselves
  scheduled  waiting for their time`,
		Example: `  tandem parked list --topic orders --limit 20
  tandem parked list --state all --json | jq -r '.[].reason' | sort | uniq -c`,
	}, sys, append(settings, o.reading()...), func(ctx context.Context) error {
		s.Limit = int(limit)
		return o.do(ctx, func(ctx context.Context, desk *admin.Operator) error {
			return printList(sys, o.asJSON, desk.List(ctx, s), parkedTable, func(e admin.Event) any { return e })
		})
	})
}

// states is the flag --state.
func states(to *[]admin.State) *setting {
	return stateFlag(to, admin.States(), "parked,held", "events in these states, or all", "deferred")
}

// allStates stands for every state.
const allStates = "all"

// stateFlag is a list of the states there are, or all of them.
func stateFlag[S ~string](to *[]S, all []S, initially, usage, example string) *setting {
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, string(s))
	}
	return &setting{
		name: "state", kind: "states", flagOnly: true, join: ",", shown: initially,
		usage:   usage,
		allowed: strings.Join(names, ", ") + ", more than one separated by commas, or all", example: example,
		values: append(names, allStates),
		parse: func(text string) error {
			*to = nil
			for name := range strings.SplitSeq(text, ",") {
				state := S(strings.TrimSpace(name))
				switch {
				case state == allStates:
					*to = all
					return nil
				case !slices.Contains(all, state):
					return fmt.Errorf("%q is none of them", state)
				}
				*to = append(*to, state)
			}
			return nil
		},
	}
}

// parkedTable is how a list of events looks to people.
var parkedTable = table[admin.Event]{
	header: "ID\tTOPIC\tKEY\tSTATE\tATTEMPTS\tSINCE\tREASON",
	none:   "no event that is set aside matches",
	line: func(e admin.Event) string {
		key := "-"
		if e.Key != nil {
			key = printable(*e.Key, 40)
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s",
			e.ID, e.Topic, key, e.State, e.Attempts, e.ParkedAt.Format(time.RFC3339), printable(e.Reason, 100))
	},
}
