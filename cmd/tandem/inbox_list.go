package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

func newInboxParkedList(sys system) *cobra.Command {
	var o operator
	var s inboxadmin.Selector
	var limit int64
	settings := append(messageSelectors(&s), messageStates(&s), number(&limit, "limit", "at most so many", 0, "all"))
	return configure(&cobra.Command{
		Use:   "list",
		Short: "List messages that consumers have set aside",
		Long: `Lists messages that are set aside, in the order of that:

  parked    could not be handled: redrive or discard them
  retrying  could not be handled yet; tried again by itself at the time shown
  held      behind one of their key

ASIDE is the message's number, for --aside. With --json, key is text with
key_encoding "text" where it is text, else base64 with "base64"; null is no key.`,
		Example: `  tandem inbox parked list --consumer billing --state parked
  tandem inbox parked list --topic orders --partition 3 --offset 4711
  tandem inbox parked list --json | jq -r '.[].reason' | sort | uniq -c`,
	}, sys, append(settings, o.reading()...), func(ctx context.Context) error {
		s.Limit = int(limit)
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			return printList(sys, o.asJSON, desk.List(ctx, s), messageTable, func(m inboxadmin.Message) any { return viewOf(m) })
		})
	})
}

// messageTable is how a list of messages looks to people.
var messageTable = table[inboxadmin.Message]{
	header: "ASIDE\tCONSUMER\tPLACE\tID\tKEY\tSTATE\tATTEMPTS\tSET ASIDE\tNEXT\tREASON",
	none:   "no message that is set aside matches",
	line: func(m inboxadmin.Message) string {
		return fmt.Sprintf("%d\t%s\t%s/%d@%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s", m.Aside, printable(m.Consumer, 40), m.Topic, m.Partition, m.Offset,
			orDash(m.ID), keyText(m.Key), m.State, m.Attempts, m.StoredAt.Format(time.RFC3339), nextOf(m), reasonOf(m))
	},
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text, 40)
}

func keyText(key []byte) string {
	if key == nil {
		return "-"
	}
	text, _ := asText(key)
	return printable(text, 40)
}

// nextOf is when, or after what, a message is tried again.
func nextOf(m inboxadmin.Message) string {
	switch {
	case m.Redrive:
		return "now"
	case m.NextAttemptAt != nil:
		return m.NextAttemptAt.Format(time.RFC3339)
	case m.Behind != nil:
		return fmt.Sprintf("behind %d", *m.Behind)
	}
	return "-"
}

func reasonOf(m inboxadmin.Message) string {
	switch {
	case m.Reason == "":
		return printable(m.Error, 100)
	case m.Error == "":
		return printable(m.Reason, 100)
	}
	return printable(m.Reason+": "+m.Error, 100)
}

// messageView is a Message as JSON has it: with a key that people can read.
type messageView struct {
	inboxadmin.Message
	Key         *string `json:"key"`
	KeyEncoding *string `json:"key_encoding"`
}

func viewOf(m inboxadmin.Message) messageView {
	v := messageView{Message: m}
	v.Key, v.KeyEncoding = readable(m.Key)
	return v
}

// readable is asText, of what may not be there.
func readable(content []byte) (text, encoding *string) {
	if content == nil {
		return nil, nil
	}
	t, e := asText(content)
	return &t, &e
}
