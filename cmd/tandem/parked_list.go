package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

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
			out := bufio.NewWriter(sys.stdout)
			list := listTable
			if o.asJSON {
				list = listJSON
			}
			if err := list(out, desk.List(ctx, s)); err != nil {
				return err
			}
			return out.Flush()
		})
	})
}

// states is the flag --state.
func states(to *[]admin.State) *setting {
	return &setting{
		name: "state", kind: "states", flagOnly: true, list: true, shown: "parked,held",
		usage:   "events in these states, or all",
		allowed: "parked, held, deferred, scheduled, more than one separated by commas, or all", example: "deferred",
		parse: func(text string) error {
			*to = nil
			for name := range strings.SplitSeq(text, ",") {
				state := admin.State(strings.TrimSpace(name))
				switch {
				case state == "all":
					*to = admin.States()
					return nil
				case !slices.Contains(admin.States(), state):
					return fmt.Errorf("%q is none of them", state)
				}
				*to = append(*to, state)
			}
			return nil
		},
	}
}

// listJSON writes an array, event by event.
func listJSON(w io.Writer, events iter.Seq2[admin.Event, error]) error {
	separator := "["
	for e, err := range events {
		if err != nil {
			return err
		}
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\n  %s", separator, text)
		separator = ","
	}
	if separator == "[" {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

// listTable aligns its columns a screenful at a time, so that memory does not
// grow with the list.
func listTable(w io.Writer, events iter.Seq2[admin.Event, error]) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := 0
	for e, err := range events {
		if err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintln(table, "ID\tTOPIC\tKEY\tSTATE\tATTEMPTS\tPARKED AT\tREASON")
		}
		key := "-"
		if e.Key != nil {
			key = printable(*e.Key, 40)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			e.ID, e.Topic, key, e.State, e.Attempts, e.ParkedAt.Format(time.RFC3339), printable(e.Reason, 100))
		if n++; n%50 == 0 {
			if err := table.Flush(); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		_, err := io.WriteString(w, "no event that is set aside matches\n")
		return err
	}
	return table.Flush()
}

// printable is text fit for a line on a terminal, cut to so many runes.
func printable(text string, limit int) string {
	clean := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.Join(strings.Fields(text), " ")))
	if len(clean) > limit {
		return string(clean[:limit-1]) + "…"
	}
	return string(clean)
}
