package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

// shownBytes is how much of a value people see without --full.
const shownBytes = 4096

func newInboxParkedShow(sys system) *cobra.Command {
	var o operator
	var s inboxadmin.Selector
	var raw, full bool
	settings := append(messageSelectors(&s),
		once(&raw, "raw", "the value's bytes and nothing else"),
		once(&full, "full", fmt.Sprintf("all of a value of more than %d bytes", shownBytes)))
	cmd := idsAsArguments(configure(&cobra.Command{
		Use:   "show",
		Short: "Show all of one message that is set aside",
		Long: `Shows the one message that matches every selector: usually by its id, with
--consumer where several have set it aside, or by its number in the list, --aside.
Values that are no text are shown in base64. With --json, so are keys and headers
that are no text, which their encoding tells.`,
		Example: `  tandem inbox parked show 01890a5d-ac96-774b-bcce-b302099a8057
  tandem inbox parked show --aside 17 --raw > value
  tandem inbox parked show --consumer billing --topic orders --partition 3 --offset 4711 --json`,
	}, sys, append(settings, o.reading()...), func(ctx context.Context) error {
		if s.Empty() {
			return &usageError{[]string{"name one message, by its id, by --aside, or by --topic, --partition and --offset"}}
		}
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			message, err := desk.Show(ctx, s)
			var several *inboxadmin.AmbiguousError
			var unknown *inboxadmin.UnknownError
			switch {
			case errors.As(err, &several):
				return fmt.Errorf("%w; choose by --aside", err)
			case errors.As(err, &unknown) && isNumber(s.IDs):
				return fmt.Errorf("%w; is %[2]s a number of the list, in the column ASIDE? then --aside %[2]s", err, s.IDs[0])
			case err != nil:
				return fmt.Errorf("%w; tandem inbox parked list shows what is", err)
			case raw:
				_, err = sys.stdout.Write(message.Value)
				return err
			case o.asJSON:
				return showMessageJSON(sys, message)
			}
			return showMessage(sys.stdout, message, full)
		})
	}))
	cmd.Use = "show [id]"
	cmd.MarkFlagsMutuallyExclusive("raw", "json", "full")
	return cmd
}

// isNumber tells whether the one id may be meant as a number of the list.
func isNumber(ids []string) bool {
	if len(ids) != 1 {
		return false
	}
	_, err := strconv.ParseInt(ids[0], 10, 64)
	return err == nil
}

// headerView is a header as JSON has it.
type headerView struct {
	Name     string  `json:"name"`
	Value    *string `json:"value"`
	Encoding *string `json:"encoding"`
}

func showMessageJSON(sys system, m inboxadmin.Whole) error {
	shown := struct {
		messageView
		Holds         int64        `json:"holds"`
		Stack         string       `json:"stack"`
		Headers       []headerView `json:"headers"`
		Value         *string      `json:"value"` // null is a null value, a tombstone
		ValueEncoding *string      `json:"value_encoding"`
	}{messageView: viewOf(m.Message), Holds: m.Holds, Stack: m.Stack, Headers: []headerView{}}
	for _, h := range m.Headers {
		v := headerView{Name: h.Name}
		v.Value, v.Encoding = readable(h.Value)
		shown.Headers = append(shown.Headers, v)
	}
	shown.Value, shown.ValueEncoding = readable(m.Value)
	return printJSON(sys, shown)
}

func showMessage(w io.Writer, m inboxadmin.Whole, full bool) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(columns, "%s\t%v\n", name, value) }
	showState(line, m)
	line("topic", m.Topic)
	line("partition", m.Partition)
	line("offset", m.Offset)
	if m.Key != nil {
		key, _ := asText(m.Key)
		line("key", printable(key, 1000))
	}
	if m.Type != "" {
		line("type", printable(m.Type, 1000))
	}
	showTimes(line, m)
	for _, h := range m.Headers {
		value, _ := asText(h.Value)
		line("header", printable(h.Name, 200)+": "+printable(value, 1000))
	}
	if m.Value == nil {
		line("value", "none (a tombstone)")
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	if m.Stack != "" {
		stack, _ := asText([]byte(m.Stack))
		fmt.Fprintf(w, "stack:\n%s\n", stack)
	}
	if m.Value == nil {
		return nil
	}
	return showValue(w, m.Value, full)
}

func showState(line func(string, any), m inboxadmin.Whole) {
	line("aside", m.Aside)
	line("consumer", printable(m.Consumer, 255))
	line("id", orDash(m.ID))
	line("state", m.State)
	if m.Behind != nil {
		line("behind", *m.Behind)
	}
	if m.Holds > 0 {
		line("holds", fmt.Sprintf("%d messages", m.Holds))
	}
	if m.Scope == "partition" {
		line("holds", "its partition, in Kafka")
	}
	for _, t := range []struct{ name, text string }{{"reason", m.Reason}, {"error", m.Error}, {"hint", m.Hint}} {
		if t.text != "" {
			line(t.name, printable(t.text, 10_000))
		}
	}
	if m.Redrive {
		line("redrive", "asked for by "+printable(m.RedriveBy, 200))
	}
	line("attempts", m.Attempts)
}

func showTimes(line func(string, any), m inboxadmin.Whole) {
	for _, t := range []struct {
		name string
		at   *time.Time
	}{{"sent", &m.SentAt}, {"set aside", &m.StoredAt}, {"tried", m.TriedAt}, {"parked", m.ParkedAt}, {"next attempt", m.NextAttemptAt}} {
		if t.at != nil {
			line(t.name, t.at.Format(time.RFC3339Nano))
		}
	}
}

func showValue(w io.Writer, value []byte, full bool) error {
	content, encoding := asText(value)
	about := ""
	if !full && len(content) > shownBytes {
		content, about = strings.ToValidUTF8(content[:shownBytes], ""), fmt.Sprintf(", the first %d of them (--full has all)", shownBytes)
	}
	_, err := fmt.Fprintf(w, "value  %d bytes, %s%s:\n%s\n", len(value), encoding, about, content)
	return err
}
