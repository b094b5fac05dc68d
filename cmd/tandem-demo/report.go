package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// brokenError says which promises broke.
type brokenError struct{ promises []string }

func (b *brokenError) Error() string {
	return "a promise broke: " + strings.Join(b.promises, "; ")
}

// promises returns what broke, nothing if all is as it has to be.
func (f findings) promises() []string {
	var broken []string
	zero := func(n int, what string) {
		if n != 0 {
			broken = append(broken, fmt.Sprintf("%s %s", grouped(n), what))
		}
	}
	zero(f.missing, "committed orders are not in the topic")
	zero(f.ghosts, "records are of orders that were rolled back")
	zero(f.outOfOrder, "records are out of order within their customer")
	zero(f.mismatching, "records do not agree on the order's ce_id")
	zero(f.with.missing, "orders were not charged by the consumer with an inbox")
	zero(f.with.double, "charges with an inbox were double")
	zero(f.with.ghosts, "charges with an inbox are for no order")
	zero(f.without.missing, "orders were not charged by the consumer without an inbox")
	zero(f.without.ghosts, "charges without an inbox are for no order")
	return broken
}

func report(w io.Writer, f findings, actors []*actor) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, n int, note string) {
		fmt.Fprintf(table, "%s\t%s\t", pad(name), grouped(n))
		if note != "" {
			fmt.Fprintf(table, "  %s", note)
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintln(w)
	row("orders committed", f.orders, "")
	row("orders rolled back", f.rolledBack, "")
	row("records in the topic", f.records, "")
	row("  duplicates among them", f.duplicates, "same ce_id, from killed relays")
	row("  rolled-back orders found", f.ghosts, verdict(f.ghosts == 0, "none, as promised"))
	row("  committed orders missing", f.missing, verdict(f.missing == 0, "none, as promised"))
	row("  out of order within a key", f.outOfOrder, verdict(f.outOfOrder == 0, "none, as promised"))
	row("charges with inbox", f.with.charges, verdict(f.with == chargeCounts{charges: f.orders}, "= orders, as promised"))
	row("charges without inbox", f.without.charges, fmt.Sprintf("= orders + %s double charges", grouped(f.without.double)))
	for _, a := range actors {
		row("SIGKILLs of the "+a.name, int(a.kills.Load()), "")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if broken := f.promises(); len(broken) > 0 {
		return &brokenError{broken}
	}
	fmt.Fprintln(w, "\nEvery promise was kept.")
	return nil
}

func verdict(kept bool, text string) string { return either(kept, text, "BROKEN") }

// pad makes the names stand to the left in a table that stands to the right.
func pad(name string) string { return fmt.Sprintf("%-38s", name) }

// grouped is 12,345.
func grouped(n int) string {
	text := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}
