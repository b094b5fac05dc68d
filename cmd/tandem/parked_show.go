package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func newParkedShow(sys system) *cobra.Command {
	var o operator
	var s admin.Selector
	var raw bool
	id := selectors(&s)[0]
	id.kind, id.usage, id.allowed = "id", "the event", "a UUID"
	cmd := idsAsArguments(configure(&cobra.Command{
		Use:   "show",
		Short: "Show all of one event that is set aside",
		Long: `Shows one event that is parked, held, deferred or scheduled: when it was written and
set aside, the broker's reason, its headers, its payload. A payload that is no text is
shown in base64.`,
		Example: `  tandem parked show 01890a5d-ac96-774b-bcce-b302099a8057
  tandem parked show 01890a5d-ac96-774b-bcce-b302099a8057 --raw > payload`,
	}, sys, append([]*setting{id, once(&raw, "raw", "the payload's bytes and nothing else")}, o.reading()...), func(ctx context.Context) error {
		if len(s.IDs) != 1 {
			return &usageError{[]string{"name one event by its id"}}
		}
		return o.do(ctx, func(ctx context.Context, desk *admin.Operator) error {
			event, err := desk.Show(ctx, s.IDs[0])
			switch {
			case err != nil:
				return fmt.Errorf("%w; tandem parked list --state all shows what is", err)
			case raw:
				_, err = sys.stdout.Write(event.Payload)
				return err
			case o.asJSON:
				return showJSON(sys, event)
			}
			return showText(sys.stdout, event)
		})
	}))
	cmd.Use = "show <id>"
	cmd.MarkFlagsMutuallyExclusive("raw", "json")
	return cmd
}

// asText returns a payload as text if it is one, else in base64.
func asText(payload []byte) (text, encoding string) {
	control := func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
	if utf8.Valid(payload) && !strings.ContainsFunc(string(payload), control) {
		return string(payload), "text"
	}
	return base64.StdEncoding.EncodeToString(payload), "base64"
}

func showJSON(sys system, event admin.Whole) error {
	shown := struct {
		admin.Whole
		Payload  *string `json:"payload"` // null is a null value, a tombstone
		Encoding *string `json:"payload_encoding"`
	}{Whole: event}
	if event.Payload != nil {
		text, encoding := asText(event.Payload)
		shown.Payload, shown.Encoding = &text, &encoding
	}
	return printJSON(sys, shown)
}

func showText(w io.Writer, e admin.Whole) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	text := func(name string, value *string) {
		if value != nil {
			line(name, printable(*value, 1000))
		}
	}
	at := func(name string, t *time.Time) {
		if t != nil {
			line(name, t.Format(time.RFC3339Nano))
		}
	}
	line("id", e.ID)
	line("state", e.State)
	if e.Behind != nil {
		line("behind", *e.Behind)
	}
	if e.Holds > 0 {
		line("holds", fmt.Sprintf("%d events of its key", e.Holds))
	}
	text("reason", &e.Reason)
	if e.Hint != "" {
		text("hint", &e.Hint)
	}
	if e.Redrive != nil {
		line("redrive", fmt.Sprintf("asked for by request %d", *e.Redrive))
	}
	line("attempts", e.Attempts)
	line("topic", e.Topic)
	text("key", e.Key)
	text("type", e.Type)
	if e.Partition != nil {
		line("partition", *e.Partition)
	}
	line("position", e.Position)
	at("created", &e.CreatedAt)
	at("parked", &e.ParkedAt)
	at("tried", e.TriedAt)
	at("due", e.DueAt)
	at("expires", e.Expires)
	if e.Headers != nil {
		line("headers", printable(string(e.Headers), 10_000))
	}
	if e.Payload == nil {
		line("payload", "none (a tombstone)")
		return table.Flush()
	}
	content, encoding := asText(e.Payload)
	line("payload", fmt.Sprintf("%d bytes, %s:", len(e.Payload), encoding))
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, content)
	return err
}
