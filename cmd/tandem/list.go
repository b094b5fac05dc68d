package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"unicode"
)

// table is how a list of T looks to people.
type table[T any] struct {
	header, none string // none is for an empty list
	line         func(T) string
}

// printList writes a list as it comes, as an array of what view makes of each, or
// as a table.
func printList[T any](sys system, asJSON bool, all iter.Seq2[T, error], t table[T], view func(T) any) error {
	out := bufio.NewWriter(sys.stdout)
	var err error
	if asJSON {
		err = listJSON(out, all, view)
	} else {
		err = t.write(out, all)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// listJSON writes an array, element by element.
func listJSON[T any](w io.Writer, all iter.Seq2[T, error], view func(T) any) error {
	separator := "["
	for e, err := range all {
		if err != nil {
			return err
		}
		text, err := json.Marshal(view(e))
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

// write aligns its columns a screenful at a time, so that memory does not grow
// with the list.
func (t table[T]) write(w io.Writer, all iter.Seq2[T, error]) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := 0
	for e, err := range all {
		if err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintln(columns, t.header)
		}
		fmt.Fprintln(columns, t.line(e))
		if n++; n%50 == 0 {
			if err := columns.Flush(); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		_, err := fmt.Fprintln(w, t.none)
		return err
	}
	return columns.Flush()
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
