package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

// operator is what the commands have in common that do something about events or
// messages: "tandem parked", "tandem replay" and "tandem inbox".
type operator struct {
	database *pgx.ConnConfig
	schema   string
	asJSON   bool

	// For the commands that change something.
	by          string
	dryRun, yes bool
	follow      following
}

// reading are the settings of a command that only looks.
func (o *operator) reading() []*setting {
	return []*setting{databaseURL(&o.database), schemaName(&o.schema), once(&o.asJSON, "json", "for programs")}
}

// changing are the settings of a command that asks the relay for something.
func (o *operator) changing() []*setting { return o.changingBy("the relay has", "events") }

// changingBy says who carries it out, on what.
func (o *operator) changingBy(who, what string) []*setting {
	return append(o.deciding(), o.follow.settings(who, what)...)
}

// deciding are those of a command that changes something itself.
func (o *operator) deciding() []*setting {
	by := flagText(&o.by, "by", "name", "who asks, for the record", "alice")
	by.shown = "user@host"
	return append(o.reading(), by,
		once(&o.dryRun, "dry-run", "count, and change nothing"),
		once(&o.yes, "yes", "do not ask"))
}

// who is asking, for the record.
func (o *operator) who() string {
	if o.by != "" {
		return o.by
	}
	host, _ := os.Hostname()
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@" + host
}

// note is for people; where stdout is for programs it goes to stderr.
func (o *operator) note(sys system, format string, args ...any) {
	w := sys.stdout
	if o.asJSON {
		w = sys.stderr
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// do connects and lets work be done on what the relay has set aside.
func (o *operator) do(ctx context.Context, work func(context.Context, *admin.Operator) error) error {
	return o.connected(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		desk, err := admin.New(conn, o.schema)
		if err != nil {
			return err
		}
		return work(ctx, desk)
	})
}

// connected connects and lets work be done.
func (o *operator) connected(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	database := o.database.Copy()
	// The statements are written for it; a role may have another default.
	database.RuntimeParams["default_transaction_isolation"] = "read committed"
	conn, err := pgx.ConnectConfig(ctx, database)
	if err != nil {
		return explain(err, database)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return explainAccess(work(ctx, conn), database)
}

// mayAsk is a usage error where there would be nobody to confirm.
func (o *operator) mayAsk(sys system) error {
	if !o.dryRun && !o.yes && !isTerminal(sys.stdin) {
		return &usageError{[]string{"there is no terminal to ask on: look with --dry-run, then give --yes"}}
	}
	return nil
}

// confirm asks, unless --yes was given.
func (o *operator) confirm(sys system, what string) error {
	if o.yes {
		return nil
	}
	fmt.Fprintf(sys.stdout, "database %s at %s, schema %s: %s\nGo on? [y/N] ", o.database.Database, address(o.database), o.schema, what)
	if !confirmed(sys.stdin) {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

// selectors are the settings that say which of the events that are set aside.
func selectors(s *admin.Selector) []*setting {
	var topic, key string
	return []*setting{
		{
			name: "id", kind: "ids", flagOnly: true, notEmpty: true, join: ",",
			usage:   "these events; separated by commas, or given again",
			allowed: "UUIDs", example: "01890a5d-ac96-774b-bcce-b302099a8057",
			parse: func(text string) (err error) {
				s.IDs, err = parseIDs(text)
				return err
			},
		},
		into(selector(&topic, "topic", "name", "events for this topic", "orders"), func() { s.Topics = []string{topic} }),
		into(selector(&key, "key", "key", "events with this key", "customer-7"), func() { s.Keys = []string{key} }),
		selector(&s.Reason, "reason", "text", "events with this in their reason, in any case", "too large"),
	}
}

// selector is a text that chooses. Were an empty one taken for none, an unset
// variable of a script would choose everything.
func selector(to *string, name, kind, usage, example string) *setting {
	s := flagText(to, name, kind, usage, example)
	s.notEmpty = true
	return s
}

func parseIDs(text string) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		id, err := uuid.Parse(part)
		if err != nil || len(part) != 36 {
			return nil, fmt.Errorf("%q is no UUID", part)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// into does something more with a value that was given.
func into(s *setting, then func()) *setting {
	parse := s.parse
	s.parse = func(text string) error {
		err := parse(text)
		then()
		return err
	}
	return s
}

// idsAsArguments lets ids stand without --id.
func idsAsArguments(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.Use += " [id…]"
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, id := range args {
			if err := cmd.Flags().Set("id", id); err != nil {
				return err
			}
		}
		return run(cmd, nil)
	}
	return cmd
}
